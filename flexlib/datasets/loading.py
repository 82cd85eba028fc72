"""The one way to ratings: `load_ratings`, from a data set's name or a file's path to dense arrays.

What is read is checked line by line and against the published counts; nothing is silently dropped.
"""

import dataclasses
import gzip
import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pooch
from numpy.typing import NDArray

from flexlib.config import FlexError, first_line
from flexlib.data import Index, Ratings
from flexlib.datasets.columnar import through_cache
from flexlib.datasets.fast_csv import read_fast
from flexlib.datasets.grouplens import read_fold, read_ratings, read_titles
from flexlib.datasets.layouts import ENDINGS, KNOWN_COLUMNS, choose_columns, find_layout
from flexlib.datasets.netflix import read_netflix, read_netflix_titles
from flexlib.datasets.sources import DATASETS, DatasetSpec, Source, open_source
from flexlib.datasets.synthetic import named_synthetic
from flexlib.datasets.tables import (
    Scale,
    Texts,
    check_table,
    checked_scale,
    read_own_text,
    read_parquet,
    to_ratings,
)


def load_ratings(
    name: str | Path | pd.DataFrame,
    columns: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    scale: Sequence[float] | None = None,
) -> Ratings:
    """Load a data set by name, a file by its path, or the ratings of a pandas DataFrame.

    Parameters
    ----------
    name
        A key of `flexlib.datasets.sources.DATASETS`; "synthetic", also with sizes as in
        "synthetic:users=100,items=500,ratings=5000,seed=1"; the path of a text or Parquet file, as
        `flexlib.datasets.layouts.RULES` has it; or a DataFrame, whose columns are found by the same names.
    columns
        For a file or DataFrame, which column holds what, such as {"user": "uid", "rating": "stars"}, or as pairs.
        Common names need none.
    scale
        For a file or DataFrame, its lowest rating, highest rating and step in stars; by default read off all its
        ratings.

    Returns
    -------
    Ratings
        In the order of the file. Large ones are kept in the cache: the arrays are then those of a file mapped into
        memory, and read-only.

    Raises
    ------
    FlexError
        With file, line and value where something cannot be right; for an unknown name; where a named set is
        neither on this machine nor to be fetched.

    Examples
    --------
    >>> import pandas as pd
    >>> from flexlib import load_ratings
    >>> table = pd.DataFrame({"user": ["ann", "bob", "ann"], "film": [7, 7, 8], "rating": [4.5, 2, 5]})
    >>> ratings = load_ratings(table, columns={"item": "film"}, scale=(0.5, 5, 0.5))
    >>> ratings.n_users, ratings.n_items, ratings.user_ids.tolist(), ratings.items.tolist()
    (2, 2, ['ann', 'bob'], [0, 0, 1])
    """
    if isinstance(name, pd.DataFrame):
        return _load_frame(name, _checked_columns(columns), checked_scale(scale))
    name = str(name)
    is_file = name.removesuffix(".gz").endswith(ENDINGS) or name.endswith(".parquet")
    if (columns or scale) and not is_file:
        raise FlexError(f"{name}: columns and scale are for a file; this set has its own")
    if name == "synthetic" or name.startswith("synthetic:"):
        return named_synthetic(name)
    if name in DATASETS:
        return _load_known(name, DATASETS[name])
    if is_file:
        return _load_file(Path(name), _checked_columns(columns), checked_scale(scale))
    known = ", ".join(["synthetic", *DATASETS])
    endings = ", ".join(ENDINGS)
    raise FlexError(f"unknown data set '{name:.100}': known are {known}, or the path of a file ({endings} or .parquet)")


def _checked_columns(columns: Mapping[str, str] | Sequence[tuple[str, str]] | None) -> Mapping[str, str]:
    named = dict(columns or ())
    for what in named:
        if what not in KNOWN_COLUMNS:
            raise FlexError(f"columns: '{what}' is not one of {', '.join(KNOWN_COLUMNS)}")
    return named


@lru_cache(maxsize=2)
def load_cached(
    name: str, checksum: str, columns: tuple[tuple[str, str], ...] = (), scale: Scale | None = None
) -> Ratings:
    """Load as `load_ratings` does, and keep the last two sets: for workers, which train on one set many times.

    All callers share the arrays and must not change them.

    Parameters
    ----------
    name
        As in `load_ratings`.
    checksum
        Of the ratings that are meant (`Ratings.checksum`).
    columns
        The pairs (what, column) of the mapping there, in any fixed order.
    scale
        As there, as a tuple.

    Raises
    ------
    FlexError
        As `load_ratings` does, and where this machine has other data of that name.
    """
    ratings = load_ratings(name, columns, scale)
    if ratings.checksum != checksum:
        raise FlexError(f"{name}: the file of this worker has checksum {ratings.checksum}, not {checksum}")
    return ratings


def _load_known(name: str, spec: DatasetSpec) -> Ratings:
    with open_source(name) as source:
        if spec.style == "netflix":
            where = source.describe("")
            ratings = to_ratings(check_table(read_netflix(source), where, spec.scale), spec.scale)
            titles, genres = read_netflix_titles(source, spec), None
        else:
            where, settings = source.describe(spec.ratings), [source.facts["sha256"], spec.style, spec.scale]
            ratings = through_cache(source.on_disk(spec.ratings), settings, lambda: read_ratings(source, spec))
            titles, genres = read_titles(source, spec)
        ratings = _complete(ratings, name, source.facts, titles, genres)
        counts = (len(ratings), ratings.n_users, ratings.n_items)
        for what, count, known in zip(("ratings", "users", "rated items"), counts, spec.counts, strict=True):
            if known is not None and count != known:
                raise FlexError(f"{where}: {count:,} {what}, but {name} has {known:,}; is it whole, and the right one?")
        return dataclasses.replace(ratings, folds=_read_folds(source, spec, ratings))


def _read_folds(source: Source, spec: DatasetSpec, ratings: Ratings) -> dict[str, Index]:
    """Give each published fold's test ratings, which together are all ratings."""
    folds = {fold: read_fold(source, spec, fold, ratings) for fold in spec.folds}
    if folds and len(np.unique(np.concatenate(list(folds.values())))) != len(ratings):
        raise FlexError(f"{source.describe(spec.folds[0])}.test and the other folds overlap: one is misnamed")
    return folds


def _load_file(path: Path, columns: Mapping[str, str], scale: Scale | None) -> Ratings:
    if not os.path.isfile(path):  # unlike Path.is_file, without an error for a name that is too long or holds a NUL
        raise FlexError(f"{path}: no such file")
    try:
        checksum = pooch.file_hash(path)
    except OSError as error:
        raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
    settings = [checksum, path.suffix, sorted(columns.items()), scale]
    ratings = through_cache(path, settings, lambda: _read_file(path, columns, scale))
    return _complete(ratings, str(path), {"file": path.name, "sha256": checksum} | _told(checksum, columns, scale))


def _told(checksum: str, columns: Mapping[str, str], scale: Scale | None) -> dict[str, str]:
    """Give the facts of a layout that was told: records of one file that was read in two ways are not alike."""
    words = [word for what, name in sorted(columns.items()) for word in ("--columns", f"{what}={name}")]
    words += ["--scale", *(f"{value:.12g}" for value in scale)] if scale else []
    if not words:
        return {}
    told = shlex.join(words)
    return {"read with": told, "checksum": hashlib.sha256(f"{checksum} {told}".encode()).hexdigest()}


def _read_file(path: Path, columns: Mapping[str, str], scale: Scale | None) -> Ratings:
    def opened() -> BufferedIOBase:
        return cast(BufferedIOBase, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))

    if path.suffix == ".parquet":
        return to_ratings(check_table(read_parquet(path, columns), str(path), scale), scale)
    with opened() as stream:
        layout = find_layout(stream, columns, str(path))
    ratings = read_fast(opened, columns, scale, *layout)
    if ratings is not None:
        return ratings
    return to_ratings(check_table(read_own_text(opened, layout, columns, str(path)), str(path), scale), scale)


def _load_frame(frame: pd.DataFrame, columns: Mapping[str, str], scale: Scale | None) -> Ratings:
    where = "the DataFrame"
    chosen = choose_columns(frame.columns, columns, where)
    table = pd.DataFrame({what: frame[column] for what, column in chosen.items()})
    table.index = pd.RangeIndex(len(table), name="row")  # of messages, as in frame.iloc
    ratings = to_ratings(check_table(table, where, scale), scale)
    return _complete(ratings, "DataFrame", {"sha256": _sha256(ratings)})


def _sha256(ratings: Ratings) -> str:
    """Compute a checksum of the ratings themselves, for those that no file holds."""
    digest = hashlib.sha256()
    ids = [[str(kind) for kind in each.tolist()] for each in (ratings.user_ids, ratings.item_ids)]
    digest.update(json.dumps([*ids, ratings.scale]).encode())
    for values in (ratings.users, ratings.items, ratings.values, ratings.timestamps):
        digest.update(b"" if values is None else values.tobytes())
    return digest.hexdigest()


def _complete(
    ratings: Ratings, name: str, facts: Mapping[str, str], titles: Texts = None, genres: Texts = None
) -> Ratings:
    titles_of, genres_of = (_by_item(texts, ratings.item_ids) for texts in (titles, genres))
    return dataclasses.replace(ratings, name=name, facts=facts, titles=titles_of, genres=genres_of)


def _by_item(texts: Texts, item_ids: Index) -> NDArray[np.object_] | None:
    return None if texts is None else np.array([texts.get(item, "") for item in item_ids.tolist()], dtype=object)

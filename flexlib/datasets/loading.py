"""Rating tables: from a named set or a file of the user's to dense arrays, checked line by line, and split.

`load_ratings` is the one entry. Reading is vectorised; a value that cannot be right is reported with its
file and line, and nothing is silently dropped.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pooch

from flexlib.config import FlexError, first_line
from flexlib.data import Ratings
from flexlib.datasets.grouplens import read_fold, read_text, read_titles
from flexlib.datasets.netflix import read_netflix
from flexlib.datasets.sources import DATASETS, open_source
from flexlib.datasets.synthetic import make_synthetic
from flexlib.datasets.tables import KNOWN_COLUMNS, check_table, checked_scale, infer_scale, read_csv


def load_ratings(name, columns=None, scale=None):
    """Load a data set by name, or a CSV or Parquet file by its path.

    name: a key of `flexlib.sources.DATASETS`; "synthetic", optionally with sizes as in
    "synthetic:users=100,items=500,ratings=5000,seed=1"; or a path ending in .csv, .csv.gz or .parquet.
    columns: for a file, which column holds what, such as {"user": "uid", "rating": "stars"}.
    scale: for a file, (lowest, highest, step); read off its values, all of them, where not given.
    Raises `FlexError` with the file and line, the value, and what to do.
    """
    name = str(name)
    is_file = re.search(r"\.(csv|csv\.gz|parquet)$", name)
    if (columns or scale) and not is_file:
        raise FlexError(f"{name}: columns and scale are for a file; this set has its own")
    if name == "synthetic" or name.startswith("synthetic:"):
        return _synthetic(name)
    if name in DATASETS:
        return _load_known(name)
    if is_file:
        return _load_file(Path(name), columns or {}, scale)
    known = ", ".join(DATASETS)
    raise FlexError(f"unknown data set '{name}': known are synthetic, {known}, or a path to a .csv or .parquet file")


def _synthetic(name):
    sizes = {}
    for part in filter(None, name.partition(":")[2].split(",")):
        key, _, value = part.partition("=")
        if key not in ("users", "items", "ratings", "seed") or not (value.isascii() and value.isdecimal()):
            raise FlexError(f"{name}: '{part}' is not one of users=N, items=N, ratings=N, seed=N")
        sizes[key] = int(value)
    return Ratings(name=name, **make_synthetic(**sizes))


def _load_known(name):
    spec = DATASETS[name]
    with open_source(name) as source:
        netflix = spec.style == "netflix"
        where = source.describe("" if netflix else spec.ratings)
        table = read_netflix(source) if netflix else read_text(source, spec.ratings, spec)
        titles, genres = read_titles(source, spec)
        ratings = _assemble(name, check_table(table, where, spec.scale), spec.scale, titles, genres, source.facts)
        counts = (len(ratings), ratings.n_users, ratings.n_items)
        for what, count, known in zip(("ratings", "users", "rated items"), counts, spec.counts, strict=True):
            if known is not None and count != known:
                raise FlexError(f"{where}: {count:,} {what}, but {name} has {known:,}; is it whole, and the right one?")
        ratings.folds.update({fold: read_fold(source, spec, fold, ratings) for fold in spec.folds})
        if spec.folds and len(np.unique(np.concatenate(list(ratings.folds.values())))) != len(ratings):
            raise FlexError(f"{source.describe(spec.folds[0])}.test and the other folds overlap: one is misnamed")
    return ratings


def _load_file(path, columns, scale):
    for what in columns:
        if what not in KNOWN_COLUMNS:
            raise FlexError(f"columns: '{what}' is not one of {', '.join(KNOWN_COLUMNS)}")
    scale = checked_scale(scale)
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path).reset_index(drop=True)
        except Exception as error:  # pyarrow's own errors are many; each has its reason in the first line
            raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
        table.index += 1  # rows, as a Parquet file has no lines
    else:
        table = read_csv(path, path, header=0, dtype=str, na_filter=False)
    chosen = {}
    for what, names in KNOWN_COLUMNS.items():
        wanted = (columns[what],) if what in columns else names
        found = [column for column in wanted if column in table.columns]
        if found:
            chosen[what] = table[found[0]]
        elif what != "timestamp" or what in columns:
            has = ", ".join(map(str, table.columns))
            raise FlexError(f"{path}: no column '{wanted[0]}' for the {what}; it has {has}")
    table = check_table(pd.DataFrame(chosen), path, scale)
    facts = {"file": path.name, "sha256": pooch.file_hash(path)}
    return _assemble(str(path), table, scale or infer_scale(table["rating"].to_numpy()), facts=facts)


def _assemble(name, table, scale, titles=None, genres=None, facts=None):
    users, user_ids = pd.factorize(table["user"].to_numpy(), sort=True)
    items, item_ids = pd.factorize(table["item"].to_numpy(), sort=True)

    def by_item(names):
        return None if names is None else np.array([names.get(item, "") for item in item_ids.tolist()], dtype=object)

    return Ratings(
        name=name, users=users.astype(np.int32), items=items.astype(np.int32),
        values=table["rating"].to_numpy(np.float32), scale=tuple(map(float, scale)),
        timestamps=table["timestamp"].to_numpy(copy=True) if "timestamp" in table else None,
        user_ids=user_ids if user_ids.dtype.kind == "i" else user_ids.astype(str),
        item_ids=item_ids if item_ids.dtype.kind == "i" else item_ids.astype(str),
        titles=by_item(titles), genres=by_item(genres), facts=facts or {},
    )  # fmt: skip

"""Saved models of every kind: a network is a safetensors file, another method a Parquet file of what it learns from.

The latter has the columns user, item and rating, also title and genres where these are known. Its metadata names the
method and its settings, by which it is fitted again where it is used.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flexlib.config import FlexError, first_line
from flexlib.data import Index, Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.predict import Fitted, FittedModel
from flexlib.runs.journal import replaced
from flexlib.serving.methods import FittedMethod, fit_method
from flexlib.storage import models as networks

ENDINGS = ".safetensors", ".parquet"
KEY = b"flexlib"  # of the metadata
TEXTS = {"title": "titles", "genres": "genres"}  # columns, and where ratings have them


class _Header(BaseModel):
    """The metadata of a method's file."""

    model_config = ConfigDict(strict=True, extra="forbid")
    format: Literal["flexlib method 1"]
    method: str
    settings: dict[str, Any]
    seed: Annotated[int, Field(ge=0)]
    name: str
    scale: list[float]


def save_model(model: Fitted, path: str | Path) -> None:
    """Write a fitted model, with the ratings that it needs, beside first and then renamed.

    Parameters
    ----------
    model
        Of `flexlib.fit`, `flexlib.fold_in` or `flexlib.serving.methods.fit_method`.
    path
        Of the file, which ends in .safetensors for a network, and in .parquet for another method.

    Raises
    ------
    FlexError
        For another ending, and where the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from flexlib import FlexConfig, fit, load_model, load_ratings, save_model
    >>> model = fit(load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1"), FlexConfig(epochs=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, f"{folder}/my.safetensors")
    ...     again = load_model(f"{folder}/my.safetensors")
    >>> bool((again.predict(42, [17, 3]) == model.predict(42, [17, 3])).all())
    True
    """
    path = Path(path)
    if path.suffix != ending_of(model):
        raise FlexError(f"{path}: the file name of this model ends in {ending_of(model)}")
    if isinstance(model, FittedModel):
        networks.save_model(model, path)
        return
    if not isinstance(model, FittedMethod):
        raise FlexError(f"{path}: a {type(model).__name__} cannot be saved")
    header = _Header(
        format="flexlib method 1",
        method=model.method,
        settings=model.settings,
        seed=model.seed,
        name=model.ratings.name,
        scale=list(model.ratings.scale),
    )
    table = _table(model.ratings, model.split.train)
    table = table.replace_schema_metadata({KEY: header.model_dump_json().encode()})
    try:
        with replaced(path) as partial:
            pq.write_table(table, partial, compression="zstd")
    except OSError as error:
        raise FlexError(f"{path}: cannot be written ({first_line(error)})") from None


def ending_of(model: Fitted) -> str:
    """Tell what the file name of a model ends in."""
    return ENDINGS[0] if isinstance(model, FittedModel) else ENDINGS[1]


def _table(ratings: Ratings, train: Index) -> pa.Table:
    items = ratings.items[train]
    columns = {
        "user": ratings.user_ids[ratings.users[train]],
        "item": ratings.item_ids[items],
        "rating": ratings.values[train],
    }
    for column, name in TEXTS.items():
        texts = getattr(ratings, name)
        if texts is not None:
            columns[column] = texts[items]
    return pa.table(columns)


def load_model(path: str | Path, device: str | None = None) -> Fitted:
    """Read a model written by `save_model`.

    Parameters
    ----------
    path
        Of the file.
    device
        For a network; by default cuda where there is one, else cpu.

    Returns
    -------
    Fitted
        To predict and recommend: a `FittedModel` from a .safetensors file, else a `FittedMethod`.

    Raises
    ------
    FlexError
        Naming the file where it is missing, damaged, or of another format.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        return networks.load_model(path, device)
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    try:
        header = _Header.model_validate(json.loads((pq.read_schema(path).metadata or {})[KEY]))
    except (KeyError, ValueError, RecursionError, OSError, pa.ArrowException) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else first_line(error)
        raise FlexError(f"{path}: not a method saved by flexlib ({what})") from None
    ratings = load_ratings(path, scale=header.scale)
    titles, genres = _read_texts(path, ratings)
    ratings = dataclasses.replace(ratings, name=header.name, titles=titles, genres=genres)
    try:
        return fit_method(ratings, header.method, header.settings, header.seed)
    except FlexError as error:
        raise error.of(path) from None


def _read_texts(path: Path, ratings: Ratings) -> Iterator[NDArray[np.object_] | None]:
    """Read the items' titles and genres, which are in the order of the ratings."""
    names = pq.read_schema(path).names
    for column in TEXTS:
        texts = None
        if column in names:
            texts = np.full(ratings.n_items, "", object)
            texts[ratings.items] = pq.read_table(path, columns=[column])[column].to_numpy()
        yield texts

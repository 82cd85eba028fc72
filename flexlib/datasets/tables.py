"""Tables of ratings, whatever their origin: reading them, and checking every value.

A table's index is the number of the line (of the row, in Parquet), by which a message names what is wrong.
"""

import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flexlib.config import FlexError, first_line
from flexlib.data import Ids, Ratings
from flexlib.datasets.sources import Source

Scale = tuple[float, float, float]  # lowest, highest and step, in stars
Texts = dict[int, str] | None  # by item id

# The column names that need no `columns` argument, by what they hold.
KNOWN_COLUMNS = {
    "user": ("userId", "user_id", "user", "uid"),
    "item": ("movieId", "movie_id", "itemId", "item_id", "item", "iid"),
    "rating": ("rating", "stars", "value"),
    "timestamp": ("timestamp", "time", "date"),
}
WHOLE_BELOW = 2.0**53  # float64 holds every whole number up to here


def first_true(mask: ArrayLike) -> int | None:
    """Find the first place, counted from 0, where a mask is True; None where it is nowhere."""
    places = np.flatnonzero(mask)
    return int(places[0]) if len(places) else None


def checked_scale(scale: Sequence[float] | None) -> Scale | None:
    """Check that a scale is one.

    Parameters
    ----------
    scale
        Lowest rating, highest rating and step, in stars; None passes.

    Raises
    ------
    FlexError
        Unless the highest is a whole number of steps above the lowest.
    """
    if scale is None:
        return None
    values = [float(value) for value in scale]
    if len(values) == 3:
        low, high, step = values
        steps = (high - low) / step if step else 0
        if step > 0 and low < high and 1 - 1e-6 < steps < 1e6 and abs(steps - round(steps)) < 1e-6:
            return low, high, step
    given = " ".join(f"{value:g}" for value in values)
    raise FlexError(f"scale {given}: give the lowest, the highest and the step, as 0.5 5 0.5")


def infer_scale(stars: NDArray[np.float64]) -> Scale:
    """Read the scale off all ratings, test ratings too, which can matter to rounded predictions (PrR) alone.

    Parameters
    ----------
    stars
        (n,) ratings.

    Returns
    -------
    Scale
        Lowest, highest, and the widest usual step that fits: 1, 0.5, 0.25, 0.1 or else 0.01.
    """
    low, high = float(stars.min()), float(stars.max())
    fits = [step for step in (1.0, 0.5, 0.25, 0.1) if (np.abs(_off_grid(stars, low, step)) < 1e-4).all()]
    return low, high, fits[0] if fits else 0.01


def is_off_scale(stars: NDArray[np.float64], scale: Scale) -> NDArray[np.bool_]:
    """Tell which ratings are not on a scale, to a ten-thousandth of its step."""
    low, high, step = scale
    return (stars < low) | (stars > high) | (np.abs(_off_grid(stars, low, step)) > 1e-4)


def _off_grid(stars: NDArray[np.float64], low: float, step: float) -> NDArray[np.float64]:
    """Give the distances to the nearest value of a scale, in steps."""
    return (stars - low) / step - np.round((stars - low) / step)


def read_csv(stream: BufferedIOBase | Path, where: str, **layout: Any) -> pd.DataFrame:
    """Read comma-separated text as it stands, but for lines that hold nothing.

    Parameters
    ----------
    stream
        The text, or its path.
    where
        How messages name it.
    **layout
        Arguments of `pandas.read_csv`, with `header` among them.

    Returns
    -------
    DataFrame
        Indexed by the number of the line, if no quoted field holds a line break.

    Raises
    ------
    FlexError
        For what is not such a table.
    """
    try:
        with warnings.catch_warnings():
            # Fields beyond the header's would be dropped with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(
                stream, index_col=False, skip_blank_lines=False, low_memory=False, **layout
            )
    except pd.errors.EmptyDataError:
        raise FlexError(f"{where}: the file is empty") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OSError, EOFError, zlib.error) as error:
        raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not table.shape[1]:
        raise FlexError(f"{where}: its first line, which names the columns, is blank")
    table.index += 1 if layout["header"] is None else 2
    maybe = table[table.iloc[:, 0].isna() | (table.iloc[:, 0] == "")]
    blank = maybe[(maybe.isna() | (maybe == "")).all(axis=1)]
    return table.drop(blank.index) if len(blank) else table


def read_own_file(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read a CSV or Parquet file of one's own, unchecked.

    Parameters
    ----------
    path
        It ends in .parquet, or else holds comma-separated text with a head.
    columns
        As in `choose_columns`.

    Returns
    -------
    DataFrame
        Indexed by the number of the line or row.

        - user, item: ids.
        - rating: stars.
        - timestamp: a date or seconds since 1970, where the file has it.

    Raises
    ------
    FlexError
        Where the file cannot be read, or lacks a column.
    """
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path).reset_index(drop=True)
        except Exception as error:  # pyarrow's own errors are many; each has its reason in the first line
            raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
        table.index += 1
    else:
        table = read_csv(path, str(path), header=0, dtype=str, na_filter=False)
    chosen = choose_columns(table.columns, columns, str(path))
    return pd.DataFrame({what: table[column] for what, column in chosen.items()})


def choose_columns(names: Iterable[Any], columns: Mapping[str, str], where: str) -> dict[str, str]:
    """Find the columns of user, item, rating and, where there is one, timestamp.

    Parameters
    ----------
    names
        Of all columns of a file.
    columns
        Which column holds what; for the rest, `KNOWN_COLUMNS` are looked for.
    where
        How messages name the file.

    Returns
    -------
    dict
        What a column holds to its name.

    Raises
    ------
    FlexError
        Where a column is not there.
    """
    names = list(names)
    chosen = {}
    for what, known in KNOWN_COLUMNS.items():
        wanted = (columns[what],) if what in columns else known
        found = [column for column in wanted if column in names]
        if found:
            chosen[what] = found[0]
        elif what != "timestamp" or what in columns:
            has = ", ".join(map(str, names))
            raise FlexError(f"{where}: no column '{wanted[0]}' for the {what}; it has {has}")
    return chosen


def read_numbered(
    source: Source, name: str, encoding: str, separator: str, splits: int = -1
) -> Iterator[tuple[int, list[str]]]:
    """Read lines that begin with an item's id.

    Parameters
    ----------
    source, name, encoding
        Where the file is, its name, and its encoding.
    separator, splits
        Between fields, and how many of them separate at most (-1: all).

    Yields
    ------
    item, fields
        The id, and at least two further fields.

    Raises
    ------
    FlexError
        With file and line, for a line that is not like this.
    """
    for number, line in enumerate(source.read(name, encoding).splitlines(), 1):
        item, *fields = line.split(separator, splits)
        if not item.isdecimal() or len(fields) < 2:
            where = source.describe(name)
            raise FlexError(f"{where}, line {number}: '{line[:40]}' is not id{separator}...{separator}...")
        yield int(item), fields


def check_table(table: pd.DataFrame, where: str, scale: Scale | None) -> pd.DataFrame:
    """Check every value, and that no user rates an item twice.

    Parameters
    ----------
    table
        Columns user, item, rating and perhaps timestamp, indexed by the number of the line.
    where
        How messages name the file.
    scale
        That the ratings must lie on, or None.

    Returns
    -------
    DataFrame
        In the same order, indexed from 0.

        - user, item: int64 where all ids are whole numbers written as such, else the text as it stands.
        - rating: float64 stars.
        - timestamp: int64 seconds since 1970, where the table has it.

    Raises
    ------
    FlexError
        With file and line, for the first wrong value of a column.
    """
    if not len(table):
        raise FlexError(f"{where}: holds no ratings")
    checked = pd.DataFrame({name: check_column(column, where) for name, column in table.items()})
    stars = checked["rating"].to_numpy()
    if scale and (at := first_true(is_off_scale(stars, scale))) is not None:
        low, high, step = scale
        grid = f"({low:g} to {high:g} by {step:g})"
        raise FlexError(f"{where}, line {table.index[at]}: the rating {stars[at]:g} is off the scale {grid}")
    if (at := first_true(checked.duplicated(["user", "item"]))) is not None:
        user, item = checked["user"][at], checked["item"][at]
        raise FlexError(f"{where}, line {table.index[at]}: user {user} rates item {item} a second time")
    return checked


def check_column(column: "pd.Series[Any]", where: str) -> NDArray[Any]:
    """Check each value of a column, and convert it to what `check_table` returns of it.

    How a value is read depends on which values there are, but neither on their order nor on how often each occurs.

    Parameters
    ----------
    column
        Named user, item, rating or timestamp, and indexed by the number of the line.
    where
        How messages name the file.

    Raises
    ------
    FlexError
        With file and line, for the first wrong value.
    """
    name = column.name
    blank = column.isna() | (column.astype(str) == "") if column.dtype.kind == "O" else column.isna()
    if (at := first_true(blank)) is not None:
        raise FlexError(f"{where}, line {column.index[at]}: the {name} is missing or NaN")
    if name in ("user", "item"):
        return _check_ids(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        column = _seconds(column)
    elif name == "timestamp" and column.dtype.kind == "O":
        dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        column = column if dates.isna().any() else _seconds(dates)
    elif column.dtype.kind == "b":
        column = column.astype(str)  # true is no number
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    if (at := first_true(np.isnan(values))) is not None:
        raise FlexError(f"{where}, line {column.index[at]}: the {name} '{column.iloc[at]}' is not a number")
    if (at := first_true(np.abs(values) >= WHOLE_BELOW)) is not None:
        raise FlexError(f"{where}, line {column.index[at]}: the {name} {values[at]} is not finite")
    return values if name == "rating" else values.astype(np.int64)


def _seconds(dates: "pd.Series[Any]") -> "pd.Series[Any]":
    """Give the whole seconds since 1970."""
    return (dates - pd.Timestamp(0, unit="s", tz=dates.dt.tz)) // pd.Timedelta(seconds=1)


def _check_ids(column: "pd.Series[Any]") -> NDArray[Any]:
    if column.dtype.kind == "f" and (column % 1 == 0).all() and (column.abs() < WHOLE_BELOW).all():
        return column.to_numpy(np.int64)
    if column.dtype.kind in "iu" and column.max() < 2**63:
        return column.to_numpy(np.int64)
    text = column.astype(str)
    numbers = pd.to_numeric(text, errors="coerce")
    same = numbers.dtype.kind == "i" and (numbers.astype(str) == text).all()
    return numbers.to_numpy(np.int64) if same else text.to_numpy(object)


def to_ratings(table: pd.DataFrame, scale: Scale | None) -> Ratings:
    """Give users and items numbers from 0, in the order of their ids.

    Parameters
    ----------
    table
        As `check_table` returns it.
    scale
        By default the one that `infer_scale` finds.

    Returns
    -------
    Ratings
        Without a name, titles and provenance.
    """
    users, user_ids = number_ids(table["user"].to_numpy())
    items, item_ids = number_ids(table["item"].to_numpy())
    return Ratings(
        name="",
        users=users,
        items=items,
        values=table["rating"].to_numpy(np.float32),
        timestamps=table["timestamp"].to_numpy(copy=True) if "timestamp" in table else None,
        user_ids=user_ids,
        item_ids=item_ids,
        scale=scale or infer_scale(table["rating"].to_numpy()),
    )


def number_ids(ids: NDArray[Any]) -> tuple[Ids, NDArray[Any]]:
    """Give ids numbers from 0, in the order of the ids.

    Parameters
    ----------
    ids
        (n,) whole numbers or texts, repeated or not.

    Returns
    -------
    numbers, found
        (n,) number of each, and the different ids in order.
    """
    numbers, found = pd.factorize(ids, sort=True)
    return numbers.astype(np.int32), found if found.dtype.kind == "i" else found.astype(str)

"""Tables of ratings, whatever their origin: reading them, and checking every value.

A table's index is the number of the line, or of the row where the index is called so. A message names what is wrong by
it.
"""

import datetime
import decimal
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from flexlib.config import FlexError, first_line
from flexlib.data import Ids, Ratings
from flexlib.datasets.layouts import Layout, check_text, choose_columns
from flexlib.datasets.sources import Source

Scale = tuple[float, float, float]  # lowest, highest and step, in stars
Texts = dict[int, str] | None  # by item id

WHOLE_BELOW = 2**53  # float64 holds every whole number up to here
LARGEST = {"rating": 1_000_000, "timestamp": WHOLE_BELOW - 1}
LONGEST_ID = 1_000  # characters: NumPy keeps all texts of an array as wide as the longest
NUMBERS = (int, float, np.integer, np.floating, decimal.Decimal)
DATES = (datetime.date, np.datetime64)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second

# What a single value may be, and what is said of another.
_IDS = (str, int, np.integer), "neither a whole number nor a text"
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "user": _IDS,
    "item": _IDS,
    "rating": ((str, *NUMBERS), "not a number"),
    "timestamp": ((str, *NUMBERS, *DATES), "neither a number of seconds nor a date"),
}


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
        Unless the highest is a whole number of steps above the lowest, and both are within a million.
    """
    if scale is None:
        return None
    values = [float(value) for value in scale]
    if len(values) == 3:
        low, high, step = values
        steps = (high - low) / step if step else 0
        can_be = step > 0 and low < high and max(-low, high) <= LARGEST["rating"]
        if can_be and 1 - 1e-6 < steps < 1e6 and abs(steps - round(steps)) < 1e-6:
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


def read_csv(opened: Callable[[], BufferedIOBase], where: str, **layout: Any) -> pd.DataFrame:
    """Read a text's columns as they stand, but for lines that hold nothing.

    Parameters
    ----------
    opened
        Opens the text.
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
        For what is not such a table, and as `check_text` does.
    """
    try:
        with opened() as stream:
            check_text(stream, where)
        with opened() as stream, warnings.catch_warnings():
            # Fields beyond the header's would be dropped with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(
                stream, index_col=False, skip_blank_lines=False, low_memory=False, **layout
            )
    except pd.errors.EmptyDataError:
        raise FlexError(f"{where}: the file is empty") from None
    except FlexError:
        raise
    except pd.errors.ParserWarning:
        raise FlexError(
            f"{where}: not in the expected format (a line has more fields than there are columns)"
        ) from None
    except (pd.errors.ParserError, ValueError, OSError, EOFError, zlib.error) as error:
        raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not table.shape[1]:
        raise FlexError(f"{where}: its first line, which names the columns, is blank")
    table.index += 1 + layout.get("skiprows", 0) + (layout["header"] is not None)
    maybe = table[table.iloc[:, 0].isna() | (table.iloc[:, 0] == "")]
    blank = maybe[(maybe.isna() | (maybe == "")).all(axis=1)]
    return table.drop(blank.index) if len(blank) else table


def read_own_text(
    opened: Callable[[], BufferedIOBase], layout: Layout, columns: Mapping[str, str], where: str
) -> pd.DataFrame:
    """Read a text of one's own, unchecked.

    Parameters
    ----------
    opened
        Opens it.
    layout
        As `find_layout` finds it.
    columns
        As in `choose_columns`.
    where
        How messages name it.

    Returns
    -------
    DataFrame
        Texts, indexed by the number of the line.

        - user, item: ids.
        - rating: stars.
        - timestamp: a date or seconds since 1970, where the file has it.

    Raises
    ------
    FlexError
        Where the file cannot be read.
    """
    names = layout.names
    table = read_csv(
        opened,
        where,
        sep=layout.separator,
        header=None,
        names=range(len(names)),
        skiprows=int(layout.has_head),
        dtype=str,
        na_filter=False,
    )
    if layout.separator == ":" and (at := first_true((table.iloc[:, 1::2] != "").any(axis=1))) is not None:
        raise FlexError(f"{_place(where, table, at)}: a single colon; fields are separated by ::")
    chosen = choose_columns(names, columns, where)
    return pd.DataFrame({what: table[names.index(column)] for what, column in chosen.items()})


def read_parquet(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read a Parquet file of one's own, unchecked.

    Parameters
    ----------
    path
        The file.
    columns
        As in `choose_columns`.

    Returns
    -------
    DataFrame
        As `read_own_text` gives it, but indexed by the number of the row and of the file's types.

    Raises
    ------
    FlexError
        Where the file cannot be read, or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            chosen = choose_columns(file.schema_arrow.names, columns, str(path))
            n, size = file.metadata.num_rows, path.stat().st_size
            if n > 100 * max(size, 10_000):  # ratings, of which no pair repeats, are never packed as tightly
                raise FlexError(f"{path}: says that it holds {n:,} rows in {size:,} bytes")
            read = file.read([*chosen.values()])
            read = pa.table({what: _as_text(read[column]) for what, column in chosen.items()})
            table: pd.DataFrame = read.to_pandas(date_as_object=False)
    except FlexError:
        raise
    except Exception as error:  # pyarrow's own errors are many; each has its reason in the first line
        raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode bytes, as which some programs write texts."""
    kinds = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary
    return column.cast(pa.binary()).cast(pa.string()) if any(kind(column.type) for kind in kinds) else column


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
    # Not `splitlines`: a title may hold what Unicode takes for a line end.
    lines = source.read(name, encoding).removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        item, *fields = line.removesuffix("\r").split(separator, splits)
        if not is_item_id(item) or len(fields) < 2:
            where = source.describe(name)
            raise FlexError(f"{where}, line {number}: '{line[:40]}' is not id{separator}...{separator}...")
        yield int(item), fields


def is_item_id(text: str) -> bool:
    """Say whether a text of a table of titles is a whole number that an id can be."""
    return bool(re.fullmatch("[0-9]{1,18}", text))


def _place(where: str, table: "pd.DataFrame | pd.Series[Any]", at: int) -> str:
    return f"{where}, {table.index.name or 'line'} {table.index[at]}"


def _shown(value: object) -> str:
    try:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    except Exception:  # as of a whole number of over 4,300 digits, of a date beyond the year 9999, of any own class
        return f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."


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
        raise FlexError(f"{_place(where, table, at)}: the rating {stars[at]:g} is off the scale {grid}")
    if (at := first_true(checked.duplicated(["user", "item"]))) is not None:
        user, item = (
            f"{checked[what][at]:.60}" if checked[what].dtype.kind == "O" else checked[what][at]
            for what in ("user", "item")
        )
        raise FlexError(f"{_place(where, table, at)}: user {user} rates item {item} a second time")
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
    name = str(column.name)
    # Texts that Arrow holds are Unicode; string[python] may hold others, and is checked a value at a time.
    is_text = isinstance(column.dtype, pd.StringDtype) and column.dtype.storage == "pyarrow"
    if not is_text and column.dtype.kind not in ("iufM" if name == "timestamp" else "iuf"):
        column = column.astype(object)
    if isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and column.dtype.kind == "f":
        column = column.astype(np.float64)  # whose NaN are all missing: a Float64 may hold others too
    missing = column.map(_is_missing) if column.dtype == object else column.isna() | (is_text & (column == ""))
    if (at := first_true(missing)) is not None:
        raise FlexError(f"{_place(where, column, at)}: the {name} is missing or NaN")
    kinds, what = KINDS[name]
    if column.dtype == object and (at := first_true(~column.map(lambda value: _is_one_of(value, kinds)))) is not None:
        raise FlexError(f"{_place(where, column, at)}: the {name} {_shown(column.iloc[at])} is {what}")
    if name in ("user", "item"):
        return _check_ids(column, where)
    values = _numbers(_seconds(column) if name == "timestamp" else column)
    if (at := first_true(np.isnan(values))) is not None:
        raise FlexError(f"{_place(where, column, at)}: the {name} {_shown(column.iloc[at])} is {what}")
    largest = LARGEST[name]
    if (at := first_true(np.abs(values) > largest)) is not None:
        raise FlexError(f"{_place(where, column, at)}: the {name} {values[at]:g} is not finite, or beyond {largest:,}")
    return values if name == "rating" else values.astype(np.int64)


def _is_missing(value: object) -> bool:
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, str) and not value)


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # which Python counts among the whole numbers
        return False
    if isinstance(value, int) and abs(value) > 1e60:  # nobody's id, and Python writes none of over 4,300 digits
        return False
    return isinstance(value, kinds) and (not isinstance(value, str) or _is_unicode(value))


def _numbers(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """Convert what can be; the rest is NaN."""
    if column.dtype == object:
        column = column.map(lambda value: float(value) if isinstance(value, decimal.Decimal) else value)
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def _seconds(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Convert dates to whole seconds since 1970; what is no date is left as it is."""
    if column.dtype.kind in "iuf" or (column.dtype == object and any(isinstance(value, NUMBERS) for value in column)):
        return column
    dates = column if column.dtype.kind == "M" else pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    if dates.isna().any():
        return column
    moments = dates.dt.tz_convert(None) if dates.dt.tz else dates
    return (moments.astype("int64") // UNITS[moments.dt.unit]).astype("int64")


def _check_ids(column: "pd.Series[Any]", where: str) -> NDArray[Any]:
    if column.dtype.kind == "f":
        if (at := first_true((column % 1 != 0) | (column.abs() >= WHOLE_BELOW))) is not None:
            raise FlexError(f"{_place(where, column, at)}: the {column.name} {column.iloc[at]} is {KINDS['user'][1]}")
        return column.to_numpy(np.int64)
    if column.dtype.kind in "iu" and column.max() < 2**63:
        return column.to_numpy(np.int64)
    for value in column.unique():
        if isinstance(value, str) and (len(value) > LONGEST_ID or "\0" in value):
            place = _place(where, column, column.tolist().index(value))
            what = f"is longer than {LONGEST_ID:,} characters" if len(value) > LONGEST_ID else "holds a NUL"
            raise FlexError(f"{place}: the {column.name} {_shown(value)} {what}")
    text = column.astype(str)
    numbers = pd.to_numeric(text, errors="coerce")
    same = numbers.dtype.kind == "i" and (numbers.astype(str) == text).all()
    return numbers.to_numpy(np.int64) if same else text.to_numpy(object)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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

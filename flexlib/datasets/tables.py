"""Rating tables: from a named set or a file of the user's to dense arrays, checked line by line, and split.

`load_ratings` is the one entry. Reading is vectorised; a value that cannot be right is reported with its
file and line, and nothing is silently dropped.
"""

import warnings
import zlib

import numpy as np
import pandas as pd

from flexlib.config import FlexError, first_line

# The column names that need no `columns` argument, by what they hold.
KNOWN_COLUMNS = {
    "user": ("userId", "user_id", "user", "uid"),
    "item": ("movieId", "movie_id", "itemId", "item_id", "item", "iid"),
    "rating": ("rating", "stars", "value"),
    "timestamp": ("timestamp", "time", "date"),
}


def checked_scale(scale):
    if scale is None:
        return None
    low, high, step = scale = (*map(float, scale), *[np.nan] * 3)[:3]
    steps = (high - low) / step if step else 0
    if not (step > 0 and low < high and 1 - 1e-6 < steps < 1e6 and abs(steps - round(steps)) < 1e-6):
        raise FlexError(f"scale {low:g} {high:g} {step:g}: give the lowest, the highest and the step, as 0.5 5 0.5")
    return scale


def infer_scale(stars):
    """Lowest, highest, and the widest usual step between. It looks at every rating, test ratings too, which can matter
    to PrR alone."""
    low, high = stars.min(), stars.max()
    fits = [step for step in (1.0, 0.5, 0.25, 0.1) if (np.abs(off_grid(stars, low, step)) < 1e-4).all()]
    return (low, high, fits[0] if fits else 0.01)


def off_grid(stars, low, step):
    return (stars - low) / step - np.round((stars - low) / step)


def read_csv(stream, where, **layout):
    """A table whose index is the line number (if no quoted field holds a line break), less lines that hold nothing.
    Raises `FlexError` for what is not such a table."""
    try:
        with warnings.catch_warnings():
            # Fields beyond the header's would be dropped with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(stream, index_col=False, skip_blank_lines=False, low_memory=False, **layout)
    except pd.errors.EmptyDataError:
        raise FlexError(f"{where}: the file is empty") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OSError, EOFError, zlib.error) as error:
        raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not table.shape[1]:
        raise FlexError(f"{where}: its first line, which names the columns, is blank")
    table.index += 1 if layout["header"] is None else 2
    maybe = table.index[(table.iloc[:, 0].isna() | (table.iloc[:, 0] == "")).to_numpy()]
    rest = table.loc[maybe]
    return table.drop(maybe[(rest.isna() | (rest == "")).all(axis=1).to_numpy()]) if len(maybe) else table


def check_table(table, where, scale):
    """The table with checked columns: whole or text ids, float stars, whole seconds. The index says which line (or row)
    a `FlexError` names."""
    if not len(table):
        raise FlexError(f"{where}: holds no ratings")

    def refuse(bad, problem):
        if (bad := np.asarray(bad)).any():
            at = int(np.flatnonzero(bad)[0])
            raise FlexError(f"{where}, line {table.index[at]}: {problem(at)}")

    columns = {}
    for name, column in table.items():
        blank = column.isna() | (column.astype(str) == "") if column.dtype.kind == "O" else column.isna()
        refuse(blank, lambda at, name=name: f"the {name} is missing or NaN")
        if name in ("user", "item"):
            columns[name] = _ids(column)
            continue
        if pd.api.types.is_datetime64_any_dtype(column):
            column = (column - pd.Timestamp(0, tz=column.dt.tz)) // pd.Timedelta(seconds=1)
        if name == "timestamp" and column.dtype.kind == "O":
            dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
            column = column if dates.isna().any() else (dates - pd.Timestamp(0, tz="utc")) // pd.Timedelta(seconds=1)
        if column.dtype.kind == "b":
            column = column.astype(str)  # true is no number
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
        refuse(np.isnan(values), lambda at, n=name, column=column: f"the {n} '{column.iloc[at]}' is not a number")
        refuse(np.abs(values) >= 2.0**53, lambda at, n=name, values=values: f"the {n} {values[at]} is not finite")
        columns[name] = values if name == "rating" else values.astype(np.int64)
    stars = columns["rating"]
    if scale:
        low, high, step = scale
        refuse((stars < low) | (stars > high) | (np.abs(off_grid(stars, low, step)) > 1e-4),
               lambda at: f"the rating {stars[at]:g} is off the scale ({low:g} to {high:g} by {step:g})")  # fmt: skip
    checked = pd.DataFrame(columns)
    refuse(checked.duplicated(["user", "item"]),
           lambda at: f"user {columns['user'][at]} rates item {columns['item'][at]} a second time")  # fmt: skip
    return checked


def _ids(column):
    """(n,) ids: int64 where each is a whole number and written as one, else text as it stands."""
    if column.dtype.kind == "f" and (column % 1 == 0).all() and (column.abs() < 2**53).all():
        return column.to_numpy(np.int64)
    if column.dtype.kind in "iu" and column.max() < 2**63:
        return column.to_numpy(np.int64)
    text = column.astype(str)
    numbers = pd.to_numeric(text, errors="coerce")
    same = numbers.dtype.kind == "i" and (numbers.astype(str) == text).all()
    return numbers.to_numpy(np.int64) if same else text.to_numpy(object)

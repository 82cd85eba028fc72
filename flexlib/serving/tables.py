"""Tables of pairs of a user and an item, in and out: CSV or Parquet.

A text in a CSV file that a spreadsheet would take for a formula gets an apostrophe in front, so that it is shown and
not run. Parquet has every text as it is.

References
----------
OWASP, "CSV Injection".
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from flexlib.config import FlexError, first_line
from flexlib.datasets.layouts import KNOWN_COLUMNS
from flexlib.datasets.tables import read_csv
from flexlib.runs.journal import replaced

ENDINGS = (".csv", ".parquet")
FORMULA = re.compile(r"[=+\-@\t\r]")  # what a formula begins with


def check_ending(path: Path) -> None:
    """Check that a table can be written, before it is made.

    Raises
    ------
    FlexError
        Unless the name ends in .csv or .parquet, and its folder is there.
    """
    if path.suffix not in ENDINGS:
        raise FlexError(f"{path}: a table's file name ends in {' or '.join(ENDINGS)}")
    if path.is_dir() or not path.parent.is_dir():
        raise FlexError(f"{path}: cannot be written; is its folder there?")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table, beside first and then renamed.

    Parameters
    ----------
    table
        Without an index of its own.
    path
        Of the file, whose ending says its format. In CSV, a number is written as it is, a text that looks like a
        formula with an apostrophe in front.

    Raises
    ------
    FlexError
        Where the file cannot be written; the one before is kept.
    """
    check_ending(path)
    try:
        with replaced(path) as partial:
            if path.suffix == ".parquet":
                table.to_parquet(partial, index=False)
            else:
                table.apply(_inert).rename(columns=_inert_text).to_csv(partial, index=False)
    except OSError as error:
        raise FlexError(f"{path}: cannot be written ({first_line(error)})") from None


def _inert(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column) else column.map(_inert_text)


def _inert_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def read_pairs(path: Path, more: Sequence[str] = ()) -> pd.DataFrame:
    """Read pairs of a user and an item.

    Parameters
    ----------
    path
        A CSV file with a head, or one that ends in .parquet. The columns of users and items have one of the names that
        a file of ratings may have.
    more
        Further columns that are needed, by name.

    Returns
    -------
    DataFrame
        user, item and `more`; indexed by the number of the line or row. What CSV holds are texts.

    Raises
    ------
    FlexError
        Where the file cannot be read, or lacks a column.
    """
    if not path.is_file():
        raise FlexError(f"{path}: no such file")
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path).reset_index(drop=True)
        except Exception as error:  # pyarrow's own errors are many
            raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
        table.index += 1
    else:
        table = read_csv(lambda: path.open("rb"), str(path), header=0, dtype=str, na_filter=False)
    found = {}
    for what in ("user", "item", *more):
        known = KNOWN_COLUMNS.get(what, (what,))
        names = [name for name in known if name in table]
        if not names:
            raise FlexError(f"{path}: no column of {what}s: {' or '.join(known)}")
        found[what] = table[names[0]]
    return pd.DataFrame(found)


def place_in(path: Path, line: int) -> str:
    """Name a line of a CSV file, or a row of another one, for a message."""
    return f"{path}, {'row' if path.suffix == '.parquet' else 'line'} {line}"


def read_ratings(path: Path) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Read new ratings, for `flexlib.fold_in`.

    Parameters
    ----------
    path
        As in `read_pairs`, with a column of ratings.

    Returns
    -------
    users, items, values
        (k,) ids and stars.

    Raises
    ------
    FlexError
        Where the file cannot be read, lacks a column, or holds something else than a number for a rating.
    """
    table = read_pairs(path, ["rating"])
    stars = pd.to_numeric(table["rating"], errors="coerce")
    if stars.isna().any():
        line = stars.index[stars.isna()][0]
        raise FlexError(f"{place_in(path, line)}: rating {table.loc[line, 'rating']!r} is not a number")
    return table["user"], table["item"], stars

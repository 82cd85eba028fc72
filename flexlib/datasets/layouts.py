"""How a text of ratings is laid out: what separates its columns, and which of them holds what (`RULES`)."""

import csv
import re
import zlib
from collections.abc import Iterable, Mapping
from io import BufferedIOBase
from typing import Any, NamedTuple

from flexlib.config import FlexError, first_line

ENDINGS = (".csv", ".tsv", ".txt", ".dat", ".data", ".inter")  # of texts, each also with .gz behind it

RULES = """\
A file of your own ends in .csv, .tsv, .txt, .dat, .data or .inter, each also with .gz, or in .parquet. Columns are
separated by commas, tabs, semicolons or double colons (::), whichever the first line shows, or else by spaces.

The first line names the columns: userId, user_id, user or uid; movieId, movie_id, itemId, item_id, item or iid; rating,
stars or value; and, where there is one, timestamp, time or date. Other names are told by --columns. RecBole's types, as
in user_id:token, are left out of the names.

A first line of three or four fields, the third of them a number, is a rating already: the columns are then user, item,
rating and timestamp, as in u.data. Where two separators would do, the file is refused.

Ids are whole numbers or texts, kept as they are written. Ratings are numbers up to a million. Timestamps are seconds
since 1970 or dates such as 2001-12-31."""

# The column names that need no `columns` argument, by what they hold: those of GroupLens, LensKit, RecBole, Surprise.
KNOWN_COLUMNS = {
    "user": ("userId", "user_id", "user", "uid"),
    "item": ("movieId", "movie_id", "itemId", "item_id", "item", "iid"),
    "rating": ("rating", "stars", "value"),
    "timestamp": ("timestamp", "time", "date"),
}
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "::": "double colons", " ": "spaces"}
LONGEST_LINE = 1 << 20  # bytes; what has no line end for longer is no table
MOST_COLUMNS = 1_000
MOST_NAMED = 30  # columns, in a message


class Layout(NamedTuple):
    """A text's columns.

    Parameters
    ----------
    separator
        The one character between fields. A double colon is two of them, with a column "" between.
    names
        Of all columns.
    has_head
        Whether the first line is the names.
    """

    separator: str
    names: tuple[str, ...]
    has_head: bool


def find_layout(stream: BufferedIOBase, columns: Mapping[str, str], where: str) -> Layout:
    """Read the layout off the first line, by `RULES`.

    Parameters
    ----------
    stream
        The text.
    columns
        As in `choose_columns`.
    where
        How messages name it.

    Returns
    -------
    Layout
        In which `choose_columns` finds user, item and rating.

    Raises
    ------
    FlexError
        Where there is no such layout, or there are two.
    """
    line = _read_first_line(stream, where)
    fields = {separator: _split(line, separator) for separator in SEPARATORS}
    heads = {separator: _untyped(found) for separator, found in fields.items()}
    headed = [separator for separator, names in heads.items() if _names_ratings(names, columns)]
    bare = [] if columns or headed else [separator for separator, found in fields.items() if _is_rating(found)]
    possible = headed or bare
    possible = [separator for separator in possible if separator != " "] or possible
    if len(possible) > 1:
        what = " or ".join(SEPARATORS[separator] for separator in possible)
        raise FlexError(f"{where}, line 1: it is not clear whether {what} separate the columns")
    separator = possible[0] if possible else max(fields, key=lambda each: len(fields[each]))
    names = [*KNOWN_COLUMNS][: len(fields[separator])] if bare else heads[separator]
    if len(names) > MOST_COLUMNS:
        raise FlexError(f"{where}, line 1: has {len(names):,} columns, more than {MOST_COLUMNS:,}")
    choose_columns(names, columns, where)
    if separator == "::":
        names = [name for each in names for name in (each, "")][:-1]
    return Layout(separator[0], tuple(names), not bare)


def _read_first_line(stream: BufferedIOBase, where: str) -> str:
    try:
        data = stream.read(LONGEST_LINE)
        line = re.split(rb"[\r\n]", data, maxsplit=1)[0]
        text = line.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: not UTF-8
        raise FlexError(f"{where}: not in the expected format ({first_line(error)})") from None
    if not data:
        raise FlexError(f"{where}: the file is empty")
    if not text.strip():
        raise FlexError(f"{where}: its first line is blank")
    if len(line) == LONGEST_LINE:
        raise FlexError(f"{where}, line 1: longer than {LONGEST_LINE:,} bytes")
    if "\0" in text or text.count('"') % 2:
        raise FlexError(f"{where}, line 1: holds {'a NUL' if chr(0) in text else 'a quote that is not closed'}")
    return text


def _split(line: str, separator: str) -> list[str]:
    if separator == "::":
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:  # a field of over 128 KiB, so that it is hardly this separator
        return [line]


def _untyped(names: list[str]) -> list[str]:
    """Take the types off the names, where RecBole has written them."""
    typed = [re.fullmatch(r"(.+):(?:token|float)(?:_seq)?", name) for name in names]
    return [match[1] for match in typed if match] if all(typed) else names


def _names_ratings(names: list[str], columns: Mapping[str, str]) -> bool:
    return all(_named(what, names, columns) for what in ("user", "item", "rating"))


def _is_rating(fields: list[str]) -> bool:
    return len(fields) in (3, 4) and bool(re.fullmatch(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*", fields[2]))


def _named(what: str, names: Iterable[Any], columns: Mapping[str, str]) -> list[Any]:
    """List the columns that may hold what is asked for."""
    known = (columns[what],) if what in columns else KNOWN_COLUMNS[what]
    return [name for name in names if name in known]


def choose_columns(names: Iterable[Any], columns: Mapping[str, str], where: str) -> dict[str, Any]:
    """Find the columns of user, item, rating and, where there is one, timestamp.

    Parameters
    ----------
    names
        Of all columns of a table.
    columns
        Which column holds what; for the rest, `KNOWN_COLUMNS` are looked for.
    where
        How messages name the table.

    Returns
    -------
    dict
        What a column holds to its name.

    Raises
    ------
    FlexError
        Where a column is not there, two may be meant, or one is to hold two things.
    """
    names = list(names)
    chosen: dict[str, Any] = {}
    for what, known in KNOWN_COLUMNS.items():
        found = _named(what, names, columns)
        if len(found) > 1:
            both = f"two columns {found[0]}" if found[0] == found[1] else f"columns {found[0]} and {found[1]}"
            raise FlexError(f"{where}: it has {both}, either of which may be the {what}")
        if found and found[0] in chosen.values():
            raise FlexError(f"{where}: its column {found[0]} cannot hold the {what} and something else")
        if found:
            chosen[what] = found[0]
        elif what != "timestamp" or what in columns:
            has = ", ".join(map(str, names[:MOST_NAMED])) + (", ..." if len(names) > MOST_NAMED else "")
            raise FlexError(f"{where}: no column '{columns.get(what, known[0])}' for the {what}; it has {has:.1000}")
    return chosen


def check_text(stream: BufferedIOBase, where: str) -> None:
    """Refuse what is no text of lines, block by block, before a reader takes it into memory as a whole.

    Parameters
    ----------
    stream
        The text.
    where
        How messages name it.

    Raises
    ------
    FlexError
        With file and line, for a NUL, for a line that is longer than `LONGEST_LINE`, and for a million blank lines.
    """
    lines = blank = 0
    while block := stream.read(LONGEST_LINE):
        ends = block.count(b"\n") or block.count(b"\r")
        if (at := block.find(b"\0")) >= 0:
            line = lines + (block.count(b"\n", 0, at) or block.count(b"\r", 0, at)) + 1
            raise FlexError(f"{where}, line {line}: holds a NUL")
        if not ends and len(block) == LONGEST_LINE:
            raise FlexError(f"{where}, line {lines + 1}: longer than {LONGEST_LINE:,} bytes")
        lines += ends
        blank += sum(block.count(pair) for pair in (b"\n\n", b"\r\r", b"\n\r\n"))
        if blank > 1_000_000:
            raise FlexError(f"{where}, line {lines}: more than a million lines before it are blank")

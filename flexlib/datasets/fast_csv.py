"""Ratings out of plain text in a hurry, by Apache Arrow: what `flexlib.datasets.tables` reads, or nothing at all.

Each value is checked once, however often it occurs: ids and stars are read as texts with a number for each different
text, and the careful reader's own rules are asked about these few. Where anything is suspect, the careful reader is to
look at it, which names the line and the value.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedIOBase
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.data import Ids, Index, Ratings
from flexlib.datasets.layouts import LONGEST_LINE, choose_columns
from flexlib.datasets.tables import WHOLE_BELOW, Scale, check_column, infer_scale, is_off_scale, number_ids

BLOCK = 8 << 20  # bytes that are read at once: many lines, and yet few beside the arrays that are kept
CODED = pa.dictionary(pa.int32(), pa.string())


class _SuspectError(Exception):
    """The text may hold what only the careful reader reads aright."""


def read_fast(
    opened: Callable[[], BufferedIOBase],
    columns: Mapping[str, str],
    scale: Scale | None,
    separator: str = ",",
    names: Sequence[str] | None = None,
    has_head: bool = True,
) -> Ratings | None:
    """Read and check a text of ratings as the careful reader does, several times as fast and in little memory.

    Parameters
    ----------
    opened
        Opens the text.
    columns
        As in `choose_columns`.
    scale
        That the ratings must lie on; by default the one that `infer_scale` finds.
    separator
        A character that stands between fields. Of double colons it is the half, with a column "" between.
    names
        Of the columns; by default those on the first line.
    has_head
        Whether the first line names the columns.

    Returns
    -------
    Ratings
        Without a name, titles and provenance; or None where it takes the careful reader, to read the text or to say
        what is wrong with it.
    """
    try:
        with opened() as stream:
            return _read(stream, columns, scale, separator, names, has_head)
    # Arrow's errors among them; ValueError is also what is no UTF-8.
    except (_SuspectError, FlexError, pa.ArrowException, ValueError, OSError, EOFError, zlib.error):
        return None
    finally:
        pa.default_memory_pool().release_unused()  # Arrow would keep for itself what the blocks took


def _read(
    stream: BufferedIOBase,
    columns: Mapping[str, str],
    scale: Scale | None,
    separator: str,
    names: Sequence[str] | None,
    has_head: bool,
) -> Ratings:
    coded: dict[str, list[pa.DictionaryArray]] = {"user": [], "item": [], "rating": []}
    times: list[Index] = []
    for table in _tables(stream, columns, separator, names, has_head):
        for what, parts in coded.items():
            parts += table[what].chunks
        if "timestamp" in table.column_names:
            times.append(_whole_seconds(table["timestamp"], first=not times))
    if not coded["user"]:
        raise _SuspectError
    users, user_ids = _numbered("user", coded.pop("user"))
    items, item_ids = _numbered("item", coded.pop("item"))
    if _has_repeated_pair(users, items, len(item_ids)):
        raise _SuspectError
    codes, stars = _checked("rating", coded.pop("rating"))
    if scale and is_off_scale(stars, scale).any():
        raise _SuspectError
    return Ratings(
        name="",
        users=users,
        items=items,
        values=_of_each(codes, stars.astype(np.float32)),
        timestamps=np.concatenate(times) if times else None,
        user_ids=user_ids,
        item_ids=item_ids,
        scale=scale or infer_scale(stars),
    )


def _tables(
    stream: BufferedIOBase, columns: Mapping[str, str], separator: str, names: Sequence[str] | None, has_head: bool
) -> Iterator[pa.Table]:
    """Yield the columns user, item, rating and perhaps timestamp, block by block."""
    chosen: dict[str, str] = {}
    for block in _blocks(stream):
        _check_plain(block)
        if not chosen:
            if block[:1] in (b"\n", b"\r"):
                raise _SuspectError  # the careful readers take the number of columns from this line
            head, _, rest = block.partition(b"\n")
            if names is None:
                names = _names(head)
            if has_head:
                block = rest
            chosen = choose_columns(names, columns, "")
        if b'"' in block or (separator == ":" and block.count(b":") != 2 * block.count(b"::")):
            raise _SuspectError
        if not block.strip(b"\r\n"):
            continue  # Arrow refuses a text without a row
        yield pa.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(column_names=names),
            pa.csv.ParseOptions(delimiter=separator, quote_char=False),
            pa.csv.ConvertOptions(
                check_utf8=False,  # `_check_plain` has, also in columns that are not read
                null_values=[],
                include_columns=[*chosen.values()],
                column_types={name: pa.string() if what == "timestamp" else CODED for what, name in chosen.items()},
            ),
        ).rename_columns([*chosen])


def _blocks(stream: BufferedIOBase) -> Iterator[bytes]:
    """Yield whole lines, many at a time."""
    begun = b""
    while data := stream.read(BLOCK):
        for at in range(0, len(data) - LONGEST_LINE + 1, LONGEST_LINE):
            if data.find(b"\n", at, at + LONGEST_LINE) < 0:
                raise _SuspectError
        end = data.rfind(b"\n") + 1
        if end:
            yield begun + data[:end]
            begun = data[end:]
        else:
            begun += data
    if begun:
        yield begun


def _check_plain(block: bytes) -> None:
    """Refuse what readers of text may take in different ways."""
    alone = block.count(b"\r") - block.count(b"\r\n") if b"\r" in block else 0
    if b"\0" in block or alone:
        raise _SuspectError
    if not block.isascii() and "\ufeff" in block.decode():  # a byte order mark: Arrow leaves out one that comes first
        raise _SuspectError


def _names(head: bytes) -> list[str]:
    """Split the first line, where names may be quoted as other programs do."""
    fields = [re.fullmatch(r'"([^"]*)"|([^"]*)', field) for field in head.decode().removesuffix("\r").split(",")]
    names = [field[1] or field[2] or "" for field in fields if field]
    if len({*names, ""}) <= len(fields):  # pandas gives other names to columns without one, and to those with another's
        raise _SuspectError
    return names


def _whole_seconds(texts: pa.ChunkedArray, first: bool) -> Index:
    """Convert timestamps that are all digits."""
    if first:
        sample = pd.Series(texts[:1000].to_pylist(), dtype=str)
        # The careful reader takes digits for dates, such as 20050906, where all can be.
        if pd.to_datetime(sample, errors="coerce", format="ISO8601", utc=True).notna().all():
            raise _SuspectError
    if not pc.all(pc.ascii_is_decimal(texts)).as_py():
        raise _SuspectError
    seconds: Index = texts.cast(pa.int64()).to_numpy()
    if seconds.max() >= WHOLE_BELOW:
        raise _SuspectError
    return seconds


def _numbered(what: str, parts: Sequence[pa.DictionaryArray]) -> tuple[Ids, NDArray[Any]]:
    """Give (n,) numbers of ids, and the ids in their order."""
    codes, ids = _checked(what, parts)
    numbers, in_order = number_ids(ids)
    return _of_each(codes, numbers), in_order


def _checked(what: str, parts: Sequence[pa.DictionaryArray]) -> tuple[list[Ids], NDArray[Any]]:
    """Give the codes of each part, and the value that each code stands for, as the careful reader converts it."""
    unified = pa.chunked_array(parts, CODED).unify_dictionaries()
    texts = unified.chunk(0).dictionary.to_pylist()
    values = check_column(pd.Series(texts, name=what, dtype=str), "")
    return [part.indices.to_numpy() for part in unified.chunks], values


def _of_each(codes: Sequence[Ids], values: NDArray[Any]) -> NDArray[Any]:
    """Give (n,) values by their codes; part by part, as NumPy makes larger numbers of the codes first."""
    return np.concatenate([values[part] for part in codes])


def _has_repeated_pair(users: Ids, items: Ids, n_items: int) -> bool:
    pairs = users.astype(np.int64)
    pairs *= n_items
    pairs += items
    if (pairs[1:] > pairs[:-1]).all():  # GroupLens' files are in this order
        return False
    pairs.sort()
    return bool((pairs[1:] == pairs[:-1]).any())

"""Large ratings, once read and checked, as arrays on disk that are opened at once.

An Arrow file in the folder `columnar` of the cache holds them. Its name says what they were read from and how, and ends
with a checksum of the file itself: one that is damaged is as good as none. These files can be deleted at any time.
"""

import contextlib
import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from flexlib.data import Ratings
from flexlib.datasets.sources import data_folders

FORMAT = 2  # to be raised whenever the readers read a text in another way, or these files change
LARGE = 2_000_000  # ratings; fewer are read about as fast as they are opened


def through_cache(file: Path, settings: Sequence[Any], read: Callable[[], Ratings]) -> Ratings:
    """Open what was kept of earlier reading, or else read, and keep it where it is large.

    Nothing that is wrong with the cache fails: then it is not used.

    Parameters
    ----------
    file
        What is read, or the archive that holds it.
    settings
        All that the ratings depend on, the SHA-256 of the text among them; as JSON has it.
    read
        Reads and checks.

    Returns
    -------
    Ratings
        As `read` returns them, with read-only arrays where they were kept.
    """
    key = hashlib.sha256(json.dumps([FORMAT, *settings]).encode()).hexdigest()[:32]
    folder = data_folders()[-1] / "columnar"
    kept = _open(folder, key)
    if kept is not None:
        return kept
    before = file.stat()
    ratings = read()
    after = file.stat()
    # A file that was changed meanwhile is no longer what its SHA-256 says.
    if len(ratings) >= LARGE and (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
        _keep(ratings, folder, key)
    return ratings


def _open(folder: Path, key: str) -> Ratings | None:
    """Map a file's arrays into memory, which shares them with other processes and lets them go where it is scarce."""
    with contextlib.suppress(OSError, pa.ArrowException):
        for path in folder.glob(f"{key}-*.arrow"):
            content = pa.memory_map(str(path)).read_buffer()
            if path.name == _name(key, content):
                return _from_arrow(pa.ipc.open_file(content).read_all())
    return None


def _keep(ratings: Ratings, folder: Path, key: str) -> None:
    with contextlib.suppress(OSError, pa.ArrowException):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            partial, table = Path(beside) / "partial", _to_arrow(ratings)
            with pa.ipc.new_file(str(partial), table.schema) as writer:
                writer.write_table(table)
            partial.replace(folder / _name(key, pa.memory_map(str(partial)).read_buffer()))


def _name(key: str, content: pa.Buffer) -> str:
    return f"{key}-{zlib.crc32(content):08x}.arrow"


def _to_arrow(ratings: Ratings) -> pa.Table:
    columns = {
        "user": pa.DictionaryArray.from_arrays(ratings.users, ratings.user_ids),
        "item": pa.DictionaryArray.from_arrays(ratings.items, ratings.item_ids),
        "rating": pa.array(ratings.values),
    }
    if ratings.timestamps is not None:
        columns["timestamp"] = pa.array(ratings.timestamps)
    return pa.table(columns, metadata={"scale": json.dumps(ratings.scale)})


def _from_arrow(table: pa.Table) -> Ratings:
    # The table was written in one piece.
    columns = {name: table[name].chunk(0) for name in table.column_names}
    user_ids, item_ids = (columns[name].dictionary.to_numpy(zero_copy_only=False) for name in ("user", "item"))
    low, high, step = json.loads(table.schema.metadata[b"scale"])
    return Ratings(
        name="",
        users=columns["user"].indices.to_numpy(),
        items=columns["item"].indices.to_numpy(),
        values=columns["rating"].to_numpy(),
        timestamps=columns["timestamp"].to_numpy() if "timestamp" in columns else None,
        user_ids=user_ids if user_ids.dtype.kind == "i" else user_ids.astype(str),
        item_ids=item_ids if item_ids.dtype.kind == "i" else item_ids.astype(str),
        scale=(low, high, step),
    )

"""Records that outlive their process: a journal beside a table, and files that are replaced whole or not at all.

A command writes each record to its `Journal` as it comes. Now and then, and at its end, it writes all records to a
table with `replaced` and empties the journal with `Journal.clear`. Stopped between these two, it finds the same
records in both, and tells them apart by their keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flexlib.config import FlexError, first_line


class Journal:
    """A file of JSON, one record a line, that a single command at a time appends to.

    Use it as a context manager. Numbers come back to the last bit, NaN and infinities too; tuples come back as lists.
    On leaving, the file of an empty journal is removed.

    Parameters
    ----------
    path
        The file, made where there is none. The system lets go of its lock when the command ends, however it ends.

    Attributes
    ----------
    records
        What the file holds, in order: records of earlier commands, then those appended by this one.

    Raises
    ------
    FlexError
        On entering, where another command has the journal, where a line other than the last is damaged, or where the
        file cannot be opened. A last line that was cut short is dropped: its record was never reported as written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.records: list[dict[str, Any]] = []

    def __enter__(self) -> Journal:
        try:
            self._file = _open_locked(self.path)
        except OSError as error:
            raise FlexError(f"{self.path}: cannot be opened ({first_line(error)})") from None
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            if not self.records:
                self.path.unlink(missing_ok=True)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, and return once it is on the disk.

        Parameters
        ----------
        record
            Plain values by name.

        Raises
        ------
        FlexError
            Where it cannot be written, as on a full disk. The journal is then as it was before.
        """
        line = memoryview(json.dumps(record).encode() + b"\n")
        end = self._file.seek(0, os.SEEK_END)
        # Here first: a command that is interrupted between the two must not empty the journal of a record it lacks.
        self.records.append(dict(record))
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self.records.pop()
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise FlexError(f"{self.path}: cannot be written ({first_line(error)})") from None

    def clear(self) -> None:
        """Empty the journal, once a table holds its records.

        Raises
        ------
        FlexError
            Where the file cannot be written.
        """
        try:
            self._file.truncate(0)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FlexError(f"{self.path}: cannot be written ({first_line(error)})") from None
        self.records = []

    def _read(self) -> None:
        """Read all records, and cut off a last line that is not whole."""
        self._file.seek(0)
        lines = io.BytesIO(self._file.read()).readlines()
        end = 0
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except (ValueError, RecursionError):  # also where the bytes are no UTF-8
                record = None
            if not isinstance(record, dict):
                if number < len(lines):
                    raise FlexError(f"{self.path}: line {number} is damaged: mend it or remove it")
                self._file.truncate(end)
                break
            self.records.append(record)
            end += len(line)


def _open_locked(path: Path) -> io.FileIO:
    """Open a file that no other command has open, for reading and appending without a buffer."""
    while True:
        file = io.FileIO(path, "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one who had it may have removed it after we opened it: then ours is no longer the one by this name.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                _sync_folder(path.parent)
                return file
        except BlockingIOError:
            file.close()
            raise FlexError(f"{path}: another command is writing these records: wait for it, or stop it") from None
        except BaseException:
            file.close()
            raise
        file.close()


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Replace a file as a whole: who reads it, or looks for it after a crash, finds the old one or the new one.

    Parameters
    ----------
    path
        The file to replace; it need not exist.

    Yields
    ------
    Path
        The file to write to, in the same folder. It takes the other's name once it is on the disk, and is removed
        where the writing fails.

    Raises
    ------
    FlexError
        Naming the file, where it cannot be written, as on a full disk. What was there before is as it was.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise FlexError(f"{path}: cannot be written ({first_line(error)})") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

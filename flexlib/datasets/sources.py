"""Where the named data sets are: $FLEXLIB_DATA, then the cache, then GroupLens or the Internet Archive.

Archives are read in place, member by exact name, so that nothing an archive holds is ever written to disk.
"""

import contextlib
import fnmatch
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Literal, cast

import pooch
import requests
import yaml
from pydantic import BaseModel

from flexlib.config import FlexError, first_line

LARGEST_TITLES = 100_000_000  # bytes
GROUPLENS = "https://files.grouplens.org/datasets/movielens/"


class DatasetSpec(BaseModel, frozen=True, extra="forbid"):
    """What is known of a set before it is read: an entry of datasets.yaml.

    Parameters
    ----------
    style
        The files' format, which `flexlib.datasets.grouplens` and `flexlib.datasets.netflix` read.
    ratings
        Name of the file of ratings.
    counts
        Ratings, users, and items that are rated; None where not known.
    scale
        Lowest rating, highest rating and step, in stars.
    titles, genres
        Names of the files of titles, and of the genres' names where titles have flags for them.
    encoding
        Of the titles.
    folder
        The archive's top folder, where it differs from the set's name.
    url
        Of the archive, where it is not GroupLens' address for the set's name.
    archive_hash
        "sha256:" or "md5:" and the archive's digest, where it is known.
    ratings_sha256
        Digests of the file of ratings, any of which is right; empty where none is known.
    folds
        Names of the published folds.
    hint
        Ends the message where the set cannot be fetched.
    """

    style: Literal["csv", "tab", "double-colon", "netflix"]
    ratings: str
    counts: tuple[int, int, int | None]
    scale: tuple[float, float, float]
    titles: str | None = None
    genres: str | None = None
    encoding: str = "utf-8"
    folder: str | None = None
    url: str | None = None
    archive_hash: str | None = None
    ratings_sha256: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()
    hint: str = ""


_KNOWN = yaml.safe_load(Path(__file__).with_name("datasets.yaml").read_text(encoding="utf-8"))
DATASETS = {name: DatasetSpec(**fields) for name, fields in _KNOWN.items()}


class Source:
    """One data set's files, in a folder or inside a zip archive.

    Parameters
    ----------
    root
        The folder, or the archive's path.
    archive
        The opened archive, where there is one.
    folder
        The archive's top folder.
    """

    def __init__(self, root: Path, archive: zipfile.ZipFile | None = None, folder: str = "") -> None:
        self.root, self._archive, self._folder = root, archive, folder
        self.facts: dict[str, str] = {}  # the ratings file's name and SHA-256, for provenance

    def describe(self, name: str) -> str:
        """Name a file for messages: its path, with '!' before an archive's member."""
        return f"{self.root}!{self._folder}/{name}" if self._archive else str(self.root / name)

    def on_disk(self, name: str) -> Path:
        """Give the path of the file, or of the archive that holds it."""
        return self.root if self._archive else self.root / name

    def has(self, name: str) -> bool:
        """Say whether the file is there."""
        if self._archive:
            return f"{self._folder}/{name}" in self._archive.namelist()
        return (self.root / name).is_file()

    def open(self, name: str) -> BufferedIOBase:
        """Open the file as a binary stream.

        Raises
        ------
        FlexError
            Where it is missing or damaged.
        """
        if not self.has(name):
            raise FlexError(f"{self.describe(name)}: no such file; is this another data set's folder or archive?")
        try:
            if self._archive:
                return cast(BufferedIOBase, self._archive.open(f"{self._folder}/{name}"))
            return (self.root / name).open("rb")
        except (OSError, zipfile.BadZipFile) as error:
            raise FlexError(f"{self.describe(name)}: cannot be read ({error})") from None

    def read(self, name: str, encoding: str = "utf-8") -> str:
        """Read the whole file as text.

        Raises
        ------
        FlexError
            Where it is missing, damaged, too large for what is read as a whole, or of another encoding.
        """
        with self.open(name) as stream:
            data = stream.read(LARGEST_TITLES + 1)
        if len(data) > LARGEST_TITLES:
            raise FlexError(f"{self.describe(name)}: larger than {LARGEST_TITLES:,} bytes, too much for titles")
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            raise FlexError(f"{self.describe(name)}: not {encoding} text ({error})") from None

    def glob(self, *patterns: str) -> list[str]:
        """List the files that match the first pattern with any match, sorted by name."""
        if self._archive:
            names = [name.removeprefix(f"{self._folder}/") for name in self._archive.namelist()]
        else:
            names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*")]
        matches = (sorted(fnmatch.filter(names, pattern)) for pattern in patterns)
        return next(filter(None, matches), [])

    def check_ratings(self, name: str, expected: tuple[str, ...]) -> None:
        """Take the ratings file's SHA-256 down in `facts`.

        Raises
        ------
        FlexError
            Where it is none of those expected.
        """
        with self.open(name) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self.facts |= {"file": f"{self.root.name}/{name}", "sha256": digest}
        if expected and digest not in expected:
            raise FlexError(
                f"{self.describe(name)}: SHA-256 is {digest[:12]}..., expected {expected[0][:12]}...; "
                "it was changed, is incomplete, or belongs to another release: put the right one in its place"
            )


@contextlib.contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open a named set's files, fetching its archive where it is neither at $FLEXLIB_DATA nor in the cache.

    Parameters
    ----------
    name
        A key of `DATASETS`.

    Raises
    ------
    FlexError
        Where it cannot be had, saying how to supply it by hand; where a checksum is wrong or an archive damaged.
    """
    spec = DATASETS[name]
    root = local_path(name) or _fetch(name, spec)
    try:
        with contextlib.ExitStack() as stack:
            if root.is_dir():
                source = Source(root)
            else:
                algorithm, _, digest = (spec.archive_hash or "").partition(":")
                if digest and pooch.file_hash(root, algorithm) != digest:
                    raise FlexError(f"{root}: checksum differs from {name}'s; it is truncated, or another archive")
                source = Source(root, stack.enter_context(zipfile.ZipFile(root)), spec.folder or name)
            if spec.style != "netflix":
                source.check_ratings(spec.ratings, spec.ratings_sha256)
            yield source
    # zipfile raises RuntimeError for an encrypted member, and a kind of it for a compression that it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise FlexError(f"{root}: not a whole zip archive ({error}); delete it and fetch it again") from None


def data_folders() -> list[Path]:
    """List the folders that are searched, in order: $FLEXLIB_DATA where it is set, then the cache."""
    given = os.environ.get("FLEXLIB_DATA")
    return ([Path(given)] if given else []) + [Path(pooch.os_cache("flexlib"))]


def local_path(name: str) -> Path | None:
    """Find a named set on this machine: its folder or archive, or None where it has to be fetched."""
    candidates = (folder / file for folder in data_folders() for file in (name, f"{name}.zip"))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _fetch(name: str, spec: DatasetSpec) -> Path:
    file, url = f"{name}.zip", spec.url or f"{GROUPLENS}{name}.zip"
    by_hand = (
        f"{name} is not in {' or '.join(map(str, data_folders()))}; put the extracted folder {name}/ or the archive "
        f"{file} there, or set FLEXLIB_DATA to the folder that holds it{spec.hint and f' ({spec.hint})'}"
    )
    if spec.style == "netflix":
        raise FlexError(by_hand)
    cache = data_folders()[-1]
    fetcher = pooch.create(cache, base_url="", registry={file: spec.archive_hash}, urls={file: url}, retry_if_failed=3)
    try:
        return Path(fetcher.fetch(file, progressbar=True))
    except (requests.RequestException, OSError, ValueError) as error:
        raise FlexError(f"{url} could not be fetched ({first_line(error)}): {by_hand}") from None

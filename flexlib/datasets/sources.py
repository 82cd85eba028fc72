"""Where the named data sets are: $FLEXLIB_DATA, then the cache, then GroupLens or the Internet Archive.

Archives are read in place, member by exact name, so that nothing an archive holds is ever written to disk.
"""

import contextlib
import fnmatch
import hashlib
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
import yaml

from flexlib.config import FlexError, first_line

GROUPLENS = "https://files.grouplens.org/datasets/movielens/"


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a set before it is read: an entry of datasets.yaml, which explains the fields."""

    style: str
    ratings: str
    counts: tuple
    scale: tuple
    titles: str | None = None
    genres: str | None = None
    encoding: str = "utf-8"
    folder: str | None = None
    url: str | None = None
    archive_hash: str | None = None
    ratings_sha256: tuple = ()
    folds: tuple = ()


def _spec(fields):
    return DatasetSpec(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})


_KNOWN = yaml.safe_load(Path(__file__).with_name("datasets.yaml").read_text(encoding="utf-8"))


DATASETS = {name: _spec(fields) for name, fields in _KNOWN.items()}


class Source:
    """One data set's files, in a folder or inside a zip archive; `describe` names a file for messages."""

    def __init__(self, root, archive=None, folder=""):
        self.root, self._archive, self._folder = Path(root), archive, folder
        self.facts = {}  # the ratings file's name and SHA-256, for provenance

    def describe(self, name):
        """How messages name a file: its path, with '!' before an archive's member."""
        return f"{self.root}!{self._folder}/{name}" if self._archive else str(self.root / name)

    def has(self, name):
        """Whether the file is there."""
        if self._archive:
            return f"{self._folder}/{name}" in self._archive.namelist()
        return (self.root / name).is_file()

    def open(self, name):
        """A binary stream of the file. Raises `FlexError` where it is missing or damaged."""
        if not self.has(name):
            raise FlexError(f"{self.describe(name)}: no such file; is this another data set's folder or archive?")
        try:
            return self._archive.open(f"{self._folder}/{name}") if self._archive else open(self.root / name, "rb")
        except (OSError, zipfile.BadZipFile) as error:
            raise FlexError(f"{self.describe(name)}: cannot be read ({error})") from None

    def read(self, name, encoding="utf-8"):
        """The whole file as text."""
        with self.open(name) as stream:
            try:
                return stream.read().decode(encoding)
            except UnicodeDecodeError as error:
                raise FlexError(f"{self.describe(name)}: not {encoding} text ({error})") from None

    def glob(self, *patterns):
        """Names of the files that match the first pattern with any match, in order."""
        if self._archive:
            names = [n.removeprefix(f"{self._folder}/") for n in self._archive.namelist()]
        else:
            names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*")]
        matches = ([n for n in sorted(names) if fnmatch.fnmatchcase(n, pattern)] for pattern in patterns)
        return next(filter(None, matches), [])

    def check_ratings(self, name, expected):
        """Compare the ratings file's SHA-256 with the known one, where there is one, and remember it."""
        with self.open(name) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self.facts.update(file=f"{self.root.name}/{name}", sha256=digest)
        if expected and digest not in expected:
            raise FlexError(
                f"{self.describe(name)}: SHA-256 is {digest[:12]}..., expected {expected[0][:12]}...; "
                "it was changed, is incomplete, or belongs to another release: put the right one in its place"
            )


@contextlib.contextmanager
def open_source(name):
    """Open a named set's files, fetching its archive where it is neither at $FLEXLIB_DATA nor in the cache.

    Raises `FlexError` where it cannot be had, saying how to supply it by hand, and where a checksum is wrong.
    """
    spec = DATASETS[name]
    root = local_path(name) or _fetch(name, spec)
    try:
        with contextlib.ExitStack() as stack:
            if root.is_dir():
                source = Source(root)
            else:
                if spec.archive_hash and not pooch.hashes.hash_matches(str(root), spec.archive_hash):
                    raise FlexError(f"{root}: checksum differs from {name}'s; it is truncated, or another archive")
                source = Source(root, stack.enter_context(zipfile.ZipFile(root)), spec.folder or name)
            if spec.style != "netflix":
                source.check_ratings(spec.ratings, spec.ratings_sha256)
            yield source
    # zipfile raises NotImplementedError for a compression that it does not know, RuntimeError for an encrypted member.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FlexError(f"{root}: not a whole zip archive ({error}); delete it and fetch it again") from None


def data_folders():
    """The folders that are searched, in order: $FLEXLIB_DATA, then the cache."""
    given = os.environ.get("FLEXLIB_DATA")
    return ([Path(given)] if given else []) + [Path(pooch.os_cache("flexlib"))]


def local_path(name):
    """Where a named set is on this machine, as a folder or an archive; None where it has to be fetched."""
    candidates = (folder / file for folder in data_folders() for file in (name, f"{name}.zip"))
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _fetch(name, spec):
    cache = data_folders()[-1]
    by_hand = (
        f"{name} is not in {' or '.join(map(str, data_folders()))}; put the extracted folder {name}/ or the archive "
        f"{name}.zip there, or set FLEXLIB_DATA to the folder that holds it"
    )
    if spec.style == "netflix":
        raise FlexError(f"{by_hand} (the Netflix prize files are not to be downloaded here)")
    url = spec.url or f"{GROUPLENS}{name}.zip"
    download = pooch.create(
        path=cache, base_url="", registry={f"{name}.zip": spec.archive_hash}, urls={f"{name}.zip": url},
        retry_if_failed=3,
    )  # fmt: skip
    try:
        return Path(download.fetch(f"{name}.zip", progressbar=True))
    except (requests.RequestException, OSError, ValueError) as error:
        kaggle = " (Kaggle's ratings_small.csv holds the same ratings)" if name == "ml-latest-small-2016" else ""
        raise FlexError(f"{url} could not be fetched ({first_line(error)}): {by_hand}{kaggle}") from None

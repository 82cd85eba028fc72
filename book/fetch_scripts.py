"""Fetch the third-party scripts that the book brings along, so that a reader's browser asks no other host.

python book/fetch_scripts.py

They come from the npm registry once, as archives of pinned versions and checksums, of which these files are kept in
build/scripts. They are fetched again only where another version, checksum or file is asked for.
"""

import json
import logging
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pooch
import requests

REGISTRY = "https://registry.npmjs.org/"
ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
SCRIPTS = ROOT / "build" / "scripts"

# Archive: its SHA-256, and the members to keep.
ARCHIVES = {
    "mathjax/-/mathjax-3.2.2.tgz": (
        "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
        ["package/es5/tex-svg.js"],
    ),
    # For the tests alone; no part of the book.
    "axe-core/-/axe-core-4.14.1.tgz": (
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        ["package/axe.min.js"],
    ),
}
FOR_TESTS = {"axe.min.js"}
ORIGINS = "origins.json"  # beside the files: the archives that they are from


def fetched_files(folder: Path = SCRIPTS) -> list[Path]:
    """List the files that `fetch` puts into a folder."""
    return [folder / Path(member).name for _, members in ARCHIVES.values() for member in members]


def book_files(folder: Path = SCRIPTS) -> list[Path]:
    """List those that belong to the book's static files."""
    return [path for path in fetched_files(folder) if path.name not in FOR_TESTS]


def fetch(folder: Path = SCRIPTS, registry: str = REGISTRY) -> Path:
    """Make a folder of all files of `ARCHIVES`, unless it is there.

    Parameters
    ----------
    folder
        Replaced as a whole, once every file is there.
    registry
        Address that the archives' names are added to.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        In one line, where an archive cannot be had or is not the expected one.
    """
    origins = json.dumps(ARCHIVES, indent=1).encode()
    said = folder / ORIGINS
    if all(path.exists() for path in [said, *fetched_files(folder)]) and said.read_bytes() == origins:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as partial:
        complete = Path(partial, "complete")
        complete.mkdir()
        for archive, (checksum, members) in ARCHIVES.items():
            unpack = pooch.Untar(members, extract_dir="unpacked")
            try:
                pooch.retrieve(registry + archive, f"sha256:{checksum}", path=partial, processor=unpack)
                for member in members:
                    Path(partial, "unpacked", member).replace(complete / Path(member).name)
            except (requests.RequestException, ValueError, OSError) as error:
                reason = str(error).split("\n")[0][:200]
                raise ValueError(f"cannot fetch {registry}{archive}, which the book needs: {reason}") from None
        (complete / ORIGINS).write_bytes(origins)
        shutil.rmtree(folder, ignore_errors=True)
        complete.replace(folder)
    return folder


def main() -> int:
    """Run the command line; returns the exit status."""
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        print(f"the book's scripts are in {fetch()}")
    except ValueError as error:
        print(f"fetch_scripts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

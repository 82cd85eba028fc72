"""Fetch the third-party scripts that the book brings along, so that a reader's browser asks no other host.

python book/fetch_scripts.py

They come from the npm registry once, as archives of pinned versions and checksums, of which these files are kept in
build/scripts. What is there already is not fetched again, unless another version or checksum is asked for.
"""

import json
import logging
import sys
import tarfile
from pathlib import Path

import pooch
import requests

REGISTRY = "https://registry.npmjs.org/"
ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
SCRIPTS = ROOT / "build" / "scripts"

# Archive: its SHA-256, and the files to keep, by the names they get.
ARCHIVES = {
    "@jupyter-widgets/html-manager/-/html-manager-1.0.15.tgz": (
        "2b9d65cb7913e1c7d671757a10008b32c9c2448d4429513371e55c07d6107638",
        {
            "ipywidgets-embed.js": "package/dist/embed.js",
            # The icon fonts' names are in the script.
            "1551f4f60c37af51121f.woff2": "package/dist/1551f4f60c37af51121f.woff2",
            "7a3337626410ca2f4071.woff2": "package/dist/7a3337626410ca2f4071.woff2",
        },
    ),
    "mathjax/-/mathjax-3.2.2.tgz": (
        "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
        {"tex-svg.js": "package/es5/tex-svg.js"},
    ),
    # For the tests alone; no part of the book.
    "axe-core/-/axe-core-4.14.1.tgz": (
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        {"axe.min.js": "package/axe.min.js"},
    ),
}
FOR_TESTS = {"axe.min.js"}
ORIGINS = "origins.json"  # beside the files: each one's archive, its checksum, and the name in it


def book_files(folder=SCRIPTS):
    """The files in `folder` that belong into the book's static files."""
    return [Path(folder) / name for _, files in ARCHIVES.values() for name in files if name not in FOR_TESTS]


def fetch(folder=SCRIPTS, registry=REGISTRY):
    """Put every file of `ARCHIVES` into `folder` that is not there, or not from that archive; returns the folder.

    Raises `ValueError`, in one line, where an archive cannot be had or is not the expected one.
    """
    folder = Path(folder)
    had = _origins(folder)
    for archive, (checksum, files) in ARCHIVES.items():
        wanted = {name: [archive, checksum, member] for name, member in files.items()}
        if all((folder / name).exists() and had.get(name) == origin for name, origin in wanted.items()):
            continue
        try:
            path = Path(pooch.retrieve(registry + archive, f"sha256:{checksum}", path=folder / "archives"))
        except (requests.RequestException, ValueError, OSError) as error:
            reason = str(error).split("\n")[0][:200]
            raise ValueError(f"cannot fetch {registry}{archive}, which the book needs: {reason}") from None
        with tarfile.open(path) as opened:
            for name, member in files.items():
                _write(folder / name, opened.extractfile(member).read())
        path.unlink()
        had |= wanted
        _write(folder / ORIGINS, json.dumps(had, indent=1).encode())
    return folder


def _origins(folder):
    """What `folder` says its files are from; {} where it says nothing that can be read."""
    try:
        found = json.loads((folder / ORIGINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path, data):
    """Write a file beside its place and rename it."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def main():
    """The command line; returns the exit status."""
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        print(f"the book's scripts are in {fetch()}")
    except ValueError as error:
        print(f"fetch_scripts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

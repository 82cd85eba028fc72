"""The figure of the front page, taken from the chapter that drew it: to be seen there, and for link previews."""

import base64
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

CHAPTER = "results/executed/01_one_run.ipynb"
NAME = "fig-one-run-protocols"
FRONT = "build/front.svg"  # within the folder of the book's sources, where git does not look
PREVIEW = "_static/front.png"  # within the built site
FORMATS = {".svg": "image/svg+xml", ".png": "image/png"}


def read_figure(notebook: Path, name: str, suffix: str) -> bytes:
    """Read a figure from an executed notebook.

    Parameters
    ----------
    notebook
        Path of the notebook.
    name
        What the figure's cell calls it.
    suffix
        Of its format, a key of `FORMATS`.

    Returns
    -------
    bytes
        The file's content.

    Raises
    ------
    ValueError
        Where the notebook has no such figure, or not in that format.
    """
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name:
            for output in cell.get("outputs", []):
                found = output.get("data", {}).get(FORMATS[suffix])
                if found is not None:
                    return base64.b64decode(found) if suffix == ".png" else found.encode()
    raise ValueError(f"{notebook}: no figure '{name}' as {FORMATS[suffix]}")


def write_front_figure(app: Sphinx) -> None:
    """Write the front page's figure where index.md expects it; one that has not changed is left alone."""
    _write(app, ".svg", Path(app.srcdir) / FRONT)


def write_preview(app: Sphinx, exception: Exception | None) -> None:
    """Write the same figure for link previews, which take no SVG, beside the built pages."""
    if exception is None and app.builder.format == "html":
        _write(app, ".png", Path(app.outdir) / PREVIEW)


def _write(app: Sphinx, suffix: str, path: Path) -> None:
    try:
        content = read_figure(Path(app.srcdir) / CHAPTER, NAME, suffix)
    except (OSError, ValueError) as error:
        raise ExtensionError(f"the front page's figure cannot be had: {error}") from None
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(path)


def setup(app: Sphinx) -> None:
    """Write the figure before any page is read, and its preview once all are written."""
    app.connect("builder-inited", write_front_figure)
    app.connect("build-finished", write_preview)

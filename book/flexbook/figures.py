"""The figure of the front page, taken from the chapter that drew it."""

import base64
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

CHAPTER = "results/executed/01_one_run.ipynb"
NAME = "fig-one-run-protocols"
FRONT = "build/front.png"  # within the folder of the book's sources, where git does not look


def read_figure(notebook: Path, name: str) -> bytes:
    """Read the PNG of a figure from an executed notebook.

    Parameters
    ----------
    notebook
        Path of the notebook.
    name
        What the figure's cell calls it.

    Returns
    -------
    bytes
        The file's content.

    Raises
    ------
    ValueError
        Where the notebook has no such figure.
    """
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output["data"]["image/png"])
    raise ValueError(f"{notebook}: no figure '{name}'")


def write_front_figure(app: Sphinx) -> None:
    """Write the front page's figure where index.md expects it; one that has not changed is left alone."""
    try:
        png = read_figure(Path(app.srcdir) / CHAPTER, NAME)
    except (OSError, ValueError) as error:
        raise ExtensionError(f"the front page's figure cannot be had: {error}") from None
    path = Path(app.srcdir) / FRONT
    if not path.exists() or path.read_bytes() != png:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(png)
        partial.replace(path)


def setup(app: Sphinx) -> None:
    """Write the figure before any page is read."""
    app.connect("builder-inited", write_front_figure)

"""Figures that other pages share with the chapter that drew them; the front page's is for link previews too."""

import base64
import io
from pathlib import Path

import nbformat
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

CHAPTER = "results/executed/01_one_run.ipynb"
NAME = "fig-one-run-protocols"
PREVIEW = "_static/front.png"  # within the built site; the front page's figure
# Chapter and figure, by where other pages find it: within the folder of the book's sources, where git does not look.
SHARED = {
    "build/front.svg": (CHAPTER, NAME),
    "build/counts.svg": ("results/executed/04_accuracy.ipynb", "fig-accuracy-counts"),
}
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
        The file's content; a PNG on a white ground.

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
                    return _on_white(base64.b64decode(found)) if suffix == ".png" else found.encode()
    raise ValueError(f"{notebook}: no figure '{name}' as {FORMATS[suffix]}")


def _on_white(png: bytes) -> bytes:
    """Put a transparent picture on white, as whoever shows it may have a dark ground."""
    picture, found = Image.open(io.BytesIO(png)).convert("RGBA"), io.BytesIO()
    Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB").save(found, "PNG")
    return found.getvalue()


def write_shared(app: Sphinx) -> None:
    """Write the shared figures where pages expect them; one that has not changed is left alone."""
    for path, (chapter, name) in SHARED.items():
        _write(app, chapter, name, Path(app.srcdir) / path)


def write_preview(app: Sphinx, exception: Exception | None) -> None:
    """Write the front page's figure for link previews, which take no SVG, beside the built pages."""
    if exception is None and app.builder.format == "html":
        _write(app, CHAPTER, NAME, Path(app.outdir) / PREVIEW)


def _write(app: Sphinx, chapter: str, name: str, path: Path) -> None:
    try:
        content = read_figure(Path(app.srcdir) / chapter, name, path.suffix)
    except (OSError, ValueError) as error:
        raise ExtensionError(f"a shared figure cannot be had: {error}") from None
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(path)


def setup(app: Sphinx) -> None:
    """Write the figures before any page is read, and the preview once all are written."""
    app.connect("builder-inited", write_shared)
    app.connect("build-finished", write_preview)

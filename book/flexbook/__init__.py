"""What the book needs of Sphinx beyond Jupyter Book: an extension, loaded by `_config.yml`."""

from typing import Any

from fetch_scripts import book_files
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

from flexbook import api, drawings, evidence, figures, front, glossary, metadata, records, rules, tables


def bring_scripts(app: Sphinx, config: Config) -> None:
    """Put the fetched scripts among the static files."""
    files = book_files()
    if not all(path.exists() for path in files):
        raise ExtensionError("the book's scripts are not here: `make book` fetches them, or book/fetch_scripts.py")
    config.html_static_path += [str(path) for path in files]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add every part to a build, as Sphinx asks of an extension."""
    app.connect("config-inited", bring_scripts)
    for part in (api, drawings, evidence, figures, front, glossary, metadata, records, rules, tables):
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

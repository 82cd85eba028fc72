"""The page of the records.

Every file of results/records is a download, tables as CSV, beside the command that makes it again. So are the tables
that chapters offer because they are too long for a page (`flexstudy.style.offer_download`). Below them stands what the
columns mean.
"""

import fnmatch
import posixpath
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import nbformat
import pandas as pd
import pyarrow
import pyarrow.parquet
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flexbook.markdown import nodes_of
from flexlib.config import PAPERS_DATASET, FlexConfig

FOLDER = "results/records"
CHAPTERS = "results/executed"
PAGE = "book/records"
TARGET = "records"  # within the built site
LONG = 100_000  # rows from which a table is for programs, not for a spreadsheet


def files_of(source: Path | str) -> list[Path]:
    """List the records of the book's sources, in order of their names."""
    folder = Path(source) / FOLDER
    return sorted([*folder.glob("*.parquet"), *folder.glob("*.json")])


def kind_of(path: Path, kinds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Find the first kind whose pattern the file's name matches; `ValueError` where none does."""
    for kind in kinds:
        if fnmatch.fnmatch(path.name, kind["files"]):
            return kind
    raise ValueError(f"{path}: no kind of records in {PAGE}.yml is for it")


def is_of(path: Path, stem: str) -> bool:
    """Say whether a file's name is a stem and a data set; the paper's where the stem has none."""
    name = stem if "-ml-" in stem else f"{stem}-{PAPERS_DATASET}"
    return path.name.startswith((f"{name}-", f"{name}."))


def of_chapter(chapter: str, files: Iterable[Path], kinds: Sequence[dict[str, Any]]) -> dict[str, list[Path]]:
    """Find the records that a chapter reads: the command that makes them again to the files."""
    found: dict[str, list[Path]] = {}
    for path in files:
        kind = kind_of(path, kinds)
        if chapter in kind["chapters"]:
            found.setdefault(kind["command"], []).append(path)
    return found


def label_of(path: Path) -> str:
    """Name the label of a file's row on the page of the records."""
    return f"record-{path.name}"


def download_of(path: Path) -> tuple[str, bytes]:
    """Give the name and the content of what a reader gets: a table as CSV, unless it is long or has lists."""
    if path.suffix != ".parquet":
        return path.name, path.read_bytes()
    table = pyarrow.parquet.ParquetFile(path)
    has_lists = any(pyarrow.types.is_list(kind) for kind in table.schema_arrow.types)
    if has_lists or table.metadata.num_rows > LONG:
        return path.name, path.read_bytes()
    return path.with_suffix(".csv").name, pd.read_parquet(path).to_csv(index=False).encode()


class Offered(NamedTuple):
    """A table that a chapter offers as a file."""

    chapter: str
    name: str
    said: str  # rows and what it holds
    content: str


def offered_by(source: Path | str) -> list[Offered]:
    """Find the tables that the executed chapters offer, in the order of the chapters."""
    found = []
    for path in sorted((Path(source) / CHAPTERS).glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                html = output.get("data", {}).get("text/html", "")
                if 'class="offered-download"' in html:
                    paragraph = BeautifulSoup(html, "html.parser").p
                    content = unquote(paragraph.a["href"].split(",", 1)[1])
                    said = paragraph.a.next_sibling.strip()
                    found.append(Offered(path.stem, paragraph.a["download"], said, content))
    return found


def write_downloads(app: Sphinx, exception: Exception | None) -> None:
    """Write the downloads beside the built pages."""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir) / TARGET
        files = [download_of(path) for path in files_of(app.srcdir)]
        files += [(one.name, one.content.encode()) for one in offered_by(app.srcdir)]
        for name, data in files:
            target.mkdir(exist_ok=True)
            (target / name).write_bytes(data)


class Records(SphinxDirective):
    """The directive `records`: a table of the downloads."""

    def run(self) -> list[nodes.Node]:
        """Make a numbered table and a reference to it, or a sentence where there are no records."""
        files, kinds = files_of(self.env.srcdir), self.env.flexbook_records["kinds"]
        for path in files:
            self.env.note_dependency(str(path))
        if not files:
            return nodes_of(self, "The run that this book is of left no records.")
        rows = [
            "{numref}`tab-records` has the files.",
            "",
            ":::{table} The records of the published runs.",
            ":name: tab-records",
            "",
            "| file | what it holds, where it is read, and the command that makes it again |",
            "|---|---|",
            *[self._row(path, kind_of(path, kinds)) for path in files],
            ":::",
        ]
        return nodes_of(self, "\n".join(rows))

    def _row(self, path: Path, kind: dict[str, Any]) -> str:
        """Write a file's row, which has a label."""
        name, data = download_of(path)
        place = nodes.make_id(label_of(path))
        self.env.get_domain("std").note_hyperlink_target(label_of(path), self.env.docname, place, path.name)
        n_rows = f"{pyarrow.parquet.read_metadata(path).num_rows:,} rows, " if path.suffix == ".parquet" else ""
        up = posixpath.relpath(TARGET, posixpath.dirname(self.env.docname))
        link = f'<a id="{place}" class="reference download" href="{up}/{escape(name)}" download>{escape(name)}</a>'
        chapters = ", ".join(f"{{doc}}`{_short(chapter)} </{CHAPTERS}/{chapter}>`" for chapter in kind["chapters"])
        holds = f"{_line(kind['holds'])} ({chapters}).<br>`{_line(kind['command'])}`"
        return f"| {link}<br>{n_rows}{len(data) / 1000:,.0f}&nbsp;kB | {holds} |"


class OfferedTables(SphinxDirective):
    """The directive `offered-tables`: a list of the tables that chapters offer."""

    def run(self) -> list[nodes.Node]:
        """Make a list of links to files, each with what it holds and its chapter."""
        up = posixpath.relpath(TARGET, posixpath.dirname(self.env.docname))
        lines = [
            f'- <a class="reference download" href="{up}/{escape(one.name)}" download>{escape(one.name)}</a> '
            f"{escape(one.said)} ({{doc}}`{_short(one.chapter)} </{CHAPTERS}/{one.chapter}>`)"
            for one in offered_by(self.env.srcdir)
        ]
        return nodes_of(self, "\n".join(lines) or "The chapters of this run offer no tables.")


class Columns(SphinxDirective):
    """The directive `record-columns`: the columns of one group and what they mean."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make a definition list."""
        columns = self.env.flexbook_records["columns"][self.arguments[0]]
        made = nodes_of(self, "\n".join(f"`{name}`\n: {_line(meaning)}\n" for name, meaning in columns.items()))
        made[0]["classes"].append("record-columns")
        return made


def _short(chapter: str) -> str:
    """Name a chapter by its number, if its file has one."""
    number, _, name = chapter.partition("_")
    return f"chapter {int(number)}" if number.isdigit() else name or number


def _line(text: str) -> str:
    return " ".join(text.split())


def meanings(described: dict[str, Any]) -> set[str]:
    """Collect all columns that the page explains, or for parameters the glossary."""
    return {name for group in described["columns"].values() for name in group} | set(FlexConfig().to_dict())


def read_file(app: Sphinx) -> None:
    """Read the file of kinds and columns before any page."""
    path = Path(app.srcdir) / f"{PAGE}.yml"
    described = yaml.safe_load(path.read_text(encoding="utf-8"))
    for record in files_of(app.srcdir):
        kind_of(record, described["kinds"])
    app.env.flexbook_records = described


def setup(app: Sphinx) -> None:
    """Add the page's directives and the downloads."""
    app.add_directive("records", Records)
    app.add_directive("offered-tables", OfferedTables)
    app.add_directive("record-columns", Columns)
    app.connect("builder-inited", read_file)
    app.connect("build-finished", write_downloads)

"""What the book is made with: its extension, its sources and the files around it. No browser is needed here."""

import base64
import fnmatch
import functools
import hashlib
import http.server
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace

import fetch_scripts
import flexstudy.__main__
import make_pdf
import nbformat
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from flexbook import api, drawings, evidence, figures, front, glossary, metadata, records, tables
from flexstudy import headline, served_cases
from flexstudy.claims import MEASURED, Statement, glued_numbers
from flexstudy.paper import PRINTED_TOLERANCE
from flexstudy.plans import LEARNED
from flexstudy.rules import LEAK, MIXED, OPEN, REFUTED, UNSUPPORTED, VERDICTS
from flexstudy.statistics import SIGNIFICANT
from flexstudy.style import offer_download
from PIL import Image
from prose import as_read, decimals_of, n_words, numbers_of, sentences_of, typed
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, new_document

import flexlib.cli
from flexlib.config import PRESETS, TABLE2_RMSE, FlexConfig, Protocol
from flexlib.methods import tuning
from flexlib.runs import plan

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXECUTED = sorted((ROOT / "results" / "executed").glob("*.ipynb"))
PAGES = [ROOT / "index.md", *sorted((ROOT / "book").glob("*.md"))]
GROUPS = glossary.read_entries(ROOT / "book" / "glossary.yml")


def markdown_of(path):
    """A page's text; of a notebook, its Markdown cells."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")


def figures_of(path):
    """The names of a notebook's figures."""
    cells = nbformat.read(path, as_version=4).cells if path.suffix == ".ipynb" else []
    found = [cell.metadata.get("mystnb", {}).get("figure") for cell in cells]
    return [figure["name"] for figure in found if figure]


@pytest.fixture
def registry(tmp_path):
    """A server that has an archive of two files, its address and the archive's checksum."""
    packed = tmp_path / "served" / "thing.tgz"
    packed.parent.mkdir()
    with tarfile.open(packed, "w:gz") as archive:
        for name in ("thing.js", "other.js"):
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(packed.parent))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", hashlib.sha256(packed.read_bytes()).hexdigest()
    server.shutdown()
    thread.join()
    server.server_close()


def test_scripts_are_fetched_once_and_checked(registry, tmp_path, monkeypatch):
    address, checksum = registry
    nowhere = "http://127.0.0.1:9/"
    thing, other = "package/dist/thing.js", "package/dist/other.js"

    def ask_for(archive, checksum, members):
        monkeypatch.setattr(fetch_scripts, "ARCHIVES", {archive: (checksum, members)})

    ask_for("thing.tgz", checksum, [thing])
    folder = fetch_scripts.fetch(tmp_path / "new" / "scripts", address)
    assert (folder / "thing.js").read_bytes() == b"thing.js"
    assert sorted(path.name for path in folder.iterdir()) == [fetch_scripts.ORIGINS, "thing.js"]
    assert list(folder.parent.iterdir()) == [folder]
    assert fetch_scripts.fetch(folder, nowhere) == folder  # nothing is asked for again
    shutil.copy(tmp_path / "served" / "thing.tgz", tmp_path / "served" / "thing-2.tgz")
    for changed in (("thing-2.tgz", checksum, [thing]), ("thing.tgz", checksum, [thing, other])):
        (folder / "thing.js").write_bytes(b"of an older version")
        ask_for(*changed)
        with pytest.raises(ValueError, match=rf"cannot fetch {nowhere}thing\S+, which the book needs: ") as caught:
            fetch_scripts.fetch(folder, nowhere)
        assert "\n" not in str(caught.value)
        assert (folder / "thing.js").read_bytes() == b"of an older version"  # all or nothing
        fetch_scripts.fetch(folder, address)
        assert (folder / "thing.js").read_bytes() == b"thing.js"
    assert (folder / "other.js").read_bytes() == b"other.js"
    for refused in (("0" * 64, [thing]), (checksum, ["package/none.js"])):
        ask_for("thing.tgz", *refused)
        with pytest.raises(ValueError, match="which the book needs: ") as caught:
            fetch_scripts.fetch(folder, address)
        assert "\n" not in str(caught.value)
        assert (folder / "other.js").exists()
        assert list(folder.parent.iterdir()) == [folder]
    ask_for("thing.tgz", checksum, [thing, other])
    for damaged in (folder / fetch_scripts.ORIGINS).write_text, lambda _: (folder / "other.js").unlink():
        fetch_scripts.fetch(folder, address)
        damaged("{")
        with pytest.raises(ValueError, match="which the book needs: "):
            fetch_scripts.fetch(folder, nowhere)


def test_the_glossary_has_the_papers_17_parameters_with_its_examples(papers_figures):
    table = papers_figures.split("## Table 1")[1].split("## Table 2")[0]
    printed = {name.abbreviation for name in map(glossary.FIELDS.get, GROUPS["paper"])}
    assert len(printed) == 17
    assert all(re.search(rf"\b{abbreviation}\b", table) for abbreviation in printed)
    assert set(GROUPS["paper"]) == set(PRESETS["table1"])
    said = {name: glossary.facts_of(field) for name, field in glossary.FIELDS.items()}
    assert said["train_batch_size"].endswith("; the paper's example: `128`.")
    assert said["hidden_layers"] == "`hidden_layers`, by default `[128]`; the paper's example: `[512, 256]`."
    assert "at least 0 and below 1; the paper's example: `0.3`" in said["drop_probability"]
    assert "; above 0 and below 1;" in said["test_split_rate"]
    assert "one of `[0, 1]`, `[1, 0]`" in said["pivot_indexes"]
    assert not [name for group in ("released", "ours") for name in GROUPS[group] if "example" in said[name]]


def test_a_glossary_with_other_parameters_is_refused(tmp_path):
    path = tmp_path / "glossary.yml"
    path.write_text("paper: {learning_rate: {text: a}}", encoding="utf-8")
    with pytest.raises(ValueError, match="mean_normalization"):
        glossary.read_entries(path)


def linked(*paragraphs, wrap=nodes.paragraph, page="somewhere"):
    """(words, term) of the links made in a document with one section of these paragraphs."""
    doctree = new_document("page")
    section = nodes.section("", *[wrap("", text) for text in paragraphs])
    doctree += section

    class Env:
        docname = page
        flexbook_spellings = glossary.spellings(GROUPS)
        flexbook_pattern = glossary.pattern_of(flexbook_spellings)

    class App:
        env = Env

    before = doctree.astext()
    glossary.link_terms(App, doctree)
    assert doctree.astext() == before
    return [
        (node.astext(), node["reftarget"])
        for node in doctree.findall(lambda n: "reftarget" in getattr(n, "attributes", {}))
    ]


def test_the_first_mention_in_a_section_is_linked():
    assert linked("With MeN on, mean normalization helps; Re-feeding\nrounding (DeFR) less so.") == [
        ("MeN", "mean normalization"),
        ("Re-feeding\nrounding", "dense refeeding rounding"),
    ]
    assert linked("The learning rate.", "A learning rate, and the pivot.") == [
        ("learning rate", "learning rate"),
        ("pivot", "pivot indexes"),
    ]


def test_what_only_looks_like_a_mention_is_left_alone():
    assert linked("An act of men, an opt-in, deactivation, pivotal, and a batch-size-free epochal step.") == []
    assert linked("noise") == []
    assert linked("learning rate", page="book/api") == linked("learning rate", page="book/glossary") == []
    assert linked("learning rate", wrap=nodes.title) == []
    assert linked("learning rate", wrap=lambda raw, text: nodes.paragraph("", "", nodes.literal("", text))) == []


def test_records_have_a_kind_and_every_column_a_meaning():
    described = yaml.safe_load((ROOT / "book" / "records.yml").read_text(encoding="utf-8"))
    meanings = records.meanings(described)
    files = records.files_of(ROOT)
    assert files
    for path in files:
        assert records.kind_of(path, described["kinds"])["holds"]
        if path.suffix == ".parquet":
            assert set(pyarrow.parquet.read_schema(path).names) <= meanings, path
    with pytest.raises(ValueError, match="no kind of records"):
        records.kind_of(Path("notes.parquet"), described["kinds"])


def test_a_download_holds_what_the_record_holds(tmp_path):
    table = pd.DataFrame({"run": [0, 1], "rmse": [0.1 + 0.2, None], "hidden_layers": ["[64, 4]", '["a, ü"]']})
    path = tmp_path / "a.parquet"
    table.to_parquet(path)
    name, data = records.download_of(path)
    assert name == "a.csv"
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(data)), table)
    (tmp_path / "a.json").write_text("{}")
    assert records.download_of(tmp_path / "a.json") == ("a.json", b"{}")


def test_a_table_that_a_chapter_offers_is_a_file_there_and_among_the_records(tmp_path):
    table = pd.DataFrame({"share": [0.25, None]}, index=pd.Index(['a, "b" & <c>', "ü\n2"], name="pair"))
    shown = offer_download(table, "pairs", "pairs & what they <explain>").data
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("execute_result", {"text/html": shown})])
    folder = tmp_path / "results" / "executed"
    folder.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "05_a.ipynb")
    assert records.offered_by(tmp_path / "nothing") == []
    (offered,) = records.offered_by(tmp_path)
    assert offered[:3] == ("05_a", "pairs.csv", "(2 rows), pairs & what they <explain>.")
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(offered.content), index_col=0), table)


def test_the_offered_tables_have_names_of_their_own():
    names = [one.name for one in records.offered_by(ROOT)] + [records.download_of(p)[0] for p in records.files_of(ROOT)]
    assert len(names) == len(set(names))


def test_the_front_figure_is_found_by_its_name(tmp_path):
    def forms(name):
        drawn = io.BytesIO()
        Image.new("RGBA", (len(name), 1), (0, 0, 255, 128)).save(drawn, "PNG")
        return {"image/png": base64.b64encode(drawn.getvalue()).decode(), "image/svg+xml": f"<svg>{name}</svg>"}

    cells = [
        nbformat.v4.new_code_cell(
            metadata={"mystnb": {"figure": {"name": name}}},
            outputs=[nbformat.v4.new_output("display_data", forms(name))],
        )
        for name in ("fig-one", "fig-two")
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    seen = Image.open(io.BytesIO(figures.read_figure(tmp_path / "a.ipynb", "fig-two", ".png")))
    assert (seen.size, seen.getpixel((0, 0))) == ((len("fig-two"), 1), (127, 127, 255))
    assert figures.read_figure(tmp_path / "a.ipynb", "fig-two", ".svg") == b"<svg>fig-two</svg>"
    with pytest.raises(ValueError, match="no figure 'fig-three' as image/svg"):
        figures.read_figure(tmp_path / "a.ipynb", "fig-three", ".svg")
    assert figures.read_figure(ROOT / figures.CHAPTER, figures.NAME, ".png").startswith(b"\x89PNG")
    assert b"<svg" in figures.read_figure(ROOT / figures.CHAPTER, figures.NAME, ".svg")


def test_captions_go_to_the_tables_after_them():
    def cell(*types):
        outputs = [nodes.container("", nb_element="mime_bundle") for _ in types]
        for output, kind in zip(outputs, types, strict=True):
            output += nodes.container("", mime_type=kind)
        return nodes.container("", *outputs, nb_element="cell_code")

    def caption(name):
        return tables.output_table("", nodes.caption("", name), names=[name])

    first, second, third, missing, last = map(caption, ("first", "second", "third", "missing", "last"))
    doctree = new_document("page")
    doctree += [first, cell("image/png"), cell("text/html"), second, third, cell("text/html"), cell("text/html")]
    doctree += [missing, cell("image/png"), last, cell("text/html")]
    tables.fill_tables(None, doctree)
    assert [len(table.children) for table in (first, second, third, missing, last)] == [2, 2, 2, 1, 2]
    order = [node["names"][0] for node in doctree.findall(tables.output_table)]
    assert order == ["first", "second", "third", "missing", "last"]
    assert first.parent.get("nb_element") == "cell_code"


def test_every_figure_and_table_has_a_name_and_is_referred_to():
    sources = {path: markdown_of(path) for path in [*CHAPTERS, *PAGES]}
    named = [name for text in sources.values() for name in re.findall(r"^:name: ((?:tab|fig)-\S+)$", text, re.M)]
    named += [name for path in CHAPTERS for name in figures_of(path)]
    referred = {name for text in sources.values() for name in re.findall(r"\{numref\}`([^`]+)`", text)}
    assert len(named) == len(set(named)) > 40
    assert referred <= set(named)
    assert set(named) - referred == set()


def test_an_interval_stays_in_one_line():
    table = pd.DataFrame(
        {"rmse": ["0.868 (0.857 to 0.879)", "from (a to b)"], "gap": ["-0.020 (-0.026 to +0.014)", ""]}
    )
    cells = [cell.text for cell in BeautifulSoup(tables.join_intervals(table.to_html()), "html.parser")("td")]
    joined = "0.868 (0.857\xa0to\xa00.879)", "-0.020 (-0.026\xa0to\xa0+0.014)"  # still in two lines where need be
    assert cells == [*joined, "from (a to b)", ""]
    wide = pd.DataFrame([["(1 to 2)"] * 4]).to_html()  # would not fit
    assert tables.join_intervals(wide) == wide


def lines_of_heads(html):
    lines = BeautifulSoup(html, "html.parser").select("thead tr")
    return [[head.text for head in line.find_all("th")] for line in lines]


def test_a_table_has_one_line_of_heads_and_says_what_they_are_of():
    table = pd.DataFrame({"a": [1, 2], "b<": [3, 4]}, index=pd.Index(["x", "y"], name="set"))
    assert lines_of_heads(table.to_html()) == [["", "a", "b<"], ["set", "", ""]]
    tidied = tables.tidy_heads(table.to_html())
    assert lines_of_heads(tidied) == [["set", "a", "b<"]]
    assert (tidied.count('scope="col"'), tidied.count('scope="row"'), "b&lt;" in tidied) == (3, 2, True)
    two = table.set_index("a", append=True)
    assert lines_of_heads(tables.tidy_heads(two.to_html())) == [["set", "a", "b<"]]
    under = pd.concat({"top": table}, axis=1)
    assert lines_of_heads(tables.tidy_heads(under.to_html())) == [["", "top"], ["set", "a", "b<"]]
    for other in (table.rename_axis(None), under.rename_axis(None), two.rename_axis([None, None])):
        assert lines_of_heads(tables.tidy_heads(other.to_html())) == lines_of_heads(other.to_html())


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_executed_chapters_have_the_text_of_their_sources_and_a_table_for_each_caption(path):
    assert markdown_of(path) == markdown_of(ROOT / "notebooks" / path.name)
    waiting = 0
    for cell in nbformat.read(path, as_version=4).cells:
        captions = cell.source.count("{output-table}") if cell.cell_type == "markdown" else 0
        assert not re.search(r"```\{output-table\} .*`", cell.source)  # a fence of backquotes cannot hold any
        if captions:
            assert waiting == 0, cell.source
            waiting = captions
        for output in cell.get("outputs", []):
            waiting -= min(waiting, "text/html" in output.get("data", {}))
    assert waiting == 0


@pytest.mark.parametrize("path", [p for p in CHAPTERS if p.stem[0].isdigit()], ids=lambda path: path.stem)
def test_the_command_of_each_chapters_box_is_one_that_papermill_takes(path):
    box = re.search(r"Rerun this chapter\n(.*?)\n```$", markdown_of(path), re.S)[1]
    command = re.sub(r"\\\n\s*", "", re.search(r"^    (\.venv/bin/papermill.*(?:\n      .*)*)", box, re.M)[1])
    assert f"papermill notebooks/{path.name} " in command
    (tagged,) = [c for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", [])]
    known = set(re.findall(r"^(\w+) =", tagged.source, re.M))
    suggested = re.findall(r"-p (\w+)", box)
    assert set(suggested) <= known
    assert len(set(suggested)) >= min(3, len(known))


def test_descriptions_and_citations():
    doctree = new_document("page")
    doctree += [
        nodes.paragraph("", "First."),
        nodes.paragraph("", "", nodes.strong("", "Question."), nodes.Text(" Why?")),
    ]
    assert metadata.describe(doctree) == "Why?"
    doctree.pop()
    assert metadata.describe(doctree) == "First."
    doctree[0][0] = nodes.Text("One sentence. " * 40)
    assert metadata.describe(doctree) == ("One sentence. " * 21).strip()
    tags = metadata.citation_tags(metadata.read_citation())
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert ("citation_title", cff["title"]) in tags
    assert [content for name, content in tags if name == "citation_author"] == [a["name"] for a in cff["authors"]]
    person = {"family-names": "Doe", "given-names": "Jo"}
    dated = metadata.citation_tags({"title": "T", "authors": [person], "date-released": "2026-01-02"})
    assert ("citation_author", "Doe, Jo") in dated
    assert ("citation_publication_date", "2026/01/02") in dated


@pytest.mark.parametrize(
    ("page", "words", "said"),
    [("page", 1_000, ["5 minutes to read"]), ("page", 400, []), ("book/records", 1_000, [])],
)
def test_a_page_says_how_long_it_is_unless_it_is_short_or_looked_up(page, words, said):
    doctree = new_document("page")
    doctree += nodes.section("", nodes.title("", "T"), nodes.paragraph("", "First."), nodes.paragraph("", "w " * words))
    app = SimpleNamespace(env=SimpleNamespace(docname=page), config=SimpleNamespace(root_doc="index"))
    metadata.tell_reading_time(app, doctree)
    assert [node.astext() for node in doctree.findall(nodes.paragraph) if "reading-time" in node["classes"]] == said
    assert metadata.describe(doctree) == "First."


def test_an_archive_says_the_same_of_the_project_as_its_citation():
    archive = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    citation = metadata.read_citation()
    assert (archive["title"], archive["version"]) == (citation["title"], citation["version"])
    assert [person["name"] for person in archive["creators"]] == [author["name"] for author in citation["authors"]]
    assert archive["license"] == citation["license"]


def test_addresses_follow_from_the_repository(monkeypatch):
    monkeypatch.delenv("GITHUB_SHA", raising=False)
    site, options = metadata.addresses("Owner/name")
    assert site == "https://owner.github.io/name/"
    assert options["repository_url"] == "https://github.com/Owner/name"
    assert metadata.addresses("owner/owner.github.io")[0] == "https://owner.github.io/"


def test_backquotes_link_what_is_clear():
    named = "train.fit a.run b.run a.evaluate evaluation.evaluate a.One.run a.One.shown b.Two.shown b.Two b.key b"
    objects = {f"flexlib.{name}": SimpleNamespace(objtype="module" if name == "b" else "") for name in named.split()}
    assert api.find("fit", objects, "flexlib.a") == "flexlib.train.fit"  # of the package's face
    assert api.find("evaluate", objects, "flexlib.b") == "flexlib.evaluation.evaluate"
    assert api.find("evaluate", objects, "flexlib.a") == "flexlib.a.evaluate"
    assert api.find("run", objects, "flexlib.b") == "flexlib.b.run"
    assert api.find("run", objects, "flexlib.a", "One") == "flexlib.a.One.run"
    assert api.find("Two", objects, "flexlib.a", "One") == "flexlib.b.Two"
    assert api.find("Two.shown", objects, "flexlib.a") == "flexlib.b.Two.shown"
    assert api.find("flexlib.b", objects, "flexlib.a") == "flexlib.b"
    assert api.find("a.run", objects) == "flexlib.a.run"
    for unclear in ("run", "key", "b", "shown", "it"):
        assert api.find(unclear, objects, "flexlib", "FlexConfig") is None, unclear
    assert api.find("key", objects, "flexlib.a") is None


def test_a_name_means_what_it_means_in_its_module(monkeypatch):
    module = SimpleNamespace(Part=flexlib.data.Split, Settings=dict[str, int])
    monkeypatch.setitem(sys.modules, "flexlib.made_up", module)
    objects = dict.fromkeys(["flexlib.data.Split", "flexlib.config.Settings"], SimpleNamespace(objtype=""))
    assert api.find("Part", objects, "flexlib.made_up") == "flexlib.data.Split"
    assert api.find("Settings", objects, "flexlib.made_up") is None  # an alias of its own
    assert api.find("Settings", objects, "flexlib.data") == "flexlib.config.Settings"  # unknown there


SHAPES = """\
API
===

.. py:module:: flexlib.shapes

.. py:function:: area(side, *, scale=2)

   Of `side` and `scale`, as `volume` and `Shape` say; not `volume(side)`.

.. py:function:: volume(side)
.. py:function:: side()
.. py:function:: scale()

.. py:class:: Shape(volume)

   .. py:method:: grow(by)

      By `by`; `area`, `volume`, `shrink()`.

   .. py:method:: by()
   .. py:method:: shrink()
"""
MODULES = """\
# Modules

## Fast

```{modules} flexlib.fast
rmsprop
```

## The face

```{face} flexlib
fit evaluate
```

## Commands

```{commands} flexlib.cli.commands
```

## Settings

```{eval-rst}
.. autoclass:: flexlib.FlexConfig
   :members:
.. autoclass:: flexlib.Protocol
   :members:
```
"""
SMALL_BOOK = {
    "index.rst": "Small\n=====\n\n.. toctree::\n   :glob:\n\n   book/*\n",
    "book/api.rst": SHAPES,
    "book/glossary.md": "# G\n\n" + "\n".join(f"```{{parameters}} {group}\n```" for group in GROUPS),
    "book/protocols.md": "# P",
    "book/modules.md": MODULES,
    "book/page.md": "# Page\n\n{no-term}`Centring` for another, and centring.\n\n```{record-columns} runs\n```",
}


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """A function that gives a page, parsed, of a small book with the syntax of the published one."""
    folder = tmp_path_factory.mktemp("small-book")
    (folder / "book").mkdir()
    for name, text in SMALL_BOOK.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("glossary.yml", "records.yml"):
        shutil.copy(ROOT / "book" / name, folder / "book")
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    parts = ["flexbook.api", "flexbook.glossary", "flexbook.records"]
    options = {
        "extensions": ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", *parts],
        "myst_enable_extensions": config["parse"]["myst_enable_extensions"],
        "nitpicky": True,
    }
    options |= {
        name: value
        for name, value in config["sphinx"]["config"].items()
        if name.startswith(("default_role", "autodoc_", "napoleon_"))
    }
    return build(folder, options)


def build(folder, options):
    """Build a folder of pages without a warning; a function that gives a page, parsed."""
    said = io.StringIO()
    with docutils_namespace():
        Sphinx(folder, None, folder / "html", folder / "trees", "html", options, status=None, warning=said).build()
    assert said.getvalue() == ""
    return lambda page: BeautifulSoup((folder / "html" / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("repository", ["Owner/name", None])
def test_previews_have_addresses_or_are_not_there(repository, tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    if repository:
        monkeypatch.setenv("GITHUB_REPOSITORY", repository)
    picture = tmp_path / "pictures" / "one.png"
    picture.parent.mkdir()
    picture.write_bytes(figures.read_figure(ROOT / figures.CHAPTER, figures.NAME, ".png"))
    tree = "\n.. toctree::\n\n   inner/page\n   results/executed/01_a\n"
    (tmp_path / "results" / "executed").mkdir(parents=True)
    (tmp_path / "results" / "executed" / "01_a.rst").write_text("A\n=\n\nText.\n", encoding="utf-8")
    (tmp_path / "index.rst").write_text(f"Small\n=====\n\nThis & that.\n{tree}", encoding="utf-8")
    (tmp_path / "inner").mkdir()
    page = "Page\n====\n\nOf a picture.\n\n.. image:: /pictures/one.png\n   :alt: Seen\n"
    (tmp_path / "inner" / "page.rst").write_text(page, encoding="utf-8")
    options = {"extensions": ["flexbook.metadata"], "html_theme": "sphinx_book_theme", "html_title": "A book"}
    page_of = build(tmp_path, options)

    def tags(page):
        named = [(tag.get("property") or tag.get("name"), tag.get("content")) for tag in page_of(page)("meta")]
        once = [name for name, _ in named if str(name).startswith(("og:", "description"))]
        assert len(once) == len(set(once))
        return dict(named)

    front, inner = tags("index"), tags("inner/page")
    assert front["description"] == "This & that."
    assert inner["description"] == "Of a picture."
    assert inner["citation_title"] == metadata.read_citation()["title"]
    previews = [{name: text for name, text in found.items() if str(name).startswith("og:")} for found in (front, inner)]
    if not repository:
        assert previews == [{}, {}]
        return
    site = "https://owner.github.io/name/"
    assert previews[1] == {
        "og:title": "Page",
        "og:type": "website",
        "og:url": f"{site}inner/page.html",
        "og:site_name": "A book",
        "og:description": "Of a picture.",
        "og:image": f"{site}_static/front.png",
        "og:image:alt": "A book",
    }
    links = [
        link.get("href") for link in page_of("results/executed/01_a").select("header a, .article-header-buttons a")
    ]
    edited = "https://github.com/Owner/name/edit/main/notebooks/01_a.rst"
    assert edited in links
    assert not [link for link in links if "/results/executed/" in link and "edit" in link]
    assert previews[0]["og:description"] == "This & that."
    assert previews[0]["og:image"] == f"{site}_static/front.png"


def test_a_parameter_is_not_linked_to_what_shares_its_name(small_book):
    page = small_book("book/api")

    def links(name):
        described = page.find(id=f"flexlib.shapes.{name}").find_next_sibling("dd").p
        return [link["href"].split("#flexlib.shapes.")[1] for link in described.find_all("a")]

    assert links("area") == ["volume", "Shape"]
    assert links("Shape.grow") == ["area", "Shape.shrink"]


def test_words_in_another_sense_are_not_linked(small_book):
    text = small_book("book/page").find("section").p
    assert text.text == "Centring for another, and centring."
    assert [link.text for link in text.find_all("a")] == ["centring"]


def test_columns_are_a_definition_list(small_book):
    columns = small_book("book/page").find("section").find("dl")
    described = yaml.safe_load((ROOT / "book" / "records.yml").read_text(encoding="utf-8"))["columns"]["runs"]
    assert [term.text for term in columns.find_all("dt")] == list(described)
    assert columns.find("dd").text.strip() == described["run"]


def test_the_page_of_the_package_has_every_module():
    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\{modules\} (\S+)\n(?::but: (.*)\n)?", page, re.M)
    shown = {f"{package}.{name}" for package, but in blocks for name in api.modules_of(package, but.split())}
    shown |= set(re.findall(r"automodule:: (\S+)", page))
    walked = [module for module in pkgutil.walk_packages(flexlib.__path__, "flexlib.") if "._" not in module.name]
    commands = {module.name for module in walked if module.name.startswith("flexlib.cli.")}
    assert shown == {module.name for module in walked if not module.ispkg} - commands
    assert "```{commands} flexlib.cli.commands\n" in page
    assert set(re.findall(r"^```\{summaries\} (\S+)", page, re.M)) == {"flexstudy", "flexexplorer"}


def test_a_module_that_is_not_there_is_refused():
    assert api.ordered(["a", "b", "c"], ["c", "b"]) == ["c", "b", "a"]
    with pytest.raises(ExtensionError, match=r"names d: there are a, b"):
        api.ordered(["a", "b"], ["d a"])


def test_modules_follow_from_their_package(small_book):
    page = small_book("book/modules")
    heads = [head.find(string=True) for head in page.select("section h3")]
    modules = [f"flexlib.fast.{name}" for name in ("rmsprop", "backprop", "entries")]
    assert heads == modules + [f"flexlib {name}" for name in flexlib.cli.commands.commands]
    assert "faster than by autograd" in page.find("h2").find_next("p").text
    assert "--protocol-set KEY=VALUE" in page.find(id="flexlib-train").text
    assert str(Path.home()) not in page.text
    faces = [term.text for term in page.find(id="the-face").find_all("dt")]
    assert faces[:2] == ["fit", "evaluate"]
    assert sorted(faces) == sorted(flexlib.__all__)
    assert "Train a FlexEncoder" in page.find(id="the-face").dd.text


def plain(element):
    """An element's text in one line, with the marks of a typewriter."""
    return " ".join(element.text.split()).replace("\N{EN DASH}", "-").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def test_types_stand_as_in_the_code(small_book):
    page = small_book("book/modules")

    signature = page.find(id="flexlib.fast.entries.RowTable.batches")
    assert "→ Iterator[tuple[Entries, Tensor]]" in signature.text
    assert [link["href"] for link in signature.find_all("a", title=True)][:1] == ["#flexlib.fast.entries.Entries"]
    items = [plain(item) for item in signature.find_next_sibling("dd").find_all("li")]
    assert items[1] == "size (int) - Rows in a batch; the last one may have fewer."
    hidden, entries = page.find(id="flexlib.fast.backprop.Backprop.outputs").find_next_sibling("dd").find_all("li")
    assert plain(hidden).startswith("hidden (Tensor) - ")
    assert entries.a["href"] == "#flexlib.fast.entries.Entries"
    assert "| None" in plain(entries)
    assert "Alias for" not in page.text


@pytest.mark.parametrize("settings", [flexlib.FlexConfig, flexlib.Protocol])
def test_settings_show_every_field_and_nothing_of_their_machinery(settings, small_book):
    signature = small_book("book/modules").find(id=f"flexlib.{settings.__name__}")
    described = signature.find_next_sibling("dd")
    fields = [plain(item) for item in described.find("li").parent.find_all("li")]
    for said, row in zip(fields, settings().describe(), strict=True):
        abbreviation = f"{row['abbreviation']}: " if row["abbreviation"] else ""
        assert said.startswith(f"{row['parameter']} (")
        assert said.endswith(f") - {abbreviation}{row['meaning']}.")
    members = {name.text for name in described.select(".descname")}
    assert "named" in members or "preset" in members
    assert not [name for name in members if name.startswith("model_")]


def test_a_browser_is_looked_for_where_it_is_said_to_be(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make_pdf.find_chromium() is None
    assert make_pdf.main(["page.html", str(tmp_path / "out.pdf")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "apt-get install chromium" in said
    for name in ("google-chrome", "chromium"):
        (tmp_path / name).touch(mode=0o755)
        assert make_pdf.find_chromium() == str(tmp_path / name)
    (tmp_path / "own").touch(mode=0o755)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "own"))
    assert make_pdf.find_chromium() == str(tmp_path / "own")


@pytest.mark.parametrize("name", ["tests", "book"])
def test_workflows_are_valid_and_run_what_the_makefile_has(name):
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    workflow = yaml.load(text, Loader=yaml.BaseLoader)  # which takes "on" for a key, as GitHub does
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow["on"]) >= {"push", "pull_request"}
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
            else:
                command, *wanted = step["run"].split()
                assert command == "make"
                assert {word for word in wanted if "=" not in word} <= targets
                assert {word for word in wanted if "=" in word} <= {"DATASET=ml-100k"}
    if name == "tests":
        matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
        assert matrix == {"os": ["ubuntu-latest", "macos-latest"], "python": ["3.11", "3.12", "3.13"]}
    else:
        assert workflow["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
        assert workflow["jobs"]["publish"]["if"] == "github.ref == 'refs/heads/main'"


def test_the_script_of_ci_is_valid_bash():
    assert subprocess.run([shutil.which("bash"), "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


def test_the_books_own_scripts_are_named_in_its_configuration():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
    fetched = {path.name for path in fetch_scripts.book_files()}
    assert {config["mathjax_path"]} <= fetched
    assert not fetched & fetch_scripts.FOR_TESTS
    assert json.dumps(config).count("http") == 0
    assert all((ROOT / path).is_file() for path in config["html_static_path"])


def rows_of(page, name):
    """The cells of a page's table, row by row, by the field that each begins with."""
    (table,) = re.findall(rf"^:name: {name}\n\n(.*?)\n:::$", page, re.M | re.S)
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    return {re.match(r"`(\w+)`", row[0])[1]: row[1:] for row in rows}


TRAINED = FlexConfig(
    epochs=1,
    hidden_layers=[5],
    train_batch_size=4,
    drop_probability=0.2,
    noise_probability=0.3,
    dense_refeeding=1,
    loss_size_average=True,
    prediction_rounding=True,
    learning_rate=0.02,
)
OTHER = {
    "means": "all",
    "test_input": "visible-raw",
    "masking": "with-replacement",
    "scored": "hidden",
    "loss_entries": "nonzero",
    "noise": "refed",
    "pad_first_pass": True,
    "pad_refeeding": True,
    "rounding": "released",
    "unseen_fallback": False,
}


def test_the_page_on_protocols_tells_training_and_scoring_apart_as_the_code_does():
    """Each field is changed by itself: the weights change where the page says so, and the predictions of given weights
    or the ratings that count where it says that."""
    page = (ROOT / "book" / "protocols.md").read_text(encoding="utf-8")
    training, scoring = (rows_of(page, f"tab-protocols-{part}") for part in ("training", "scoring"))
    assert set(training) | set(scoring) == set(OTHER) == set(Protocol.parameters())
    ratings = flexlib.load_ratings("synthetic:users=25,items=40,ratings=260,seed=2")

    def weights(protocol, config):
        network = flexlib.fit(ratings, config, protocol, seed=3).network
        return torch.cat([weight.detach().flatten() for weight in network.parameters()])

    def scored(protocol, config):
        """The scored predictions of the network that has not been trained, whatever its protocol."""
        table = flexlib.evaluate(flexlib.fit(ratings, config.replace(epochs=0), protocol, seed=3)).predictions
        return table.loc[table["scored"], "predicted"].to_numpy()

    for field, value in OTHER.items():
        base = Protocol() if field in ("means", "test_input") else Protocol(test_input="visible-raw")
        changed = base.replace(**{field: value})
        assert changed != base
        unscaled = TRAINED if field.startswith("pad") else TRAINED.replace(loss_size_average=False)
        assert torch.equal(weights(base, unscaled), weights(changed, unscaled)) == (field not in training), field
        assert np.array_equal(scored(base, TRAINED), scored(changed, TRAINED)) == (field not in scoring), field
    for place, protocol in enumerate(("released", "described", "holdout")):
        fields = flexlib.Protocol.named(protocol)
        said = training | scoring
        assert said["means"][place] == fields.means
        assert (said["pad_first_pass"][place] == "yes") == fields.pad_first_pass
        assert (said["unseen_fallback"][place] == "yes") == fields.unseen_fallback
        assert said["scored"][place].startswith(fields.scored)
        assert said["test_input"][place].startswith(fields.test_input.split("-")[0])
        refed = said["loss_entries"][place]  # the last of the two rows is that of re-fed passes
        assert refed.startswith("its noisy input" if fields.loss_entries == "nonzero" else "the output")


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_what_differs_in_training_too_is_not_called_scoring(path):
    text = " ".join(path.read_text(encoding="utf-8").split())
    assert (
        re.findall(r"scor(?:ed|es) as the (?:authors' )?released code scores|(?:released|both|two) scorings?", text)
        == []
    )


def test_the_commands_of_the_records_are_those_that_make_them():
    """Each one is parsed as the program parses it; the file's name, runs, splits, protocols and methods follow."""
    groups = {"flexlib": flexlib.cli.commands, "flexstudy": flexstudy.__main__.commands}
    kinds = yaml.safe_load((ROOT / "book" / "records.yml").read_text(encoding="utf-8"))["kinds"]
    for kind in kinds:
        program, name, *rest = kind["command"].split()
        if program == "python":
            assert (ROOT / name).is_file()
            assert fnmatch.fnmatch(rest[rest.index("--out") + 1], f"results/records/{kind['files']}")
            continue
        options = groups[program].commands[name].make_context(name, rest).params
        assert str(options["out"]) == "results/records"
        for path in records.files_of(ROOT):
            if records.kind_of(path, kinds) != kind:
                continue
            dataset = options["dataset"]
            stem = {
                "sweep": lambda o: plan.sweep_name(o["dataset"], o["space"], o["seed"]),
                "replay": lambda o: plan.replay_name(o["dataset"], o["seed"]),
                "experiment": lambda o: plan.repetition_name(o["name"], o["dataset"]),
                "tune": lambda o: tuning.tuned_name(o["dataset"], o["test_split_rate"], o["tries"]),
                "served": lambda o: served_cases.served_name(o["dataset"]),
                "headline": lambda o: headline.headline_name(o["dataset"]),
            }[name](options)
            assert re.fullmatch(rf"{stem}(-tries|-predictions)?\.(parquet|json)", path.name), path
            if path.suffix != ".parquet":
                continue
            table = pd.read_parquet(path)
            assert "dataset" not in table or set(table["dataset"]) == {dataset}
            if name in ("sweep", "replay"):
                assert set(table["protocol"]) == set(options["protocols"]), path
            if name == "sweep":
                assert table["run"].nunique() == options["runs"], path
            if options.get("max_seconds_per_run"):
                assert table.loc[table["status"] != "skipped", "estimate"].max() <= options["max_seconds_per_run"]
            if options.get("splits"):
                assert table["split" if name == "tune" else "seed"].nunique() == options["splits"], path
            if name == "tune":
                methods = set(options["methods"] or tuning.ALL)
                # Predictions are kept since later than some of the records.
                kept_later = path.stem.endswith("-predictions") and set(table["method"]) < methods
                assert set(table["method"]) == methods or kept_later, path
            if name == "served":
                assert Path(options["tuned"]).stem in set(table["tuned"])


FINDERS = {"find_sweep": "sweep", "find_report": "replay", "find_tuned": "tuned", "find_served": "served"}


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_records_that_a_chapter_reads_are_those_that_its_foot_names(path):
    code = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    code = re.sub(r"^.* if not records else .*$", "", code, flags=re.M)
    read = set(re.findall(r'find_records\(\s*"([\w-]+)"', code))
    read |= {stem for finder, stem in FINDERS.items() if re.search(rf"\b{finder}\((?!plan\))", code)}
    read |= {"sweep", "replay"} if "find_evidence(" in code else set()
    kinds = yaml.safe_load((ROOT / "book" / "records.yml").read_text(encoding="utf-8"))["kinds"]
    read |= {f"speed-{name}" for name in re.findall(r'read_measurements\(records, "(\w+)"', code)}
    named = [kind["files"] for kind in kinds if path.stem in kind["chapters"]]
    assert [stem for stem in read if not any(one.startswith((f"{stem}-", f"{stem}.")) for one in named)] == []
    assert read or not named or path.stem == "11_claims"


def made_up(claim, part, says, chapter, evidence, records, rule="It is."):
    rest = dict.fromkeys(["where", "reading", "judge", "measured"], "Table 2")
    return Statement(
        claim,
        part,
        says=says,
        rule=rule,
        chapter=chapter,
        evidence=evidence,
        records=records,
        holds={},
        fails={},
        **rest,
    )


STATEMENTS = (
    made_up(1, "a", "it is so", "03_top10", "tab-ten", ["sweep"], "It is; else *not*."),
    made_up(1, "b", "this too", "03_top10", "tab-ten", ["table2"]),
    made_up(2, "", "so is that", "printed", "#in-print", []),
    made_up(3, "", "and that", "03_top10", "fig-none", ["sweep-ml-1m"]),
)
EVIDENCE_BOOK = {
    "index.md": "# B\n\n```{toctree}\n:glob:\nbook/*\nresults/executed/*\n```",
    "book/evidence.md": "# Evidence\n\n```{claims}\n```",
    "book/records.md": "# Records\n\n```{records}\n```",
    "book/rules.md": "# Rules\n\n" + "\n\n".join(f"(rule-{one.name})=\nOne." for one in STATEMENTS),
    "results/executed/03_top10.md": (
        "# Ten\n\n:::{table} The ten.\n:name: tab-ten\n\n| a |\n|---|\n| 1 |\n:::\n\nBelow it.\n"
    ),
    "results/executed/11_claims.md": "# Claims\n\nAbove.\n\n(in-print)=\n## In print\n\n```{judges} 1a 3\n```\n",
    "results/executed/01_one_run.md": "# One run\n\nA run, for {ref}`claim-1` and {ref}`claim-2`.\n",
}
VERDICT_OF = {"1a": LEAK, "1b": OPEN, "2": UNSUPPORTED, "3": REFUTED}
GLUED = {f"verdict_{name}": verdict for name, verdict in VERDICT_OF.items()} | {
    f"{what}_{name}": "" for name in VERDICT_OF for what in evidence.FIELDS
}
GLUED |= {
    "leaky_1a": "-3 * 2 are <6",
    "leak_free_1a": "+0.5",
    "apart_2": "all",
    "apart_3": "chances",
    "leak_free_3": "none",
}


@pytest.fixture
def evidence_book(tmp_path, monkeypatch):
    """A function that builds a small book of evidence from what is glued; it gives a page, parsed."""
    for name, text in EVIDENCE_BOOK.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for other in {c for k in KINDS for c in k["chapters"]} - {"03_top10", "11_claims", "01_one_run"}:
        (tmp_path / "results" / "executed" / f"{other}.md").write_text(f"# {other}\n\nText.\n", encoding="utf-8")
    shutil.copy(ROOT / "book" / "records.yml", tmp_path / "book")
    folder = tmp_path / "results" / "records"
    folder.mkdir()
    for name in ("sweep-ml-latest-small-2016-paper-seed0", "sweep-ml-1m-paper-seed0", "table2-ml-latest-small-2016"):
        pd.DataFrame({"run": [0]}).to_parquet(folder / f"{name}.parquet")
    monkeypatch.setattr(evidence, "STATEMENTS", STATEMENTS)

    def build_with(glued):
        outputs = [
            nbformat.v4.new_output("display_data", {"text/plain": repr(value)}, metadata={"scrapbook": {"name": name}})
            for name, value in glued.items()
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
        nbformat.write(notebook, folder.parent / "executed" / "11_claims.ipynb")
        extensions = ["myst_parser", "sphinx_design", "flexbook.tables", "flexbook.records", "flexbook.evidence"]
        return build(
            tmp_path,
            {
                "extensions": extensions,
                "myst_enable_extensions": ["colon_fence", "deflist"],
                "numfig": True,
                "nitpicky": True,
            },
        )

    return build_with


KINDS = yaml.safe_load((ROOT / "book" / "records.yml").read_text(encoding="utf-8"))["kinds"]


def fields_of(card):
    """A card's fields, each name to its text in a line."""
    names, texts = ([" ".join(part.text.split()) for part in card.find_all(tag)] for tag in ("dt", "dd"))
    return dict(zip(names, texts, strict=True))


def test_a_card_has_the_verdict_and_leads_to_its_evidence_and_back(evidence_book):
    page_of = evidence_book(GLUED)
    page, chapter, printed, files = map(
        page_of, ("book/evidence", "results/executed/03_top10", "results/executed/11_claims", "book/records")
    )
    cards = {card.select_one(".sd-card-title").text.split()[-1]: card for card in page.select(".claim")}
    assert list(cards) == ["1a", "1b", "2", "3"]
    fields = {name: fields_of(card) for name, card in cards.items()}
    assert list(fields["1a"].items()) == [
        ("The paper", "It is so (Table 2)"),
        ("Leaky", "-3 * 2 are <6"),
        ("Leak-free", "+0.5"),
        ("Rule", "It is; else *not*. (in full)"),
        ("Verdict", "◐ only with the leak"),
        ("Evidence", "Table 2 in Ten"),
        ("Records", "sweep-ml-latest-small-2016-paper-seed0.parquet"),
    ]
    assert list(fields["1b"]) == ["The paper", "Rule", "Verdict", "Evidence", "Records"]  # nothing was measured
    assert list(fields["2"])[:3] == ["The paper", "Measured", "Rule"]
    assert [fields["3"][name] for name in ("Measured", "Leak-free")] == ["chances", "none"]
    assert {name: own["Verdict"].partition(" ")[2] for name, own in fields.items()} == VERDICT_OF
    assert "a figure that this run does not have" in fields["3"]["Evidence"]

    def leads(element):
        return [link["href"] for link in element.find_all("a")]

    row = "book/records.html#record-sweep-ml-latest-small-2016-paper-seed0-parquet"
    ten = "../results/executed/03_top10.html"
    assert leads(cards["1a"]) == ["rules.html#rule-1a", f"{ten}#tab-ten", ten, row.removeprefix("book/")]
    assert leads(cards["2"])[1] == "../results/executed/11_claims.html#in-print"
    for name in ("claim-1", "claim-1a", "claim-1b", "claim-2", "claim-3"):
        assert page.find(id=name)
    assert cards["1b"] in [page.find(id="claim-1b"), *page.find(id="claim-1b").find_next_siblings()[:1]]
    # 1a and 3 are said where the chapter itself puts them
    assert [line.text for line in printed.select("p.judges")] == [
        "Statement judged by it: 2.",
        "Statements judged by it: 1a, 3.",
    ]
    assert printed.find(id="in-print").find_next("p")["class"] == ["judges"]
    (line,) = chapter.select("p.judges")
    assert line.text.startswith("Statements judged by it: 1a, 1b. Its records: sweep-ml-latest-small-2016-paper-seed0")
    assert leads(line)[:3] == ["../../book/evidence.html#claim-1a", "../../book/evidence.html#claim-1b", f"../../{row}"]
    assert line.find_previous("table")["id"] == "tab-ten"
    assert line.find_next("p").text == "Below it."
    assert files.find(id="record-sweep-ml-latest-small-2016-paper-seed0-parquet")["href"].endswith("seed0.csv")


def test_a_chapter_ends_with_its_records_and_their_commands(evidence_book):
    page_of = evidence_book(GLUED)
    lines = [
        " ".join(line.text.split())
        for line in page_of("results/executed/07_generalization").select(".records-behind li")
    ]
    assert lines[0].startswith("sweep-ml-1m-paper-seed0.parquet: flexlib sweep --dataset ml-1m --runs 400 ")
    assert [line.split(":")[0] for line in lines[1:]] == [
        "sweep-ml-latest-small-2016-paper-seed0.parquet",
        "table2-ml-latest-small-2016.parquet",
        "the chapter itself",
    ]
    assert lines[-1].endswith("--profile full --chapter 07_generalization --out results")
    (own,) = page_of("results/executed/01_one_run").select(".records-behind li")
    assert own.text.startswith("the chapter itself: python notebooks/run_study.py")
    assert not page_of("book/records").select(".records-behind")


def test_a_statement_without_a_verdict_is_refused(evidence_book):
    for missing in ("verdict_2", "leaky_1b"):
        with pytest.raises(ExtensionError, match=rf"11_claims\.ipynb: not glued: {missing}"):
            evidence_book({name: value for name, value in GLUED.items() if name != missing})


def test_verdicts_differ_in_shape_for_those_who_see_no_colour(evidence_book):
    icons = [card.select_one(".verdict") for card in evidence_book(GLUED)("book/evidence").select(".claim")]
    assert [icon.text for icon in icons] == [evidence.ICONS[verdict] for verdict in VERDICT_OF.values()]
    assert all(icon["aria-hidden"] == "true" and icon.find_next_sibling("strong") for icon in icons)
    assert set(evidence.ICONS) == {*VERDICTS, MIXED}
    assert len(set(evidence.ICONS.values())) == len(evidence.ICONS)
    assert list(evidence.FIELDS) == list(MEASURED)


def test_every_statement_leads_to_what_its_chapter_has():
    """The label is that of a figure, a table or a section; its records are of a kind that the chapter reads."""
    missing = []
    for one in evidence.STATEMENTS:
        chapter = ROOT / "notebooks" / f"{evidence.chapter_of(one)}.ipynb"
        text = markdown_of(chapter)
        labels = {f"#{name}" for name in re.findall(r"^\(([\w-]+)\)=$", text, re.M)}
        labels |= set(re.findall(r"^:name: (\S+)$", text, re.M)) | set(figures_of(chapter))
        missing += [] if one.evidence in labels else [(one.name, one.evidence)]
        for stem in one.records:
            mine = [kind for kind in KINDS if chapter.stem in kind["chapters"]]
            assert any(kind["files"].startswith(stem) for kind in mine), (one.name, stem)
    assert missing == []


def test_the_summary_has_the_parts_of_such_reports_and_is_short():
    text = (ROOT / "book" / "summary.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.M) == [
        "Scope of reproducibility",
        "Methodology",
        "Results",
        "What was easy",
        "What was difficult",
        "What was not tried",
        "Communication with the authors",
    ]
    shown = re.sub(r"\{[\w:]+\}`[^`]*`", "word", text)
    assert len(shown.split()) <= 700
    assert pages_listed(ROOT / "_toc.yml")[0] == "book/summary"


def pages_listed(toc):
    parts = yaml.safe_load(toc.read_text(encoding="utf-8"))["parts"]
    return [entry.get("file", entry.get("glob")) for part in parts for entry in part["chapters"]]


def test_the_front_page_has_a_card_for_every_claim_and_is_short(tmp_path, monkeypatch):
    page = (ROOT / "index.md").read_text(encoding="utf-8")
    claims = list(dict.fromkeys(one.claim for one in evidence.STATEMENTS))
    cards = re.search(r"```\{claim-cards\}\n(.*?)```", page, re.S)[1]
    assert re.findall(r"^(\d+): .+$", cards, re.M) == [str(number) for number in claims]
    assert f"The paper makes {len(claims)} claims" in page
    prose = re.sub(r"\{[\w:]+\}`[^`]*`", "word", page.replace(cards, ""))
    prose = re.sub(r"^(---|:|```).*$|^html_theme.*$|\(word\)", "", prose, flags=re.M)
    assert len(prose.split()) <= 250


def test_a_claims_verdict_has_an_icon_and_one_that_is_mixed_counts_its_statements(monkeypatch):
    monkeypatch.setattr(front, "STATEMENTS", STATEMENTS)
    glued = {
        "verdict_1": "mixed",
        "verdict_1a": "refuted",
        "verdict_1b": "reproduced",
        "verdict_2": "only with the leak",
    }
    assert front.verdicts_of(1, glued) == "✓ 1 reproduced, ✕ 1 refuted"
    assert front.verdicts_of(2, glued) == "◐ only with the leak"
    assert len(set(front.ICONS.values())) == len(front.ICONS)


def test_the_lanes_have_what_each_protocol_uses():
    training, test, nothing = [True] * 7, [True] * 3, [False] * 7
    assert drawings.seen_by(Protocol.named("holdout")) == {
        "means": training + [False] * 3,
        "training": training + [False] * 3,
        "input": training + [False] * 3,
        "scored": nothing + test,
    }
    assert drawings.seen_by(Protocol.named("released")) == {
        "means": training + test,
        "training": training + [False] * 3,
        "input": [*nothing, True, False, False],
        "scored": nothing + test,
    }
    assert drawings.seen_by(Protocol.named("described"))["scored"] == [*nothing, False, True, True]
    drawn = BeautifulSoup(drawings.draw_lanes(), "html.parser")
    assert (len(drawn.find_all("circle")), len(drawn.find_all("rect"))) == (3 * 4 * 7, 3 * 4 * 3)
    assert len(drawn.select(".mark-full")) == sum(
        sum(map(sum, drawings.seen_by(Protocol.named(name)).values())) for name in ("released", "described", "holdout")
    )


LONGEST = 35  # words of a sentence


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES, *CHAPTERS], ids=lambda path: path.name)
def test_no_sentence_is_too_long_to_read(path):
    """Tables, code, and the options, titles and captions of directives are left out."""
    found = sentences_of(markdown_of(path))
    assert found
    assert [sentence for sentence in found if n_words(sentence) > LONGEST] == []


@pytest.mark.parametrize("path", [path for path in CHAPTERS if path.stem[0].isdigit()], ids=lambda path: path.stem)
def test_a_chapter_is_short(path):
    text = markdown_of(path)
    assert sum(map(n_words, sentences_of(text))) <= 1_000
    assert len(figures_of(path)) <= 4
    assert len(re.findall(r"\{(?:output-)?table\}", text)) <= 2
    (answer,) = re.findall(r"^\*\*Answer\.\*\* (.*?)(?:\n\n|\Z)", text, re.M | re.S)
    assert sum(map(n_words, sentences_of(answer))) <= 75


@functools.cache
def glued_by(chapter):
    """What the committed run of a chapter glues; nothing where there is none."""
    path = ROOT / "results" / "executed" / f"{chapter}.ipynb"
    return glued_numbers(path) if path.exists() else {}


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES, *CHAPTERS], ids=lambda path: path.name)
def test_no_sentence_has_more_than_two_numbers(path):
    """With the numbers of the committed runs in place; tables, captions and code are left out."""
    found = sentences_of(as_read(markdown_of(path), glued_by, path.stem))
    assert [sentence for sentence in found if len(numbers_of(sentence)) > 2] == []


# Numbers that no run can give, and what they are, by page. All others are glued, or have been printed by others.
STAR = "an end of the scale, or what a gap is filled with"
PARAMETERS = "as many as the paper's Table 1 lists"
LOG = "as many as the paper says"
TYPED = {
    "index": {"1,000": LOG, "14": "claims, which a test counts"},
    "glossary": {"17": PARAMETERS},
    "leak": {"5": "a rating of the toy"},
    "methods": {"0": "the first seed", "0.3": "the paper's default rate", "2": STAR, "3": STAR},
    "protocols": {"1": STAR, "5": STAR},
    "reuse": {"1": "of the exercises", "2": "of the exercises", "3": "of the exercises", "5": "of the exercises"},
    "rules": {
        f"{PRINTED_TOLERANCE:g}": "the tolerance",
        **dict.fromkeys(("12", "140", "44", "226"), "runs planned and left out before any was made"),
    },
    "01_one_run": {"17": PARAMETERS},
    "02_sweep": {"1,000": LOG, "0": STAR},
    "03_top10": {"1,000": LOG},
    "05_correlation": {"17": PARAMETERS, "0": STAR, "3": STAR, "4": STAR, f"{LEARNED:g}": "what counts as learned"},
    "06_rounding": {"5": STAR, "0": "no inequality", "1": "all of it", f"{LEARNED:g}": "what counts as learned"},
    "08_methods": {"0": "no difference"},
    "09_best": {"17": PARAMETERS},
    "10_served": {"20": "ratings that a new user has to have"},
    "12_speed": {"512": "units that are timed", "256": "units that are timed", "0": "no number at all"},
}


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS], ids=lambda path: path.name)
def test_a_number_in_prose_is_glued_or_one_that_no_run_gives(path):
    """Numbers in words are left out. The README, which cannot glue, is compared with the results in `test_project`."""
    own = TYPED.get(path.stem, {})
    assert [(sentence, number) for sentence, number in typed(markdown_of(path)) if number not in own] == []


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS], ids=lambda path: path.name)
def test_two_decimals_are_glued_unless_the_paper_prints_them_or_a_rule_has_them(path):
    """Anywhere on a page but in code: in tables, captions and alternative texts, too."""
    printed = set(re.findall(r"\d+\.\d\d+", " ".join(one.says for one in evidence.STATEMENTS)))
    printed |= {f"{value:.3f}" for value in TABLE2_RMSE.values()}
    allowed = printed | {f"{value:g}" for value in (PRINTED_TOLERANCE, LEARNED, SIGNIFICANT)}
    assert [number for number in decimals_of(markdown_of(path)) if number not in allowed] == []


PROSE = """\
---
key: value
---
# A title, by {cite:t}`someone2018`

One sentence, of {glue:text}`a.ipynb::b:.3f` stars. And *another one.* `code here` begins
a third, as Tran et al. (2018) do, {ref}`see this <there>`, $a + b$, 0.5, [a link](https://a.b/c.d) - and ``so `on` ``.

(label)=
:::{output-table} A caption. It has two sentences.
:name: tab-a
:::

| a cell. Another |
|---|

- **First.** Item
  goes on
- second

```sh
not prose. Not this
```

```{admonition} Title
:class: tip
Prose in a box:

    command line. Here

```

::::{grid} 1 2
:::{grid-item}
Inside. Still inside
:::
::::

$$
x. Y
$$

term
: Its definition. <b>Ends</b> here!
"""


def test_sentences_are_found_by_hand():
    assert sentences_of(PROSE) == [
        "A title, by Word",
        "One sentence, of Word stars.",
        "And *another one.",
        "Word begins a third, as Tran et al. (2018) do, see this, Word, 0.5, a link - and Word.",
        "**First.",
        "Item goes on",
        "second",
        "Prose in a box:",
        "Inside.",
        "Still inside",
        "term",
        "Its definition.",
        "Ends here!",
    ]
    assert [n_words(sentence) for sentence in sentences_of(PROSE)[:4]] == [4, 5, 3, 18]


NUMBERS = """\
**Claim.** It is 0.5 by Table 2.

Of {glue:text}`n`, {glue:text}`a.ipynb::share:.0%` pass 3; 12,000, {glue:text}`new:.3f` or -0.25 fail. In 2018
{cite:t}`someone` had 7.

:::{figure} x.svg
:alt: "About 0.51"
A caption of 0.52
:::

`0.53` of MovieLens 1M, set 4, Sections 4.1 and 5, Python 3.11, torch 2.13.0, 95 %, 70/30, 10b, below 0. {cite:p}`other`

| 0.54 | 0.3 |
|---|---|
"""


def test_numbers_are_found_by_hand():
    values = {"own": {"n": 8}, "a": {"share": 0.4}}
    assert [numbers_of(sentence) for sentence in sentences_of(as_read(NUMBERS, values.get, "own"))] == [
        [],
        ["0.5"],
        ["8", "40", "3", "12,000", "1", "-0.25"],
        ["7"],
        ["0.52"],
        [],
        [],
    ]
    assert [number for _, number in typed(NUMBERS)] == ["3", "12,000", "-0.25", "0.52"]
    assert decimals_of(NUMBERS) == ["0.25", "0.51", "0.52", "0.54"]
    assert decimals_of("From 1 to 0.010, 2.131 stars, [0.10](a/0.11).") == ["0.010", "2.131", "0.10"]
    assert numbers_of("0 of 5, from 0 to 3, from 0 of 4 and 1 from 0.2") == ["0", "5", "3", "0", "4", "1", "0.2"]

"""Chapters as notebooks: parameters that are not there, text of other runs than the published, and filling it in."""

import math
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from flexstudy.__main__ import main
from flexstudy.chapter import (
    ELSEWHERE,
    ParameterError,
    adapt,
    adapt_pages,
    check_parameters,
    fill_file,
    glued_in,
    is_published,
    parameters_of,
    rerun_numbers,
)
from nbformat import v4

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("[01]*.ipynb"))
TEXT = """\
# What was found

**Question.** How low?

**Answer.** On *{glue:text}`data:s`* it is {glue:text}`low:.2f` ({numref}`fig-a`). The rest is {glue:text}`lost:.3f` of
{glue:text}`low:.1f`. That is little. As {cite:t}`koren2010factor` and {cite:t}`hutter2014fanova` say.

- One has {glue:text}`low:+.1f`. Two have {glue:text}`lost`.
- {glue:text}`empty:s`

(a-place)=
{numref}`tab-b` has it, {doc}`/book/protocols` says how, {doc}`as before <01_one_run>`.

:::{output-table} A caption.
:name: tab-b
:::

```{admonition} Rerun this chapter
:class: tip
In a checkout:

    papermill a.ipynb

{numref}`fig-c` is not there.
```"""


def glued(**numbers):
    return [
        v4.new_output("display_data", {"text/plain": repr(value)}, metadata={"scrapbook": {"name": name}})
        for name, value in numbers.items()
    ]


def figure_of(name, outputs):
    shown = {"figure": {"caption": f"Caption of {name}.", "name": name}, "image": {"alt": "It is low."}}
    return v4.new_code_cell("plot()", metadata={"mystnb": shown}, outputs=outputs)


def chapter(low=0.25, parameters="x = 1", injected=None, text=TEXT, elsewhere=("Topic",), row="<td>1</td>"):
    """An executed chapter with a figure, one that it lacks, a table and a number that is not known."""
    picture = v4.new_output("display_data", {"image/svg+xml": "<svg/>"})
    table = v4.new_output("execute_result", {"text/html": f'<table class="dataframe">{row}</table>'})
    cells = [
        v4.new_markdown_cell(text, metadata={"elsewhere": list(elsewhere)}),
        v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        v4.new_code_cell("table", outputs=[table]),
        figure_of("fig-a", [picture]),
        figure_of("fig-c", [v4.new_output("stream", text="nothing")]),
        v4.new_code_cell("glue", outputs=glued(low=low, lost=math.nan, empty="", data="some")),
    ]
    if injected:
        cells.insert(2, v4.new_code_cell(injected, metadata={"tags": ["injected-parameters"]}))
    return v4.new_notebook(cells=cells)


def test_parameters_are_those_given_over_those_written():
    made = chapter(parameters="x = 1  # one\nname = 'a'", injected="# Parameters\nx = 7\n")
    assert parameters_of(made) == {"x": 7, "name": "a"}
    assert glued_in(made)["low"] == 0.25
    assert math.isnan(glued_in(made)["lost"])


def test_a_parameter_that_is_not_there_is_refused():
    known = "dataset = 'a'\nn_seeds = 5  # splits"
    check_parameters([known, "# Parameters\nn_seeds = 3\n", "import os\ndataset = dataset or None"])
    check_parameters([known])
    check_parameters([])
    with pytest.raises(ParameterError, match=r"^no parameter 'n_seed'; there are dataset, n_seeds$"):
        check_parameters([known, "# Parameters\nn_seed = 3\n", "import os"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_plain_papermill_refuses_it_too_in_one_line(tmp_path):
    made = v4.new_notebook(
        cells=[
            v4.new_code_cell("n_seeds = 5", metadata={"tags": ["parameters"]}),
            v4.new_code_cell("from flexstudy.chapter import begin_chapter\n\nbegin_chapter()"),
        ]
    )
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, tmp_path / "a.ipynb")
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            str(tmp_path / "a.ipynb"), str(tmp_path / "b.ipynb"), {"n_seed": 3}, progress_bar=False
        )
    assert caught.value.traceback == ["ParameterError: no parameter 'n_seed'; there are n_seeds"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_checks_its_parameters_before_anything_else(path):
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert re.search(r"^begin_chapter\(", sources[1], re.M)
    before = sources[1].partition("begin_chapter(")[0]
    assert not re.search(r"^(?!from |import |    |\)|sizes = ).+", before, re.M)


def test_a_published_run_has_the_parameters_of_the_full_profile():
    defaults = parameters_of(nbformat.read(CHAPTERS[0], as_version=4))
    assert is_published("01_one_run", defaults | {"dataset": "ml-latest-small-2016", "device": "cpu"})
    assert not is_published("01_one_run", defaults)
    assert not is_published("01_one_run", defaults | {"dataset": "ml-latest-small-2016", "preset": "table2:8"})
    assert not is_published("no such chapter", {})


def test_a_published_chapter_stays_as_it_is():
    for path in sorted((ROOT / "results" / "executed").glob("[01]*.ipynb")):
        made = nbformat.read(path, as_version=4)
        before = nbformat.writes(made)
        if is_published(path.stem, parameters_of(made)):
            assert nbformat.writes(adapt(made, path.stem)) == before, path


def test_what_is_not_known_is_not_said():
    made = adapt(chapter(), "01_one_run")
    text = made.cells[0].source
    assert text.startswith(f"# Topic\n\n{ELSEWHERE}\n\n**Question.** How low?")
    assert "it is {glue:text}`low:.2f` ({numref}`fig-a`). As {cite:t}" in text
    assert "{glue:text}`lost" not in text
    assert "- One has {glue:text}`low:+.1f`. *Too few runs: raise `runs`.*\n\n(a-place)=" in text
    assert "    papermill a.ipynb\n\n*Too few runs: raise `runs`.*" in text
    assert made.cells[3].metadata["mystnb"]["image"]["alt"] == "Caption of fig-a."
    # The parameter is the chapter's own, and the reason may be another.
    assert "raise `max_seconds`" in adapt(chapter(parameters="n_seeds = 1\nmax_seconds = 2.0"), "x").cells[0].source
    made = chapter()
    made.cells[0].metadata["absent"] = "There is no log."
    assert "*There is no log.*" in adapt(made, "x").cells[0].source


def test_a_table_without_rows_is_taken_away():
    made = adapt(chapter(row="<th>a</th>"), "01_one_run")
    assert "tab-b" not in made.cells[0].source
    assert made.cells[2].outputs == []


def test_a_page_leaves_out_what_a_chapter_does_not_know(tmp_path, capsys):
    (tmp_path / "book").mkdir()
    (tmp_path / "results" / "executed").mkdir(parents=True)
    nbformat.write(chapter(), tmp_path / "results" / "executed" / "03_a.ipynb")
    place = "{glue:text}`../results/executed/03_a.ipynb"
    page = f"# Title\n\nKnown: {place}::low:.2f`. Lost: {place}::lost:d`. That is that.\n"
    (tmp_path / "book" / "a.md").write_text(page)
    (tmp_path / "index.md").write_text("# Front\n\nNothing here.\n")
    assert main(["pages", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'book' / 'a.md'}\n"
    kept = f"# Title\n\nKnown: {place}::low:.2f`. *This run has too few runs to say.*"
    assert (tmp_path / "book" / "a.md").read_text() == kept
    assert main(["pages", str(tmp_path / "none")]) == 2


def test_a_filled_chapter_reads_without_the_book(tmp_path, capsys):
    path = tmp_path / "out.ipynb"
    nbformat.write(chapter(), path)
    assert main(["fill", str(path)]) == 0
    assert capsys.readouterr().out == f"wrote {path}: 3 numbers filled in\n"
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    text = made.cells[0].source
    assert "**Answer.** On *some* it is 0.25 (Figure 1). As Koren (2010) and Hutter et al. (2014) say." in text
    assert "- One has +0.2. *Too few runs: raise `runs`.*" in text
    assert re.search(r"^Table 1 has it, \*.*rotocols.*\* says how, as before\.$", text, re.M)
    assert "**Table 1.** A caption." in text
    assert "**Rerun this chapter**\n\nIn a checkout:\n\n    papermill a.ipynb" in text
    assert not re.search(r"\{\w+(?::\w+)?\}|:::|```", text)
    captions = [cell.source for cell in made.cells if cell.source.startswith("**Figure")]
    assert captions == ["**Figure 1.** Caption of fig-a."]


def test_what_cannot_be_filled_is_refused_and_stays(tmp_path, refused, capsys):
    path = tmp_path / "out.ipynb"
    refused(lambda: fill_file(path), "out.ipynb", "cannot be read")
    path.write_text("no notebook")
    refused(lambda: fill_file(path), "out.ipynb", "cannot be read")
    made = chapter()
    made.cells.pop()
    nbformat.write(made, path)
    before = path.read_bytes()
    refused(lambda: fill_file(path), "out.ipynb", "no number 'data'", "execute")
    assert path.read_bytes() == before
    nbformat.write(chapter(), path)
    fill_file(path)
    assert main(["fill", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_committed_chapter_can_be_filled(tmp_path):
    for source in sorted((ROOT / "results" / "executed").glob("[01]*.ipynb")):
        path = tmp_path / source.name
        path.write_bytes(source.read_bytes())
        fill_file(path)
        texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
        assert [text for text in texts if re.search(r"\{[a-z:-]+\}`|\{output-table\}|\{admonition\}", text)] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_command_of_a_box_is_the_one_that_was_timed(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    command = re.search(r"^    \.venv/bin/papermill .*(?:\n      .*)*", text, re.M)[0].replace("\\\n", "")
    given = {name: value.strip('"') for name, value in re.findall(r'-p (\w+) ("[^"]*"|\S+)', command)}
    profiles = yaml.safe_load((ROOT / "notebooks" / "profiles.yml").read_text(encoding="utf-8"))
    timed = profiles["rerun"].get(path.stem)
    if timed is not None:  # the others make no runs
        assert given == {name: str(value) for name, value in timed.items()}
    out = re.search(r"papermill \S+ (\S+)", command)[1]
    assert f"    .venv/bin/flexstudy fill {out}  # puts the numbers in\n" in text


def test_what_a_rerun_takes_is_said_as_it_was_recorded(tmp_path, monkeypatch):
    kept = tmp_path / "reruns.yaml"
    kept.write_text("a: {runs: 12, seconds: 20}\nb: {runs: 5, seconds: 70}\nc: {runs: 5, seconds: 170}\n")
    monkeypatch.setattr("flexstudy.chapter.RERUNS", kept)
    words = [rerun_numbers(name)["rerun_words"] for name in "abcd"]
    assert words == [
        "The first command makes 12 runs and takes less than a minute of one core.",
        "The first command makes 5 runs and takes about a minute of one core.",
        "The first command makes 5 runs and takes about 3 minutes of one core.",
        "",
    ]


def test_pages_of_a_run_leave_out_the_rows_and_sentences_that_it_does_not_know(tmp_path):
    for folder in ("results/executed", "book"):
        (tmp_path / folder).mkdir(parents=True)
    metadata = [{"scrapbook": {"name": name}} for name in ("known", "lost")]
    outputs = [
        v4.new_output("display_data", {"text/plain": text}, metadata=told)
        for text, told in zip(("1.5", "nan"), metadata, strict=True)
    ]
    made = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=outputs)])
    nbformat.write(made, tmp_path / "results" / "executed" / "a.ipynb")
    known, lost = (f"{{glue:text}}`../results/executed/a.ipynb::{name}:.1f`" for name in ("known", "lost"))
    (tmp_path / "index.md").write_text(f"# A\n\nIt is {known}. It was {lost}.\n\nEnd.\n")
    table = ["| | of it |", "|---|---|", f"| one | {known} |", f"| other | {lost} |", ":::"]
    (tmp_path / "book" / "b.md").write_text(":::{table} C\n:name: tab-c\n\n" + "\n".join(table) + "\n")
    assert adapt_pages(tmp_path) == [tmp_path / "index.md", tmp_path / "book" / "b.md"]
    assert (tmp_path / "index.md").read_text() == f"# A\n\nIt is {known}. *This run has too few runs to say.*\n\nEnd.\n"
    kept = "\n".join([*table[:3], table[4]])
    assert (tmp_path / "book" / "b.md").read_text() == f":::{{table}} C\n:name: tab-c\n\n{kept}\n"
    assert adapt_pages(tmp_path) == []

"""Chapters as notebooks: their parameters, what their text says of other data than the published, and how it reads.

A chapter's text is in MyST: it names the numbers that its last cell glues, and the figures that it refers to. The book
puts them in. So does `fill_in`, for a reader who has the notebook alone.

A Markdown cell's metadata may have what it says in other runs than the published one: `elsewhere`, a list of headings
in place of its own, in their order; `absent`, why its numbers, figures or tables may not be there, if not for too few
runs.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache, partial
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pybtex.database
import yaml
from IPython import get_ipython
from myst_nb.core.variables import format_plain_text
from nbformat import NotebookNode

from flexlib.config import FlexError
from flexlib.runs.journal import replaced
from flexstudy.style import use_style

NOTEBOOKS = Path(__file__).parents[1]
RERUNS = Path(__file__).with_name("reruns.yaml")  # what the commands of the chapters' boxes took
INJECTED = "# Parameters\n"  # with which papermill begins the cell that it puts in
TO_RAISE = ("max_seconds", "tries", "n_seeds")  # the first that a chapter has leaves runs out, or makes too few
ELSEWHERE = (
    "*This is not the published run. Numbers and figures are its own; sentences without a number tell what the "
    "published runs showed.*"
)
_NUMBER = re.compile(r"\{glue:text\}`(\w+)(?::([^`]*))?`")
_OTHERS = re.compile(r"\{glue:text\}`(?:[\w.]+/)*(\w+)\.ipynb::(\w+)")
_ENDS = re.compile(r"(?<=[.!?])\s+(?=[\"(*{\[A-Z])")  # of a sentence
_CAPTION = re.compile(r"^:::\{output-table\} (.*)\n:name: (\S+)\n:::", re.M)
_BOX = re.compile(r"^```\{admonition\} (.*)\n(?::class:.*\n)?((?:.*\n)*?)```$", re.M)
_FOR_THE_BOOK = re.compile(r"^\([\w-]+\)=\n|<p class=\"key\">(?:.|\n)*?</p>", re.M)
_HEADING = re.compile(r"^(#+) .*$", re.M)
_REFERS = re.compile(r"(?:(?:Of|With|Without) )?(?:it|that|these|they|this)\b", re.IGNORECASE)  # to the one before
_BEGINS = re.compile(r"(?:[-*] |\d+\. |\*\*\w+\.\*\* )?")  # of an item, or of a paragraph with a name


class ParameterError(FlexError):
    """A parameter that a chapter does not have, or a value that it cannot take."""


def begin_chapter(*formats: str) -> None:
    """Refuse parameters that the chapter does not have, and set the style of its figures and tables.

    From then on bad input, such as a file without a column, is shown as one line instead of a traceback.

    Parameters
    ----------
    *formats
        As in `flexstudy.style.use_style`.

    Raises
    ------
    ParameterError
        Naming a parameter that papermill was given and the chapter does not have: papermill itself would only warn.
    """
    shell = get_ipython()
    if shell:
        shell.set_custom_exc((FlexError,), _show_error)
    check_parameters(shell.user_ns["In"] if shell else [])
    use_style(*formats)
    pd.options.display.max_colwidth = None


def _show_error(shell: Any, kind: type[FlexError], error: FlexError, trace: Any, tb_offset: int | None = None) -> None:
    """Show an error as one line, by the method for which IPython asks an error; a handler of its `set_custom_exc`."""
    error._render_traceback_ = lambda: [f"{kind.__name__}: {error}"]  # type: ignore[attr-defined]
    shell.showtraceback((kind, error, trace))


def read_layout(columns: Mapping[str, str], scale: Sequence[float]) -> dict[str, Any]:
    """Turn the parameters `columns` and `scale` of a chapter into what plans and `load_ratings` take.

    Parameters
    ----------
    columns
        Which column of a file holds what; empty for common names.
    scale
        Its lowest rating, highest rating and step, in stars; empty to read them off the ratings.

    Returns
    -------
    dict
        - columns: pairs (what, column), sorted
        - scale: three numbers, or None

    Raises
    ------
    ParameterError
        For other kinds of values, such as the text that papermill makes of `-p columns`.
    """
    if not isinstance(columns, Mapping):
        raise ParameterError(f"columns '{columns}': give them as -y 'columns: {{user: uid, rating: stars}}'")
    if not isinstance(scale, list | tuple) or not all(isinstance(value, int | float) for value in scale):
        raise ParameterError(f"scale '{scale}': give it as -y 'scale: [1, 5, 1]'")
    named = ((str(what), str(column)) for what, column in columns.items())
    return {"columns": tuple(sorted(named)), "scale": tuple(scale) or None}


def check_parameters(cells: list[str]) -> None:
    """Refuse a parameter that papermill put in and that the chapter does not have.

    Parameters
    ----------
    cells
        Sources of the cells that have run, in their order.

    Raises
    ------
    ParameterError
        Naming the parameter and those that there are.
    """
    known = [name for cell in cells if not cell.startswith(INJECTED) for name in _assigned(cell)]
    for name in [name for cell in cells if cell.startswith(INJECTED) for name in _assigned(cell)]:
        if name not in known:
            raise ParameterError(f"no parameter '{name}'; there are {', '.join(dict.fromkeys(known))}")


def _assigned(source: str) -> dict[str, Any]:
    """Find the names to which a cell of constants assigns; none in a cell of anything else."""
    try:
        lines = ast.parse(source).body
        return {line.targets[0].id: ast.literal_eval(line.value) for line in lines}  # type: ignore[attr-defined]
    except (AttributeError, SyntaxError, ValueError):
        return {}


def parameters_of(notebook: NotebookNode) -> dict[str, Any]:
    """Give the parameters that a notebook has, or was executed with, by name."""
    tagged = [
        cell for cell in notebook.cells if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))
    ]
    return {name: value for cell in tagged for name, value in _assigned(cell.source).items()}


def glued_in(notebook: NotebookNode) -> dict[str, Any]:
    """Give what an executed notebook glues: name to number or text."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    glued = (output for output in outputs if "scrapbook" in output.get("metadata", {}))
    texts = {output.metadata["scrapbook"]["name"]: next(iter(output.data.values())) for output in glued}
    return {name: math.nan if text == "nan" else ast.literal_eval(text) for name, text in texts.items()}


def is_published(chapter: str, parameters: Mapping[str, Any]) -> bool:
    """Say whether a chapter's parameters are those of the published study; on what device it ran does not count."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if not path.is_file():
        return False
    profiles = yaml.safe_load((NOTEBOOKS / "profiles.yml").read_text(encoding="utf-8"))
    published = parameters_of(nbformat.read(path, as_version=4)) | (profiles["full"].get(path.stem) or {})
    return {**parameters, "device": ""} == {**published, "device": ""}


def adapt(notebook: NotebookNode, chapter: str) -> NotebookNode:
    """Make an executed chapter say what its own runs show.

    Sentences that too few runs leave without their number, figure or table are replaced by one that says so. In a run
    other than the published one, headings and descriptions of figures do not tell what the published data showed.

    Parameters
    ----------
    notebook
        Executed; it is changed.
    chapter
        Name of its source, without the ending.

    Returns
    -------
    NotebookNode
        The same.
    """
    parameters, glued = parameters_of(notebook), glued_in(notebook)
    elsewhere = not is_published(chapter, parameters)
    raised = next((name for name in TO_RAISE if name in parameters), "runs")
    absent = _absent_figures(notebook) | _without_empty_tables(notebook)
    absent |= {name for name, value in glued.items() if _is_unknown(value)}
    silent = {name for name, value in glued.items() if elsewhere and value == ""}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            topics = iter(cell.metadata.get("elsewhere", []) if elsewhere else [])
            cell.source = _HEADING.sub(partial(_topic, topics), cell.source)
            reason = cell.metadata.get("absent", f"Too few runs: raise `{raised}`.")
            blocks = cell.source.split("\n\n")
            cell.source = "\n\n".join(_known_alone(block, absent, silent, reason) for block in blocks)
        elif elsewhere and "mystnb" in cell.metadata:
            shown = cell.metadata["mystnb"]
            shown["image"]["alt"] = shown["figure"]["caption"]
    title = notebook.cells[0]
    if elsewhere and title.cell_type == "markdown" and ELSEWHERE not in title.source:
        title.source = title.source.replace("\n\n", f"\n\n{ELSEWHERE}\n\n", 1)
    return notebook


def adapt_pages(folder: Path | str) -> list[Path]:
    """Leave out of the pages of a run's book what its chapters do not know.

    Parameters
    ----------
    folder
        The book's sources: index.md, the folder book, and the executed chapters in results/executed.

    Returns
    -------
    list
        Paths of the pages that have changed.
    """
    folder, absent = Path(folder), set()
    for path in (folder / "results" / "executed").glob("*.ipynb"):
        numbers = glued_in(nbformat.read(path, as_version=4))
        absent |= {f"{path.stem}::{name}" for name, value in numbers.items() if _is_unknown(value)}
    changed = []
    for path in [folder / "index.md", *sorted((folder / "book").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        blocks = text.split("\n\n")
        known = "\n\n".join(_known_alone(block, absent, set(), "This run has too few runs to say.") for block in blocks)
        if known != text:
            with replaced(path) as partial_path:
                partial_path.write_text(known, encoding="utf-8")
            changed.append(path)
    return changed


def _is_unknown(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _topic(topics: Iterator[str], heading: re.Match[str]) -> str:
    """Give the next topic in place of a heading, which stays where there is none."""
    topic = next(topics, "")
    return f"{heading[1]} {topic}" if topic else heading[0]


def _figure_of(cell: NotebookNode) -> dict[str, str]:
    """Give the name and the caption of the figure that a cell draws; neither where it draws none."""
    return dict(cell.metadata.get("mystnb", {}).get("figure", {}))


def _absent_figures(notebook: NotebookNode) -> set[str]:
    """Name the figures that no cell has drawn."""
    figures = [cell for cell in notebook.cells if _figure_of(cell)]
    return {_figure_of(cell)["name"] for cell in figures if not any("data" in output for output in cell.outputs)}


def _without_empty_tables(notebook: NotebookNode) -> set[str]:
    """Take away the tables that have no row, with their captions, and name them."""
    absent, waiting = set(), None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            waiting = cell if _CAPTION.search(cell.source) else waiting
            continue
        for output in [
            o for o in cell.get("outputs", []) if 'class="dataframe"' in o.get("data", {}).get("text/html", "")
        ]:
            if waiting is not None and "<td>" not in output["data"]["text/html"]:
                absent |= {name for _, name in _CAPTION.findall(waiting.source)}
                waiting.source = _CAPTION.sub("", waiting.source).strip()
                cell.outputs.remove(output)
            waiting = None
    return absent


def _known_alone(block: str, absent: Set[str], silent: Set[str], reason: str) -> str:
    """Leave out the rows of a table, and the sentences of a paragraph or an item, of which something is absent."""
    if block.startswith((":::", "    ", "#")):
        return block
    text, fence, after = block.partition("\n```")  # the end of a box
    if block.startswith("|"):
        return "\n".join(row for row in text.split("\n") if not absent & set(_named(row))) + fence + after
    items = re.split(r"\n(?=[-*] |\d+\. )", text)
    told = [_sentences_known(item, absent, silent, reason) for item in items]
    return "\n".join(item for item in told if item != "- ") + fence + after


def _sentences_known(text: str, absent: Set[str], silent: Set[str], reason: str) -> str:
    if not (absent | silent) & set(_named(text)):
        return text
    begins = _BEGINS.match(text)[0]  # type: ignore[index]
    parts = _ENDS.split(text[len(begins) :])
    said = [part for part in parts if not (_NUMBER.fullmatch(part.strip()) and set(_named(part)) <= silent)]
    kept: list[str] = []
    is_lost = False
    for part in said:  # a sentence that refers to one that is left out goes with it
        is_lost = bool(absent & set(_named(part)) or (is_lost and _REFERS.match(part)))
        kept += [] if is_lost else [part]
    return begins + " ".join(kept if kept == said else [*kept, f"*{reason}*"])


def _named(text: str) -> list[str]:
    """List the numbers, figures and tables that a text names; a number of another chapter as CHAPTER::NAME."""
    others = [f"{chapter}::{name}" for chapter, name in _OTHERS.findall(text)]
    return others + [name for name, _ in _NUMBER.findall(text)] + re.findall(r"\{numref\}`([^`]+)`", text)


def rerun_numbers(chapter: str, *made: pd.DataFrame) -> dict[str, Any]:
    """Name what a chapter glues of its runs, and of those of the command in its box.

    Parameters
    ----------
    chapter
        Name of its notebook, without the ending.
    *made
        Tables of a row a run, such as records; runs that were skipped do not count.

    Returns
    -------
    dict
        - runs_made: rows
        - rerun_words: what the command took when it was last recorded (`run_study.py --record`); "" where it never was
    """
    counts = [int((table["status"] != "skipped").sum()) if "status" in table else len(table) for table in made]
    recorded = yaml.safe_load(RERUNS.read_text(encoding="utf-8")).get(chapter)
    return {"runs_made": sum(counts), "rerun_words": _rerun_words(recorded) if recorded else ""}


def _rerun_words(recorded: Mapping[str, int]) -> str:
    """Say how many runs there are, and roughly how long they take."""
    minutes, runs = round(recorded["seconds"] / 60), recorded["runs"]
    time = "less than a minute" if not minutes else "about a minute" if minutes == 1 else f"about {minutes} minutes"
    return f"The first command makes {runs} runs and takes {time} of one core."


def fill_file(path: Path | str) -> int:
    """Put numbers, figures' captions and words into an executed chapter, so that it reads in any viewer.

    Parameters
    ----------
    path
        Of the notebook, which is replaced as a whole.

    Returns
    -------
    int
        How many numbers were put in.

    Raises
    ------
    FlexError
        Where it is no notebook, was not executed to its end, or was filled in before.
    """
    path = Path(path)
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # of JSON, of nbformat's schema, of the file system
        raise FlexError(f"{path}: cannot be read as a notebook ({type(error).__name__})") from None
    source = notebook.metadata.get("papermill", {}).get("input_path") or path
    asked = _asked(notebook)
    if not asked:
        raise FlexError(f"{path}: has no numbers to fill in; was it filled in before?")
    missing = [name for name in asked if name not in glued_in(notebook)]
    if missing:
        raise FlexError(f"{path}: has no number '{missing[0]}'; execute the whole chapter first")
    asked = _asked(adapt(notebook, Path(source).stem))
    fill_in(notebook)
    with replaced(path) as partial_path:
        nbformat.write(notebook, partial_path)
    return len(asked)


def _asked(notebook: NotebookNode) -> list[str]:
    """List the glued numbers that a notebook's text names."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [name for source in sources for name, _ in _NUMBER.findall(source)]


def fill_in(notebook: NotebookNode) -> NotebookNode:
    """Replace MyST by plain Markdown: numbers, references, captions and boxes; gives the notebook, which is changed."""
    glued, names = glued_in(notebook), _numbered(notebook)
    roles: dict[str, Callable[[str], str]] = {
        "numref": lambda text: names.get(text, text),
        "doc": _title_of,
        "cite:t": _citation_of,
    }

    def role(found: re.Match[str]) -> str:
        words = re.fullmatch(r"(.*?)\s*<([^>]*)>", found[2], re.S)
        return words[1] if words else roles.get(found[1], str)(found[2])

    filled = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = _NUMBER.sub(lambda at: format_plain_text(repr(glued[at[1]]), at[2] or ""), cell.source)
            text = re.sub(r"\{([\w:-]+)\}`([^`]*)`", role, text)
            text = _CAPTION.sub(lambda at: f"**{names[at[2]]}.** {at[1]}", text)
            text = _BOX.sub(r"**\1**\n\n\2", text)
            cell.source = _FOR_THE_BOOK.sub("", text).strip()
        filled.append(cell)
        figure = _figure_of(cell)
        if figure.get("name") in names:
            filled.append(nbformat.v4.new_markdown_cell(f"**{names[figure['name']]}.** {figure['caption']}"))
    notebook.cells = filled
    return notebook


def _numbered(notebook: NotebookNode) -> dict[str, str]:
    """Count figures and tables in their order: name to words such as "Figure 2"."""
    absent = _absent_figures(notebook)
    figures = [_figure_of(cell).get("name") for cell in notebook.cells]
    tables = [name for cell in notebook.cells for name in re.findall(r"^:name: (tab-\S+)$", cell.source, re.M)]
    kinds = {"Figure": [name for name in figures if name and name not in absent], "Table": tables}
    return {name: f"{word} {place}" for word, names in kinds.items() for place, name in enumerate(names, start=1)}


def _title_of(page: str) -> str:
    """Give the title of a page of the book, in italics; its name where it is not there."""
    folder, name = (
        (NOTEBOOKS.parent / "book", page.removeprefix("/book/")) if page.startswith("/") else (NOTEBOOKS, page)
    )
    path = folder / f"{name}.ipynb" if folder == NOTEBOOKS else folder / f"{name}.md"
    if not path.is_file():
        return f"*{name}*"
    text = (
        nbformat.read(path, as_version=4).cells[0].source
        if path.suffix == ".ipynb"
        else path.read_text(encoding="utf-8")
    )
    title = re.search(r"^# (.*)$", text, re.M)
    return f"*{title[1] if title else name}*"


def _citation_of(keys: str) -> str:
    """Cite works as the book does, by their first authors and years; a key where it is not known."""
    return ", ".join(_cite(key.strip()) for key in keys.split(","))


def _cite(key: str) -> str:
    entry = _works().entries.get(key)
    if entry is None:
        return key
    people = [" ".join(map(str, person.rich_last_names)) for person in entry.persons["author"]]
    named = " and ".join(people) if len(people) < 3 else f"{people[0]} et al."
    return f"{named} ({entry.fields['year']})"


@cache
def _works() -> Any:
    return pybtex.database.parse_file(str(NOTEBOOKS.parent / "references.bib"))

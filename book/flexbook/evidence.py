"""What each verdict rests on.

A card for each statement of the paper; links back to it from the figure or table that it rests on; and at the foot of
each chapter the records behind it, with the commands that make them again. The chapter on the claims glues verdicts and
what was measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from flexstudy.claims import PRINTED, STATEMENTS, Statement, glued_numbers
from flexstudy.rules import LEAK, MIXED, OPEN, REFUTED, REPRODUCED, UNSUPPORTED
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from flexbook.markdown import section_of
from flexbook.records import files_of, is_of, kind_of, label_of, of_chapter
from flexbook.rules import TITLES

EXECUTED = "results/executed"
JUDGING = "11_claims"  # the chapter that glues the verdicts
AFTER_TABLES = 600  # priority: a table has its caption by then
# Of a card, by the names of `flexstudy.claims.MEASURED`.
FIELDS = {"apart": "Measured", "leaky": "Leaky", "leak_free": "Leak-free"}
# Verdicts differ in shape, not in colour alone.
ICONS = {REPRODUCED: "✓", LEAK: "◐", UNSUPPORTED: "○", REFUTED: "✕", MIXED: "±", OPEN: "?"}


def chapter_of(statement: Statement) -> str:
    """Name the chapter that a statement's evidence is in."""
    return JUDGING if statement.chapter == PRINTED else statement.chapter


def records_of(statement: Statement, files: Iterable[Path], kinds: Sequence[dict[str, Any]]) -> list[Path]:
    """Find the files of a statement's records, among those that its chapter reads."""
    own = [path for path in files if chapter_of(statement) in kind_of(path, kinds)["chapters"]]
    return [path for stem in statement.records for path in own if is_of(path, stem)]


def card(statement: Statement, glued: Mapping[str, Any], files: Iterable[Path]) -> str:
    """Write one statement's card.

    Parameters
    ----------
    statement
        What the paper says.
    glued
        What the chapter on the claims glues.
    files
        The statement's records.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    ExtensionError
        Where its verdict is not glued, or what was measured.
    """
    name, label = statement.name, statement.evidence
    if missing := {f"{what}_{name}" for what in ("verdict", *FIELDS)} - set(glued):
        raise ExtensionError(f"{EXECUTED}/{JUDGING}.ipynb: not glued: {', '.join(sorted(missing))}")
    verdict = glued[f"verdict_{name}"]
    measured = {field: glued[f"{what}_{name}"] for what, field in FIELDS.items()}
    place = f"{{ref}}`this section <{label[1:]}>`" if label.startswith("#") else f"{{numref}}`{label}`"
    fields = {
        "The paper": f"{_plain(statement.says, capital=True)} ({_plain(statement.where)})",
        **{field: _plain(text) for field, text in measured.items()},
        "Rule": f"{_plain(statement.rule)} ({{ref}}`in full <rule-{name}>`)",
        "Verdict": f'<span class="verdict" aria-hidden="true">{ICONS[verdict]}</span> **{_plain(verdict)}**',
        "Evidence": f"{place} in {{doc}}`/{EXECUTED}/{chapter_of(statement)}`",
        "Records": ", ".join(f"{{ref}}`{path.name} <{label_of(path)}>`" for path in files),
    }
    lines = [
        f"(claim-{name})=\n" if statement.part else "",  # else the claim's section has that label
        f":::{{card}} Statement {name}",
        ":class-card: claim",
        "",
        *[f"{field}\n: {text}\n" for field, text in fields.items() if text],
        ":::",
    ]
    return "\n".join(lines)


def _plain(text: str, *, capital: bool = False) -> str:
    """Write a text as a line of Markdown that shows it as it is, from a capital on where asked for."""
    text = " ".join(str(text).split())
    text = "".join(f"\\{letter}" if letter in "*_`[]<$" else letter for letter in text)
    return text[:1].upper() + text[1:] if capital else text


class Claims(SphinxDirective):
    """The directive `claims`: a section a claim, a card a statement; their labels are `claim-2` and `claim-2a`."""

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        notebook = Path(self.env.srcdir) / EXECUTED / f"{JUDGING}.ipynb"
        self.env.note_dependency(str(notebook))
        glued, files = glued_numbers(notebook), files_of(self.env.srcdir)
        kinds = self.env.flexbook_records["kinds"]
        sections = []
        for number, own in groupby(STATEMENTS, key=lambda one: one.claim):
            cards = {one.name: card(one, glued, records_of(one, files, kinds)) for one in own}
            section = section_of(self, TITLES[number], "\n\n".join(cards.values()))
            section["names"].append(f"claim-{number}")
            section["ids"].append(f"claim-{number}")
            self.state.document.note_explicit_target(section, section)
            sections.append(section)
        return sections


class Judges(SphinxDirective):
    """The directive `judges`: links to the cards of the statements that it names; `link_back` leaves these out."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Make a paragraph."""
        return [judged(self.arguments[0].split())]


def judged(names: Sequence[str], files: Iterable[Path] = ()) -> nodes.paragraph:
    """Write which statements rest on something, and which records are behind it."""
    line = nodes.paragraph(classes=["judges"], names_judged=list(names))
    line += nodes.Text("Statements judged by it: " if len(names) > 1 else "Statement judged by it: ")
    line += _listed([link(f"claim-{name}", name) for name in names])
    line += nodes.Text(".")
    if links := [link(label_of(path), path.name) for path in files]:
        line += [nodes.Text(" Its records: "), *_listed(links), nodes.Text(".")]
    return line


def link(label: str, words: str) -> addnodes.pending_xref:
    """Make a link to a label of any page."""
    options = dict(refdomain="std", reftype="ref", reftarget=label, refexplicit=True, refwarn=True)
    return addnodes.pending_xref(words, nodes.inline(words, words), **options)


def _listed(parts: Iterable[nodes.Node]) -> list[nodes.Node]:
    """Put commas between nodes."""
    return [node for part in parts for node in (nodes.Text(", "), part)][1:]


def link_back(app: Sphinx, doctree: nodes.document) -> None:
    """Say below each figure or table of a chapter, or at the head of a section, which statements rest on it."""
    folder, _, chapter = app.env.docname.rpartition("/")
    if folder != EXECUTED:
        return
    said = {name for line in doctree.findall(nodes.paragraph) for name in line.get("names_judged", [])}
    own = [one for one in STATEMENTS if chapter_of(one) == chapter and one.name not in said]
    files, kinds = files_of(app.srcdir), app.env.flexbook_records["kinds"]
    for label in dict.fromkeys(one.evidence for one in own):
        place = doctree.ids.get(doctree.nameids.get(label.removeprefix("#")))
        if place is None:
            continue  # a figure that this run does not have
        resting = [one for one in own if one.evidence == label]
        behind = dict.fromkeys(path for one in resting for path in records_of(one, files, kinds))
        line = judged([one.name for one in resting], behind)
        if isinstance(place, nodes.section):
            place.insert(1, line)
        else:
            place.parent.insert(place.parent.index(place) + 1, line)


def add_foot(app: Sphinx, doctree: nodes.document) -> None:
    """End a chapter with what makes it again: its records, a line for each command, and itself."""
    folder, _, chapter = app.env.docname.rpartition("/")
    top = next(iter(doctree.findall(nodes.section)), None)
    if folder != EXECUTED or top is None:
        return
    described = app.env.flexbook_records
    foot = nodes.bullet_list(classes=["records-behind"])
    for command, files in of_chapter(chapter, files_of(app.srcdir), described["kinds"]).items():
        links = _listed(link(label_of(path), path.name) for path in files)
        foot += nodes.list_item("", nodes.paragraph("", "", *links, nodes.Text(": "), nodes.literal("", command)))
    words = "Records behind this chapter" if len(foot) else "Runs behind this chapter, which it makes itself"
    foot += nodes.list_item(
        "", nodes.paragraph("", "the chapter itself: ", nodes.literal("", described["chapter"].format(chapter=chapter)))
    )
    top += [nodes.paragraph("", "", nodes.strong("", f"{words}, and the commands that make them again:")), foot]


def setup(app: Sphinx) -> None:
    """Add the cards, the links back to them, and the feet of the chapters."""
    app.add_directive("claims", Claims)
    app.add_directive("judges", Judges)
    app.connect("doctree-read", link_back, priority=AFTER_TABLES)
    app.connect("doctree-read", add_foot)

"""The glossary of the parameters, and a link to it from where running text first names one.

Where a parameter's words mean something else, the role `no-term` leaves them alone: {no-term}`learning rate`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import make_glossary_term
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

from flexlib.config import PRESETS, FlexConfig, Parameter

Groups = dict[str, dict[str, dict[str, Any]]]

PAGE = "book/glossary"
WITHOUT = {PAGE, "book/api", "index"}  # docstrings speak of much else; cards are links themselves
EXAMPLES = PRESETS["table1"]
FIELDS = FlexConfig.parameters()


class no_term(nodes.inline):  # noqa: N801 (docutils names nodes so)
    """Words that are not about a parameter."""


# Text inside these is not running text, or is a link already.
CLOSED = (
    nodes.title,
    nodes.literal,
    nodes.literal_block,
    nodes.reference,
    addnodes.pending_xref,
    nodes.caption,
    nodes.thead,
    nodes.term,
    nodes.raw,
    nodes.math,
    nodes.comment,
    nodes.rubric,
    nodes.field_name,
    addnodes.desc_signature,
    no_term,
)


class NoTermRole(SphinxRole):
    """The role `no-term`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Put the words into a node that `link_terms` passes by."""
        return [no_term(self.rawtext, self.text)], []


def read_entries(path: Path) -> Groups:
    """Read the glossary's file.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    Groups
        Group to parameter to its text and other spellings.

    Raises
    ------
    ValueError
        Where the file's parameters are not those of `FlexConfig`.
    """
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    named = [name for group in groups.values() for name in group]
    if sorted(named) != sorted(FIELDS):
        raise ValueError(f"{path}: the parameters are not those of FlexConfig: {set(named) ^ set(FIELDS)}")
    return groups


def term_of(name: str) -> str:
    """Make the words of a parameter's name, by which the glossary knows it."""
    return name.replace("_", " ")


def spellings(groups: Groups) -> dict[str, str]:
    """Map each parameter's spellings to its term: its name, its abbreviation and what the file adds."""
    found = {}
    for entries in groups.values():
        for name, entry in entries.items():
            abbreviation = FIELDS[name].abbreviation
            found |= dict.fromkeys([term_of(name), abbreviation, *entry.get("also", [])], term_of(name))
    return found


def pattern_of(spelled: Iterable[str]) -> re.Pattern[str]:
    """Make a pattern of all spellings, longer ones first; lines may split words, abbreviations keep their case."""
    words = sorted(spelled, key=len, reverse=True)
    short = {FIELDS[name].abbreviation for name in FIELDS}
    choices = [re.escape(w) if w in short else f"(?i:{re.escape(w)})".replace(r"\ ", r"\s+") for w in words]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(choices)})(?![\w-])")


def link_terms(app: Sphinx, doctree: nodes.document) -> None:
    """Link the first spelling of each parameter in each section's running text to the glossary."""
    if app.env.docname in WITHOUT:
        return
    spelled = {" ".join(key.lower().split()): term for key, term in app.env.flexbook_spellings.items()}
    seen = {}
    for text in list(doctree.findall(nodes.Text)):
        section = _section_of(text)
        if section is not None:
            _link(app.env, text, spelled, app.env.flexbook_pattern, seen.setdefault(id(section), set()))


def _section_of(text: nodes.Text) -> nodes.section | None:
    """Find the section whose running text this is; None where it is not running text."""
    node, in_text = text.parent, False
    while node is not None and not isinstance(node, nodes.section):
        if isinstance(node, CLOSED):
            return None
        in_text = in_text or isinstance(node, nodes.paragraph)
        node = node.parent
    return node if in_text else None


def _link(
    env: BuildEnvironment, text: nodes.Text, spelled: dict[str, str], pattern: re.Pattern[str], seen: set[str]
) -> None:
    """Replace the spellings that the section has not `seen` by references."""
    parts, end, whole = [], 0, text.astext()
    for match in pattern.finditer(whole):
        term = spelled[" ".join(match[0].lower().split())]
        if term not in seen:
            seen.add(term)
            parts += [nodes.Text(whole[end : match.start()]), _reference(env.docname, match[0], term)]
            end = match.end()
    if parts:
        parent = text.parent
        parent.replace(text, [part for part in [*parts, nodes.Text(whole[end:])] if part.astext()])


def _reference(docname: str, words: str, term: str) -> addnodes.pending_xref:
    options = dict(refdomain="std", reftype="term", reftarget=term, refdoc=docname, refexplicit=True, refwarn=True)
    inline = nodes.inline(words, words, classes=["xref", "std", "std-term"])
    return addnodes.pending_xref(words, inline, **options)


class Parameters(SphinxDirective):
    """The directive `parameters`: one group of the glossary's file as a glossary."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make a glossary with two terms an entry, name and abbreviation."""
        entries = self.env.flexbook_glossary[self.arguments[0]]
        items = [self._item(FIELDS[name], entry) for name, entry in entries.items()]
        terms = nodes.definition_list("", *items, classes=["glossary"])
        return [addnodes.glossary("", terms, sorted=False)]

    def _item(self, field: Parameter, entry: dict[str, Any]) -> nodes.definition_list_item:
        source, line = self.get_source_info()
        terms = [
            make_glossary_term(self.env, [nodes.Text(word)], None, source, line, None, self.state.document)
            for word in (term_of(field.name), field.abbreviation)
        ]
        definition = nodes.definition()
        lines = [entry["text"], "", facts_of(field)]
        self.state.nested_parse(StringList("\n".join(lines).splitlines(), source=source), 0, definition)
        return nodes.definition_list_item("", *terms, definition)


def facts_of(field: Parameter) -> str:
    """Say in a line of Markdown how a setting spells the parameter, what values it takes, and the example."""
    values = ""
    if field.choices:
        values = "; one of " + ", ".join(f"`{_spelled(choice)}`" for choice in field.choices)
    elif field.low is not None and field.high is not None:
        lowest = "above 0" if 0 < field.low < 1e-6 else f"at least {field.low:g}"
        values = f"; {lowest} and {'below' if field.open_high else 'at most'} {field.high:g}"
    example = f"; the paper's example: `{_spelled(EXAMPLES[field.name])}`" if field.name in EXAMPLES else ""
    return f"`{field.name}`, by default `{_spelled(field.default)}`{values}{example}."


def _spelled(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value).lower() if not isinstance(value, str) else value


def read_file(app: Sphinx) -> None:
    """Read the glossary's file before any page."""
    try:
        app.env.flexbook_glossary = read_entries(Path(app.srcdir) / f"{PAGE}.yml")
    except (OSError, ValueError) as error:
        raise ExtensionError(str(error)) from None
    app.env.flexbook_spellings = spellings(app.env.flexbook_glossary)
    app.env.flexbook_pattern = pattern_of(app.env.flexbook_spellings)


def setup(app: Sphinx) -> None:
    """Add the glossary and the links to it."""
    app.add_directive("parameters", Parameters)
    app.add_role("no-term", NoTermRole())
    app.connect("builder-inited", read_file)
    app.connect("doctree-read", link_terms)

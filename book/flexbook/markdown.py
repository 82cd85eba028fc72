"""Markdown that a directive writes, as nodes."""

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


def nodes_of(directive: SphinxDirective, text: str) -> list[nodes.Node]:
    """Make the nodes of a text without headings, which is said to be where the directive is."""
    parent = nodes.Element()
    lines = StringList(text.splitlines(), source=directive.get_source_info()[0])
    directive.state.nested_parse(lines, 0, parent)
    return parent.children


def section_of(directive: SphinxDirective, title: str, text: str) -> nodes.section:
    """Make a section of a title and a text without headings."""
    section = nodes.section("", nodes.title(title, title), *nodes_of(directive, text))
    section["names"].append(nodes.fully_normalize_name(title))
    directive.state.document.note_implicit_target(section, section)
    return section

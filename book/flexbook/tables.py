"""Numbers and captions for the tables that cells put out, and so references to them.

A Markdown cell says, before the code cell whose first table it is about:

    :::{output-table} Caption of the table
    :name: tab-of-something
    :::
"""

import re
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective


class output_table(nodes.figure):  # noqa: N801 (docutils names nodes so)
    """A cell's table with its caption; counted among the tables."""


class OutputTable(SphinxDirective):
    """The directive `output-table`."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec = {"name": directives.unchanged_required}  # noqa: RUF012 (docutils wants it so)

    def run(self) -> list[nodes.Node]:
        """Leave the caption in an `output_table`, to be filled when the whole page has been read."""
        children, messages = self.state.inline_text(self.arguments[0], self.lineno)
        # Sphinx ends a figure's caption at the end of the figure; the table belongs behind it, not into it.
        ends = nodes.raw("", "</figcaption>", format="html")
        table = output_table("", nodes.caption("", "", *children), ends)
        self.set_source_info(table)
        self.add_name(table)
        return [table, *messages]


def fill_tables(app: Sphinx, doctree: nodes.document) -> None:
    """Move each `output_table` around the table that it is the caption of.

    Captions before a cell take the tables that cells put out before the next captions: the first for the first, and so
    on. Where a run has no such table, the caption stands by itself.
    """
    waiting, cells = [], 0
    for node in list(doctree.findall(lambda n: isinstance(n, nodes.container | output_table))):
        if isinstance(node, output_table):
            waiting = [node] if cells else [*waiting, node]
            cells = 0
        elif node.get("nb_element") == "cell_code":
            cells += 1
        elif waiting and _is_table(node):
            table = waiting.pop(0)
            table.parent.remove(table)
            node.parent.replace(node, table)
            table += node


def _is_table(node: nodes.Element) -> bool:
    """Say whether a node is an output, in all its forms, of which one is a table."""
    return node.get("nb_element") == "mime_bundle" and any(
        child.get("mime_type") == "text/html" for child in node.children
    )


def tidy_tables(app: Sphinx, doctree: nodes.document) -> None:
    """Tidy the heads of all tables that cells put out (`tidy_heads`), and keep their intervals in one line."""
    for node in doctree.findall(nodes.raw):
        if 'class="dataframe"' in node.astext():
            node[0] = nodes.Text(join_intervals(tidy_heads(node.astext())))


def join_intervals(html: str, most: int = 3) -> str:
    """Keep each interval, such as (0.857 to 0.879), in one line.

    Parameters
    ----------
    html
        Tables.
    most
        Rows with more intervals than these are left alone: a page is too narrow for them.

    Returns
    -------
    str
        The HTML with spaces that do not break.
    """

    def join(row: re.Match[str]) -> str:
        joined, n = re.subn(r"\([-+]?[\d.]+ to [-+]?[\d.]+\)", lambda one: one[0].replace(" ", "&nbsp;"), row[0])
        return joined if n <= most else row[0]

    return re.sub(r"<tr.*?</tr>", join, html, flags=re.DOTALL)


def tidy_heads(html: str) -> str:
    """Give pandas' tables one line of heads where pandas takes a second one for the names of the index.

    Each head also says whether it is of a column or a row, for screen readers.
    """
    soup = BeautifulSoup(html, "html.parser")
    for table in soup.find_all("table", class_="dataframe"):
        *_, first, second = [[], [], *(line.find_all("th") for line in table.select("thead tr"))]
        named = [head for head in second if head.text.strip()]
        if (
            first
            and named
            and not any(head.text.strip() for head in first[: len(named)])
            and named == second[: len(named)]
        ):
            for place, head in enumerate(named):
                first[place].string = head.text
            second[0].parent.decompose()
        for head in table.find_all("th"):
            head["scope"] = "col" if head.find_parent("thead") else "row"
    return str(soup)


def tell_missing(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Say so where the text names a figure or table that this run does not have, as on other data than the paper's."""
    if node.get("reftype") != "numref" or not node["reftarget"].startswith(("fig-", "tab-")):
        return None
    what = "figure" if node["reftarget"].startswith("fig-") else "table"
    return nodes.inline("", f"a {what} that this run does not have")


def _visit(translator: Any, node: nodes.Element) -> None:
    translator.body.append(translator.starttag(node, "figure", CLASS="output-table"))


def _depart(translator: Any, node: nodes.Element) -> None:
    translator.body.append("</figure>\n")


def setup(app: Sphinx) -> None:
    """Add captions to tables, and tidy these."""
    app.add_enumerable_node(output_table, "table", lambda node: node[0].astext(), html=(_visit, _depart))
    app.add_directive("output-table", OutputTable)
    app.connect("doctree-read", fill_tables)
    app.connect("doctree-read", tidy_tables)
    app.connect("missing-reference", tell_missing)

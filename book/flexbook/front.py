"""The claims on the front page: a card each, with its verdict and a link to what it rests on."""

from collections import Counter
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from flexstudy.claims import STATEMENTS, glued_numbers
from flexstudy.rules import MIXED
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flexbook.evidence import EXECUTED, ICONS, JUDGING
from flexbook.markdown import nodes_of


def verdicts_of(claim: int, glued: dict[str, str]) -> str:
    """Write a claim's verdict with its icon; of one that is mixed, how many statements have which verdict."""
    own = [glued[f"verdict_{one.name}"] for one in STATEMENTS if one.claim == claim]
    whole = glued[f"verdict_{claim}"]
    if whole != MIXED:
        return f"{ICONS[whole]} {whole}"
    found = Counter(own)
    return ", ".join(f"{ICONS[one]} {found[one]} {one}" for one in ICONS if found[one])


class ClaimCards(SphinxDirective):
    """The directive `claim-cards`: a line a claim, its number and its words."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """Make a grid of cards."""
        notebook = Path(self.env.srcdir) / EXECUTED / f"{JUDGING}.ipynb"
        self.env.note_dependency(str(notebook))
        glued = glued_numbers(notebook)
        lines = [":::::{grid} 1 2 2 3", ":gutter: 2", ":class-container: claim-cards", ""]
        for said in filter(str.strip, self.content):
            number, _, words = said.partition(": ")
            whole = glued[f"verdict_{number}"].split()[0]
            lines += ["::::{grid-item-card}", f":link: claim-{number}", ":link-type: ref", f":class-card: is-{whole}"]
            lines += [f":link-alt: Claim {number}: {words}", "", f"**{number}.** {words}", ""]
            lines += ["```{card-footer}", verdicts_of(int(number), glued), "```", "::::"]
        return nodes_of(self, "\n".join([*lines, ":::::"]))


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("claim-cards", ClaimCards)

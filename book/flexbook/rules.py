"""The page of rules: every statement of the paper with how it is judged, from `notebooks/flexstudy/statements.yaml`.

The directive `rules` lists them, a section a claim.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from docutils import nodes
from flexstudy import claims
from flexstudy.claims import STATEMENTS, Statement
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flexbook.markdown import section_of

TITLES: dict[int, str] = {
    1: "Claim 1: the lowest error",
    2: "Claim 2: what the ten best have in common",
    3: "Claim 3: user-based runs",
    4: "Claim 4: correlations",
    5: "Claim 5: rounding",
    6: "Claim 6: dropout and noise",
    7: "Claim 7: activation and optimizer",
    8: "Claim 8: MovieLens 1M",
    9: "Claim 9: mean normalization",
    10: "Claim 10: the runs",
    11: "Claim 11: the effect of parameters",
    12: "Claim 12: random settings",
    13: "Claim 13: the data and the space",
    14: "Claim 14: what Table 3 compares",
}


def describe(statement: Statement) -> str:
    """Write a statement and its rule as Markdown."""
    anchor = f"(rule-{statement.name})="
    lines = [
        anchor,
        f"**{statement.name}** ({statement.where}): {statement.says}.",
        "",
        f"- Read as: {statement.reading}",
        f"- Reproduced if: {statement.rule}",
        "",
        "::::{dropdown} Made-up numbers",
        f"- Passes with {_told(statement.holds)}.",
        f"- Does not pass with {_told(statement.fails)}: {statement.verdict(statement.fails)}.",
        "::::",
        "",
    ]
    return "\n".join(lines)


def _told(numbers: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}` {value}" for name, value in numbers.items())


class Rules(SphinxDirective):
    """The directive `rules`."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        self.env.note_dependency(str(claims.STATEMENTS_FILE))
        found: list[nodes.Node] = []
        for number, title in TITLES.items():
            own = [statement for statement in STATEMENTS if statement.claim == number]
            found.append(section_of(self, title, "\n".join(map(describe, own))))
        return found


def setup(app: Sphinx) -> None:
    """Add the directive to a build."""
    app.add_directive("rules", Rules)

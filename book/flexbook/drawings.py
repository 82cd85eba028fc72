"""Drawings within a page, as figures with a number: files of `book/drawings`, and the protocols as lanes."""

from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from flexstudy.style import PROTOCOL_NAMES
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flexlib.config import Protocol

FOLDER = Path(__file__).parents[1] / "drawings"
LANES = "lanes"  # the drawing that is made from the protocols themselves
TRAINING, TEST = 7, 3  # squares of a lane's ratings
COLUMNS = ((4, 118), (258, 346))  # where the words of a column begin, and its marks
QUESTIONS = {
    "means": "in the means",
    "training": "in training",
    "input": "shown as input",
    "scored": "scored",
}


def seen_by(protocol: Protocol) -> dict[str, list[bool]]:
    """Say which of `TRAINING` and then `TEST` ratings a protocol uses for what, a list for each of `QUESTIONS`.

    One test rating in three stands for those that are visible as input.
    """
    training, test, nothing = [True] * TRAINING, [True] * TEST, [False] * TRAINING
    visible = [True] + [False] * (TEST - 1)
    hidden = [not one for one in visible]
    return {
        "means": training + (test if protocol.means == "all" else [False] * TEST),
        "training": training + [False] * TEST,
        "input": training + [False] * TEST if protocol.test_input == "training" else nothing + visible,
        "scored": nothing + (test if protocol.scored == "all" else hidden),
    }


def draw_lanes(names: tuple[str, ...] = ("released", "described", "holdout")) -> str:
    """Draw what each protocol uses, a lane a protocol, as SVG."""
    label = "Which ratings each protocol uses: training ratings are round, test ratings square; those used are filled."
    parts = []
    for line, name in enumerate(names):
        top = 14 + 104 * line
        leaky = Protocol.named(name).means == "all"
        word = PROTOCOL_NAMES[name].replace("\n", " ")
        kind = "leaky" if leaky else "free"
        parts.append(f'<text x="4" y="{top + 10}" font-size="15" class="{kind}-text">{word}</text>')
        for column, (question, used) in enumerate(seen_by(Protocol.named(name)).items()):
            left, marks = COLUMNS[column % 2]
            y = top + 30 + 34 * (column // 2)
            parts.append(f'<text x="{left}" y="{y + 4}" font-size="13">{QUESTIONS[question]}</text>')
            for k, full in enumerate(used):
                x = marks + 12 * k + (6 if k >= TRAINING else 0)
                own = f"{'mark-full' if full else 'mark'}{f' {kind}-mark' if k >= TRAINING else ''}"
                shape = (
                    f'<rect x="{x - 4}" y="{y - 5}" width="9" height="9"'
                    if k >= TRAINING
                    else f'<circle cx="{x}" cy="{y}" r="4"'
                )
                parts.append(f'{shape} class="{own}"/>')
    size = f'viewBox="0 0 480 {104 * len(names) + 6}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="drawing" role="img" aria-label="{label}">'
    return f"{head}{''.join(parts)}</svg>"


class Drawing(SphinxDirective):
    """The directive `drawing`: a figure of an SVG that is part of the page."""

    required_arguments = 1
    has_content: ClassVar[bool] = True
    option_spec = {"name": directives.unchanged_required}  # noqa: RUF012 (docutils wants it so)

    def run(self) -> list[nodes.Node]:
        """Make the figure with its caption."""
        name = self.arguments[0]
        path = FOLDER / f"{name}.svg"
        if name != LANES:
            self.env.note_dependency(str(path))
            if not path.is_file():
                raise self.error(f"there is no drawing {path}")
        svg = draw_lanes() if name == LANES else path.read_text(encoding="utf-8")
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        caption = nodes.caption("", "", *parsed[0].children)
        figure = nodes.figure("", nodes.raw("", svg, format="html"), caption)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("drawing", Drawing)

"""The figure of verdicts: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import inside, ticks
from flexstudy.claims import PER_LINE, plot_verdicts
from flexstudy.rules import VERDICTS
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def rows(*verdicts):
    return pd.DataFrame(
        [(f"{place}", verdict) for place, verdict in enumerate(verdicts, 1)], columns=["claim", "verdict"]
    )


def test_each_statement_is_a_mark_with_its_number_in_the_rows_of_its_verdict():
    reproduced, leak, _, refuted, _ = VERDICTS
    (ax,) = plot_verdicts(rows(leak, refuted, *[reproduced] * (PER_LINE + 2), leak)).axes
    assert ax.get_title(loc="left") == f"What became of the paper's {PER_LINE + 5} statements"
    # In their order, and only those that are there
    assert ticks(ax.yaxis) == [f"{reproduced}: {PER_LINE + 2}", f"{leak}: 2", f"{refuted}: 1"]
    marked = {text.get_text(): line for text, line in zip(ax.texts, ax.get_lines(), strict=True)}
    assert set(marked) == {str(n) for n in range(1, PER_LINE + 6)}
    at = {name: line.get_xydata()[0].tolist() for name, line in marked.items()}
    assert all(list(text.xy) == at[text.get_text()] for text in ax.texts)
    assert at["3"] == [0, 0]
    assert at[str(PER_LINE + 4)] == [1, 1]  # the second line
    assert [at[name][0] for name in ("1", str(PER_LINE + 5), "2")] == [0, 1, 0]
    assert at["1"][1] == at[str(PER_LINE + 5)][1] == ax.get_yticks()[1]
    assert [marked[name].get_color() for name in ("1", "3")] == [COLOURS["released"], COLOURS["holdout"]]
    assert ax.yaxis_inverted()
    assert all(inside(ax, *place) for place in at.values())


def test_all_five_verdicts_have_a_row_and_a_colour_of_their_own():
    (ax,) = plot_verdicts(rows(*VERDICTS)).axes
    assert (
        len({line.get_color() for line in ax.get_lines()}) == len({line.get_ydata()[0] for line in ax.get_lines()}) == 5
    )

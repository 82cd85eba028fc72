"""The figure of list changes: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import NAN, marks, ticks
from flexstudy.rounding import LIST_COLOURS, plot_list_changes
from matplotlib.colors import to_hex

pytestmark = pytest.mark.usefixtures("drawn")


def effects_of(change):
    rows = {"gini": (0.5, change), "novelty": (3.0, 10 * change)}
    table = pd.DataFrame(
        [
            {
                "measure": measure,
                "n": 3,
                "before": before,
                "after": before + own,
                "change": own,
                "low": own - 0.1,
                "high": own + 0.1,
            }
            for measure, (before, own) in rows.items()
        ]
    )
    return table.set_index("measure")


WORDS = {"gini": "Gini index", "novelty": "novelty (bits)"}


def test_list_changes_go_from_before_to_after():
    figure = plot_list_changes({"at random": effects_of(-0.2), "popular": effects_of(0.1)}, WORDS, "A title")
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(WORDS.values())
    for ax, before, size in zip(figure.axes, (0.5, 3.0), (1, 10), strict=True):
        joined = [
            line.get_xdata().tolist()
            for line in ax.get_lines()
            if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
        ]
        assert joined == [pytest.approx([before, before - 0.2 * size]), pytest.approx([before, before + 0.1 * size])]
        ends = [[end[0] for end in span] for _, _, spans, _ in marks(ax).values() for span in spans]
        assert any(pair == pytest.approx([before + 0.1 * size - 0.1, before + 0.1 * size + 0.1]) for pair in ends)
        assert [line.get_xdata() for line in ax.get_lines() if line.get_fillstyle() == "none"] == [[before]] * 2
        assert ticks(ax.yaxis) == ["at random", "popular"]
        assert ax.yaxis_inverted()
    colours = [to_hex(line.get_color()) for line in figure.axes[0].get_lines() if line.get_linestyle() == "-"]
    assert {colour.upper() for colour in colours} <= {*LIST_COLOURS, "#000000"}
    one = effects_of(0.1).assign(n=1, low=NAN, high=NAN)
    assert len(plot_list_changes({"one setting": one}, WORDS, "t").axes) == 2


def test_a_measure_that_is_unknown_is_drawn_as_nothing():
    """Data without genres have no distance, which is then no row of the effects."""
    figure = plot_list_changes({"at random": effects_of(0.1).drop("novelty")}, WORDS, "t")
    assert figure.axes[0].get_title(loc="left") == "Gini index"

"""The figures of searches and ablations: that they draw what they are given, and say what it is."""

import math

import numpy as np
import pandas as pd
import pytest
from drawings import NAN, inside, legend, marks, ticks
from flexstudy.best import plot_ablation, plot_search
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def history(*values, split="seed 0"):
    rows = {"split": split, "number": range(1, len(values) + 1), "validation_rmse": values}
    return pd.DataFrame(rows).assign(best=np.fmin.accumulate(values))


def test_a_search_is_a_dot_a_try_and_a_step_a_split():
    both = pd.concat([history(0.9, 0.91, 0.88), history(NAN, 0.89, 0.905, split="seed 1")])
    alone = history(0.8, 0.79)
    figure = plot_search({"few": both, "many": alone}, {"few": {"biases": 0.925}})
    above, below = figure.axes
    for ax, title, splits in ((above, "few", 2), (below, "many", 1)):
        assert ax.get_title(loc="left") == title
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("try", "validation\nRMSE (stars)")
        dots = [line for line in ax.get_lines() if line.get_marker() == "."]
        steps = [line for line in ax.get_lines() if line.get_drawstyle() == "steps-post"]
        assert len(dots) == len(steps) == splits
        # A split's dots have its colour.
        assert [line.get_color() for line in dots] == [line.get_color() for line in steps]
        for line in [*dots, *steps]:
            assert all(inside(ax, 1, y) or math.isnan(y) for y in line.get_ydata())
    own = [line for line in above.get_lines() if line.get_marker() == "."]
    np.testing.assert_equal([line.get_ydata() for line in own], [[0.9, 0.91, 0.88], [NAN, 0.89, 0.905]])
    lowest = [line for line in above.get_lines() if line.get_drawstyle() == "steps-post"]
    np.testing.assert_equal([line.get_ydata() for line in lowest], [[0.9, 0.9, 0.88], [NAN, 0.89, 0.89]])
    assert [line.get_xdata().tolist() for line in lowest] == [[1, 2, 3]] * 2
    assert legend(above) == ["seed 0", "seed 1"]
    assert below.get_legend() is None
    (dashed,) = [line for line in above.get_lines() if line.get_linestyle() == "--"]
    assert list(dashed.get_ydata()) == [0.925, 0.925]
    assert [text.get_text() for text in above.texts] == ["biases"]
    assert not below.texts
    assert inside(above, 2, 0.925)


@pytest.mark.parametrize("reference", [0.85, 1.2])
def test_a_reference_far_from_a_search_is_not_written_beside_its_frame(reference):
    """There its line cannot be seen, and room is made for its word."""
    (ax,) = plot_search({"few": history(0.9, 0.91, 0.88)}, {"few": {"biases": reference}}).axes
    ax.figure.canvas.draw()
    frame = ax.get_window_extent()
    for text in ax.texts:
        assert frame.y0 <= ax.transData.transform((1, text.xy[1]))[1] <= frame.y1


def test_a_try_that_went_badly_does_not_widen_the_frame():
    (ax,) = plot_search({"few": history(0.9, 3.0, 0.88)}, {}).axes
    assert ax.get_ylim() == pytest.approx((0.875, 0.955))


ABLATION = pd.DataFrame(
    [
        ("the other pivot", 4, 0.05, 0.04, 0.06),
        ("no noise", 1, 0.01, NAN, NAN),
        ("one re-feeding", 4, -0.002, -0.03, 0.0),
    ],
    columns=["change", "n", "changed_by", "low", "high"],
)


def test_changes_of_the_best_settings_are_drawn_the_worst_first():
    (ax,) = plot_ablation(ABLATION, "A title").axes
    assert ax.get_title(loc="left") == "A title"
    assert ax.get_xlabel() == "change in RMSE (stars); right: worse"
    assert ticks(ax.yaxis) == ["the other pivot (4)", "no noise (1)", "one re-feeding (4)"]
    assert ax.yaxis_inverted()
    ((x, y, spans, colour),) = marks(ax).values()
    assert (x, y, colour) == ([0.05, 0.01, -0.002], [0, 1, 2], COLOURS["holdout"].lower())
    expected = [[0.04, 0.06], [0.01, 0.01], [-0.03, 0.0]]
    assert [[end[0] for end in span] for span in spans] == [pytest.approx(ends) for ends in expected]
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.get_lines())
    for x, y in [(0.06, 0), (0.01, 1), (-0.03, 2)]:
        assert inside(ax, x, y)

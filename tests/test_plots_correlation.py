"""The figures of correlations: that they draw what they are given, and say what it is."""

import numpy as np
import pandas as pd
import pytest
from drawings import NAN, legend, marks, ticks
from flexstudy.correlation import plot_correlations_with_rmse, plot_two_matrices
from matplotlib.patches import Rectangle

pytestmark = pytest.mark.usefixtures("drawn")


def matrices():
    names = ["A", "B", "RMSE"]
    upper = pd.DataFrame([[1, 0.5, -0.6], [0.5, 1, 0.004], [-0.6, 0.004, 1]], names, names)
    return upper, (upper * -0.5).loc[names[::-1], names[::-1]]  # in another order


def test_two_matrices_share_a_square_each_on_its_side():
    upper, lower = matrices()
    figure = plot_two_matrices(upper, lower, ("first", "second"), "Both", [("A", "RMSE")])
    ax, bar = figure.axes
    shown = ax.images[0].get_array()
    expected = [[NAN, 0.5, -0.6], [-0.25, NAN, 0.004], [0.3, -0.002, NAN]]
    np.testing.assert_allclose(np.ma.filled(shown, NAN), expected)
    texts = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
    assert texts == {(0, 1): ".50", (0, 2): "-.60", (1, 0): "-.25", (1, 2): ".00", (2, 0): ".30", (2, 1): ".00"}
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["A", "B", "RMSE"]
    assert "above the diagonal: first\nbelow: second" in ax.get_title(loc="left")
    outlined = [patch.get_xy() for patch in ax.patches if isinstance(patch, Rectangle)]
    assert sorted(outlined) == [(-0.5, 1.5), (1.5, -0.5)]
    assert bar.get_xlabel() == "Pearson correlation"
    unknown = upper.copy()
    unknown.loc["B"] = unknown.loc[:, "B"] = NAN
    assert len(plot_two_matrices(unknown, lower, ("a", "b"), "t").axes[0].texts) == 4


def test_correlations_with_rmse_have_a_mark_a_source():
    table = pd.DataFrame(
        {"paper": [0.1, -0.2], "log": [0.3, -0.7], "log low": [0.2, -0.8], "log high": [0.4, -0.6]}, index=["LR", "MeN"]
    )
    looks = {"paper": ("#000000", "x", "printed"), "log": ("#777777", "v", "logged")}
    (ax,) = plot_correlations_with_rmse(table, looks, "A title").axes
    found = marks(ax)
    assert found["printed"][:3] == ([0.1, -0.2], pytest.approx([-0.085, 0.915]), [])
    x, y, spans, colour = found["logged"]
    assert (x, y, colour) == ([0.3, -0.7], pytest.approx([0.085, 1.085]), "#777777")
    assert [end[0] for end in spans[1]] == pytest.approx([-0.8, -0.6])
    assert ax.get_xlabel() == "correlation with RMSE"
    assert ticks(ax.yaxis) == ["LR", "MeN"]
    assert legend(ax) == ["printed", "logged"]

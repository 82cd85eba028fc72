"""The figure of methods: that it draws what it is given, and says what it is."""

import numpy as np
import pandas as pd
import pytest
from drawings import NAN, inside, legend, lines, marks, ticks
from flexstudy.methods import plot_methods
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


METHODS = pd.DataFrame(
    [
        ("svdpp", "SVD++", 0.88, 0.87, 0.89, 0.903),
        ("flexencoder", "FlexEncoder, extended space", 0.9, 0.89, 0.91, NAN),
        ("nmf", "NMF", 0.95, NAN, NAN, 0.944),
        ("flexencoder_set1", "FlexEncoder, set 1", 0.96, 0.94, 0.98, 0.833),
    ],
    columns=["method", "name", "mean", "low", "high", "published"],
)
OTHERS, OURS = "other methods, held-out ratings (leak-free)", "FlexEncoder, held-out ratings (leak-free)"


def test_methods_are_drawn_lowest_first_beside_what_table_3_quotes():
    (ax,) = plot_methods(METHODS, "Two\nlines").axes
    assert ax.get_title(loc="left") == "Two\nlines"
    assert ax.get_xlabel() == "RMSE (stars)"
    assert [text.replace("\n", " ") for text in ticks(ax.yaxis)] == METHODS["name"].tolist()
    assert ax.get_yticks().tolist() == [0, 1, 2, 3]
    assert ax.yaxis_inverted()
    found = marks(ax)
    x, y, spans, _ = found[OTHERS]
    assert (x, y) == ([0.88, 0.95], [0, 2])
    # One split has no interval.
    assert [[end[0] for end in span] for span in spans] == [pytest.approx([0.87, 0.89]), [0.95, 0.95]]
    x, y, spans, colour = found[OURS]
    assert (x, y, colour) == ([0.9, 0.96], [1, 3], COLOURS["holdout"].lower())
    assert [[end[0] for end in span] for span in spans] == [pytest.approx([0.89, 0.91]), pytest.approx([0.94, 0.98])]
    (crosses,) = lines(ax, "Table 3 of the paper")
    np.testing.assert_equal(crosses.get_xydata(), [[0.903, 0], [NAN, 1], [0.944, 2], [0.833, 3]])
    assert set(legend(ax)) == {OTHERS, OURS, "Table 3 of the paper"}
    for x, y in [(0.833, 3), (0.87, 0), (0.98, 3), (0.903, 0)]:
        assert inside(ax, x, y)


def test_a_star_marks_the_methods_that_are_asked_for():
    (ax,) = plot_methods(METHODS, "t", ["nmf", "svdpp", "als"]).axes
    names = [text.replace("\n", " ") for text in ticks(ax.yaxis)]
    assert names == ["SVD++ *", "FlexEncoder, extended space", "NMF *", "FlexEncoder, set 1"]


def test_methods_may_be_without_a_network_or_lost():
    (ax,) = plot_methods(METHODS[METHODS["method"] == "nmf"].reset_index(drop=True), "t").axes
    assert marks(ax)[OTHERS][0] == [0.95]
    lost = METHODS.assign(mean=[0.88, 0.9, 0.95, NAN])
    assert len(ticks(plot_methods(lost, "t").axes[0].yaxis)) == 4

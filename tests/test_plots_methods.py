"""The figures of methods: that they draw what they are given, and say what it is."""

import math

import pandas as pd
import pytest
from drawings import NAN, inside, lines, marks, ticks
from flexstudy.methods import plot_gaps, plot_printed
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")

AGAINST = pd.DataFrame(
    [
        ("svdpp", "SVD++", 4, -0.05, -0.06, -0.04, "lower"),
        ("flexencoder", "FlexEncoder, extended space", 4, -0.03, -0.04, -0.02, "lower"),
        ("flexencoder_set1", "FlexEncoder, set 1", 4, 0.0, 0.0, 0.0, ""),
        ("nmf", "NMF", 1, 0.02, NAN, NAN, ""),
    ],
    columns=["method", "name", "n", "gap", "gap_low", "gap_high", "verdict"],
).assign(low=0.5, high=0.6)
OTHER = AGAINST[AGAINST["method"] != "nmf"].assign(gap=[0.01, -0.01, 0.0], gap_low=NAN, gap_high=NAN, verdict="open")


def test_methods_are_drawn_by_their_distance_on_common_rows():
    figure = plot_gaps([("here", AGAINST), ("there", OTHER)])
    left, right = figure.axes
    assert figure.get_suptitle() == (
        "Left of the line: lower error than the paper's best setting,\n1 of 2 on here, 0 of 1 on there"
    )
    assert [ax.get_title(loc="left") for ax in (left, right)] == ["here\nn = 4 splits", "there\nn = 4 splits"]
    assert ticks(left.yaxis) == ["SVD++", "FlexEncoder, extended space", "NMF"]
    assert left.yaxis_inverted()
    found = marks(left)
    assert {word: (x, y) for word, (x, y, _, _) in found.items()} == {
        "SVD++": ([-0.05], [0]),
        "FlexEncoder, extended space": ([-0.03], [1]),
        "NMF": ([0.02], [2]),
    }
    assert [end[0] for end in found["SVD++"][2][0]] == pytest.approx([-0.06, -0.04])
    assert [end[0] for end in found["NMF"][2][0]] == [0.02, 0.02]  # one split has no interval
    assert found["FlexEncoder, extended space"][3] == COLOURS["holdout"].lower()
    fills = {held.get_label(): held.lines[0].get_fillstyle() for held in left.containers}
    assert fills == {"SVD++": "full", "FlexEncoder, extended space": "full", "NMF": "none"}
    # The same rows; a method that was not run there has no mark.
    assert [marks(right)[word][:2] for word in ("SVD++", "FlexEncoder, extended space")] == [
        ([0.01], [0]),
        ([-0.01], [1]),
    ]
    assert math.isnan(marks(right)["NMF"][0][0])
    for x, y in [(-0.06, 0), (0.02, 2)]:
        assert inside(left, x, y)


@pytest.mark.parametrize("n_methods", [1, 2, 3])
def test_a_long_name_leaves_its_rows_their_height(n_methods):
    # With two methods and a synthetic data set's name, nothing of the panel was left, and the layout said so.
    rows = AGAINST[AGAINST["method"] != "nmf"][:n_methods]
    heights = []
    for name in ("here", "synthetic:users=60,items=90,ratings=1500,seed=1", "x" * 120):
        figure = plot_gaps([(name, rows)])
        figure.canvas.draw()
        heights.append(figure.axes[0].get_window_extent().height)
        title = figure.axes[0].get_title(loc="left")
        assert title.replace("\n", "").startswith(name)
    assert heights == pytest.approx([heights[0]] * 3, rel=0.25)


PRINTED = pd.DataFrame(
    [
        ("flexencoder_set1", "FlexEncoder, set 1", 0.913, 0.833),
        ("svdpp", "SVD++", 0.91, 0.903),
        ("nmf", "NMF", 0.95, 0.944),
    ],
    columns=["method", "name", "mean", "published"],
)


def test_printed_numbers_stand_beside_ours():
    (ax,) = plot_printed(PRINTED).axes
    assert ax.figure.get_suptitle() == "Our RMSE above the printed one:\nset 1 +0.080, the others' median +0.007"
    assert ticks(ax.yaxis) == PRINTED["name"].tolist()
    (crosses,), (dots,) = lines(ax, "printed"), lines(ax, "ours")
    assert crosses.get_xydata().tolist() == [[0.833, 0], [0.903, 1], [0.944, 2]]
    assert dots.get_xydata().tolist() == [[0.913, 0], [0.91, 1], [0.95, 2]]
    words = {text.get_text(): (text.xy[0], text.get_ha()) for text in ax.texts}
    assert words == {"printed": (0.833, "right"), "ours": (0.913, "left")}
    for x, y in [(0.833, 0), (0.95, 2)]:
        assert inside(ax, x, y)


def test_a_run_may_lack_the_methods_of_table_3():
    (ax,) = plot_printed(PRINTED[:1]).axes
    assert ax.figure.get_suptitle() == "Our RMSE above the printed one:\nset 1 +0.080"
    (ax,) = plot_printed(PRINTED[:0]).axes
    assert ax.figure.get_suptitle().endswith("no method of Table 3 was run")

"""The figures of searches and of the best settings: that they draw what they are given, and say what it is."""

import pandas as pd
import pytest
from drawings import NAN, inside, marks, ticks
from flexstudy.best import plot_ablation, plot_found, plot_tries
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def tries(*above, split="seed 0"):
    """Of which the search begins with two."""
    rows = [(split, place, place < 3, value) for place, value in enumerate(above, 1)]
    return pd.DataFrame(rows, columns=["split", "place", "is_first", "above"])


def test_a_try_is_a_dot_at_its_place():
    both = pd.concat([tries(0.01, 0.0, 0.02), tries(NAN, 0.03, 0.0, 3.0, split="seed 1")])
    figure = plot_tries({"few": both, "many": tries(0.0, 0.02)})
    left, right = figure.axes
    assert figure.get_suptitle() == "In 2 of 3 searches the best try\nis one that the search begins with"
    assert [ax.get_title(loc="left") for ax in (left, right)] == ["few, 2 searches", "many, 1 search"]
    first, later = left.get_lines()
    assert (first.get_color(), first.get_fillstyle(), later.get_fillstyle()) == (COLOURS["holdout"], "full", "none")
    assert first.get_xydata().tolist() == [[0.01, 1], [0.0, 2], [0.03, 2]]
    assert later.get_xydata().tolist() == [[0.02, 3], [0.0, 3], [0.075, 4]]  # the last one at the frame
    assert [text.get_text() for text in right.texts] == ["begins with"]  # beside the second panel, where one is
    assert not left.texts
    assert [text.get_text() for text in plot_tries({"few": both}).axes[0].texts] == ["begins with", "proposed"]
    assert left.yaxis_inverted()
    assert (figure.get_supxlabel(), figure.get_supylabel()) == (
        "validation RMSE above the lowest of the search (stars)",
        "place in the search",
    )


@pytest.mark.parametrize("cases", [1, 2, 3])
def test_searches_that_only_make_their_first_tries_are_laid_out(cases):
    plot_tries({f"case {k}": tries(0.0, 0.1) for k in range(cases)})  # a warning is an error here


def test_what_was_found_is_drawn_by_its_distance_to_the_biases():
    rows = [
        ("few", "one network", 3, -0.04, -0.05, -0.03),
        ("few", "BPMF", 2, -0.02, -0.03, -0.01),
        ("many", "one network", 1, -0.05, NAN, NAN),
        ("more", "FlexEncoder, set 1", 3, 0.03, 0.02, 0.04),
    ]
    figure = plot_found(pd.DataFrame(rows, columns=["case", "what", "n", "gap", "low", "high"]))
    few, many, more, empty = figure.axes
    assert [ax.get_title(loc="left") for ax in (few, many, more)] == ["few, n = 3", "many, n = 1", "more, n = 3"]
    assert not empty.get_visible()
    assert ticks(few.yaxis) == ["one network", "BPMF", "FlexEncoder, set 1"]
    drawn = [next(iter(marks(ax).values()))[:3] for ax in (few, many, more)]
    assert [(x, y) for x, y, _ in drawn] == [([-0.04, -0.02], [0, 1]), ([-0.05], [0]), ([0.03], [2])]
    assert [end[0] for end in drawn[0][2][0]] == pytest.approx([-0.05, -0.03])
    assert [end[0] for end in drawn[1][2][0]] == [-0.05, -0.05]
    assert few.yaxis_inverted()
    for ax, x, y in [(few, -0.05, 0), (more, 0.04, 2)]:
        assert inside(ax, x, y)


ABLATION = pd.DataFrame(
    [
        ("the other pivot", 4, 0.05, 0.04, 0.06),
        ("no noise", 1, 0.01, NAN, NAN),
        ("one re-feeding", 4, -0.002, -0.03, 0.0),
    ],
    columns=["change", "n", "changed_by", "low", "high"],
)


def test_changes_of_the_best_settings_are_drawn_the_worst_first():
    (ax,) = plot_ablation(ABLATION, "here").axes
    assert ax.figure.get_suptitle() == "Most harm: the other pivot\nhere"
    assert ax.get_xlabel() == "change of validation RMSE (stars)\nright: worse"
    assert ticks(ax.yaxis) == ["the other pivot (4)", "no noise (1)", "one re-feeding (4)"]
    assert ax.yaxis_inverted()
    ((x, y, spans, colour),) = marks(ax).values()
    assert (x, y, colour) == ([0.05, 0.01, -0.002], [0, 1, 2], COLOURS["holdout"].lower())
    expected = [[0.04, 0.06], [0.01, 0.01], [-0.03, 0.0]]
    assert [[end[0] for end in span] for span in spans] == [pytest.approx(ends) for ends in expected]
    assert any(list(line.get_xdata()) == [0, 0] for line in ax.get_lines())
    for x, y in [(0.06, 0), (0.01, 1), (-0.03, 2)]:
        assert inside(ax, x, y)


def test_changes_may_all_do_good_or_none_was_measured():
    for table in (ABLATION[2:], ABLATION[:0]):
        (ax,) = plot_ablation(table.reset_index(drop=True), "here").axes
        assert ax.figure.get_suptitle() == "No change does harm\nhere"

"""The figures of generalization: that they draw what they are given, and say what it is."""

import pandas as pd
import pytest
from drawings import HOLDOUT, NAN, RELEASED, legend, marks, ticks
from flexstudy.generalization import RANKED_GROUPS, plot_agreement, plot_ranks, plot_sets_on_both
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def summary_of(published=0.9, lost=2):
    rows = [
        {"setting": f"table2:{k}", "protocol": protocol, "mean": mean, "low": mean - 0.01, "high": mean + 0.02}
        | {"published": published, "item_mean": 0.95, "diverged": lost * (mean != mean)}
        for protocol, means in (("released", (0.9, NAN)), ("described", (1.0, 1.0)), ("holdout", (0.92, 1.1)))
        for k, mean in enumerate(means, start=1)
    ]
    return pd.DataFrame(rows)


SMALL_SETS = pd.DataFrame(
    {
        "setting": ["table2:1", "table2:1", "table2:2", "table2:1", "table2:2"],
        "protocol": ["released", "released", "released", "holdout", "holdout"],
        "rmse": [0.8, 0.9, 0.7, 0.95, 1.0],
    }
)


def test_sets_are_drawn_on_both_data_sets_by_protocol():
    figure = plot_sets_on_both(summary_of(), SMALL_SETS, ("few", "many"))
    for ax, protocol, word, small, large in zip(
        figure.axes,
        ("released", "holdout"),
        (RELEASED, HOLDOUT),
        ([0.85, 0.7], [0.95, 1.0]),
        ([0.9], [0.92, 1.1]),
        strict=True,
    ):
        count = "1 of 1" if protocol == "released" else "1 of 2"
        assert ax.get_title(loc="left") == f"{word}\n{count} score higher on the larger"
        own = {line.get_fillstyle(): line for line in ax.get_lines() if line.get_marker() in "os"}
        assert own["none"].get_xdata().tolist() == pytest.approx(small)
        assert [x for x in own["full"].get_xdata() if x == x] == pytest.approx(large)
        assert {line.get_color() for line in own.values()} == {COLOURS[protocol]}
        (mean,) = (line for line in ax.get_lines() if line.get_linestyle() == "--")
        assert mean.get_xdata()[0] == 0.95
        (printed,) = (line for line in ax.get_lines() if line.get_marker() == "x")
        assert list(printed.get_xdata()) == [0.9, 0.9]
    assert [text.get_text() for text in figure.axes[0].texts] == ["diverges"]
    assert "Figure 5" in figure.get_supxlabel()
    unknown = plot_sets_on_both(summary_of(NAN, lost=0), SMALL_SETS, ("few", "many"))
    assert "Figure 5" not in unknown.get_supxlabel()
    assert [text.get_text() for text in unknown.axes[0].texts] == ["skipped"]


def test_agreement_has_a_row_a_group_with_its_interval():
    values = [0.9, 0.8, 0.4, 0.7, 0.6, NAN, 0.5]
    table = pd.DataFrame({"group": list(RANKED_GROUPS), "n": range(7), "spearman": values})
    table = table.assign(low=table["spearman"] - 0.1, high=table["spearman"] + 0.05)
    (ax,) = plot_agreement({"released": table.assign(spearman=0.1, low=0.0, high=0.2), "holdout": table}).axes
    labels = [" ".join(text.split()) for text in ticks(ax.yaxis)]
    assert labels == [f"{group} ({n})" for n, group in enumerate(RANKED_GROUPS)]
    x, _, spans, colour = marks(ax)[HOLDOUT]
    assert (x[:5], colour.upper()) == (values[:5], COLOURS["holdout"])
    assert [end[0] for end in spans[0]] == pytest.approx([0.8, 0.95])
    assert legend(ax) == [RELEASED, HOLDOUT]
    assert ax.get_title(loc="left").endswith("\n0.70 item-based, 0.60 user-based, 0.40 both")


def test_ranks_of_settings_with_mean_normalization_are_drawn_by_pivot():
    table = pd.DataFrame(
        {
            "small": [0.7, 0.9, 0.8, 1.5],
            "big": [1.0, 0.9, 0.95, 0.8],
            "pivot_indexes": ["[0, 1]", "[1, 0]"] * 2,
            "mean_normalization": [True, True, True, False],
        }
    )
    (ax,) = plot_ranks(table, ("few", "many")).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rank of RMSE on few (1: lowest)", "rank on many")
    points = {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines() if line.get_marker() in "os"}
    assert points == {"user-based (2)": [[1, 3], [2, 2]], "item-based (1)": [[3, 1]]}
    assert legend(ax) == list(points)
    assert "user-based settings on the\nsmaller set, item-based ones on the larger" in ax.get_title(loc="left")
    assert len(plot_ranks(table[:1], ("few", "many")).axes) == 1

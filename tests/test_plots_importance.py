"""The figure of importance: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import HOLDOUT, RELEASED, legend, marks, ticks
from flexstudy.importance import plot_importance
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def mains_table(shares, noise):
    known = {"factor": list(shares), "share": list(shares.values()), "noise": noise}
    return pd.DataFrame(known).assign(
        low=lambda t: t["share"] - 0.01, high=lambda t: t["share"] + 0.02, direct=lambda t: t["share"] - 0.05
    )


def drawn_importance(most=8):
    released = mains_table({"MeN": 0.4, "Opt": 0.1, "LR": 0.02, "Ep": 0.01}, 0.05)
    holdout = mains_table({"MeN": 0.3, "LR": 0.2, "Ep": 0.015, "Opt": 0.01}, 0.06)
    holdout.loc[3, ["low", "high"]] = [0.015, 0.02]  # a bootstrap's interval may lie beside the value
    (ax,) = plot_importance(
        {"released": released, "holdout": holdout}, "here", {"released": 9, "holdout": 8}, most
    ).axes
    return ax


def test_importance_has_the_order_of_the_leak_free_protocol():
    ax = drawn_importance()
    assert ticks(ax.yaxis) == ["mean normalization", "learning rate", "epochs", "optimizer"]
    found = marks(ax)
    first, second = f"{RELEASED}, n = 9", f"{HOLDOUT}, n = 8"
    assert found[first][0] == pytest.approx([40, 2, 1, 10])
    assert found[second][0] == pytest.approx([30, 20, 1.5, 1])
    assert [end[0] for end in found[first][2][0]] == pytest.approx([39, 42])
    assert [end[0] for end in found[second][2][3]] == pytest.approx([1, 2])
    for protocol, noise, direct in (("released", 5, [35, 0, 0, 5]), ("holdout", 6, [25, 15, 0, 0])):
        own = [line for line in ax.get_lines() if line.get_color() == COLOURS[protocol]]
        (chance,) = (line for line in own if line.get_linestyle() == ":")
        assert list(chance.get_xdata()) == pytest.approx([noise, noise])
        (hollow,) = (line for line in own if line.get_fillstyle() == "none")
        assert list(hollow.get_xdata()) == pytest.approx(direct)
    assert legend(ax) == [first, second]
    assert ax.get_title(loc="left").startswith("Mean normalization explains 30 %, the next parameter 20 %\nhere, ")
    assert "%" in ax.get_xlabel()


def test_importance_shows_what_is_largest_under_any_protocol():
    assert ticks(drawn_importance(3).yaxis) == ["mean normalization", "learning rate", "optimizer"]


def test_where_no_tree_could_split_no_parameter_is_named():
    nothing = mains_table({"MeN": 0.0, "LR": 0.0}, 0.0)
    (ax,) = plot_importance({"holdout": nothing}, "here", {"holdout": 3}).axes
    assert ax.get_title(loc="left").startswith("No parameter explains anything: too few runs")

"""The figures of importance and dependence: that they draw what they are given, and say what it is."""

import numpy as np
import pandas as pd
import pytest
from drawings import HOLDOUT, RELEASED, legend, lines, marks, ticks
from flexstudy.importance import plot_dependence, plot_importance
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def mains_table(shares, noise):
    known = {"factor": list(shares), "share": list(shares.values()), "noise": noise}
    return pd.DataFrame(known).assign(low=lambda t: t["share"] - 0.01, high=lambda t: t["share"] + 0.02)


def test_importance_keeps_the_order_of_the_first_protocol():
    released = mains_table({"MeN": 0.4, "Opt": 0.1, "LR": 0.02}, 0.05)
    holdout = mains_table({"MeN": 0.3, "LR": 0.2, "Opt": 0.01}, 0.06)
    holdout.loc[2, ["low", "high"]] = [0.015, 0.02]  # a bootstrap's interval may lie beside the value
    (ax,) = plot_importance({"released": released, "holdout": holdout}, "here", {"released": 9, "holdout": 8}).axes
    assert ticks(ax.yaxis) == ["MeN", "Opt", "LR"]
    found = marks(ax)
    first, second = f"{RELEASED}, n = 9 runs", f"{HOLDOUT}, n = 8 runs"
    assert found[first][0] == pytest.approx([40, 10, 2])
    assert found[second][0] == pytest.approx([30, 1, 20])
    assert [end[0] for end in found[first][2][0]] == pytest.approx([39, 42])
    assert [end[0] for end in found[second][2][1]] == pytest.approx([1, 2])
    for protocol, word, noise in (("released", RELEASED, 5), ("holdout", HOLDOUT, 6)):
        (line,) = lines(ax, f"{word}: reached by chance")
        assert list(line.get_xdata()) == pytest.approx([noise, noise])
        assert line.get_color() == COLOURS[protocol]
    assert len(legend(ax)) == 4
    assert "%" in ax.get_xlabel()


def dependence_table(values):
    rows = [
        {"factor": factor, "level": level, "value": value, "low": value - 0.1, "high": value + 0.1}
        for (factor, level), value in values.items()
    ]
    return pd.DataFrame(rows).astype({"level": object})


def test_dependence_has_a_panel_a_factor_and_a_line_a_protocol():
    values = {
        ("MeN", False): 0.7,
        ("MeN", True): 0.3,
        ("PI", "[0, 1]"): 0.4,
        ("PI", "[1, 0]"): 0.6,
        ("Ep", 1): 0.5,
        ("Ep", 2): 0.45,
        ("Ep", 10): 0.55,
    }
    other = {key: value + 0.05 for key, value in values.items()}
    tables = {"released": dependence_table(values), "holdout": dependence_table(other)}
    figure = plot_dependence(tables, ["PI", "MeN", "Ep"], "here")
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == ["PI", "MeN", "Ep"]
    assert [ticks(ax.xaxis) for ax in shown] == [["user", "item"], ["off", "on"], ["1", "2", "10"]]
    for ax, factor in zip(shown, ("PI", "MeN", "Ep"), strict=True):
        for word, table in ((RELEASED, values), (HOLDOUT, other)):
            x, y, spans, _ = marks(ax)[word]
            assert y == [value for (name, _), value in table.items() if name == factor]
            assert np.round(x).tolist() == list(range(len(y)))
            assert [end[1] for end in spans[0]] == pytest.approx([y[0] - 0.1, y[0] + 0.1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [RELEASED, HOLDOUT]
    assert "mean rank" in figure.get_supylabel() + figure.get_suptitle()


def test_levels_stand_at_their_own_place_though_a_protocol_lacks_one():
    """No run with 0.01 was made as released, so that its levels are fewer."""
    tables = {
        "holdout": dependence_table({("LR", 0.01): 0.5, ("LR", 0.1): 0.6, ("LR", 1.0): 0.7}),
        "released": dependence_table({("LR", 0.1): 0.1, ("LR", 1.0): 0.2}),
    }
    ax = plot_dependence(tables, ["LR"], "here").axes[0]
    assert ticks(ax.xaxis) == ["0.01", "0.1", "1.0"]
    assert np.round(marks(ax)[RELEASED][0]).tolist() == [1, 2]

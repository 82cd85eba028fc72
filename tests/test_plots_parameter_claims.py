"""The figure of claims on parameters: that it draws what it is given, and says what it is."""

import math

import pandas as pd
import pytest
from drawings import HOLDOUT, NAN, RELEASED, legend, marks, ticks
from flexstudy.parameter_claims import plot_choices, plot_claims
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def claims_table(effects):
    rows = [
        {
            "claim": 3 + k,
            "what": f"thing {k}, against others",
            "effect": effect,
            "low": effect - 0.1,
            "high": effect + 0.1,
            "p": p,
        }
        for k, (effect, p) in enumerate(effects)
    ]
    return pd.DataFrame(rows)


def test_claims_are_filled_where_they_differ_from_a_half():
    tables = {
        "released": claims_table([(0.8, 0.01), (0.55, 0.3), (NAN, NAN)]),
        "holdout": claims_table([(0.5, 0.9), (0.45, 1.0), (0.2, 0.049)]),
    }
    (ax,) = plot_claims(tables, "here").axes
    for protocol, filled, empty in (("released", [0.8], [0.55]), ("holdout", [0.2], [0.5, 0.45])):
        own = [line for line in ax.get_lines() if line.get_color() == COLOURS[protocol] and line.get_marker() in "os"]
        by_style = {line.get_fillstyle(): [x for x in line.get_xdata() if math.isfinite(x)] for line in own}
        assert by_style == {"full": filled, "none": empty}
    spans = [spans for _, _, spans, _ in marks(ax).values()]
    ends = [[end[0] for end in span] for own in spans for span in own]
    assert any(pair == pytest.approx([0.7, 0.9]) for pair in ends)
    assert any(pair == pytest.approx([0.1, 0.3]) for pair in ends)
    assert ticks(ax.yaxis) == [f"thing {k}, against others" for k in range(3)]
    assert ax.get_title(loc="left") == f"Clearly better with 0 of 3 properties, worse with 1\nhere, {HOLDOUT}"
    assert legend(ax) == [RELEASED, HOLDOUT]
    assert "Holm" in ax.get_legend().get_title().get_text()
    assert ax.get_xlim() == (0, 1)
    assert "chance" in ax.get_xlabel()


def test_choices_are_drawn_with_their_intervals_and_how_many_learned():
    rows = [
        ("activation", "tanh", 0.9, 0.88, 0.92, 1.0),
        ("activation", "relu", NAN, NAN, NAN, 0.0),
        ("activation", "elu", 0.93, NAN, NAN, 0.25),
        ("optimizer", "adam", 0.91, 0.9, 0.92, 0.5),
    ]
    table = pd.DataFrame(rows, columns=["parameter", "choice", "mean", "low", "high", "learned"])
    figure = plot_choices(table, "here")
    upper, lower = figure.axes
    assert (ticks(upper.yaxis), ticks(lower.yaxis)) == (["tanh (100 %)", "elu (25 %)"], ["adam (50 %)"])
    titles = ["activation: 0.030 stars apart", "optimizer: 0.000 stars apart"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == titles
    (points,) = (line.get_xdata().tolist() for line in lower.get_lines() if line.get_marker() == "s")
    assert points == [0.91]
    ends = [[end[0] for end in span] for _, _, spans, _ in marks(lower).values() for span in spans]
    assert any(pair == pytest.approx([0.9, 0.92]) for pair in ends)
    assert "stars" in lower.get_xlabel()
    assert "here" in figure.get_suptitle()

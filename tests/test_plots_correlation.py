"""The figure of correlations with the RMSE: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import NAN, marks, ticks
from flexstudy.correlation import SOURCES, plot_rmse_columns

pytestmark = pytest.mark.usefixtures("drawn")
WORDS = {name: look.words for name, look in SOURCES.items()}


def columns_of(log=True):
    names = ["LR", "MeN", "Ep"]
    pearson = pd.DataFrame({"paper": [0.1, 0.01, 0.2], "log": [0.12, -0.68, NAN]}, index=names)
    ranks = pd.DataFrame({"log": [0.3, -0.7, NAN], "holdout": [0.1, -0.75, 0.2]}, index=names)
    ranks = ranks.assign(**{"holdout low": ranks["holdout"] - 0.05, "holdout high": ranks["holdout"] + 0.1})
    if not log:
        pearson, ranks = pearson[["paper"]], ranks.drop(columns="log")
    return {"pearson": pearson, "spearman": ranks}


def test_parameters_are_rows_of_both_panels_the_strongest_first():
    figure = plot_rmse_columns(columns_of(), "here")
    linear, ranked = figure.axes
    assert ticks(linear.yaxis) == ["mean normalization", "epochs", "learning rate"]
    assert linear.yaxis_inverted()
    x, y, spans, colour = marks(ranked)[WORDS["holdout"]]
    assert x == [-0.75, 0.2, 0.1]
    assert [round(place) for place in y] == [0, 1, 2]
    assert [end[0] for end in spans[0]] == pytest.approx([-0.8, -0.65])
    assert colour.upper() == SOURCES["holdout"].colour
    assert marks(linear)[WORDS["paper"]][0] == [0.01, 0.2, 0.1]
    assert marks(linear)[WORDS["log"]][0][0] == -0.68
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        WORDS[n] for n in ("paper", "log", "holdout")
    ]
    assert (linear.get_xlabel(), ranked.get_xlabel()) == ("linear correlation", "correlation of ranks")


def test_the_title_names_what_is_farthest_off_where_there_is_a_log():
    with_log, without = (plot_rmse_columns(columns_of(log), "here").get_suptitle() for log in (True, False))
    assert with_log == "Mean normalization: Figure 4 prints 0.01, its log has -0.68\nhere"
    assert without == "Correlation of each parameter with the RMSE\nhere"

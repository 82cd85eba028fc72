"""The figure of ranks: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import NAN, RELEASED, legend
from flexstudy.generalization import plot_ranks
from flexstudy.style import COLOURS

pytestmark = pytest.mark.usefixtures("drawn")


def test_ranks_are_drawn_against_each_other_by_pivot_and_centring():
    table = pd.DataFrame(
        {
            "small": [0.9, 0.7, 0.8, 1.5],
            "big": [1.0, 0.9, 0.95, 0.8],
            "pivot_indexes": ["[0, 1]", "[1, 0]"] * 2,
            "mean_normalization": [True, True, True, False],
        }
    )
    figure = plot_ranks(
        {"released": table, "holdout": table[:2]},
        {"released": (0.31, -0.2, 0.7), "holdout": (NAN, NAN, NAN)},
        ("few", "many"),
    )
    above, below = figure.axes
    assert (above.get_xlabel(), above.get_ylabel()) == ("rank of RMSE on few", "rank of RMSE on many")
    assert above.get_title(loc="left") == f"{RELEASED}, n = 4\nSpearman 0.31 (-0.20 to 0.70)"
    points = {line.get_label(): line.get_xydata().tolist() for line in above.get_lines()}
    assert points == {
        "user-based, with mean normalization": [[3, 4], [2, 3]],
        "user-based, without mean normalization": [],
        "item-based, with mean normalization": [[1, 2]],
        "item-based, without mean normalization": [[4, 1]],
    }
    assert {line.get_color() for line in above.get_lines()} == {COLOURS["released"]}
    assert {line.get_color() for line in below.get_lines()} == {COLOURS["holdout"]}
    assert set(legend(below)) == set(points)
    assert len(plot_ranks({"holdout": table}, {"holdout": (0.3, 0.1, 0.5)}, ("a", "b")).axes) == 1

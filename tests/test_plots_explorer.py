"""The explorer's figure of its grids: that it draws what it is given, and says what it is."""

import pandas as pd
import pytest
from drawings import NAN
from flexexplorer.figures import plot_tuning

pytestmark = pytest.mark.usefixtures("drawn")


def test_tuning_is_drawn_with_the_leak_against_without_it():
    def table(pairs):
        rows = [
            {"cell": (k,), "protocol": protocol, "mean": mean}
            for k, pair in enumerate(pairs)
            for protocol, mean in zip(("released", "holdout"), pair, strict=True)
        ]
        return pd.DataFrame(rows)

    tables = {
        "sizes": table([(0.8, 0.91), (1.1, 0.93), (0.9, NAN), (40.0, 0.92)]),
        "rates": table([(0.82, 0.915), (0.93, 0.96)]),
    }
    figure = plot_tuning(tables, "A title")
    sizes, rates = figure.axes
    assert sizes.get_title(loc="left") == "sizes\nn = 2 cells; 2 left out"
    assert rates.get_title(loc="left") == "rates\nn = 2 cells"
    for ax, points in ((sizes, [(0.8, 0.91), (1.1, 0.93)]), (rates, [(0.82, 0.915), (0.93, 0.96)])):
        (drawn,) = (line for line in ax.get_lines() if line.get_marker() == "o")
        assert list(zip(drawn.get_xdata(), drawn.get_ydata(), strict=True)) == points
        assert ax.get_xlim() == ax.get_ylim() == pytest.approx((0.78, 1.12))
        assert any(line.get_xdata().tolist() == line.get_ydata().tolist() for line in ax.get_lines() if line != drawn)
    assert (figure.get_supxlabel(), sizes.get_ylabel()) == ("leaky RMSE (stars)", "leak-free RMSE (stars)")
    empty = plot_tuning({"sizes": table([(NAN, NAN)])}, "t")
    assert empty.axes[0].get_title(loc="left") == "sizes\nn = 0 cells; 1 left out"

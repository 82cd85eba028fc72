"""The explorer's figures of its grids: that they draw what they are given, and say what it is."""

import numpy as np
import pandas as pd
import pytest
from drawings import HOLDOUT, NAN, RELEASED, marks, ticks
from flexexplorer.figures import plot_grid, plot_tuning
from flexstudy.style import words_of

pytestmark = pytest.mark.usefixtures("drawn")


def grid_of(cells, *names):
    """A table of a grid by cell: n, mean, low and high; held-out ratings are 0.1 stars higher."""
    rows = []
    for cell, (n, *ends) in cells.items():
        for protocol, more in (("released", 0), ("holdout", 0.1)):
            row = dict(zip(names, cell, strict=True)) | {"cell": cell, "protocol": protocol, "values": [], "n": n}
            rows.append(row | {"notes": ""} | dict(zip(("mean", "low", "high"), np.add(ends, more), strict=True)))
    return pd.DataFrame(rows)


def panels_by_title(figure):
    return {tuple(ax.get_title(loc="left").split("\n")): ax for ax in figure.axes}


def test_a_grid_is_drawn_by_its_first_two_parameters_with_a_panel_for_the_others():
    values = {"a": ("x", "y", "z"), "b": (1, 2), "with_c": (True, False), "d": ((0, 1), (1, 0))}
    cells = {
        (a, b, c, d): (3, 0.8 + place / 100, 0.79 + place / 100, 0.81 + place / 100)
        for place, (a, b, c, d) in enumerate(
            (a, b, c, d) for a in values["a"] for b in values["b"] for c in values["with_c"] for d in values["d"]
        )
    }
    figure = plot_grid(grid_of(cells, *values), "A title\nhere")
    assert figure.get_suptitle() == "A title\nhere; 3 splits each"  # for no mean is far above the lowest
    highest = max(mean for _, mean, *_ in cells.values()) + 0.1
    assert highest < figure.axes[0].get_ylim()[1] < highest + 0.05
    panels = panels_by_title(figure)
    assert len(panels) == len(figure.axes) == 2 * 4
    for c in values["with_c"]:
        for d in values["d"]:
            for protocol, word, more in (("released", RELEASED, 0), ("holdout", HOLDOUT, 0.1)):
                ax = panels[words_of(protocol), f"with c {'on' if c else 'off'}", f"d {d[0]} {d[1]}"]
                assert word == words_of(protocol)
                found = marks(ax)
                assert set(found) == {"1", "2"}
                for b in values["b"]:
                    x, y, spans, _ = found[str(b)]
                    means = [cells[a, b, c, d][1] + more for a in values["a"]]
                    assert y == pytest.approx(means)
                    assert [round(place) for place in x] == [0, 1, 2]
                    ends = [sorted(end[1] for end in span) for span in spans]
                    assert ends == [pytest.approx([mean - 0.01, mean + 0.01]) for mean in means]
                assert len({(line[0], line[1]) for line in zip(found["1"][0], found["2"][0], strict=True)}) == 3
    assert ticks(figure.axes[-1].xaxis) == ["x", "y", "z"]
    assert [ax.get_xlabel() for ax in figure.axes[-2:]] == ["a", "a"]
    (held,) = figure.legends
    assert [text.get_text() for text in held.get_texts()] == ["1", "2"]
    assert len({found[3] for found in marks(figure.axes[0]).values()}) == 2


def test_a_grid_of_one_parameter_or_with_gaps():
    cells = {
        ("one",): (3, 0.8, 0.7, 0.9),
        ("two",): (1, 0.9, NAN, NAN),
        ("three",): (0, NAN, NAN, NAN),
        ("four",): (3, 2.0, 1.0, 3.0),
        ("five",): (2, 1.25, -9.0, 11.5),
    }
    figure = plot_grid(grid_of(cells, "layers"), "A title")
    left, right = figure.axes
    assert not figure.legends
    for ax, more in ((left, 0), (right, 0.1)):
        ((x, y, spans, _),) = marks(ax).values()
        assert x == [0, 1, 2, 3, 4]
        # Nothing for what has no mean; at the edge, without its bar, what is far above the lowest
        assert y == pytest.approx([0.8 + more, 0.9 + more, NAN, 1.3, min(1.25 + more, 1.3)], nan_ok=True)
        ends = [sorted(end[1] for end in span) for span in spans]
        assert ends[0] == pytest.approx([0.7 + more, 0.9 + more])
        assert np.isnan([*ends[1], *ends[3]]).all()
        low, high = ax.get_ylim()
        assert low < 0.8
        assert 1.3 < high < 1.4
    assert figure.get_suptitle() == "A title; at most 3 splits each; above 1.30 drawn there"
    empty = grid_of({("one",): (0, NAN, NAN, NAN)}, "layers")
    assert len(plot_grid(empty, "t").axes) == 2


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

"""The figure of compared methods shows the table's numbers whatever the data's name, and is the same file each time."""

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from drawings import marks, ticks
from matplotlib.figure import Figure

from flexlib.serving.figures import draw_comparison, write_comparison

NAMES = {"als": "ALS", "biases": "User and item biases", "rbm": "RBM-CF"}
LONG = "/home/ada/" + "ratings-of-2019,with_all_films " * 4
SVG = "{http://www.w3.org/2000/svg}"


def scores(lists=True, **changed):
    """RMSE of 0.9, 0.8 and 0.85, and nDCG of which the last method has the highest."""
    found = {"als": (0.9, 0.2), "biases": (0.8, 0.1), "rbm": (0.85, 0.3)} | changed
    rows = []
    for method, (rmse, ndcg) in found.items():
        rows.append((method, "RMSE", rmse, rmse - 0.02, rmse + 0.03))
        rows.append((method, "MAE", 0.7, 0.6, 0.8))
        if lists:
            rows += [(method, "nDCG@5", ndcg, ndcg - 0.01, ndcg + 0.04), (method, "recall@5", 0.1, 0.05, 0.15)]
    return pd.DataFrame(rows, columns=["method", "measure", "value", "low", "high"])


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_a_row_a_method_and_a_panel_a_measure():
    figure = draw_comparison(scores(), NAMES, "my.csv", 3)
    left, right = figure.axes
    assert texts(figure)[0] == "User and item biases has the lowest RMSE, 0.800 stars, on my.csv"
    assert texts(figure)[-1].startswith("3 splits; ")
    assert left.get_xlabel().startswith("RMSE (stars)")
    assert right.get_xlabel().startswith("nDCG@5 (0 to 1)")
    assert ticks(left.yaxis) == ["User and item biases", "RBM-CF", "ALS"]
    assert left.yaxis_inverted()
    for ax, measure, values in ((left, "RMSE", [0.8, 0.85, 0.9]), (right, "nDCG@5", [0.1, 0.3, 0.2])):
        below, above = (0.02, 0.03) if measure == "RMSE" else (0.01, 0.04)
        ((x, y, spans, _),) = marks(ax).values()
        assert x == pytest.approx(values)
        assert y == [0, 1, 2]
        expected = [[[value - below, k], [value + above, k]] for k, value in enumerate(values)]
        np.testing.assert_allclose(spans, expected)
    # Only the best of a panel is filled, which is told from the others in black and white too.
    for ax, best in ((left, (0.8, 0)), (right, (0.3, 1))):
        filled = [line.get_xydata().tolist() for line in ax.lines if line.get_markerfacecolor() == line.get_color()]
        assert [list(best)] in filled
        (open_ones,) = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
        assert len(open_ones.get_xdata()) == 3


def test_without_lists_there_is_one_panel():
    (ax,) = draw_comparison(scores(lists=False), NAMES, "my.csv", 1).axes
    assert ax.get_xlabel().startswith("RMSE")
    assert texts(ax.figure)[-1].startswith("1 split; ")


def shape(name, methods):
    """Height of a row in inches; checks that all that is written is on the figure."""
    names = {f"m{k}": f"Method {k}, of a name of two lines" for k in range(methods)}
    values = {f"m{k}": (0.9 + k / 100, 0.2) for k in range(methods)}
    table = scores(**values).query("method in @names")
    figure = draw_comparison(table, names, name, 3)
    figure.draw_without_rendering()
    for text in [*figure.texts, *figure.axes[0].get_yticklabels()]:
        (left, bottom), (right, top) = text.get_window_extent().get_points()
        assert 0 <= left < right <= figure.bbox.width, text
        assert 0 <= bottom < top <= figure.bbox.height, text
    ends = [text.get_window_extent() for text in figure.texts]
    assert all(above.y0 > below.y1 - 1 for above, below in itertools.pairwise(ends))
    assert ends[-1].y0 > figure.axes[0].get_window_extent().y1
    labels = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(labels))
    return figure.axes[0].get_window_extent().height / figure.dpi / methods


@pytest.mark.parametrize("methods", [1, 2, 12])
def test_rows_keep_their_height_whatever_the_name(methods):
    heights = [shape(name, methods) for name in ("a", LONG, "x" * 300, LONG * 5)]
    assert heights == pytest.approx([heights[0]] * 4, abs=1e-6)
    assert heights[0] == pytest.approx(0.4, abs=0.03)  # letters are drawn on whole pixels


def test_a_long_name_is_there_as_a_whole():
    figure = draw_comparison(scores(), NAMES, "x" * 300, 3)
    assert "".join(texts(figure)[:-1]).count("x") == 300


def test_the_file_is_the_same_each_time_whatever_the_readers_style(tmp_path):
    paths = [tmp_path / f"{k}.svg" for k in range(2)]
    write_comparison(scores(), NAMES, "my.csv", 3, paths[0])
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": None, "axes.facecolor": "red", "figure.autolayout": True}):
        before = dict(mpl.rcParams)
        write_comparison(scores(), NAMES, "my.csv", 3, paths[1])
        assert dict(mpl.rcParams) == before
    assert paths[0].read_bytes() == paths[1].read_bytes()
    root = ET.parse(paths[0]).getroot()
    assert root.find(f"{SVG}title").text == "Methods compared on my.csv"
    assert "date" not in paths[0].read_text().lower()
    (told,) = root.iter("{http://purl.org/dc/elements/1.1/}description")
    assert "User and item biases 0.800 (0.780 to 0.830); RBM-CF 0.850" in told.text
    written = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert {"RBM-CF", "ALS"} <= set(written)


@pytest.mark.parametrize("name", ["$5$ $\\frac$.csv", "\u8bc4\u5206.csv", "a\nb\x07\udcff.csv", "<&>.csv"])
def test_any_name_makes_a_file_that_can_be_read(tmp_path, name):
    write_comparison(scores(), NAMES, name, 3, tmp_path / "a.svg")
    root = ET.parse(tmp_path / "a.svg").getroot()
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    assert root.find(f"{SVG}title").text == f"Methods compared on {shown}"
    assert any("".join(text.itertext()).endswith(shown) for text in root.iter(f"{SVG}text"))


def test_a_method_without_a_score_has_an_empty_row(tmp_path):
    none = (np.nan, np.nan)
    figure = draw_comparison(scores(biases=none), NAMES, "my.csv", 3)
    assert texts(figure)[0].startswith("RBM-CF has the lowest RMSE, 0.850 stars")
    assert ticks(figure.axes[0].yaxis) == ["RBM-CF", "ALS", "User and item biases"]
    write_comparison(scores(als=none, biases=none, rbm=none), NAMES, "my.csv", 3, tmp_path / "a.svg")
    assert "No method has a score, on my.csv" in (tmp_path / "a.svg").read_text()
    single = scores().assign(low=np.nan, high=np.nan)  # a single user has no interval
    write_comparison(single, NAMES, "my.csv", 3, tmp_path / "b.svg")


def test_a_figure_that_cannot_be_written_leaves_the_one_before(tmp_path, refused, monkeypatch):
    path = tmp_path / "a.svg"
    path.write_text("before")

    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    refused(lambda: write_comparison(scores(), NAMES, "my.csv", 3, path), "a.svg", "No space left")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_drawn_without_a_window():
    code = "import sys, flexlib.serving.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_interval_beside_its_value_is_drawn_from_the_value_on():
    table = scores(lists=False)
    table.loc[(table["method"] == "als") & (table["measure"] == "RMSE"), ["low", "high"]] = [0.91, 0.95]
    (ax,) = draw_comparison(table, NAMES, "my.csv", 2).axes
    ((_, _, spans, _),) = marks(ax).values()
    np.testing.assert_allclose(spans[2], [[0.9, 2], [0.95, 2]])

"""The explorer's pictures, read back from what is drawn."""

import math
import re

import numpy as np
import pytest
from explorer_records import TEXTS
from flexexplorer import pictures
from flexexplorer.pictures import Curve
from hypothesis import given, settings
from hypothesis import strategies as st
from markup import end_of_axis, heights, parsed, points, rows, scale, steps, words

NAN = math.nan


def test_curves_go_through_their_values_and_leave_out_what_is_not_there():
    series = [
        Curve("#000001", False, [1.1, 0.85, NAN, 1.0]),
        Curve("#000001", True, [1.3, 0.8, 0.7, 0.6]),
        Curve("#000002", False, [None, 50.0, math.inf, 0.7]),
        Curve("#000003", False, []),
        Curve("#000004", False, [1.2, 1.4, 1.6, 2.1]),
        Curve("#000004", True, [9.0, 1.24, 1.26, 30.0]),
    ]
    (svg,) = parsed(pictures.curves(series, "t"))
    (at, per), (low, up) = scale(svg, "middle"), scale(svg, "end")
    assert up < 0 < per  # more stars stand higher
    drawn = {key: [(at + per * x, low + up * y) for x, y in pairs] for key, pairs in points(svg).items()}
    top = 1.25  # a quarter above 1.0, as 2.1 is three times 0.7
    assert top == end_of_axis(series)
    assert words(svg).endswith("RMSE (stars), 1.25 or more at the edge")
    assert min(y for pairs in points(svg).values() for _, y in pairs) >= 0
    for one in series:
        kept = [(k, min(v, top + 0.01)) for k, v in enumerate(one.values, 1) if v is not None and math.isfinite(v)]
        found = drawn[one.colour, one.dashed]
        assert np.array(found).reshape(-1, 2) == pytest.approx(np.array(kept).reshape(-1, 2), abs=0.005)
        circles = [c for c in svg.iter("circle") if c.get("fill") == one.colour]
        if not one.dashed:
            assert [(float(c.get("cx")), float(c.get("cy"))) for c in circles] == points(svg)[one.colour, False]
    labels = [text.text for text in svg.iter("text") if text.get("text-anchor") == "middle"]
    assert labels == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("ends", "top"),
    [
        ((1.0, 1.9), 2.375),
        ((1.0, 2.0), 2.5),
        ((1.0, 2.1), 1.25),
        ((0.9, 1.0, 40.0), 1.25),
        ((NAN, 0.8, None), 1.0),
        ((NAN, NAN), 3.0),
        ((1.0, 2.8), 1.25),
        ((2.9, 2.6), 3.0),
        ((2.3, 2.4), 3.0),
    ],
    ids=str,
)
def test_the_axis_of_curves_ends_a_quarter_above_the_end_of_what_went_well(ends, top):
    """Here the solid lines begin at 3.0 stars; where the dashed one ends does not matter."""
    series = [Curve("#000001", False, [3.0, end]) for end in ends]
    series.append(Curve("#000002", True, [2.5, 2.0]))
    label = list(parsed(pictures.curves(series, "t")).iter("text"))[-1].text
    edge = re.search(r", (\S+) or more at the edge$", label)
    assert (float(edge[1]) if edge else 3.0) == pytest.approx(top, abs=0.0051)
    assert ("edge" in label) == (top < 3)


def test_curves_without_an_epoch_say_so():
    for series in ([], [Curve("#000000", False, [])], [Curve("#000000", True, [NAN, None])]):
        tree = parsed(pictures.curves(series, "t"))
        assert (tree.find("svg"), words(tree)) == (None, "No epoch has ended yet.")


@pytest.mark.parametrize("values", [[0.9], [0.9, 0.9]], ids=["one epoch", "no change"])
def test_a_curve_of_one_height_is_drawn(values):
    (svg,) = parsed(pictures.curves([Curve("#000001", False, values)], "t"))
    low, up = scale(svg, "end")
    assert [low + up * y for _, y in points(svg)["#000001", False]] == pytest.approx([0.9] * len(values), abs=0.002)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999)), min_size=2, max_size=30), st.booleans())
def test_steps_have_the_height_of_their_counts_and_the_width_of_their_bins(counts, outlined):
    filled, actual = (list(column) for column in zip(*counts, strict=True))
    edges = [0.375 + 0.25 * k for k in range(len(counts) + 1)]
    shown = actual if outlined else None
    mark = (edges[0] + edges[-1]) / 2
    (svg,) = parsed(pictures.histogram(edges, filled, shown, "#000001", "t", "stars", mark=mark))
    most = max([*filled, *(shown or []), 1])
    labels = {text.text: float(text.get("y")) for text in svg.iter("text") if text.get("text-anchor") == "end"}
    assert set(labels) == {f"{most:,}", "0"}
    (area,) = (path for path in svg.iter("path") if path.get("fill") == "#000001")
    base = steps(area)[0][1][1]
    lines = [path for path in svg.iter("path") if path.get("class") == "line"]
    per = (base - 10) / most
    assert heights(area, base, per) == pytest.approx(filled, abs=0.06 / per)
    assert len(lines) == outlined + 1
    if outlined:
        assert heights(lines[0], base, per) == pytest.approx(actual, abs=0.06 / per)
    rights = [values[0] for letter, values in steps(area) if letter == "H"]
    (left, _), width = steps(area)[0][1], (rights[-1] - steps(area)[0][1][0]) / len(counts)
    assert rights == pytest.approx([left + width * (k + 1) for k in range(len(counts))], abs=0.11)
    assert steps(lines[-1])[0][1][0] == pytest.approx((left + rights[-1]) / 2, abs=0.11)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TEXTS, TEXTS, TEXTS)
def test_texts_are_escaped_in_every_picture(one, other, third):
    curve = Curve("#000001", False, [1.0, 0.9])
    assert parsed(pictures.curves([curve], other))[0].get("aria-label") == other
    bars = parsed(pictures.histogram([0, 1, 2], [1, 2], [2, 1], "#000001", one, other))
    assert (bars[0].get("aria-label"), list(bars.iter("text"))[-1].text) == (one, other)
    assert words(parsed(pictures.colour_key([("#000001", one)]))).endswith(one)
    assert words(parsed(pictures.paragraph(other))) == other
    table = parsed(pictures.table([one, other], [(third, one)], third))
    assert [head.text for head in table.iter("th")] == [one, other]
    assert rows(table) == [[third, one]]
    assert table.find(".//caption").text == third

"""The explorer's pictures, read back from what is drawn."""

import math
import re

import numpy as np
import pytest
from explorer_records import TEXTS
from flexexplorer import pictures
from flexexplorer.pictures import Curve, Strip
from hypothesis import given, settings
from hypothesis import strategies as st
from markup import end_of_axis, heights, numbers, parsed, points, rows, scale, steps, strips, words

NAN = math.nan
STARS = st.floats(0, 6, allow_subnormal=False)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(values=st.lists(STARS, max_size=12), low=st.integers(0, 40).map(lambda n: n / 20), mean=STARS)
def test_dots_stand_at_their_values_and_arrows_where_these_are_beyond_the_axis(values, low, mean):
    span = (low, low + 0.5)
    row = Strip("here", "#123456", values, mean, [mean])
    _, _, (svg,), axis = strips(pictures.strips([row], span, "t"))
    start, slope = scale(axis, "middle")
    width, height = numbers(svg.get("viewBox"))[2:]
    drawn = [part for part in svg.iter() if part.get("fill") == "#123456"]
    assert len(drawn) == len(values)
    places = []
    for value, part in zip(values, drawn, strict=True):
        if part.tag == "circle":
            assert span[0] <= value <= span[1]
            assert start + slope * float(part.get("cx")) == pytest.approx(value, abs=0.005)
            assert float(part.get("cy")) < height
        else:
            (_, (left, _)), (_, (tip, *_)) = steps(part)[:2]
            assert (value > span[1], value < span[0]) == (tip > 0, tip < 0)
            edge = span[1] if tip > 0 else span[0]
            assert start + slope * (left + tip) == pytest.approx(edge, abs=0.01)
        places.append(float(part.get("cx") or steps(part)[0][1][0]))
        assert 0 <= places[-1] <= width
    inside = sorted((value, at) for value, at in zip(values, places, strict=True) if span[0] <= value <= span[1])
    assert [at for _, at in inside] == sorted(at for _, at in inside)
    assert f"above {span[1]:g}" in words(axis)
    assert (f"or below {low:g}" in words(axis)) == ("or below" in words(axis)) == any(value < low for value in values)
    diamonds = [steps(part)[0][1][0] for part in svg.iter("path") if part.get("class") == "line"]
    assert len(diamonds) == (mean <= span[1])
    if span[0] <= mean <= span[1]:
        assert start + slope * diamonds[0] == pytest.approx(mean, abs=0.005)


def test_every_row_has_its_line_of_text_its_colour_and_the_means_to_compare_with():
    others = [0.85, 0.9, 1.25, 1.4]
    given_rows = [Strip(f"row {k}", f"#00000{k}", [0.9] * k, None, others) for k in range(3)]
    name, texts, drawings, axis = strips(pictures.strips(given_rows, (0.8, 1.3), "the title"))
    assert (name, texts) == ("the title", ["row 0", "row 1", "row 2"])
    start, slope = scale(axis, "middle")
    for k, svg in enumerate(drawings):
        assert [dot.get("fill") for dot in svg.iter("circle")] == [f"#00000{k}"] * k
        (faint,) = (part for part in svg.iter("path") if part.get("class") == "faint")
        found = [start + slope * values[0] for letter, values in steps(faint) if letter == "M"]
        assert found == pytest.approx([0.85, 0.9, 1.25], abs=0.005)  # 1.4 is beyond
    assert len(drawings) == 3


@pytest.mark.parametrize(("low", "top"), [(0.8, 1.3), (0.75, 1.25), (0, 0.5), (10, 10.5)])
def test_the_labels_of_an_axis_end_within_the_picture(low, top):
    axis = strips(pictures.strips([], (low, top), "t"))[-1]
    width = float(axis.get("viewBox").split()[2])
    ticks = [text for text in axis.iter("text") if text.get("text-anchor")]
    for text in ticks:  # of which a letter is less than 8 wide
        assert float(text.get("x")) + (4 * len(text.text) if text.get("text-anchor") == "middle" else 0) <= width
    assert float(ticks[-1].text) == pytest.approx(top, abs=0.11)


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
    line = Strip(one, "#000001", [0.9], 0.9, [1.0])
    assert strips(pictures.strips([line], (0.8, 1.3), other))[:2] == (other, [one])
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

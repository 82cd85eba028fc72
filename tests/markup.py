"""The explorer's HTML as a tree that may hold only what the explorer draws with, and what is drawn in it."""

import math
import re
from xml.etree import ElementTree

TAGS = set("whole div p b span svg text path circle polyline table caption thead tbody tr th td pre".split())
ATTRIBUTES = set(
    "class style role scope aria-hidden aria-label viewBox x y text-anchor d fill fill-opacity stroke stroke-width "
    "stroke-dasharray points cx cy r".split()
)


def parsed(html):
    """The tree; an element or an attribute that the explorer does not use got in by a text that was not escaped."""
    tree = ElementTree.fromstring(f"<whole>{html}</whole>")
    for element in tree.iter():
        assert element.tag in TAGS, html
        assert set(element.attrib) <= ATTRIBUTES, html
    return tree


def words(tree):
    return "".join(tree.itertext())


def rows(tree):
    """The texts of a table's cells, row by row, without its heads."""
    return [[cell.text or "" for cell in row] for row in tree.findall(".//tbody/tr")]


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def steps(path):
    """A path's letters with the numbers behind them."""
    return [(letter, numbers(rest)) for letter, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", path.get("d"))]


def scale(svg, anchor):
    """(value at 0, value per pixel) of an axis, as its tick labels tell: "middle" along, "end" upwards."""
    at, lower = {"middle": ("x", 0), "end": ("y", 4)}[anchor]  # a text's line is so much below what it labels
    edge = svg.get("viewBox").split()[2]  # where a label of the axis along ends that has no room below its tick
    ticks = [text for text in svg.iter("text") if text.get("text-anchor") == anchor and text.get("x") != edge]
    marks = sorted((float(tick.get(at)) - lower, float(tick.text.replace(",", ""))) for tick in ticks)
    (first, low), (last, high) = marks[0], marks[-1]
    slope = (high - low) / (last - first)
    return low - slope * first, slope


def points(svg):
    """(x, y) of each line of a picture of curves, by colour and whether it is dashed."""
    found = {}
    for line in svg.iter("polyline"):
        pairs = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        found[line.get("stroke"), line.get("stroke-dasharray") is not None] = pairs
    return found


def heights(path, base, per):
    """The counts that a path of steps stands for."""
    return [(base - values[0]) / per for letter, values in steps(path)[:-1] if letter == "V"]


def end_of_axis(series):
    """Where the axis of curves ends: a quarter above the highest end of a solid line, those aside that end more than
    twice as high as the lowest of them, or at the highest value."""
    highest = max(v for one in series for v in one.values if v is not None and math.isfinite(v))
    lasts = sorted(one.values[-1] for one in series if not one.dashed and one.values)
    while lasts[-1] > 2 * lasts[0]:
        lasts.pop()
    return min(highest, 1.25 * lasts[-1])

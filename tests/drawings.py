"""What tests read off a figure."""

import math

import matplotlib as mpl
from matplotlib.colors import to_hex

mpl.use("agg")
NAN = math.nan
RELEASED, HOLDOUT = "released code (leaks)", "held-out ratings (leak-free)"


def marks(ax):
    """What is drawn with error bars: the word to x, y, the ends of the bars, and the colour."""
    found = {}
    for held in ax.containers:
        if isinstance(held, mpl.container.ErrorbarContainer):
            line, _, bars = held.lines
            spans = [segment.tolist() for bar in bars for segment in bar.get_segments()]
            x, y = line.get_data() if line else ([], [])
            found[held.get_label()] = (list(x), list(y), spans, to_hex(bars[0].get_color()[0]) if bars else None)
    return found


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def lines(ax, label):
    return [line for line in ax.get_lines() if line.get_label() == label]


def inside(ax, x, y):
    """Whether a mark at (x, y) is within the axes, away from the edge by a hundredth of the height and width."""
    at = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))
    return bool((at > 0.01).all() and (at < 0.99).all())

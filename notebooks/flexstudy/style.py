"""Figures in one style. Paper, replication and leak-free measurement keep their colour and their word throughout.

References
----------
Okabe and Ito (2008) for colours that colour-blind readers tell apart.
"""

from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats
from numpy.typing import NDArray

COLOURS = {
    "paper": "#000000",
    "released": "#D55E00",
    "released-padded": "#7A3600",
    "means": "#E69F00",
    "closed": "#009E73",
    "described": "#CC79A7",
    "holdout": "#0072B2",
}
PROTOCOL_NAMES = {
    "paper": "the paper",
    "released": "released code\n(leaks)",
    "released-padded": "released code,\nzero rows re-fed",
    "means": "same, means\nfrom training",
    "closed": "same, both\nleaks closed",
    "described": "paper's text\n(leaks means)",
    "holdout": "held-out ratings\n(leak-free)",
}
SHORT_NAMES = {"released": "leaky", "described": "paper's text", "holdout": "leak-free"}  # beside what is drawn
MARKERS = {"user-based": "o", "item-based": "s"}
FILLS = {"user-based": "full", "item-based": "none"}


def use_style(*formats: str) -> None:
    """Set the study's style: figures 6.5 inches wide, whose text stays legible at the width of a phone.

    Their ground is transparent, so that they suit a dark page too.

    Parameters
    ----------
    *formats
        Of figures in a notebook, such as "png"; by default SVG alone.
    """
    sns.set_theme(
        style="whitegrid",
        font_scale=1.15,
        rc={
            "figure.figsize": (6.5, 4.6),
            "figure.dpi": 120,
            "savefig.bbox": "tight",
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "legend.fontsize": "small",
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "svg.hashsalt": "flexstudy",  # the same figure is the same file
        },
    )
    if get_ipython() is not None:
        set_matplotlib_formats(*(formats or ("svg",)), bbox_inches="tight", metadata={"Date": None})


def offer_download(table: pd.DataFrame, name: str, holds: str) -> HTML:
    """Offer a table as a CSV file, where it is too long for the page; the page of the records lists it too.

    Parameters
    ----------
    table
        With whatever index.
    name
        Of the file, without its suffix; unique in the study.
    holds
        What the table holds, as a phrase such as "all pairs of factors".

    Returns
    -------
    HTML
        A link that has the file within it, so that it works everywhere.
    """
    csv = quote(table.to_csv(float_format="%.6g"))
    link = f'<a download="{name}.csv" href="data:text/csv;charset=utf-8,{csv}">{name}.csv</a>'
    return HTML(f'<p class="offered-download">Download: {link} ({len(table):,} rows), {escape(holds)}.</p>')


def title_left(figure: Figure, text: str) -> None:
    """Write the title of a figure of several panels at its left, as those of one panel have it."""
    figure.suptitle(text, fontsize="medium", x=0.02, ha="left")


def words_of(protocol: str) -> str:
    """Give a protocol's words on one line."""
    return PROTOCOL_NAMES[protocol].replace("\n", " ")


def legend_below(ax: Axes, columns: int = 1, down: float = 0.14, **options: Any) -> None:
    """Draw the legend below the axes.

    Parameters
    ----------
    ax
        What the legend is of.
    columns
        How many there are in it.
    down
        How far below the frame it begins, as a share of the frame's height.
    **options
        Of `Axes.legend`.
    """
    ax.legend(loc="upper left", bbox_to_anchor=(0, -down), ncols=columns, **options)


def label_ends(ax: Axes, ends: Iterable[tuple[float, float, str, str]], apart: float = 0.075) -> None:
    """Write words to the right of where lines end, moved apart where they would overlap.

    Parameters
    ----------
    ax
        Whose limits and scales do not change afterwards.
    ends
        Of each line: x and y, the words and their colour. An end that is not a number is left out.
    apart
        How far apart words are at least, as a share of the frame's height.
    """
    ax.get_ylim()  # which settles the limits
    known = [end for end in ends if np.isfinite(end[1])]
    to_axes = ax.transData + ax.transAxes.inverted()
    wanted = np.array([to_axes.transform(end[:2])[1] for end in known])
    order = np.argsort(wanted, kind="stable")
    steps = apart * np.arange(len(known))
    places = np.maximum.accumulate(wanted[order] - steps) + steps  # each one at its end, or above the one before
    places += (wanted[order] - places).mean() if len(known) else 0
    for place, (x, _, words, colour) in zip(places, (known[end] for end in order), strict=True):
        ax.annotate(
            words,
            (x, place),
            xycoords=("data", "axes fraction"),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize="small",
        )


def bar_lengths(table: pd.DataFrame, value: str = "mean") -> NDArray[np.float64]:
    """Give the lengths of error bars for matplotlib.

    Parameters
    ----------
    table
        n rows with the columns `value`, "low" and "high".
    value
        Name of the column whose values the bars start from.

    Returns
    -------
    NDArray
        (2, n): down to `low` and up to `high`; 0 where there is no interval, and on a side on which it does not reach
        the value, as a bootstrap's of a few runs may not.
    """
    return np.maximum(np.nan_to_num([table[value] - table["low"], table["high"] - table[value]]), 0)

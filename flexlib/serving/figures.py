"""The figure of compared methods, as an SVG file; its library, matplotlib, comes with `flexlib[figures]`.

The same scores make the same file, byte for byte. What the figure shows, its title and description tell in words.

References
----------
Okabe and Ito (2008) for a colour that colour-blind readers tell from black and white.
"""

import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from flexlib.runs.journal import replaced

STYLE = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10.0,
    "grid.color": "#cccccc",
    "svg.fonttype": "none",  # texts stay texts, to be read out and searched
    "svg.hashsalt": "flexlib",
    "xtick.bottom": False,
    "ytick.left": False,
}
COLOUR = "#0072B2"
WIDTH = 7.5  # inches, as all that follow
MARGIN = 0.1  # left of the title and above it
ROW = 0.4
LINE = 0.22  # of the title, and of the note below it
FOOT = 0.742  # numbers and name of the horizontal axis
LETTERS = 76  # in a line of the title
LABEL_LETTERS = 22  # in a line of a method's name, which may have two


def draw_comparison(scores: pd.DataFrame, names: Mapping[str, str], dataset: str, splits: int) -> Figure:
    """Draw what methods score: a row a method, the lowest RMSE first, and a panel a measure.

    Parameters
    ----------
    scores
        Rows of `flexlib.serving.crossvalidation.cross_validate` for all users, with the column `method`. RMSE, in
        stars, is drawn, and nDCG@k, from 0 to 1, where it is there.
    names
        What the figure calls each method.
    dataset
        The name of the data, of any length.
    splits
        How many are scored.

    Returns
    -------
    Figure
        Of matplotlib. A score is a dot with its 95 % interval, filled where it is its panel's best. A method without a
        score has an empty row.
    """
    measures = [name for name in scores["measure"].unique() if name == "RMSE" or name.startswith("nDCG@")]
    rmse = scores[scores["measure"] == "RMSE"].sort_values("value", kind="stable").set_index("method")["value"]
    order = rmse.index.tolist()
    best = f"{names[order[0]]} has the lowest RMSE, {rmse.iloc[0]:.3f} stars"
    found = best if rmse.notna().any() else "No method has a score"
    title = textwrap.wrap(f"{found}, on {_printable(dataset)}", LETTERS, break_on_hyphens=False)
    note = (
        f"{splits} {'split' if splits == 1 else 'splits'}; bars: 95 % intervals, bootstrap over users; filled: the best"
    )
    head = 2 * MARGIN + LINE * (len(title) + 1)
    height = head + ROW * len(order) + FOOT
    with style.context(["default", STYLE]):
        figure = Figure((WIDTH, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - head / height), wspace=0.06))
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for ax, measure in zip(panels, measures, strict=True):
            _draw_panel(ax, scores[scores["measure"] == measure].set_index("method").loc[order], measure)
        labels = [textwrap.fill(names[method], LABEL_LETTERS) for method in order]
        panels[0].set_yticks(range(len(order)), labels, fontsize=9, linespacing=1.1)
        panels[0].set_ylim(len(order) - 0.5, -0.5)
        for number, text in enumerate([*title, note]):
            weight, y = ("normal" if text is note else "bold"), 1 - (MARGIN + LINE * number) / height
            # A file's name may have dollar signs, which are no formula.
            figure.text(MARGIN / WIDTH, y, text, weight=weight, va="top", parse_math=False)
    return figure


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _draw_panel(ax: Axes, rows: pd.DataFrame, measure: str) -> None:
    """Draw a measure; `rows` are by method, from above."""
    values, places = rows["value"].to_numpy(), range(len(rows))
    # A bootstrap's interval need not hold the value where users are few.
    beside = np.maximum([values - rows["low"].to_numpy(), rows["high"].to_numpy() - values], 0)
    ax.errorbar(values, places, xerr=beside, fmt="o", color=COLOUR, mfc="white", ms=7, capsize=3, label=measure)
    lowest = measure == "RMSE"
    if rows["value"].notna().any():
        at = int(rows["value"].argmin() if lowest else rows["value"].argmax())
        ax.plot(values[at], at, "o", color=COLOUR, ms=7, zorder=3)
    ax.set_xlabel("RMSE (stars)\nlower is better" if lowest else f"{measure} (0 to 1)\nhigher is better")
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=4)


def write_comparison(scores: pd.DataFrame, names: Mapping[str, str], dataset: str, splits: int, path: Path) -> None:
    """Write the figure of `draw_comparison`, beside its place first and then renamed.

    Parameters
    ----------
    scores, names, dataset, splits
        As in `draw_comparison`.
    path
        Of the SVG file.

    Raises
    ------
    FlexError
        Where the file cannot be written; the one before is kept.
    """
    told = scores[(scores["measure"] == "RMSE") & scores["value"].notna()].sort_values("value", kind="stable")
    rows = [f"{names[str(row.method)]} {row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in told.itertuples()]
    about = {
        "Title": f"Methods compared on {_printable(dataset)}",
        "Description": f"RMSE in stars, with intervals at 95 %, lowest first: {'; '.join(rows)}.",
        "Date": None,
    }
    with warnings.catch_warnings(), style.context(["default", STYLE]), replaced(path) as partial:
        warnings.filterwarnings("ignore", "Glyph")  # the name's, which whoever shows the file has fonts for
        draw_comparison(scores, names, dataset, splits).savefig(partial, format="svg", metadata=about)

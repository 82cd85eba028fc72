"""The explorer's grids at once, as figures: for a page's reader without controls, and for print."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.style import COLOURS, words_of
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flexexplorer.recorded import grid_parameters, spell_value

LEVEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
LEVEL_MARKERS = "osD^v"
SHOWN_STARS = 0.5  # above the lowest mean; what is higher is drawn at the edge


def plot_grid(table: pd.DataFrame, title: str, shown: float = SHOWN_STARS) -> Figure:
    """Draw the mean RMSE of a grid's cells with its 95 % interval.

    The first parameter runs along, the second has colours and shapes, the others and the protocol have panels.

    Parameters
    ----------
    table
        Of `flexexplorer.recorded.grid_table`.
    title
        Of the figure.
    shown
        Stars above the lowest mean; a higher mean is drawn there, without its interval.
    """
    first, *rest = grid_parameters(table)
    others = rest[1:]
    low, high = np.nan_to_num([table["mean"].min(), table["mean"].max()])
    most = table["n"].max()
    title += f"; {'' if table['n'].min() == most else 'at most '}{most} split{'' if most == 1 else 's'} each"
    title += f"; above {low + shown:.2f} drawn there" if high > low + shown else ""
    shown = min(shown, max(high - low, 0.05))
    groups = list(table.groupby(others, sort=False)) if others else [((), table)]
    levels = list(dict.fromkeys(table[first]))
    size = (6.5, 2.6 + 2.2 * len(groups))
    figure, axes = plt.subplots(len(groups), 2, sharex=True, sharey=True, squeeze=False, figsize=size)
    for line, (values, group) in zip(axes, groups, strict=True):
        fixed = [_spell_setting(name, value) for name, value in zip(others, values, strict=True)]
        for ax, protocol in zip(line, LEAKY_AND_LEAK_FREE, strict=True):
            _draw_cells(ax, group[group["protocol"] == protocol], levels, low, shown)
            ax.set_title("\n".join([words_of(protocol), *fixed]), fontsize="x-small")
            ax.set_xticks(range(len(levels)), [spell_value(first, level) for level in levels], rotation=90)
            ax.set_ylim(low - 0.02, low + shown + 0.02)
        line[0].set_ylabel("RMSE (stars)")
        line[0].locator_params(axis="y", nbins=5)
    for ax in axes[-1]:
        ax.set_xlabel(first.replace("_", " "))
    if rest:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            title=rest[0].replace("_", " "),
            loc="upper left",
            bbox_to_anchor=(0, 0),
            ncols=5,
            fontsize="small",
        )
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def _spell_setting(name: str, value: Any) -> str:
    return f"{name.replace('_', ' ')} {spell_value(name, value)}"


def _draw_cells(ax: Axes, own: pd.DataFrame, levels: list[Any], low: float, shown: float) -> None:
    """Draw one panel: a mark for each cell at its level of the first parameter, and its interval."""
    first, *rest = grid_parameters(own)
    groups = list(own.groupby(rest[0], sort=False)) if rest else [("", own)]
    for place, (value, runs) in enumerate(groups):
        aside = 0.1 * (place - 1.5) if rest else 0
        half = np.where(runs["mean"] <= low + shown, (runs["high"] - runs["low"]) / 2, np.nan)
        ax.errorbar(
            np.array([levels.index(level) for level in runs[first]]) + aside,
            np.minimum(runs["mean"], low + shown),
            np.minimum(half, shown),
            fmt=LEVEL_MARKERS[place % len(LEVEL_MARKERS)],
            color=LEVEL_COLOURS[place % len(LEVEL_COLOURS)],
            markersize=5,
            label=spell_value(rest[0], value) if rest else None,
        )


def plot_tuning(tables: Mapping[str, pd.DataFrame], title: str, shown: float = SHOWN_STARS) -> Figure:
    """Draw the mean RMSE of each cell with the leak against that without it, a panel for each grid, to one scale.

    Parameters
    ----------
    tables
        What is tuned, in words, to `flexexplorer.recorded.grid_table`. Cells without a mean under both protocols, or
        with one more than `shown` above the lowest of all, are left out and counted.
    title
        Of the figure.
    shown
        Stars that each axis covers at most.
    """
    means = {
        words: table.pivot(index="cell", columns="protocol", values="mean")[[*LEAKY_AND_LEAK_FREE]].dropna()
        for words, table in tables.items()
    }
    low = np.nan_to_num(pd.concat(means.values()).min().min())
    figure, axes = plt.subplots(1, len(means), figsize=(6.5, 3.6), sharex=True, sharey=True, squeeze=False)
    top = low + 0.05
    for ax, (words, own) in zip(axes[0], means.items(), strict=True):
        inside = own[own.max(axis=1) <= low + shown]
        n_left = tables[words]["cell"].nunique() - len(inside)
        ax.plot(inside["released"], inside["holdout"], "o", color=COLOURS["holdout"], alpha=0.7)
        left = f"; {n_left} left out" if n_left else ""
        ax.set_title(f"{words}\nn = {len(inside)} cells{left}", fontsize="small")
        top = max(top, np.nan_to_num(inside.max().max()))
    for ax in axes[0]:
        ax.plot([low, top], [low, top], color="black", linewidth=0.8)
        ax.set(xlim=(low - 0.02, top + 0.02), ylim=(low - 0.02, top + 0.02), aspect="equal")
        ax.locator_params(nbins=4)
    figure.supxlabel("leaky RMSE (stars)", fontsize="medium")
    axes[0, 0].set_ylabel("leak-free RMSE (stars)")
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure

"""The explorer's figure: its grids at once, which no script has to draw."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.style import COLOURS
from matplotlib.figure import Figure

SHOWN_STARS = 0.5  # above the lowest mean; what is higher is left out


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

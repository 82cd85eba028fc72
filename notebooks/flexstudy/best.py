"""Figures in one style. Paper, replication and leak-free measurement keep their colour and their word throughout.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart.
"""

import matplotlib.pyplot as plt
import numpy as np

from flexstudy.style import COLOURS


def plot_search(histories, references):
    """What a search had found after so many tries: the validation RMSE of each try, and the lowest so far, by split.

    histories: title to the table of `flexlib.study.comparison.search_history`. references: title to the validation
    RMSE of a reference, by its word; those outside the frame are not drawn.
    """
    figure, axes = plt.subplots(len(histories), 1, figsize=(6.5, 3.1 * len(histories)), squeeze=False)
    for ax, (title, history) in zip(axes[:, 0], histories.items(), strict=True):
        low = history["best"].min()
        for split, own in history.groupby("split"):
            (line,) = ax.step(own["number"], own["best"], where="post", label=split, linewidth=2)
            ax.plot(own["number"], own["validation_rmse"], ".", color=line.get_color(), alpha=0.35, markersize=4)
        for word, value in references.get(title, {}).items():
            if low - 0.005 < value < low + 0.075:
                ax.axhline(value, color="#595959", linestyle="--", linewidth=1.2)
                where = dict(xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="x-small")
                ax.annotate(word, (1, value), **where)
        ax.set(title=title, xlabel="try", ylabel="validation\nRMSE (stars)", ylim=(low - 0.005, low + 0.075))
        if history["split"].nunique() > 1:
            ax.legend(ncols=3, loc="upper right")
    figure.tight_layout()
    return figure


def plot_ablation(table, title):
    """What taking each choice from the best settings does to the validation RMSE, with 95 % intervals. table: of
    `flexlib.study.comparison.ablate`."""
    figure, ax = plt.subplots(figsize=(6.5, 1.4 + 0.4 * len(table)))
    y = np.arange(len(table))
    spread = np.nan_to_num([table["changed_by"] - table["low"], table["high"] - table["changed_by"]])
    ax.errorbar(table["changed_by"], y, xerr=spread, fmt="s", color=COLOURS["holdout"], capsize=4)
    ax.axvline(0, color="black", linewidth=1)
    words = [f"{change} ({n})" for change, n in zip(table["change"], table["n"], strict=True)]
    ax.set(title=title, xlabel="change in RMSE (stars); right: worse", yticks=y, yticklabels=words, ymargin=0.08)
    ax.tick_params(axis="y", labelsize="small")
    ax.invert_yaxis()
    return figure

"""Figures in one style. Paper, replication and leak-free measurement keep their colour and their word throughout.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

COLOURS = {"paper": "#000000", "released": "#D55E00", "described": "#CC79A7", "holdout": "#0072B2"}
NAMES = {
    "paper": "the paper",
    "released": "released code\n(leaks)",
    "described": "paper's text\n(leaks means)",
    "holdout": "held-out ratings\n(leak-free)",
}


def use_style():
    """Set the study's style: sizes that stay legible at the width of a phone, SVG-free PNGs of moderate weight."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        font_scale=1.1,
        rc={"figure.figsize": (7, 4.2), "figure.dpi": 110, "savefig.bbox": "tight", "axes.titlesize": "medium",
            "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False},
    )  # fmt: skip


def plot_learning_curve(curves, protocols, dataset):
    """RMSE after each epoch, one panel a protocol: training (dashed) and test (solid). curves: name to table."""
    figure, axes = plt.subplots(1, len(protocols), sharey=True, figsize=(3.6 * len(protocols), 3.8), squeeze=False)
    for ax, protocol in zip(axes[0], protocols, strict=True):
        curve = curves[protocol]
        ax.plot(curve["epoch"], curve["training"], "--", color=COLOURS[protocol], label="training ratings")
        ax.plot(curve["epoch"], curve["test"], "o-", color=COLOURS[protocol], label="test ratings")
        ax.set(title=NAMES[protocol].replace("\n", " "), xlabel="epoch")
        ax.legend(frameon=False, fontsize="small")
    axes[0, 0].set_ylabel("RMSE (stars)")
    figure.suptitle(f"Learning curves, one run each, {dataset}", x=0.01, ha="left", fontsize="medium")
    figure.tight_layout()
    return figure


def plot_predictions(predictions, protocol, scale, dataset):
    """Predicted against actual ratings: the distribution of predictions at each actual rating.

    predictions: the table of an `Evaluation`; ratings that do not count are left out.
    """
    table = predictions[predictions["scored"] & np.isfinite(predictions["predicted"])]
    low, high, step = scale
    stars = np.arange(low, high + step / 2, step)
    groups = [table.loc[np.isclose(table["actual"], star), "predicted"].to_numpy() for star in stars]
    figure, ax = plt.subplots()
    ax.plot([low, high], [low, high], color="#777777", linewidth=1, label="a perfect prediction")
    boxes = ax.boxplot(groups, positions=stars, widths=0.6 * step, showfliers=False, whis=(5, 95), patch_artist=True,
                       manage_ticks=False, medianprops={"color": "black"})  # fmt: skip
    for box in boxes["boxes"]:
        box.set(facecolor=COLOURS[protocol], alpha=0.6)
    ax.set(
        title=f"{NAMES[protocol].replace(chr(10), ' ')}: n = {len(table):,} test ratings, {dataset}",
        xlabel="actual rating (stars)", ylabel="predicted rating (stars)", xticks=stars[:: max(1, round(1 / step))],
    )  # fmt: skip
    ax.legend(frameon=False, loc="upper left", fontsize="small")
    return figure


def plot_protocols(scores, summary, dataset, paper_rmse=None, noise_floor=None):
    """RMSE of every run by protocol (dots), mean and 95 % interval (bars), and the paper's number where it applies.

    scores: of `compare_protocols`; summary: of `summarise_protocols`.
    """
    figure, ax = plt.subplots()
    for place, protocol in enumerate(summary.index):
        colour, row = COLOURS[protocol], summary.loc[protocol]
        runs = scores.loc[scores["protocol"] == protocol, "rmse"].dropna()
        ax.plot(np.full(len(runs), place - 0.12), runs, "o", color=colour, alpha=0.5, markersize=5)
        spread = [[row["rmse"] - row["low"]], [row["high"] - row["rmse"]]] if row["n"] > 1 else None
        ax.errorbar(place + 0.08, row["rmse"], yerr=spread, fmt="D", color=colour, capsize=5, markersize=7)
        ax.annotate(f"{row['rmse']:.3f}", (place + 0.08, row["rmse"]), xytext=(12, -4), textcoords="offset points")
    if paper_rmse is not None:
        ax.axhline(paper_rmse, color=COLOURS["paper"], linestyle="--", linewidth=1.2)
        ax.annotate(f"the paper: {paper_rmse}", (1, paper_rmse), xycoords=("axes fraction", "data"), xytext=(-4, 5),
                    textcoords="offset points", ha="right")  # fmt: skip
    if noise_floor is not None:
        ax.axhline(noise_floor, color="#009E73", linestyle=":", linewidth=1.6)
        ax.annotate(f"noise floor: {noise_floor:.3f}", (1, noise_floor), xycoords=("axes fraction", "data"),
                    xytext=(-4, 5), textcoords="offset points", ha="right")  # fmt: skip
    ax.set_xticks(range(len(summary)), [NAMES[protocol] for protocol in summary.index])
    ax.set(
        xlim=(-0.5, len(summary) - 0.4), ylabel="RMSE (stars)",
        title=f"RMSE by protocol: dots are runs, bars mean and 95 % interval\n{dataset}, "
        f"n = {int(summary['n'].max())} seeds each",
    )  # fmt: skip
    ax.grid(axis="x", visible=False)
    return figure

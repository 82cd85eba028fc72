"""Figures in one style. Paper, replication and leak-free measurement keep their colour and their word throughout.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

COLOURS = {
    "paper": "#000000",
    "released": "#D55E00",
    "released-padded": "#7A3600",
    "means": "#E69F00",
    "closed": "#009E73",
    "described": "#CC79A7",
    "holdout": "#0072B2",
}
NAMES = {
    "paper": "the paper",
    "released": "released code\n(leaks)",
    "released-padded": "released code,\nzero rows re-fed",
    "means": "same, means\nfrom training",
    "closed": "same, both\nleaks closed",
    "described": "paper's text\n(leaks means)",
    "holdout": "held-out ratings\n(leak-free)",
}


def use_style():
    """Set the study's style: figures 6.5 inches wide, whose text stays legible at the width of a phone."""
    sns.set_theme(
        style="whitegrid",
        font_scale=1.15,
        rc={"figure.figsize": (6.5, 4.6), "figure.dpi": 120, "savefig.bbox": "tight", "axes.titlesize": "medium",
            "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
            "legend.frameon": False, "legend.fontsize": "small"},
    )  # fmt: skip


def plot_learning_curves(curves, dataset):
    """RMSE after each epoch by protocol: test ratings (solid) and training ratings (dashed).

    curves: protocol to the table of `flexlib.evaluate.learning_curve`.
    """
    figure, ax = plt.subplots()
    for protocol, curve in curves.items():
        word = NAMES[protocol].replace("\n", " ")
        ax.plot(curve["epoch"], curve["test"], "o-", color=COLOURS[protocol], label=word)
        ax.plot(curve["epoch"], curve["training"], "--", color=COLOURS[protocol])
    ax.set(title=f"Learning curves, one run each\n{dataset}", xlabel="epoch", ylabel="RMSE (stars)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(title="solid: test ratings, dashed: training", loc="upper left", bbox_to_anchor=(0, -0.18))
    return figure


def plot_predictions(predictions, scale, dataset):
    """The distribution of predictions at each actual rating, protocols side by side.

    predictions: protocol to the table of its `Evaluation`; ratings that do not count are left out.
    """
    low, high, step = scale
    stars = np.arange(low, high + step / 2, step)
    width = 0.8 * step / len(predictions)
    figure, ax = plt.subplots()
    ax.plot([low, high], [low, high], color="#999999", linewidth=1.5, zorder=1, label="a perfect prediction")
    for place, (protocol, table) in enumerate(predictions.items()):
        scored = table[table["scored"] & np.isfinite(table["predicted"])]
        boxes = ax.boxplot(
            [scored.loc[np.isclose(scored["actual"], star), "predicted"].to_numpy() for star in stars],
            positions=stars + (place - (len(predictions) - 1) / 2) * width, widths=0.85 * width, showfliers=False,
            whis=(5, 95), patch_artist=True, manage_ticks=False, medianprops={"color": "black"},
            boxprops={"facecolor": COLOURS[protocol], "alpha": 0.65},
        )  # fmt: skip
        boxes["boxes"][0].set_label(f"{NAMES[protocol].replace(chr(10), ' ')}, n = {len(scored):,}")
    ax.set(title=f"Predictions at each actual rating\n{dataset}", xlabel="actual rating (stars)",
           ylabel="predicted rating (stars)", xticks=np.arange(np.ceil(low), high + 0.1))  # fmt: skip
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.18))
    return figure


def plot_protocols(scores, summary, dataset, paper_rmse=None, noise_floor=None):
    """RMSE of every run by protocol (dots), mean and 95 % interval (bars), and the paper's number where it applies.

    scores: of `compare_protocols`; summary: of `summarise_protocols`.
    """
    figure, ax = plt.subplots(figsize=(6.5, 1.4 + 0.8 * len(summary)))
    for place, protocol in enumerate(summary.index):
        colour, row = COLOURS[protocol], summary.loc[protocol]
        runs = scores.loc[scores["protocol"] == protocol, "rmse"].dropna()
        ax.plot(runs, np.full(len(runs), place - 0.18), "o", color=colour, alpha=0.5, markersize=5)
        spread = [[row["rmse"] - row["low"]], [row["high"] - row["rmse"]]] if row["n"] > 1 else None
        ax.errorbar(row["rmse"], place + 0.1, xerr=spread, fmt="D", color=colour, capsize=5, markersize=7)
        right = row["high"] if row["n"] > 1 else row["rmse"]
        ax.annotate(f"{row['rmse']:.3f}", (right, place + 0.1), xytext=(9, -5), textcoords="offset points")
    marks = ((paper_rmse, "the paper", COLOURS["paper"], "--"), (noise_floor, "noise floor", "#777777", ":"))
    for value, word, colour, line in marks:
        if value is not None:
            ax.axvline(value, color=colour, linestyle=line, linewidth=1.4)
            ax.annotate(f"{word}: {value:.3f}", (value, 0), xycoords=("data", "axes fraction"), xytext=(6, 7),
                        textcoords="offset points")  # fmt: skip
    ax.set_yticks(range(len(summary)), [NAMES[protocol] for protocol in summary.index])
    ax.set(
        ylim=(len(summary) - 0.3, -0.6), xlabel="RMSE (stars)", xmargin=0.18,
        title=f"RMSE by protocol, n = {scores['seed'].nunique()} seeds each\n{dataset}",
    )  # fmt: skip
    ax.grid(axis="y", visible=False)
    return figure


MARKERS = {"user-based": "o", "item-based": "s"}
FILLS = {"user-based": "full", "item-based": "none"}


def plot_rmse_by_rank(curves, dataset, top=12.0):
    """RMSE of every run that ended well, in ascending order, a panel for each source and protocol, user- and
    item-based apart: the paper's Figure 3.

    curves: of `flexlib.study.sweep_report.rmse_curves`.
    """
    panels = list(dict.fromkeys((curve["source"], curve["protocol"]) for curve in curves))
    figure, axes = plt.subplots(len(panels), sharex=True, sharey=True, figsize=(6.5, 0.9 + 1.9 * len(panels)))
    for ax, panel in zip(np.atleast_1d(axes), panels, strict=True):
        for curve in curves:
            if (curve["source"], curve["protocol"]) != panel:
                continue
            short, runs = curve["pivot"].partition("-")[0], round(max(curve["rank"], default=0))
            ax.plot(curve["rank"], np.minimum(curve["rmse"], top), MARKERS[curve["pivot"]], markersize=3.5,
                    fillstyle=FILLS[curve["pivot"]], color=COLOURS[curve["protocol"]],
                    label=f"{short}, n = {runs}")  # fmt: skip
        word = " (201 quantiles)" if panel[1] == "paper" else f", {NAMES[panel[1]]}".replace("\n", " ")
        ax.set_title(f"{panel[0]}{word}", fontsize="x-small")
        ax.set(ylabel="RMSE (stars)", ylim=(0.5, top * 1.02))
        ax.legend(loc="lower right", bbox_to_anchor=(1.02, 0.96), ncols=2, fontsize="x-small", columnspacing=0.8,
                  handlelength=0.8, handletextpad=0.3)  # fmt: skip
    np.atleast_1d(axes)[-1].set_xlabel("rank of the run within its pivot, lowest RMSE first")
    title = f"RMSE of the runs that ended well, in ascending order\n{dataset}; above {top:g} drawn at {top:g}"
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_rmse_distributions(curves, dataset, low=0.8, high=4.0):
    """Share of the runs with at most a given RMSE, by source and protocol, user- and item-based apart. Diverged runs
    count as above every RMSE.

    curves: of `flexlib.study.sweep_report.rmse_curves`.
    """
    styles = {"the paper's log": ("-", 3.2), "replay": (":", 2.2), "fresh sample": ("-", 1.6)}
    figure, axes = plt.subplots(2, sharey=True, figsize=(6.5, 11.5))
    for ax, pivot in zip(axes, MARKERS, strict=True):
        for curve in (c for c in curves if c["pivot"] == pivot):
            line, width = styles[curve["source"]]
            share = np.arange(1, len(curve["rmse"]) + 1) / max(curve["n"], 1)
            if curve["protocol"] == "paper":
                share = np.linspace(0, 1, len(curve["rmse"]))
            word = "" if curve["protocol"] == "paper" else f", {NAMES[curve['protocol']]}".replace("\n", " ")
            ax.step(curve["rmse"], share, where="post", linestyle=line, linewidth=width,
                    color=COLOURS[curve["protocol"]], label=f"{curve['source']}{word}, n = {curve['n']}")  # fmt: skip
        ax.set(title=f"{pivot} runs", ylabel="share of runs at or below", xlim=(low, high), ylim=(0, 1), xscale="log")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.24))
        ticks = [0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4]
        ax.set(xlabel="RMSE (stars), logarithmic", xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    figure.suptitle(f"How the runs' RMSE is distributed\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_agreement(drawn, dataset):
    """Where our replay and the authors' log agree: counts of runs by recorded RMSE and ours.

    drawn: of `flexlib.replay.agreement_map`.
    """
    edges, counts = np.array(drawn["edges"]), np.array(drawn["counts"], float)
    figure, ax = plt.subplots(figsize=(6.5, 5.6))
    mesh = ax.pcolormesh(edges, edges, np.where(counts.T > 0, counts.T, np.nan), cmap="cividis_r", norm="log")
    ax.plot(edges[[0, -1]], edges[[0, -1]], color="#999999", linewidth=1, zorder=0)
    ticks = [0.8, 1, 1.5, 2, 3, 5, 10]
    labels = [f"{tick:g}" for tick in ticks]
    ax.set(xscale="log", yscale="log", xticks=ticks, yticks=ticks, xticklabels=labels, yticklabels=labels,
           xlabel="RMSE that the authors recorded (stars)", ylabel="RMSE of our replay (stars)",
           title=f"The authors' settings run again, n = {int(counts.sum())}\n{dataset}; grey line: equal")  # fmt: skip
    ax.minorticks_off()
    figure.colorbar(mesh, label="runs in a cell (logarithmic)")
    return figure


def plot_costs(records, dataset):
    """Estimated against measured seconds of every run that was made.

    records: a table of `flexlib.sweep.load_records`.
    """
    made = records[(records["status"] == "ok") & (records["seconds"] > 0)]
    figure, ax = plt.subplots(figsize=(6.5, 5))
    ax.plot(made["estimate"], made["seconds"], "o", markersize=3, alpha=0.35, color="#555555")
    spans = [made[["estimate", "seconds"]].min().min(), made[["estimate", "seconds"]].max().max()]
    ax.plot(spans, spans, color="#999999", linewidth=1)
    device = ", ".join(sorted(set(made["device"])))
    ax.set(xscale="log", yscale="log", xlabel="estimated seconds (cost model)", ylabel="measured seconds of training",
           title=f"What runs were expected to take, and took, n = {len(made)}\n"
                 f"{dataset}; {device}; line: equal")  # fmt: skip
    return figure

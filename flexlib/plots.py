"""Figures in one style. Paper, replication and leak-free measurement keep their colour and their word throughout.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart.
"""

from textwrap import fill

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


def _legend_below(ax, columns=1, down=0.14, **options):
    ax.legend(loc="upper left", bbox_to_anchor=(0, -down), ncols=columns, **options)


def words_of(protocol):
    """A protocol's words, on one line."""
    return NAMES[protocol].replace("\n", " ")


def plot_sets(summary, published, title, paper="printed in the paper", reference=None):
    """RMSE of numbered settings by protocol: means with 95 % intervals, and the paper's numbers.

    summary: of `flexlib.study.repetitions.summarise_settings`. published: (sets,) NaN where there is none. reference:
    names to a line's RMSE and protocol, whose colour it takes.
    """
    protocols = [name for name in ("released", "described", "holdout") if name in set(summary["protocol"])]
    count = summary["setting"].nunique()
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.52 * count))
    marks = {"released": "o", "described": "^", "holdout": "s"}
    for place, protocol in enumerate(protocols):
        own = summary[(summary["protocol"] == protocol) & (summary["n"] > 0)]
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], own["setting"] + 1 + 0.22 * (place - (len(protocols) - 1) / 2), xerr=spread, capsize=3,
                    fmt=marks[protocol], markersize=5.5, color=COLOURS[protocol], label=words_of(protocol))  # fmt: skip
    if np.isfinite(published).any():
        ax.plot(published, np.arange(1, count + 1), "x", color=COLOURS["paper"], markersize=8, mew=2, label=paper)
    for word, (value, protocol) in (reference or {}).items():
        ax.axvline(value, color=COLOURS[protocol], linestyle="--", linewidth=1.3, label=word)
    ax.set(title=title, xlabel="RMSE (stars)", ylabel="parameter set", yticks=range(1, count + 1))
    ax.set_ylim(count + 0.6, 0.4)
    _legend_below(ax, down=0.9 / (1.6 + 0.52 * count))
    return figure


def plot_own_ten(ten, dataset):
    """Our ten best under each protocol: the RMSE that chose them, on the other half, and on new splits.

    ten: of `flexlib.study.top10.own_ten`.
    """
    groups = list(dict.fromkeys(ten["chosen_under"]))
    figure, axes = plt.subplots(len(groups), sharex=True, figsize=(6.5, 0.8 + 3.5 * len(groups)))
    for ax, protocol in zip(np.atleast_1d(axes), groups, strict=True):
        own, colour = ten[ten["chosen_under"] == protocol], COLOURS[protocol]
        ax.plot(
            own["chosen_by"], own["place"], "D", fillstyle="none", color="#555555", label="the half that chose them"
        )
        ax.plot(own["other_half"], own["place"], "o", color=colour, label="the other half")
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], own["place"] + 0.25, xerr=spread, fmt="s", color=colour, markersize=4, capsize=3,
                    alpha=0.7, label=f"new splits, n = {own['n'].max()}")  # fmt: skip
        ax.set(title=f"chosen under: {words_of(protocol)}", ylabel="place", yticks=own["place"])
        ax.invert_yaxis()
        _legend_below(ax, 3, 0.2 if ax is np.atleast_1d(axes)[-1] else 0.04, fontsize="x-small", columnspacing=1)
    np.atleast_1d(axes)[-1].set_xlabel("RMSE (stars)")
    figure.suptitle(f"Our ten best of the fresh sample\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_traits(traits, dataset):
    """How many of ten best have each trait, by group, against the share of all runs that have it.

    traits: of `flexlib.study.top10.compare_traits`.
    """
    groups = list(dict.fromkeys(traits["group"]))
    colours = dict(zip(groups, (COLOURS[name] for name in ("paper", "released", "holdout")), strict=True))
    names = list(dict.fromkeys(traits["trait"]))
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.62 * len(names)))
    for place, group in enumerate(groups):
        own = traits[traits["group"] == group]
        y = np.arange(len(names)) + 0.25 * (place - 1)
        ax.barh(y, 10 * own["count"] / own["n"], height=0.22, color=colours[group], label=group)
        ax.plot(10 * own["base"], y, "|", color="#999999" if place == 0 else "black", markersize=11, mew=2,
                label="expected by chance" if place == 1 else None)  # fmt: skip
    ax.set(title=f"What ten best have in common\n{dataset}", xlabel="of ten", xlim=(0, 10.2),
           yticks=range(len(names)), yticklabels=[name.replace(" (", "\n(") for name in names])  # fmt: skip
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    _legend_below(ax, 2, 0.12)
    return figure


def plot_steps(steps, sets, words, dataset):
    """From `released` to `holdout`, a field at a time, one panel a set: what each changes, with 95 % intervals.

    steps: of `flexlib.study.accuracy.step_changes`. sets: those to draw. words: step to what it does.
    """
    figure, axes = plt.subplots(len(sets), sharex=True, figsize=(6.5, 0.6 + 5 * len(sets)))
    for ax, name in zip(np.atleast_1d(axes), sets, strict=True):
        own = steps[steps["set"] == name].reset_index(drop=True)
        first, last = own["start"].iloc[0], own["rmse"].iloc[-1]
        ax.barh(-1, first, color=COLOURS["released"], height=0.6)
        ax.barh(own.index, own["change"], left=own["start"], height=0.6,
                color=np.where(own["change"] > 0, COLOURS["means"], COLOURS["closed"]))  # fmt: skip
        spread = np.nan_to_num([own["change"] - own["low"], own["high"] - own["change"]])
        ax.errorbar(own["rmse"], own.index, xerr=spread, fmt="none", color="black", capsize=3, linewidth=1)
        ax.barh(len(own), last, color=COLOURS["holdout"], height=0.6)
        right = np.concatenate([[first], own[["start", "rmse"]].max(axis=1) + spread[1], [last]])
        texts = [f"{first:.3f}", *(f"{change:+.3f}" for change in own["change"]), f"{last:.3f}"]
        for y, (x, text) in enumerate(zip(right, texts, strict=True), start=-1):
            ax.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize="small")
        labels = [NAMES["released"], *(fill(words[step], 20) for step in own["step"]), NAMES["holdout"]]
        ax.set(yticks=range(-1, len(own) + 1), title=f"{name}, n = {own['n'].iloc[0]} splits")
        ax.set_yticklabels(labels, fontsize="small")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    lows, highs = steps[["start", "rmse"]].min().min(), steps[["start", "rmse"]].max().max()
    ax.set(xlim=(lows - 0.25 * (highs - lows), highs + 0.3 * (highs - lows)), xlabel="RMSE (stars)")
    figure.suptitle(f"From released to leak-free, a field at a time\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_baselines(table, dataset):
    """The network beside predictors without one: those that have seen the test ratings in their means, and those that
    have not. table: of `flexlib.study.accuracy.beside_baselines`."""
    names = list(dict.fromkeys(table["predictor"]))
    figure, ax = plt.subplots(figsize=(6.5, 4.2))
    kinds = (("all ratings", "released", "o"), ("training ratings", "holdout", "s"))
    for place, (fitted_on, protocol, mark) in enumerate(kinds):
        own = table[table["fitted_on"] == fitted_on].set_index("predictor").loc[names]
        y = np.arange(len(names)) + 0.24 * (place - 0.5)
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], y, xerr=spread, fmt=mark, color=COLOURS[protocol], capsize=4,
                    label=f"means over {fitted_on}{' (leaks)' if place == 0 else ''}")  # fmt: skip
        for x, where in zip(own["high"].fillna(own["mean"]), y, strict=True):
            mean = own["mean"].iloc[round(where)]
            ax.annotate(f"{mean:.3f}", (x, where), xytext=(6, -4), textcoords="offset points", fontsize="x-small")
    words = [name.replace(" and ", "\nand ") for name in names]
    ax.set(title=f"A network, and none, n = {table['n'].max()} splits\n{dataset}", xlabel="RMSE (stars)",
           yticks=range(len(names)), yticklabels=words, xmargin=0.15)  # fmt: skip
    ax.invert_yaxis()
    _legend_below(ax, down=0.2)
    return figure


def plot_thinned(table, preset):
    """RMSE on synthetic ratings, ever fewer of them, beside the noise floor. table: of
    `flexlib.study.accuracy.thinned`."""
    looks = {
        "released": (COLOURS["released"], "o-", f"{preset}, {words_of('released')}"),
        "item mean, all ratings": (COLOURS["released"], "o:", "item mean over all ratings (leaks)"),
        "closed": (COLOURS["closed"], "^-", f"{preset}, released with both leaks closed"),
        "holdout": (COLOURS["holdout"], "s-", f"{preset}, {words_of('holdout')}"),
        "item mean, training ratings": (COLOURS["holdout"], "s:", "item mean over training ratings"),
        "oracle": ("#777777", "d--", "oracle that knows the truth"),
    }
    figure, ax = plt.subplots(figsize=(6.5, 5))
    for name, (colour, line, word) in looks.items():
        own = table[table["predictor"] == name]
        ax.plot(own["ratings"], own["mean"], line, color=colour, label=word)
        ax.fill_between(own["ratings"], own["low"], own["high"], color=colour, alpha=0.15, linewidth=0)
    floor = table.drop_duplicates("ratings")
    ax.plot(floor["ratings"], floor["floor"], color="black", linewidth=1.6, label="noise floor")
    ax.fill_between(floor["ratings"], 0, floor["floor"], color="#999999", alpha=0.12, linewidth=0)
    drawn, ticks = table[table["predictor"].isin(looks)], floor["ratings"].tolist()
    ax.set(xscale="log", xticks=ticks, xticklabels=[f"{tick:,}" for tick in ticks], xlabel="ratings in the data (log)",
           ylabel="RMSE (stars)", ylim=(0.9 * drawn["mean"].min(), 1.03 * drawn["mean"].max()),
           title=f"Below the floor is not skill\nsynthetic ratings, n = {table['n'].max()} splits")  # fmt: skip
    ax.minorticks_off()
    _legend_below(ax, down=0.17)
    return figure


def plot_two_matrices(upper, lower, names, title, marked=()):
    """Two symmetric matrices of correlations in one: the first above the diagonal, the second below.

    names: of the two, for the corners. marked: pairs (one, other) to be outlined, in both triangles.
    """
    order = list(upper.index)
    shown = np.where(np.triu(np.ones(upper.shape, bool), 1), upper, lower.loc[order, order])
    np.fill_diagonal(shown, np.nan)
    figure, ax = plt.subplots(figsize=(6.5, 7.2))
    image = ax.imshow(shown, cmap="RdBu_r", vmin=-0.7, vmax=0.7)
    for (row, column), value in np.ndenumerate(shown):
        if np.isfinite(value):
            text = f"{value:.2f}".replace("0.", ".").replace("-.00", ".00")
            ax.text(
                column, row, text, ha="center", va="center", fontsize=7, color="white" if abs(value) > 0.45 else "black"
            )
    for one, other in marked:
        for a, b in ((one, other), (other, one)):
            where = (order.index(a) - 0.5, order.index(b) - 0.5)
            ax.add_patch(plt.Rectangle(where, 1, 1, fill=False, edgecolor="black", linewidth=1.6))
    ax.set(xticks=range(len(order)), yticks=range(len(order)))
    ax.set_xticklabels(order, fontsize="x-small", rotation=60)
    ax.set_yticklabels(order, fontsize="x-small")
    ax.grid(visible=False)
    ax.set_title(f"{title}\nabove the diagonal: {names[0]}\nbelow: {names[1]}")
    figure.colorbar(image, label="Pearson correlation", orientation="horizontal", shrink=0.7, pad=0.11)
    return figure


def plot_correlations_with_rmse(table, looks, title):
    """Each parameter's correlation with RMSE by source. table: a column a source, with `NAME low` and `NAME high` where
    there is an interval. looks: column to (colour, marker, word)."""
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.5 * len(table)))
    for place, (name, (colour, mark, word)) in enumerate(looks.items()):
        y = np.arange(len(table)) + 0.17 * (place - (len(looks) - 1) / 2)
        spread = None
        if f"{name} low" in table:
            spread = [table[name] - table[f"{name} low"], table[f"{name} high"] - table[name]]
        ax.errorbar(
            table[name], y, xerr=spread, fmt=mark, color=colour, markersize=5, capsize=2, label=word, linewidth=1
        )
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="correlation with RMSE", yticks=range(len(table)), yticklabels=table.index)
    ax.invert_yaxis()
    _legend_below(ax, down=1.0 / (1.8 + 0.5 * len(table)))
    return figure


def plot_importance(mains, dataset, n):
    """Main effects of a functional ANOVA by protocol, with 95 % intervals and what chance alone would reach.

    mains: protocol to the first table of `flexlib.study.correlation.importance`. n: protocol to the number of runs.
    """
    order = next(iter(mains.values()))["factor"].tolist()
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.36 * len(order)))
    for place, (protocol, table) in enumerate(mains.items()):
        own = table.set_index("factor").loc[order]
        y = np.arange(len(order)) + 0.3 * (place - (len(mains) - 1) / 2)
        spread = np.maximum([own["share"] - own["low"], own["high"] - own["share"]], 0)
        ax.errorbar(100 * own["share"], y, xerr=100 * spread, fmt="os"[place % 2], color=COLOURS[protocol], capsize=2,
                    markersize=5, label=f"{words_of(protocol)}, n = {n[protocol]} runs")  # fmt: skip
        ax.axvline(100 * own["noise"].iloc[0], color=COLOURS[protocol], linestyle=":", linewidth=1.5,
                   label=f"{words_of(protocol)}: reached by chance")  # fmt: skip
    ax.set(title=f"What each parameter explains by itself\n{dataset}", yticks=range(len(order)), yticklabels=order,
           xlabel="share of the variance of the rank of RMSE (%), square-root scale")  # fmt: skip
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, None)
    ax.set_xticks([0, 1, 5, 10, 20, 30, 40, 50])
    ax.invert_yaxis()
    _legend_below(ax, down=0.95 / (1.8 + 0.36 * len(order)))
    return figure


def plot_dependence(dependence, factors, dataset):
    """The mean rank of RMSE at each level of each of `factors`, all others averaged out, by protocol.

    dependence: protocol to the third table of `flexlib.study.correlation.importance`.
    """
    rows = -(-len(factors) // 2)
    figure, axes = plt.subplots(rows, 2, sharey=True, figsize=(6.5, 0.9 + 1.75 * rows), layout="constrained")
    for ax, factor in zip(axes.flat, factors, strict=False):
        found = [level for table in dependence.values() for level in table[table["factor"] == factor]["level"]]
        levels = {level: at for at, level in enumerate(sorted(set(found)))}
        for place, (protocol, table) in enumerate(dependence.items()):
            own = table[table["factor"] == factor]
            spread = np.maximum([own["value"] - own["low"], own["high"] - own["value"]], 0)
            x = own["level"].map(levels) + 0.12 * (place - 0.5)
            ax.errorbar(x, own["value"], yerr=spread, fmt="os"[place % 2] + "-", color=COLOURS[protocol], capsize=2,
                        markersize=4, label=words_of(protocol))  # fmt: skip
        names = [_LEVELS.get(str(level), str(level)) for level in levels]
        ax.set_title(factor, fontsize="small")
        ax.set_xticks(range(len(names)))
        ax.set_xticklabels(names, fontsize="x-small", rotation=60 if len("".join(names)) > 18 else 0)
        ax.tick_params(axis="y", labelsize="small")
    for ax in axes.flat[len(factors) :]:
        ax.set_visible(False)
    figure.supylabel("mean rank of RMSE (0: best run, 1: worst)", fontsize="medium")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", fontsize="small")
    figure.suptitle(
        f"RMSE against each parameter, others averaged out\n{dataset}", fontsize="medium", x=0.02, ha="left"
    )
    return figure


_LEVELS = {"True": "on", "False": "off", "[0, 1]": "user", "[1, 0]": "item"}


def plot_claims(tests, dataset):
    """The paper's claims on parameters: how probably a run with it has a lower RMSE than one without, by protocol.

    tests: protocol to the table of `flexlib.study.correlation.check_claims`.
    """
    figure, ax = plt.subplots(figsize=(6.5, 11.5))
    for place, (protocol, table) in enumerate(tests.items()):
        y = np.arange(len(table)) + 0.26 * (place - (len(tests) - 1) / 2)
        spread = [table["effect"] - table["low"], table["high"] - table["effect"]]
        clear = table["p"] < 0.05
        ax.errorbar(table["effect"], y, xerr=spread, fmt="none", color=COLOURS[protocol], capsize=3)
        for filled, rows in (("full", clear), ("none", ~clear)):
            ax.plot(table["effect"][rows], y[rows], "os"[place % 2], fillstyle=filled, color=COLOURS[protocol],
                    markersize=6.5, label=words_of(protocol) if filled == "full" else None)  # fmt: skip
    words = [fill(f"claim {row.claim}: {row.what}", 26) for row in table.itertuples()]
    ax.axvline(0.5, color="black", linewidth=1)
    ax.set(title=f"Does it go with a lower RMSE?\n{dataset}", xlim=(0, 1), yticks=range(len(words)),
           xlabel="probability that a run with it beats one without")  # fmt: skip
    ax.set_yticklabels(words, fontsize="small")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    _legend_below(ax, down=0.08, title="filled: differs from 0.5 after Holm's correction")
    return figure


def plot_list_changes(effects, words, title):
    """What rounding changes in each measure of the lists, before and after, one panel a measure.

    effects: kind to a table of `flexlib.study.rounding.rounding_effects`. words: measure to what it is.
    """
    figure, axes = plt.subplots(len(words), figsize=(6.5, 0.8 + 1.7 * len(words)))
    kinds = list(effects)
    for ax, (measure, word) in zip(axes, words.items(), strict=True):
        for place, kind in enumerate(kinds):
            if measure not in effects[kind].index:  # genres that nobody knows, say
                continue
            row = effects[kind].loc[measure]
            colour = LIST_COLOURS[place]
            ax.plot([row["before"], row["after"]], [place, place], color=colour, linewidth=1)
            ax.plot(row["before"], place, "o", fillstyle="none", color="black", markersize=7)
            spread = [[row["change"] - row["low"]], [row["high"] - row["change"]]]
            ax.errorbar(row["after"], place, xerr=spread, fmt="os^"[place % 3], color=colour, capsize=3)
        ax.set(yticks=range(len(kinds)), ylim=(len(kinds) - 0.5, -0.5), xmargin=0.12)
        ax.set_yticklabels([fill(kind, 18) for kind in kinds], fontsize="small")
        ax.set_title(word, fontsize="small")
        ax.grid(axis="y", visible=False)
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


LIST_COLOURS = ("#CC79A7", "#009E73", "#56B4E9")


def plot_ranks(matched, agreements, names):
    """Rank of each setting on one data set against its rank on another, a panel for each protocol.

    matched: protocol to the table of `flexlib.study.transfer.match_runs`. agreements: protocol to (spearman, low,
    high). names: of the two data sets.
    """
    figure, axes = plt.subplots(len(matched), figsize=(6.5, 0.7 + 5.4 * len(matched)))
    for ax, (protocol, table) in zip(np.atleast_1d(axes), matched.items(), strict=True):
        ranks = table[["small", "big"]].rank()
        for pivot, text in (("user-based", "[0, 1]"), ("item-based", "[1, 0]")):
            for centred, alpha in ((True, 0.95), (False, 0.3)):
                own = ranks[(table["pivot_indexes"] == text) & (table["mean_normalization"] == centred)]
                ax.plot(own["small"], own["big"], MARKERS[pivot], fillstyle=FILLS[pivot], alpha=alpha, markersize=5,
                        color=COLOURS[protocol],
                        label=f"{pivot}, {'with' if centred else 'without'} mean normalization")  # fmt: skip
        rho, low, high = agreements[protocol]
        ax.set(title=f"{words_of(protocol)}, n = {len(table)}\nSpearman {rho:.2f} ({low:.2f} to {high:.2f})",
               xlabel=f"rank of RMSE on {names[0]}", ylabel=f"rank of RMSE on {names[1]}")  # fmt: skip
    _legend_below(ax, down=0.15, fontsize="x-small")
    figure.tight_layout()
    return figure


def plot_methods(table, title):
    """RMSE of tuned methods, lowest first: means with 95 % intervals, and what the paper's Table 3 quotes. table: of
    `flexlib.study.comparison.summarise_methods`."""
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.36 * len(table)))
    y, ours = np.arange(len(table)), table["method"].str.startswith("flexencoder").to_numpy()
    for which, colour, mark, word in ((~ours, "#595959", "o", "other methods"), (ours, "holdout", "s", "FlexEncoder")):
        own = table[which]
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], y[which], xerr=spread, fmt=mark, capsize=3, color=COLOURS.get(colour, colour),
                    markersize=6, label=f"{word}, held-out ratings (leak-free)")  # fmt: skip
    ax.plot(table["published"], y, "x", color=COLOURS["paper"], markersize=8, mew=2, label="Table 3 of the paper")
    ax.set(title=title, xlabel="RMSE (stars)", yticks=y, yticklabels=[fill(name, 24) for name in table["name"]])
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize="small")
    _legend_below(ax, down=0.8 / (1.6 + 0.36 * len(table)))
    return figure


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


METHOD_LOOKS = {
    "flexencoder": ("#0072B2", "o-"), "flexencoder_set1": ("#56B4E9", "o--"), "svdpp": ("#E69F00", "^-"),
    "hidden_similarity": ("#882255", "P-"), "item_knn": ("#009E73", "s-"), "bpmf": ("#CC79A7", "D-"),
    "biases": ("#595959", "v-"), "item_mean": ("#8C8C8C", "x:"),
}  # fmt: skip


def plot_cases(table, words, title, value="mean", less=""):
    """Each method over the cases of a task, from few ratings to many, a panel a task: with 95 % intervals.

    table: of `flexlib.study.served.summarise_served`, or of `paired_gaps` for `value` "gap", `less` being what is taken
    off. words: task to its x axis. Open marks at 0 ratings, where there is a column `own`: what the methods themselves
    say of users and films without ratings; intervals are those within splits there. The axis spans the means; an
    interval may go beyond it.
    """
    figure, axes = plt.subplots(len(words), figsize=(6.5, 1.6 + 3.7 * len(words)), squeeze=False)
    methods = [name for name in METHOD_LOOKS if name in set(table["method"])]
    for ax, (task, word) in zip(axes[:, 0], words.items(), strict=True):
        own = table[table["task"] == task]
        shown = own.drop_duplicates("shown").sort_values("shown").set_index("shown")
        for place, method in enumerate(methods):
            runs, (colour, line) = own[own["method"] == method].sort_values("shown"), METHOD_LOOKS[method]
            x = shown.index.get_indexer(runs["shown"]) + 0.07 * (place - (len(methods) - 1) / 2)
            ends = ("within_low", "within_high") if value == "mean" and task.startswith("new") else ("low", "high")
            spread = np.nan_to_num([runs[value] - runs[ends[0]], runs[ends[1]] - runs[value]]).clip(min=0)
            ax.errorbar(x, runs[value], yerr=spread, fmt=line, color=colour, markersize=5, linewidth=1.3, capsize=2,
                        elinewidth=0.8, label=runs["name"].iloc[0] if len(runs) else None)  # fmt: skip
            if value == "mean" and task.startswith("new"):
                none = (runs["shown"] == 0).to_numpy()
                ax.plot(x[none], runs["own"][none], line[0], fillstyle="none", color=colour, markersize=7)
        seen = own[[value, *(["own"] if "own" in own and task.startswith("new") else [])]].to_numpy()
        pad = 0.15 * (np.nanmax(seen) - np.nanmin(seen)) + 0.005
        labels = [f"{case}\n{n:,.0f}" for case, n in zip(shown["case"], shown["n_test"], strict=True)]
        ax.set(xticks=range(len(shown)), ylim=(np.nanmin(seen) - pad, np.nanmax(seen) + pad), xlabel=word,
               ylabel=f"RMSE less that\nof {less} (stars)" if less else "RMSE (stars)")  # fmt: skip
        ax.set_xticklabels(labels, fontsize="x-small")
        if less:
            ax.axhline(0, color="#555555", linewidth=1)
        ax.grid(axis="x", visible=False)
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    _legend_below(axes[-1, 0], 2, 0.32, title="below the cases: test ratings, mean of the splits")
    return figure


def plot_verdicts(table, verdicts):
    """Which verdict each part of each claim has. table: of `flexlib.study.claims.judge_claims`. verdicts: in order."""
    used = [verdict for verdict in verdicts if verdict in set(table["verdict"])]
    colours = dict(zip(verdicts, ("holdout", "released", "described", "paper", "#999999"), strict=True))
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.42 * len(table)))
    for x, verdict in enumerate(used):
        own = np.flatnonzero(table["verdict"] == verdict)
        colour = COLOURS.get(colours[verdict], colours[verdict])
        ax.scatter(np.full(len(own), x), own, marker="s", s=150, color=colour)
    words = [fill(f"{row.claim}  {row.says}", 42) for row in table.itertuples()]
    ax.set(title="The paper's claims and what became of them", yticks=range(len(table)), yticklabels=words,
           xticks=range(len(used)), xlim=(-0.6, len(used) - 0.4), ylim=(len(table) - 0.4, -0.6))  # fmt: skip
    ax.set_xticklabels([fill(verdict, 12) for verdict in used])
    ax.tick_params(axis="both", labelsize="x-small")
    ax.xaxis.tick_top()
    for y in np.flatnonzero(table["number"].diff() > 0):
        ax.axhline(y - 0.5, color="#bbbbbb", linewidth=0.8)
    return figure


_SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_SHAPES = "osD^v"


def plot_grid(table, title, spelled, top=0.5):
    """Mean RMSE (bars: 95 % interval) of a grid's cells: its first parameter along, its second by colour and shape, the
    others and the protocol by panel. What is more than `top` above the lowest is drawn at the upper edge.

    table: of `flexlib.study.explored.grid_table`; spelled: a function that writes a parameter's value.
    """
    first, *rest = list(table.columns[: list(table.columns).index("cell")])
    panels = rest[1:] if len(rest) > 1 else []
    low, high = np.nan_to_num([table["mean"].min(), table["mean"].max()])
    fewest, most = table["n"].min(), table["n"].max()
    title += f"; {'' if fewest == most else 'at most '}{most} split{'' if most == 1 else 's'} each"
    title += f"; above {low + top:.2f} drawn there" if high > low + top else ""
    top = min(top, max(high - low, 0.05))
    groups = list(table.groupby(panels, sort=False)) if panels else [((), table)]
    levels = list(dict.fromkeys(table[first]))
    figure, axes = plt.subplots(len(groups), 2, sharex=True, sharey=True, squeeze=False,
                                figsize=(6.5, 2.6 + 2.2 * len(groups)))  # fmt: skip
    for line, (values, group) in zip(axes, groups, strict=True):
        for ax, protocol in zip(line, ("released", "holdout"), strict=True):
            own = group[group["protocol"] == protocol]
            for place, (value, runs) in enumerate(own.groupby(rest[0], sort=False) if rest else [("", own)]):
                x = np.array([levels.index(level) for level in runs[first]]) + 0.1 * (place - 1.5) * bool(rest)
                y = np.minimum(runs["mean"], low + top)
                half = np.where(runs["mean"] <= low + top, (runs["high"] - runs["low"]) / 2, np.nan)
                ax.errorbar(x, y, np.minimum(half, top), fmt=_SHAPES[place % 5], color=_SHADES[place % 5], markersize=5,
                            label=spelled(rest[0], value) if rest else None)  # fmt: skip
            words = [
                f"{name.replace('_', ' ')} {spelled(name, value)}" for name, value in zip(panels, values, strict=True)
            ]
            ax.set_title("\n".join([words_of(protocol), *words]), fontsize="x-small")
            ax.set_xticks(range(len(levels)), [spelled(first, level) for level in levels], rotation=90)
            ax.set_ylim(low - 0.02, low + top + 0.02)
        line[0].set_ylabel("RMSE (stars)")
        line[0].yaxis.get_major_locator().set_params(nbins=5)
    for ax in axes[-1]:
        ax.set_xlabel(first.replace("_", " "))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if rest:
        figure.legend(handles, labels, title=rest[0].replace("_", " "), loc="upper left", bbox_to_anchor=(0, 0),
                      ncols=5, fontsize="small")  # fmt: skip
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_courses(courses, protocols, dataset):
    """RMSE of test ratings after each epoch, a panel for each preset, by protocol.

    courses: of `flexlib.study.explored.read_courses`.
    """
    figure, panels = _preset_panels(courses, f"RMSE (stars) of test ratings after each epoch, one run each\n{dataset}")
    for preset, ax in panels.items():
        found = [courses[preset, protocol] for protocol in protocols]
        for protocol, course in zip(protocols, found, strict=True):
            if not isinstance(course, str):
                ax.plot(range(1, len(course["test"]) + 1), course["test"], color=COLOURS[protocol],
                        marker="." if len(course["test"]) <= 20 else "", label=words_of(protocol))  # fmt: skip
        ax.xaxis.get_major_locator().set_params(integer=True, nbins=4)
        if all(isinstance(course, str) for course in found):
            ax.annotate(fill(found[-1], 16), (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize="x-small")
    named = {label: line for ax in panels.values() for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="upper left", bbox_to_anchor=(0, 0), ncols=2)
    return figure


def plot_histograms(courses, protocol, dataset):
    """The predicted test ratings of each preset under a protocol, unrounded (filled) and rounded (line).

    courses: of `flexlib.study.explored.read_courses`.
    """
    title = f"Test ratings by predicted stars, {words_of(protocol)}\n{dataset}; "
    figure, panels = _preset_panels(courses, f"{title}filled: unrounded, line: rounded, black: actual")
    for preset, ax in panels.items():
        course = courses[preset, protocol]
        if isinstance(course, str):
            ax.annotate(fill(course, 16), (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize="x-small")
            continue
        for name, options in (("unrounded", {"fill": True, "alpha": 0.5}), ("rounded", {"linewidth": 1.5})):
            ax.stairs(course["histogram"][name], course["edges"], color=COLOURS[protocol], **options)
        ax.stairs(course["histogram"]["actual"], course["edges"], color="black", linewidth=0.8)
    return figure


def _preset_panels(courses, title):
    """A figure with a small panel for each preset of the courses: it, and the axes by preset."""
    presets = list(dict.fromkeys(preset for preset, _ in courses))
    lines = -(-len(presets) // 4)
    figure, axes = plt.subplots(lines, 4, squeeze=False, figsize=(6.5, 0.8 + 1.6 * lines), layout="constrained")
    for ax in axes.flat[len(presets) :]:
        ax.set_visible(False)
    panels = dict(zip(presets, axes.flat, strict=False))
    for preset, ax in panels.items():
        ax.set_title(preset, fontsize="x-small")
        ax.tick_params(labelsize="xx-small")
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    return figure, panels

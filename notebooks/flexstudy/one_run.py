"""The chapter on one run: a configuration under several protocols, as tables with one row a measurement."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm import tqdm

from flexlib.evaluate import evaluate
from flexlib.train import fit
from flexstudy.statistics import mean_interval
from flexstudy.style import COLOURS, NAMES


def learning_curve(ratings, config, protocol="holdout", seed=0, device=None):
    """Training RMSE and test RMSE after each epoch, as a table (epoch, training, test). For looking, not for choosing:
    an epoch picked by this test RMSE would be picked on test data."""
    test = []
    model = fit(ratings, config, protocol, seed, device=device, on_epoch=lambda m: test.append(evaluate(m).rmse))
    return pd.DataFrame({"epoch": range(1, len(test) + 1), "training": model.history, "test": test})


def compare_protocols(ratings, config, protocols, seeds, device=None):
    """Train and score one configuration under each protocol (a mapping of names to `Protocol`) and seed.

    Under one seed the protocols share split and initial weights. Returns a table with a row for each pair: protocol,
    seed, status, rmse, mae (NaN where diverged), n_scored, n_unseen, n_nonfinite, steps, seconds.
    """
    records = []
    pairs = [(protocol, seed) for seed in seeds for protocol in protocols]
    for protocol, seed in tqdm(pairs, desc="runs"):
        model = fit(ratings, config, protocols[protocol], seed, device=device)
        scores = evaluate(model).scores()
        run = {"status": model.status, "steps": model.steps, "seconds": model.seconds}
        records.append({"protocol": protocol, "seed": seed} | scores | run)
    table = pd.DataFrame(records).astype({"rmse": float, "mae": float})
    table.loc[table["status"] != "ok", ["rmse", "mae"]] = np.nan  # rounding can make stars of a diverged model's NaN
    return table


def summarise_protocols(scores, baseline="holdout"):
    """One row a protocol: n (runs that ended well, which alone count), diverged; mean, low, high (95 % t-interval) of
    the RMSE; gap, gap_low and gap_high of its paired difference to the baseline on the same splits (NaN without)."""
    wide = scores.pivot(index="seed", columns="protocol", values="rmse")
    lost = (scores["status"] == "diverged").groupby(scores["protocol"]).sum()
    rows = []
    for protocol in scores["protocol"].unique():
        rmse = wide[protocol].dropna()
        gap = (wide[protocol] - wide[baseline]).dropna() if baseline in wide else []
        mean, low, high = mean_interval(rmse)
        gap_mean, gap_low, gap_high = mean_interval(gap)
        rows.append({
            "protocol": protocol, "n": len(rmse), "diverged": int(lost[protocol]), "rmse": mean, "low": low,
            "high": high, "gap": gap_mean, "gap_low": gap_low, "gap_high": gap_high,
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("protocol")


def protocol_numbers(scores, published=None):
    """The numbers of a comparison for prose, by name: NAME_PROTOCOL for each column of the summary (rmse, low, ...) and
    for the lowest and highest run, and how the published RMSE (None where there is none) compares with `released`."""
    summary = summarise_protocols(scores)
    spans = scores.groupby("protocol")["rmse"].agg(["min", "max"])
    table = summary.join(spans.rename(columns={"min": "lowest", "max": "highest"}))
    numbers = {f"{name}_{protocol}": float(row[name]) for protocol, row in table.iterrows() for name in table.columns}
    for name in {"means", "closed"} & set(scores["protocol"]):  # the released protocol with leaks closed
        leak = summarise_protocols(scores, name).loc["released", ["gap", "gap_low", "gap_high"]]
        numbers |= dict(zip((f"leak_{name}", f"leak_{name}_low", f"leak_{name}_high"), map(float, leak), strict=True))
    numbers |= {"runs": len(scores), "diverged": int((scores["status"] == "diverged").sum())}
    numbers |= {"seconds": float(scores["seconds"].mean()), "n_seeds": scores["seed"].nunique()}
    numbers["published"] = "none for these data" if published is None else f"{published}"
    if published is None or np.isnan(numbers["rmse_released"]):
        return numbers | {"off": "not applicable", "verdict": "not comparable with"}
    inside = numbers["lowest_released"] <= published <= numbers["highest_released"]
    off = f"{numbers['rmse_released'] - published:+.3f}"
    return numbers | {"off": off, "verdict": "inside" if inside else "outside"}


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

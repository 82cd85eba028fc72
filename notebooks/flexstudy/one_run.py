"""Chapter 1: what one setting scores as the authors' code scores it, and what remains of that without the leak.

Everything is trained on the spot; no records are read.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from flexlib.config import TABLE2_RMSE, FlexConfig, Protocol
from flexlib.data import Ratings
from flexlib.evaluation import evaluate
from flexlib.train import fit
from flexstudy.statistics import labelled, split_interval
from flexstudy.style import COLOURS, PROTOCOL_NAMES, SHORT_NAMES, label_ends


def learning_curve(
    ratings: Ratings,
    config: FlexConfig,
    protocol: Protocol | str = "holdout",
    seed: int = 0,
    device: str | None = None,
) -> pd.DataFrame:
    """Train a model and score it after each epoch.

    The curve is for looking, not for choosing: an epoch picked by its test RMSE would be picked on test data.

    Parameters
    ----------
    ratings, config, protocol, seed, device
        As in `flexlib.fit`.

    Returns
    -------
    pd.DataFrame
        One row an epoch:

        - epoch: from 1
        - training: RMSE over the training ratings while the epoch trains, in stars
        - test: RMSE as the protocol scores, in stars
    """
    test: list[float] = []
    model = fit(ratings, config, protocol, seed, device=device, on_epoch=lambda m: test.append(evaluate(m).rmse))
    return pd.DataFrame({"epoch": range(1, len(test) + 1), "training": model.history, "test": test})


def compare_protocols(
    ratings: Ratings,
    config: FlexConfig,
    protocols: Mapping[str, Protocol],
    seeds: Iterable[int],
    device: str | None = None,
) -> pd.DataFrame:
    """Train and score one configuration under each protocol and seed.

    Under one seed the protocols share the split and the initial weights.

    Parameters
    ----------
    ratings, config, device
        As in `flexlib.fit`.
    protocols
        By name.
    seeds
        Of split, weights and order.

    Returns
    -------
    pd.DataFrame
        One row a seed and protocol:

        - protocol, seed: what was run
        - test_split_rate: share of the ratings that the split holds out
        - rmse, mae: in stars; NaN where the run diverged
        - n_scored, n_unseen, n_nonfinite: as in `flexlib.evaluation.Evaluation`
        - status: "ok" or "diverged"
        - steps: of the optimizer
        - seconds: of training
    """
    records = []
    pairs = [(protocol, seed) for seed in seeds for protocol in protocols]
    for protocol, seed in tqdm(pairs, desc="runs"):
        model = fit(ratings, config, protocols[protocol], seed, device=device)
        scores = evaluate(model).scores()
        run = {"status": model.status, "steps": model.steps, "seconds": model.seconds}
        known = {"protocol": protocol, "seed": seed, "test_split_rate": config.test_split_rate}
        records.append(known | scores | run)
    table = pd.DataFrame(records).astype({"rmse": float, "mae": float})
    table.loc[table["status"] != "ok", ["rmse", "mae"]] = np.nan  # rounding can make stars of a diverged model's NaN
    return table


def summarise_protocols(scores: pd.DataFrame, baseline: str = "holdout") -> pd.DataFrame:
    """Average the RMSE of each protocol over its runs.

    Parameters
    ----------
    scores
        Of `compare_protocols`.
    baseline
        The protocol that others are compared with.

    Returns
    -------
    pd.DataFrame
        One row a protocol, by its name:

        - n: runs that ended well, which alone count
        - diverged: runs
        - rmse, low, high: mean with its 95 % t-interval, corrected for the splits' overlap, in stars
        - gap, gap_low, gap_high: its paired difference to the baseline on the same splits, likewise; NaN without
    """
    test_share = scores["test_split_rate"].iloc[0]
    wide = scores.pivot(index="seed", columns="protocol", values="rmse")
    diverged = (scores["status"] == "diverged").groupby(scores["protocol"]).sum()
    rows = []
    for protocol in scores["protocol"].unique():
        rmse = wide[protocol].dropna()
        gap = (wide[protocol] - wide[baseline]).dropna() if baseline in wide else pd.Series(dtype=float)
        row = {"protocol": protocol, "n": len(rmse), "diverged": int(diverged[protocol])}
        row |= labelled("rmse", split_interval(rmse, test_share))
        rows.append(row | labelled("gap", split_interval(gap, test_share), "gap_"))
    return pd.DataFrame(rows).set_index("protocol")


def protocol_numbers(scores: pd.DataFrame, published: float | None = None, preset: str = "table2:1") -> dict[str, Any]:
    """Name the numbers of the chapter's prose.

    Parameters
    ----------
    scores
        Of `compare_protocols`, with the protocol `released`.
    published
        RMSE that the paper prints for the setting on these data; None where it prints none.
    preset
        Name of the setting.

    Returns
    -------
    dict
        - NAME_PROTOCOL: each column of `summarise_protocols`
        - leak_means, leak_closed: `released` minus itself with leaks closed, paired, in stars
        - worth_means, worth_closed: the same with the other sign, by how much the leaks lower the RMSE
        - runs, diverged, n_seeds: how many
        - published: the published RMSE, or that there is none
        - claim_words, worth_words: what the paper says of the setting, and what the leaks are worth
    """
    summary = summarise_protocols(scores)
    numbers: dict[str, Any] = {
        f"{name}_{protocol}": float(row[name]) for protocol, row in summary.iterrows() for name in summary.columns
    }
    for name in ("means", "closed"):  # the released protocol with leaks closed
        if name in summary.index:
            leak = float(summarise_protocols(scores, name)["gap"].loc["released"])
            numbers |= {f"leak_{name}": leak, f"worth_{name}": -leak}
    numbers |= {"runs": len(scores), "diverged": int((scores["status"] == "diverged").sum())}
    published_text = "none for these data" if published is None else f"{published}"
    numbers |= {"n_seeds": scores["seed"].nunique(), "published": published_text}
    return numbers | {"claim_words": _claim_words(preset), "worth_words": _worth_words(numbers)}


def _claim_words(preset: str) -> str:
    """Say what the paper reports of a setting."""
    if preset not in TABLE2_RMSE:
        return f"report no RMSE for the setting {preset}."
    lowest = ", the lowest of over 1,000 settings" if TABLE2_RMSE[preset] == min(TABLE2_RMSE.values()) else ""
    number = preset.partition(":")[2]
    return f"report an RMSE of {TABLE2_RMSE[preset]} on MovieLens for set {number} of the paper's Table 2{lowest}."


def _worth_words(numbers: Mapping[str, Any]) -> str:
    """Say what both leaks are worth, and that of the row means by itself."""
    both, means = (numbers.get(f"worth_{name}", math.nan) for name in ("closed", "means"))
    if math.isnan(both) or math.isnan(means):
        return "cannot be weighed, as runs diverged."
    moved = "lower" if both > 0 else "raise"
    return f"{moved} the RMSE by {abs(both):.3f} stars. The leak of the row means is worth {means:.3f} by itself."


def data_numbers(ratings: Ratings) -> dict[str, float]:
    """Name the numbers of the data set.

    Parameters
    ----------
    ratings
        Of the chapter.

    Returns
    -------
    dict
        - data_ratings, data_users, data_items: how many there are
        - data_lowest, data_highest: rating that occurs, in stars
    """
    counts = {"data_ratings": len(ratings), "data_users": ratings.n_users, "data_items": ratings.n_items}
    return counts | {"data_lowest": float(ratings.values.min()), "data_highest": float(ratings.values.max())}


def plot_learning_curves(curves: Mapping[str, pd.DataFrame], dataset: str) -> Figure:
    """Draw the RMSE after each epoch: test ratings (solid) and training ratings (dashed).

    Parameters
    ----------
    curves
        Protocol to its table of `learning_curve`.
    dataset
        For the title.
    """
    figure, ax = plt.subplots(figsize=(5.8, 4))
    for protocol, curve in curves.items():
        ax.plot(curve["epoch"], curve["test"], "o-", color=COLOURS[protocol])
        ax.plot(curve["epoch"], curve["training"], "--", color=COLOURS[protocol])
    last = [(protocol, curve.iloc[-1]) for protocol, curve in curves.items() if len(curve)]
    scores = ", ".join(f"{row['test']:.2f} {SHORT_NAMES[protocol]}" for protocol, row in last)
    ax.set(title=f"Final test RMSE: {scores}\n{dataset}, one run each", xlabel="epoch", ylabel="RMSE (stars)")
    ax.locator_params(axis="x", integer=True)
    label_ends(ax, [(row["epoch"], row["test"], SHORT_NAMES[protocol], COLOURS[protocol]) for protocol, row in last])
    return figure


def plot_predictions(
    predictions: Mapping[str, pd.DataFrame], scale: tuple[float, float, float], dataset: str
) -> Figure:
    """Draw the distribution of predictions at each actual rating, protocols side by side.

    Parameters
    ----------
    predictions
        Protocol to the predictions of its `flexlib.evaluation.Evaluation`. Those that do not count are left out.
    scale
        Lowest rating, highest rating and step, in stars.
    dataset
        For the title.
    """
    low, high, step = scale
    follows = []
    stars = np.arange(low, high + step / 2, step)
    width = 0.8 * step / len(predictions)
    figure, ax = plt.subplots()
    ax.plot([low, high], [low, high], color="#999999", linewidth=1.5, zorder=1, label="perfect")
    for place, (protocol, table) in enumerate(predictions.items()):
        scored = table[table["scored"] & np.isfinite(table["predicted"])]
        boxes = ax.boxplot(
            [scored.loc[np.isclose(scored["actual"], star), "predicted"].to_numpy() for star in stars],
            positions=stars + (place - (len(predictions) - 1) / 2) * width,
            widths=0.85 * width,
            showfliers=False,
            whis=(5, 95),
            patch_artist=True,
            manage_ticks=False,
            medianprops={"color": "black"},
            boxprops={"facecolor": COLOURS[protocol], "alpha": 0.65},
        )
        boxes["boxes"][0].set_label(SHORT_NAMES[protocol])
        follows.append(f"{scored['actual'].corr(scored['predicted']):.2f} {SHORT_NAMES[protocol]}")
    ax.set(
        title=f"Correlation with the rating: {', '.join(follows)}\n{dataset}",
        xlabel="actual rating (stars)",
        ylabel="predicted rating (stars)",
        xticks=np.arange(np.ceil(low), high + 0.1),
    )
    ax.legend(loc="lower right")
    return figure


def plot_protocols(
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    dataset: str,
    paper_rmse: float | None = None,
    noise_floor: float | None = None,
) -> Figure:
    """Draw the RMSE of every run by protocol (dots), with its mean and 95 % interval (diamonds with bars).

    Parameters
    ----------
    scores
        Of `compare_protocols`.
    summary
        Of `summarise_protocols`.
    dataset
        For the title.
    paper_rmse, noise_floor
        Vertical lines, in stars; None for no line.
    """
    figure, ax = plt.subplots(figsize=(6.5, 1.4 + 0.7 * len(summary)))
    title = f"{dataset}, {scores['seed'].nunique()} splits"
    if {"released", "closed"} <= set(summary.index):
        leak = float(summarise_protocols(scores, "closed")["gap"].loc["released"])
        if np.isfinite(leak):
            title = f"The leaks {'lower' if leak < 0 else 'raise'} the RMSE by {abs(leak):.3f} stars\n{title}"
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
            ax.annotate(
                f"{word}: {value:.3f}",
                (value, 0),
                xycoords=("data", "axes fraction"),
                xytext=(6, 7),
                textcoords="offset points",
            )
    ax.set_yticks(range(len(summary)), [PROTOCOL_NAMES[protocol] for protocol in summary.index])
    ax.set(
        ylim=(len(summary) - 0.3, -0.6),
        xlabel="RMSE (stars)",
        xmargin=0.18,
        title=title,
    )
    ax.grid(axis="y", visible=False)
    return figure

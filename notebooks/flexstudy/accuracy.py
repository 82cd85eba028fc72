"""Chapter 4: where the accuracy comes from.

First the leak without any network: biases that are not shrunk, and item means by how often an item is rated. Then the
released protocol is turned into the leak-free one a field at a time; beside the network stand predictors without one;
ratings that the network was shown are scored apart; and synthetic data have a noise floor that is known. The steps and
the comparison with predictors read the records of the experiment `accuracy`, the others are made on the spot.

References
----------
Nadeau and Bengio (2003) for the intervals.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, product
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from flexlib.config import FlexConfig, FlexError
from flexlib.data import Ratings, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import errors, evaluate
from flexlib.methods.means_and_biases import item_mean
from flexlib.predict import fallback
from flexlib.train import fit
from flexstudy.plans import ALONE, LEAKY_AND_LEAK_FREE, STEPS, ladder
from flexstudy.references import score_baselines, unshrunk_biases
from flexstudy.statistics import labelled, split_interval
from flexstudy.style import COLOURS, PROTOCOL_NAMES, SHORT_NAMES, bar_lengths, label_ends, title_left

BEST_SET = "table2:1"  # the paper's best setting, which the chapter's prose is about
CLOSED = ALONE["neither leak"]
BIASES = "user and item biases"  # the predictor that others are compared with
LEAK_SPLITS = 10  # of the predictors of the first section, which take no time
NO_STEPS = "Here no set of Table 2 ended well on every step. Each run that is estimated above max_seconds is skipped."
ONCE, OFTEN = "1", "51 or more"
COUNTS = {ONCE: 1, "2": 2, "3 to 5": 3, "6 to 10": 6, "11 to 20": 11, "21 to 50": 21, OFTEN: 51}  # ratings, from


def biases_alone(ratings: Ratings, shown: str = BEST_SET, n_splits: int = LEAK_SPLITS) -> pd.DataFrame:
    """Score user and item biases that are not shrunk, fitted on all ratings and on training ratings alone.

    Parameters
    ----------
    ratings
        What to split and predict.
    shown
        The setting whose test split rate is taken, a preset.
    n_splits
        From seed 0.

    Returns
    -------
    pd.DataFrame
        One row a set of ratings:

        - fitted_on: "all ratings" or "training ratings"
        - n: splits
        - mean, low, high: RMSE with its 95 % t-interval, corrected for the splits' overlap, in stars
    """
    test_share, rows = FlexConfig.preset(shown).test_split_rate, []
    scores = pd.DataFrame(score_baselines(ratings, test_share, range(n_splits), {"unshrunk": unshrunk_biases}))
    for fitted_on, own in scores.groupby("fitted_on", sort=False):
        row = {"fitted_on": fitted_on, "n": len(own)}
        rows.append(row | labelled("mean", split_interval(own["rmse"], test_share)))
    return pd.DataFrame(rows)


def leak_by_count(ratings: Ratings, shown: str = BEST_SET, n_splits: int = LEAK_SPLITS) -> pd.DataFrame:
    """Score the item mean over all ratings and over training ratings, by how many ratings the item has.

    Over training ratings, an item without any is predicted by the common fallback, the mean of the user.

    Parameters
    ----------
    ratings, shown, n_splits
        As in `biases_alone`.

    Returns
    -------
    pd.DataFrame
        One row a key of `COUNTS`; without those that have no test rating on any split:

        - rated: how many ratings the item has, training and test ratings together
        - n: test ratings of such items, averaged over the splits
        - splits: on which there are any
        - leaky, leaky_low, leaky_high: RMSE with the mean over all ratings, with its interval as in `biases_alone`
        - holdout, holdout_low, holdout_high: the same with the mean over training ratings
    """
    test_share, rows = FlexConfig.preset(shown).test_split_rate, []
    counts = np.bincount(ratings.items, minlength=ratings.n_items)
    kinds = np.searchsorted(list(COUNTS.values()), counts, side="right") - 1
    leaky = item_mean(ratings, slice(None)).astype(np.float64)
    found = []
    for seed in range(n_splits):
        split = split_ratings(ratings, test_share, seed)
        test, actual, kind = split.test, ratings.values[split.test].astype(np.float64), kinds[ratings.items[split.test]]
        unseen, means = fallback(ratings, split.train, ratings.users[test], ratings.items[test])
        predicted = {"leaky": leaky[test], "holdout": np.where(unseen, means, item_mean(ratings, split.train)[test])}
        for place in np.unique(kind):
            own = kind == place
            rmse = {name: errors(actual[own], values[own])[0] for name, values in predicted.items()}
            found.append({"place": place, "n": int(own.sum())} | rmse)
    for place, own in pd.DataFrame(found).groupby("place"):
        row = {"rated": list(COUNTS)[int(str(place))], "n": own["n"].sum() / n_splits, "splits": len(own)}
        for name in ("leaky", "holdout"):
            row |= labelled(name, split_interval(own[name], test_share), f"{name}_")
        rows.append(row)
    return pd.DataFrame(rows)


def step_changes(records: pd.DataFrame) -> pd.DataFrame:
    """Say what each field changes on the way from `released` to `holdout`.

    Parameters
    ----------
    records
        Of the experiment `accuracy`.

    Returns
    -------
    pd.DataFrame
        One row a set and step; sets with one split that can be used are left out, unless there is but one of all:

        - set: the setting's name
        - step: a key of `flexstudy.plans.STEPS`
        - protocol: the name of the protocol after the step
        - n: splits where every protocol of the way ended well, which alone count
        - start, rmse: mean RMSE before and after, in stars
        - change, low, high: paired difference with its 95 % t-interval, corrected for the splits' overlap, in stars
    """
    names, rows = ladder(), []
    for setting, test_share, wide in _paired_splits(records, names.values()):
        for (_, before), (step, after) in pairwise(names.items()):
            row = {"set": setting, "step": step, "protocol": after, "n": len(wide)}
            row |= {"start": wide[before].mean(), "rmse": wide[after].mean()}
            rows.append(row | labelled("change", split_interval(wide[after] - wide[before], test_share)))
    return pd.DataFrame(rows, columns=["set", "step", "protocol", "n", "start", "rmse", "change", "low", "high"])


def leaks_apart(records: pd.DataFrame) -> pd.DataFrame:
    """Compare the RMSE with neither leak to that with each alone and with both, on the same splits.

    Parameters
    ----------
    records
        Of the experiment `accuracy`.

    Returns
    -------
    pd.DataFrame
        One row a set and combination; sets are left out as by `step_changes`:

        - set: the setting's name
        - leaks: a key of `flexstudy.plans.ALONE`
        - n: splits where all of these ended well
        - rmse: mean, in stars
        - change, low, high: paired difference to neither leak with its interval, as in `step_changes`, in stars
    """
    rows = []
    for setting, test_share, wide in _paired_splits(records, ALONE.values()):
        for leaks, protocol in ALONE.items():
            row = {"set": setting, "leaks": leaks, "n": len(wide), "rmse": wide[protocol].mean()}
            rows.append(row | labelled("change", split_interval(wide[protocol] - wide[CLOSED], test_share)))
    return pd.DataFrame(rows, columns=["set", "leaks", "n", "rmse", "change", "low", "high"])


def _paired_splits(records: pd.DataFrame, protocols: Iterable[str]) -> Iterator[tuple[Hashable, float, pd.DataFrame]]:
    """Give each setting's test share, and its RMSE by split and protocol where all of these ended well.

    A setting with fewer than two is left out, unless there is but one split of all.
    """
    enough = min(2, records["seed"].nunique())
    for setting, own in records.groupby("setting", sort=False):
        wide = own.pivot(index="seed", columns="protocol", values="rmse")[list(protocols)].dropna()
        if len(wide) >= enough:
            yield setting, float(own["test_split_rate"].iloc[0]), wide


def beside_baselines(records: pd.DataFrame, ratings: Ratings, shown: str = BEST_SET) -> pd.DataFrame:
    """Put a setting's network beside predictors without one, on the same splits.

    Parameters
    ----------
    records
        Of the experiment `accuracy`.
    ratings
        What they are of.
    shown
        The setting, a preset.

    Returns
    -------
    pd.DataFrame
        One row a predictor and what it is fitted on; the network is a predictor too:

        - predictor: "FlexEncoder", or a key of `flexstudy.references.BASELINES`
        - fitted_on: "all ratings" (of the network: `released`) or "training ratings" (`holdout`)
        - n: splits that ended well
        - mean, low, high: RMSE with its interval, as in `step_changes`, in stars
        - gap, gap_low, gap_high: its paired difference to the biases fitted on the same ratings, likewise
    """
    test_share = FlexConfig.preset(shown).test_split_rate
    own = records[records["setting"] == shown]
    wide = own.pivot(index="seed", columns="protocol", values="rmse")
    network = {"all ratings": wide["released"], "training ratings": wide["holdout"]}
    scores = pd.DataFrame(score_baselines(ratings, test_share, wide.index))
    parts = [
        pd.DataFrame({"predictor": "FlexEncoder", "fitted_on": fitted_on, "seed": rmse.index, "rmse": rmse.to_numpy()})
        for fitted_on, rmse in network.items()
    ]
    rows, biases = [], scores[scores["predictor"] == BIASES].pivot(index="seed", columns="fitted_on", values="rmse")
    for (predictor, fitted_on), part in pd.concat([*parts, scores]).groupby(["predictor", "fitted_on"], sort=False):
        rmse = part.set_index("seed")["rmse"]
        gap = (rmse - biases[str(fitted_on)]).dropna()
        row = {"predictor": predictor, "fitted_on": fitted_on, "n": int(rmse.notna().sum())}
        row |= labelled("mean", split_interval(rmse.dropna(), test_share))
        rows.append(row | labelled("gap", split_interval(gap, test_share), "gap_"))
    return pd.DataFrame(rows)


def visible_and_hidden(
    ratings: Ratings,
    presets: Sequence[str],
    n_seeds: int,
    protocols: Sequence[str] = ("released", "described"),
    device: str | None = None,
) -> pd.DataFrame:
    """Score the test ratings that the network is shown apart from those hidden from it, of one model each.

    Parameters
    ----------
    ratings, device
        As in `flexlib.fit`.
    presets
        Names of the settings.
    n_seeds
        Splits, from seed 0.
    protocols
        Names of those that show a part of the test ratings.

    Returns
    -------
    pd.DataFrame
        One row a preset and protocol:

        - preset, protocol: names
        - n: splits that did not diverge
        - visible, hidden: mean RMSE over either part, in stars
        - gap, gap_low, gap_high: visible minus hidden, paired, with its interval, as in `step_changes`, in stars
    """
    runs = []
    for preset, protocol, seed in tqdm([(c, p, s) for c in presets for p in protocols for s in range(n_seeds)]):
        model = fit(ratings, FlexConfig.preset(preset), protocol, seed, device=device)
        table = evaluate(model).predictions
        if model.status == "ok":
            parts = (table[~table["hidden"]], table[table["hidden"]])
            visible, hidden = (errors(*part[["actual", "predicted"]].to_numpy().T)[0] for part in parts)
            runs.append({"preset": preset, "protocol": protocol, "visible": visible, "hidden": hidden})
    rows = []
    scored = pd.DataFrame(runs, columns=["preset", "protocol", "visible", "hidden"])
    for key, own in scored.groupby(["preset", "protocol"], sort=False):
        test_share = FlexConfig.preset(str(key[0])).test_split_rate
        row = dict(zip(("preset", "protocol"), key, strict=True)) | {"n": len(own)}
        row |= {"visible": own["visible"].mean(), "hidden": own["hidden"].mean()}
        rows.append(row | labelled("gap", split_interval(own["visible"] - own["hidden"], test_share), "gap_"))
    return pd.DataFrame(rows, columns=["preset", "protocol", "n", "visible", "hidden", "gap", "gap_low", "gap_high"])


def sizes_that_fit(sizes: Sequence[int], users: int, items: int) -> list[int]:
    """Leave out the sizes that synthetic data cannot have.

    Parameters
    ----------
    sizes
        How many ratings each data set is to have.
    users, items
        How many of each it has.

    Returns
    -------
    list
        The others, in the same order.

    Raises
    ------
    FlexError
        Where none is left.
    """
    found = [size for size in sizes if max(users, items) <= size <= users * items // 2]
    if not found:
        limits = f"{max(users, items):,} to {users * items // 2:,}"
        raise FlexError(f"thin_ratings: {users:,} users and {items:,} items can have {limits} ratings")
    return found


def thinned_data_scores(
    sizes: Iterable[int], users: int, items: int, preset: str, n_seeds: int, device: str | None = None
) -> pd.DataFrame:
    """Score every predictor on synthetic data of ever fewer ratings, whose noise floor is known.

    Parameters
    ----------
    sizes
        How many ratings each data set has.
    users, items
        How many of each it has.
    preset
        Of the network.
    n_seeds
        Splits, from seed 0.
    device
        As in `flexlib.fit`.

    Returns
    -------
    pd.DataFrame
        One row a size and predictor:

        - ratings: the size
        - floor: RMSE that the oracle is expected to score, in stars
        - predictor: "released" or "holdout" (the network), "oracle" (who knows the distribution of every rating),
          "item mean, all ratings" or "item mean, training ratings"
        - n: splits that ended well
        - mean, low, high: RMSE with its interval, as in `step_changes`, in stars
        - over, over_low, over_high: its paired difference to the oracle, likewise
    """
    rows, config = [], FlexConfig.preset(preset)
    for size in tqdm(sizes, desc="synthetic data"):
        ratings = load_ratings(f"synthetic:users={users},items={items},ratings={size},seed=0")
        found = pd.DataFrame(_thinned_runs(ratings, config, n_seeds, device))
        for predictor, rmse in found.items():
            row: dict[str, Any] = {"ratings": size, "floor": ratings.noise_floor, "predictor": predictor}
            row |= {"n": int(rmse.notna().sum())}
            row |= labelled("mean", split_interval(rmse.dropna(), config.test_split_rate))
            over = (rmse - found["oracle"]).dropna()
            rows.append(row | labelled("over", split_interval(over, config.test_split_rate), "over_"))
    return pd.DataFrame(rows)


def _thinned_runs(ratings: Ratings, config: FlexConfig, n_seeds: int, device: str | None) -> dict[str, list[float]]:
    """Score the predictors of `thinned_data_scores` on one data set: RMSE by split, in stars."""
    assert ratings.oracle is not None  # the data are synthetic
    found: dict[str, list[float]] = {}
    for seed in range(n_seeds):
        for protocol in LEAKY_AND_LEAK_FREE:
            model = fit(ratings, config, protocol, seed, device=device)
            found.setdefault(protocol, []).append(evaluate(model).rmse)
        test = model.split.test
        oracle, _ = errors(ratings.values[test].astype(np.float64), ratings.oracle[test].astype(np.float64))
        found.setdefault("oracle", []).append(oracle)
    for row in score_baselines(ratings, config.test_split_rate, range(n_seeds)):
        if row["predictor"] == "item mean":
            found.setdefault(f"item mean, {row['fitted_on']}", []).append(row["rmse"])
    return found


def leak_numbers(alone: pd.DataFrame, counts: pd.DataFrame, published: float | None = None) -> dict[str, Any]:
    """Name the numbers and sentences of the chapter's first section.

    Parameters
    ----------
    alone, counts
        Of `biases_alone` and `leak_by_count`.
    published
        RMSE that the paper prints for its best setting on these data; None where it prints none.

    Returns
    -------
    dict
        - biases_unshrunk_leaky, biases_unshrunk_holdout, with _low and _high: RMSE fitted on all ratings and on
          training ratings, in stars
        - rated_once_NAME, rated_often_NAME: RMSE of `leaky` and `holdout` item means, in stars, for items with one
          rating and with more than 50; NaN where there are none
        - published_words: a sentence
    """
    numbers: dict[str, Any] = {}
    for row in alone.to_dict("records"):
        name = f"biases_unshrunk_{'leaky' if row['fitted_on'] == 'all ratings' else 'holdout'}"
        numbers |= _spanned(name, row, "mean")
    for word, rated in (("once", ONCE), ("often", OFTEN)):
        own = counts[counts["rated"] == rated]  # one row or none
        numbers |= {f"rated_{word}_{name}": float(own[name].mean()) for name in ("leaky", "holdout")}
    numbers["published_words"] = ""
    if published is not None:
        side = "below" if numbers["biases_unshrunk_leaky_high"] < published else "not clearly below"
        numbers["published_words"] = f"That is {side} the {published:.3f} that the paper prints for its network."
    return numbers


def accuracy_numbers(
    steps: pd.DataFrame,
    apart: pd.DataFrame,
    beside: pd.DataFrame,
    seen: pd.DataFrame,
    thin: pd.DataFrame,
    shown: str = BEST_SET,
) -> dict[str, Any]:
    """Name the numbers of the chapter's prose.

    Parameters
    ----------
    steps, apart, beside, seen, thin
        Of `step_changes`, `leaks_apart`, `beside_baselines`, `visible_and_hidden` and `thinned_data_scores`.
    shown
        The set that the prose is about.

    Returns
    -------
    dict
        In stars but for counts; what has an interval has _low and _high too:

        - n_seeds: splits of the set shown; NaN where it has no steps
        - step_STEP: what each changes; others: the most that any but the means does; likewise
        - with_fallback: what the means change together with the fallback for rows without any
        - sets, means_least, means_most: how many sets there are, and the others' span of what the means change
        - LEAKS: what `leaks_apart` has of the set shown, "means_alone" for one
        - PREDICTOR_all, PREDICTOR_training, and each with _gap: of `beside_baselines`
        - seen_worth: by how much the set shown predicts visible test ratings better than hidden ones, as released
        - thin_ratings, thin_over, thin_under: of the smallest synthetic data, how many ratings it has, and the RMSE as
          released minus the oracle's, and with the other sign
        - steps_words: why there is no step to show; "" where there are some
    """
    ends = ("", "_low", "_high")
    names = ["n_seeds", "others", "with_fallback"]
    names += [f"step_{step}{end}" for step, end in product(STEPS, ends)]
    names += [f"{leaks.replace(' ', '_')}{end}" for leaks, end in product(ALONE, ends)]
    numbers: dict[str, Any] = dict.fromkeys(names, float("nan"))
    numbers["steps_words"] = "" if len(steps) else NO_STEPS
    own = steps[steps["set"] == shown]
    if len(own):
        changes = own.set_index("step")["change"]
        numbers |= {
            "n_seeds": int(own["n"].iloc[0]),
            "others": float(changes.drop("means").abs().max()),
            "with_fallback": float(changes[["means", "unseen_fallback"]].sum()),
        }
    for row in own.to_dict("records"):
        numbers |= _spanned(f"step_{row['step']}", row, "change")
    others = steps[(steps["step"] == "means") & (steps["set"] != shown)]
    numbers |= {"sets": steps["set"].nunique()}
    numbers |= {"means_least": float(others["change"].min()), "means_most": float(others["change"].max())}
    for row in apart[apart["set"] == shown].to_dict("records"):
        numbers |= _spanned(row["leaks"], row, "change")
    for row in beside.to_dict("records"):
        name = f"{row['predictor']}_{row['fitted_on'].partition(' ')[0]}"
        numbers |= _spanned(name, row, "mean") | _spanned(f"{name}_gap", row, "gap", "gap_")
    own = seen[(seen["preset"] == shown) & (seen["protocol"] == "released")]
    numbers["seen_worth"] = -float(own["gap"].mean())  # one row or none
    fewest = thin[thin["ratings"] == thin["ratings"].min()]
    for row in fewest[fewest["predictor"] == "released"].to_dict("records"):
        numbers |= {"thin_ratings": row["ratings"], "thin_under": -row["over"]}
        numbers |= _spanned("thin_over", row, "over", "over_")
    return numbers


def _spanned(name: str, row: Mapping[Any, Any], value: str, prefix: str = "") -> dict[str, float]:
    """Name a value of a row and the ends of its interval; the names of glued numbers have no space, colon or dash."""
    name = re.sub("[ :-]", "_", name)
    return labelled(name, (row[value], row[f"{prefix}low"], row[f"{prefix}high"]), f"{name}_")


def plot_counts(table: pd.DataFrame, dataset: str) -> Figure:
    """Draw the RMSE of item means by how many ratings the item has, over all ratings and over training ratings.

    Parameters
    ----------
    table
        Of `leak_by_count`.
    dataset
        For the axis.
    """
    figure, ax = plt.subplots(figsize=(6.5, 4.4))
    x = np.arange(len(table))
    ax.fill_between(x, table["leaky"], table["holdout"], color=COLOURS["released"], alpha=0.13, linewidth=0)
    for name, protocol, mark in (("holdout", "holdout", "s-"), ("leaky", "released", "o-")):
        ends = table[[name, f"{name}_low", f"{name}_high"]].set_axis(["mean", "low", "high"], axis=1)
        ax.errorbar(
            x,
            ends["mean"],
            yerr=bar_lengths(ends),
            fmt=mark,
            color=COLOURS[protocol],
            capsize=3,
            markersize=8,
            linewidth=2.5,
            elinewidth=1.2,
            label=SHORT_NAMES[protocol],
        )
        first = table.iloc[0]
        words = f"{SHORT_NAMES[protocol]}: {first[name]:.2f}"
        ax.annotate(words, (0, first[name]), xytext=(12, -4), textcoords="offset points", color=COLOURS[protocol])
    often = ["once" if rated == ONCE else f"{rated} times" for rated in table["rated"]]
    worths = (table["holdout"] - table["leaky"]).tolist()
    title = "\n".join(f"Rated {often[place]}: the leak is worth {worths[place]:.2f} stars" for place in (0, -1))
    ax.set_xticks(x, [fill(rated, 6) for rated in table["rated"]], fontsize="small")
    ax.set(
        title=title,
        xlabel=f"how often the film is rated ({dataset})",
        ylabel="RMSE of the film's mean (stars)",
        ylim=(-0.07, None),
    )
    ax.grid(axis="x", visible=False)
    return figure


def plot_steps(steps: pd.DataFrame, name: str, words: Mapping[str, str], dataset: str) -> Figure:
    """Draw what each field changes on the way from `released` to `holdout`, as a waterfall.

    Parameters
    ----------
    steps
        Of `step_changes`.
    name
        The set to draw.
    words
        Step to what it does.
    dataset
        For the title.
    """
    own = steps[steps["set"] == name].reset_index(drop=True)
    first, last, spread = own["start"].iloc[0], own["rmse"].iloc[-1], bar_lengths(own, "change")
    figure, ax = plt.subplots(figsize=(6.5, 5.6))
    colours = np.where(own["change"] > 0, COLOURS["means"], COLOURS["closed"])
    ax.use_sticky_edges = False  # so that the first bar has room on its left
    ax.barh(own.index, own["change"], left=own["start"], height=0.6, color=colours)
    ax.errorbar(own["rmse"], own.index, xerr=spread, fmt="none", color="black", capsize=3, linewidth=1)
    for y, rmse, protocol in ((-1, first, "released"), (len(own), last, "holdout")):
        ax.plot([rmse], [y], "D", color=COLOURS[protocol], markersize=10, label=SHORT_NAMES[protocol])
    right = np.concatenate([[first], own[["start", "rmse"]].max(axis=1) + spread[1], [last]])
    texts = [f"{first:.3f}", *(f"{change:+.3f}" for change in own["change"]), f"{last:.3f}"]
    for y, (x, text) in enumerate(zip(right, texts, strict=True), start=-1):
        ax.annotate(text, (x, y), xytext=(9, 0), textcoords="offset points", va="center", fontsize="small")
    labels = [PROTOCOL_NAMES["released"], *(fill(words[step], 20) for step in own["step"]), PROTOCOL_NAMES["holdout"]]
    ax.set_yticks(range(-1, len(own) + 1), labels, fontsize="small")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    longest = own.iloc[int(np.nanargmax(own["change"].abs()))]
    ax.set(xlabel="RMSE (stars)", xmargin=0.2)
    title = f"The longest step, {longest['change']:+.3f} stars: {words[longest['step']]}"
    title += f"\n{dataset}, {name}, {own['n'].iloc[0]} splits"
    title_left(figure, title)
    figure.tight_layout()
    return figure


def plot_baselines(table: pd.DataFrame, dataset: str) -> Figure:
    """Draw how far the network and means are from biases, which need no network, leaky and leak-free.

    Parameters
    ----------
    table
        Of `beside_baselines`.
    dataset
        For the title.
    """
    names = [name for name in table["predictor"].unique() if name != BIASES]
    figure, ax = plt.subplots(figsize=(6.5, 3.9))
    kinds = (("all ratings", "released", "o"), ("training ratings", "holdout", "s"))
    ax.axvline(0, color="black", linewidth=1.6)
    for place, (fitted_on, protocol, mark) in enumerate(kinds):
        own = table[table["fitted_on"] == fitted_on].set_index("predictor").loc[names]
        y = np.arange(len(names)) + 0.3 * (place - 0.5)
        ends = own[["gap", "gap_low", "gap_high"]].set_axis(["mean", "low", "high"], axis=1)
        colour, word = COLOURS[protocol], SHORT_NAMES[protocol]
        ax.errorbar(own["gap"], y, xerr=bar_lengths(ends), fmt=mark, color=colour, capsize=4, markersize=8, label=word)
        sides = own[["gap_low", "gap_high"]].fillna({"gap_low": own["gap"], "gap_high": own["gap"]})
        for gap, low, high, where in zip(own["gap"], sides["gap_low"], sides["gap_high"], y, strict=True):
            side: dict[str, Any] = {"xytext": (-8, 0), "ha": "right"} if gap < 0 else {"xytext": (8, 0), "ha": "left"}
            text = f"{word} {gap:+.3f}" if np.isfinite(gap) else ""
            at = (low if gap < 0 else high, where)
            ax.annotate(text, at, textcoords="offset points", va="center", color=colour, **side)
    network = table[table["predictor"] == names[0]].set_index("fitted_on")["gap"]
    found = [f"{'below' if network[on] < 0 else 'not below'} biases {SHORT_NAMES[name]}" for on, name, _ in kinds]
    title = f"{names[0]}: " + ",\n".join(found)
    ax.set(
        title=f"{title}\n{dataset}, {table['n'].max()} splits",
        xlabel="RMSE minus that of biases (stars); left is better",
        yticks=range(len(names)),
        yticklabels=[name.replace("item", "film") for name in names],
        ylim=(len(names) - 0.5, -0.5),
    )
    low, high = ax.get_xlim()
    room = 0.4 * (high - low)  # for the words
    ax.set_xlim(low - room * (table["gap"].min() < 0), high + room)
    ax.grid(axis="y", visible=False)
    return figure


def plot_thinned(table: pd.DataFrame, preset: str) -> Figure:
    """Draw how far predictors are from an oracle, on synthetic data of ever fewer ratings.

    Parameters
    ----------
    table
        Of `thinned_data_scores`.
    preset
        Of the network.
    """
    looks = {
        "released": (COLOURS["released"], "o-", "network, leaky"),
        "item mean, all ratings": (COLOURS["released"], "o:", "film mean, leaky"),
        "holdout": (COLOURS["holdout"], "s-", "network, leak-free"),
        "item mean, training ratings": (COLOURS["holdout"], "s:", "film mean, leak-free"),
    }
    figure, ax = plt.subplots(figsize=(5.6, 4.6))
    ends = []
    for name, (colour, line, word) in looks.items():
        own = table[table["predictor"] == name].sort_values("ratings", ascending=False)
        ax.plot(own["ratings"], own["over"], line, color=colour, linewidth=2.2, markersize=7, label=word)
        ax.fill_between(own["ratings"], own["over_low"], own["over_high"], color=colour, alpha=0.15, linewidth=0)
        ends += [(own["ratings"].iloc[-1], own["over"].iloc[-1], word, colour)] if len(own) else []
    ticks = sorted(table["ratings"].unique())
    ax.set(
        xscale="log",
        xticks=ticks,
        xticklabels=[f"{tick:,}" for tick in ticks],
        xlabel="ratings in the synthetic data, ever fewer",
        ylabel="RMSE minus the oracle's (stars)",
    )
    ax.minorticks_off()
    ax.invert_xaxis()
    low, high = ax.get_ylim()
    low = min(low, -0.1 * (high - low))
    ax.axhline(0, color="black", linewidth=1.6)
    ax.axhspan(low, 0, color="#999999", alpha=0.15, linewidth=0)
    ax.set_ylim(low, high)
    ax.annotate("lower than the truth allows", (0.02, 0.02), xycoords="axes fraction", fontsize="small")
    leaky = table[(table["predictor"] == "released") & (table["ratings"] == ticks[0])]["over"].iloc[0]
    side = "below" if leaky < 0 else "above"
    ax.set_title(
        f"With {ticks[0]:,} ratings, leaky is {abs(leaky):.2f} stars {side} the oracle\n{preset}, "
        f"{table['n'].max()} splits"
    )
    label_ends(ax, ends)
    return figure

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
from flexstudy.plans import ALONE, STEPS, ladder
from flexstudy.references import score_baselines, unshrunk_biases
from flexstudy.statistics import labelled, split_interval
from flexstudy.style import COLOURS, PROTOCOL_NAMES, bar_lengths, legend_below, words_of

BEST_SET = "table2:1"  # the paper's best setting, which the chapter's prose is about
CLOSED = ALONE["neither leak"]
THINNED_PROTOCOLS = {"released": "released", "closed": CLOSED, "holdout": "holdout"}  # by the name of the predictor
AGAINST_ORACLE = "released less oracle"  # a paired difference among the predictors
LEAK_SPLITS = 10  # of the predictors of the first section, which take no time
NO_STEPS = (
    "Here no set of Table 2 ended well on every step, so this section has nothing to show; each run that is estimated "
    "above `max_seconds` is skipped."
)
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
        - gap, gap_low, gap_high: its paired difference to the network fitted on the same ratings, likewise
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
    rows = []
    for (predictor, fitted_on), part in pd.concat([*parts, scores]).groupby(["predictor", "fitted_on"], sort=False):
        rmse = part.set_index("seed")["rmse"]
        gap = (rmse - network[str(fitted_on)]).dropna()
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
        - predictor: a key of `THINNED_PROTOCOLS` (the network), "oracle" (who knows the distribution of every rating),
          `AGAINST_ORACLE`, "item mean, all ratings" or "item mean, training ratings"
        - n: splits that ended well
        - mean, low, high: RMSE, or the difference, with its interval, as in `step_changes`, in stars
    """
    rows, config = [], FlexConfig.preset(preset)
    for size in tqdm(sizes, desc="synthetic data"):
        ratings = load_ratings(f"synthetic:users={users},items={items},ratings={size},seed=0")
        for predictor, rmse in _thinned_runs(ratings, config, n_seeds, device).items():
            row: dict[str, Any] = {"ratings": size, "floor": ratings.noise_floor, "predictor": predictor}
            row |= {"n": int(np.isfinite(rmse).sum())}
            rows.append(row | labelled("mean", split_interval(pd.Series(rmse).dropna(), config.test_split_rate)))
    return pd.DataFrame(rows)


def _thinned_runs(ratings: Ratings, config: FlexConfig, n_seeds: int, device: str | None) -> dict[str, list[float]]:
    """Score the predictors of `thinned_data_scores` on one data set: RMSE by split, in stars."""
    assert ratings.oracle is not None  # the data are synthetic
    found: dict[str, list[float]] = {}
    for seed in range(n_seeds):
        for name, protocol in THINNED_PROTOCOLS.items():
            model = fit(ratings, config, protocol, seed, device=device)
            found.setdefault(name, []).append(evaluate(model).rmse)
        test = model.split.test
        oracle, _ = errors(ratings.values[test].astype(np.float64), ratings.oracle[test].astype(np.float64))
        found.setdefault("oracle", []).append(oracle)
        found.setdefault(AGAINST_ORACLE, []).append(found["released"][-1] - oracle)
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
        - leak_splits: how many splits there are
        - rated_once_NAME, rated_often_NAME: RMSE of `leaky` and `holdout` item means, in stars, for items with one
          rating and with more than 50; NaN where there are none
        - published_words, rated_words: sentences
    """
    numbers: dict[str, Any] = {"leak_splits": int(alone["n"].max())}
    for row in alone.to_dict("records"):
        name = f"biases_unshrunk_{'leaky' if row['fitted_on'] == 'all ratings' else 'holdout'}"
        numbers |= _spanned(name, row, "mean")
    for word, rated in (("once", ONCE), ("often", OFTEN)):
        own = counts[counts["rated"] == rated]  # one row or none
        numbers |= {f"rated_{word}_{name}": float(own[name].mean()) for name in ("leaky", "holdout")}
    told = {
        "once": """A film's only rating is its own mean, so over all ratings the RMSE is {rated_once_leaky:.2f} there;
            over training ratings it is {rated_once_holdout:.2f}.""",
        "often": """For films with more than 50 ratings the two are {rated_often_leaky:.3f} and
            {rated_often_holdout:.3f}.""",
    }
    words = [text.format(**numbers) for word, text in told.items() if np.isfinite(numbers[f"rated_{word}_leaky"])]
    numbers["rated_words"] = " ".join(" ".join(words).split()) or "These data have neither rare nor frequent films."
    numbers["published_words"] = ""
    if published is not None:
        side = "below" if numbers["biases_unshrunk_leaky_high"] < published else "not clearly below"
        numbers["published_words"] = (
            f"The leaky biases are {side} the {published:.3f} that the paper prints for its network."
        )
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

        - from, to, n_seeds: of the set shown, RMSE before all and after, and splits; NaN where it has no steps
        - step_STEP: what each changes; others: the most that any but the means does; likewise
        - means_with_fallback: what the means change together with the fallback for rows without any
        - sets, means_least, means_most: how many sets there are, and the others' span of what the means change
        - LEAKS: what `leaks_apart` has of the set shown, "means_alone" for one
        - PREDICTOR_all, PREDICTOR_training, and each with _gap: of `beside_baselines`
        - seen_PRESET_PROTOCOL: the gap of `visible_and_hidden`
        - thin_PREDICTOR, full_PREDICTOR, with _ratings and _floor: of the smallest and the largest synthetic data
        - steps_words: why there is no step to show; "" where there are some
    """
    ends = ("", "_low", "_high")
    names = ["from", "to", "n_seeds", "others", "means_with_fallback"]
    names += [f"step_{step}{end}" for step, end in product(STEPS, ends)]
    names += [f"{leaks.replace(' ', '_')}{end}" for leaks, end in product(ALONE, ends)]
    numbers: dict[str, Any] = dict.fromkeys(names, float("nan"))
    numbers["steps_words"] = "" if len(steps) else NO_STEPS
    own = steps[steps["set"] == shown]
    if len(own):
        changes = own.set_index("step")["change"]
        numbers |= {
            "from": float(own["start"].iloc[0]),
            "to": float(own["rmse"].iloc[-1]),
            "n_seeds": int(own["n"].iloc[0]),
            "others": float(changes.drop("means").abs().max()),
            "means_with_fallback": float(changes[["means", "unseen_fallback"]].sum()),
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
    for row in seen.to_dict("records"):
        numbers |= _spanned(f"seen_{row['preset']}_{row['protocol']}", row, "gap", "gap_")
    for word, size in (("thin", thin["ratings"].min()), ("full", thin["ratings"].max())):
        of_size = thin[thin["ratings"] == size]
        numbers |= {f"{word}_ratings": int(size), f"{word}_floor": float(of_size["floor"].iloc[0])}
        for row in of_size[of_size["predictor"].isin([*THINNED_PROTOCOLS, "oracle", AGAINST_ORACLE])].to_dict(
            "records"
        ):
            numbers |= _spanned(f"{word}_{row['predictor']}", row, "mean")
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
        For the title.
    """
    figure, ax = plt.subplots(figsize=(6.5, 4.6))
    kinds = (
        ("leaky", "released", "o-", "mean over all ratings (leaky)"),
        ("holdout", "holdout", "s-", "mean over training ratings (leak-free)"),
    )
    for name, protocol, line, word in kinds:
        ends = table[[name, f"{name}_low", f"{name}_high"]].set_axis(["mean", "low", "high"], axis=1)
        ax.errorbar(
            range(len(table)),
            ends["mean"],
            yerr=bar_lengths(ends),
            fmt=line,
            color=COLOURS[protocol],
            capsize=4,
            label=word,
        )
    labels = [f"{fill(rated, 6)}\n{n:,.0f}" for rated, n in zip(table["rated"], table["n"], strict=True)]
    ax.set_xticks(range(len(table)), labels, fontsize="x-small")
    ax.set(
        title=f"The rarer the film, the more the leak gives away\n{dataset}, {table['splits'].max()} splits",
        xlabel="ratings of the film (below: test ratings in a split)",
        ylabel="RMSE (stars)",
        ylim=(-0.05, None),
    )
    legend_below(ax, down=0.3)
    return figure


def plot_steps(steps: pd.DataFrame, sets: Sequence[str], words: Mapping[str, str], dataset: str) -> Figure:
    """Draw what each field changes on the way from `released` to `holdout`, as a waterfall for each set.

    Parameters
    ----------
    steps
        Of `step_changes`.
    sets
        Those to draw.
    words
        Step to what it does.
    dataset
        For the title.
    """
    figure, axes = plt.subplots(len(sets), sharex=True, figsize=(6.5, 0.6 + 5 * len(sets)), squeeze=False)
    for ax, name in zip(axes[:, 0], sets, strict=True):
        own = steps[steps["set"] == name].reset_index(drop=True)
        first, last, spread = own["start"].iloc[0], own["rmse"].iloc[-1], bar_lengths(own, "change")
        ax.barh(-1, first, color=COLOURS["released"], height=0.6)
        colours = np.where(own["change"] > 0, COLOURS["means"], COLOURS["closed"])
        ax.barh(own.index, own["change"], left=own["start"], height=0.6, color=colours)
        ax.errorbar(own["rmse"], own.index, xerr=spread, fmt="none", color="black", capsize=3, linewidth=1)
        ax.barh(len(own), last, color=COLOURS["holdout"], height=0.6)
        right = np.concatenate([[first], own[["start", "rmse"]].max(axis=1) + spread[1], [last]])
        texts = [f"{first:.3f}", *(f"{change:+.3f}" for change in own["change"]), f"{last:.3f}"]
        for y, (x, text) in enumerate(zip(right, texts, strict=True), start=-1):
            ax.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize="small")
        steps_words = [fill(words[step], 20) for step in own["step"]]
        labels = [PROTOCOL_NAMES["released"], *steps_words, PROTOCOL_NAMES["holdout"]]
        ax.set(yticks=range(-1, len(own) + 1), title=f"{name}, n = {own['n'].iloc[0]} splits")
        ax.set_yticklabels(labels, fontsize="small")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    lowest, highest = steps[["start", "rmse"]].min().min(), steps[["start", "rmse"]].max().max()
    room = highest - lowest
    axes[-1, 0].set(xlim=(lowest - 0.25 * room, highest + 0.3 * room), xlabel="RMSE (stars)")
    figure.suptitle(f"From released to leak-free, a field at a time\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_baselines(table: pd.DataFrame, dataset: str) -> Figure:
    """Draw the network beside predictors without one, with the test ratings in their means and without.

    Parameters
    ----------
    table
        Of `beside_baselines`.
    dataset
        For the title.
    """
    names = table["predictor"].unique()
    figure, ax = plt.subplots(figsize=(6.5, 4.2))
    kinds = (
        ("all ratings", "released", "o", "means over all ratings (leaks)"),
        ("training ratings", "holdout", "s", "means over training ratings"),
    )
    for place, (fitted_on, protocol, mark, word) in enumerate(kinds):
        own = table[table["fitted_on"] == fitted_on].set_index("predictor").loc[names]
        y = np.arange(len(names)) + 0.24 * (place - 0.5)
        ax.errorbar(own["mean"], y, xerr=bar_lengths(own), fmt=mark, color=COLOURS[protocol], capsize=4, label=word)
        for mean, right, where in zip(own["mean"], own["high"].fillna(own["mean"]), y, strict=True):
            ax.annotate(f"{mean:.3f}", (right, where), xytext=(6, -4), textcoords="offset points", fontsize="x-small")
    ax.set(
        title=f"A network, and none, n = {table['n'].max()} splits\n{dataset}",
        xlabel="RMSE (stars)",
        yticks=range(len(names)),
        yticklabels=[name.replace(" and ", "\nand ") for name in names],
        xmargin=0.15,
    )
    ax.invert_yaxis()
    legend_below(ax, down=0.2)
    return figure


def plot_thinned(table: pd.DataFrame, preset: str) -> Figure:
    """Draw the RMSE on synthetic data of ever fewer ratings, beside the noise floor.

    Parameters
    ----------
    table
        Of `thinned_data_scores`.
    preset
        Of the network.
    """
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
    ax.set(
        xscale="log",
        xticks=ticks,
        xticklabels=[f"{tick:,}" for tick in ticks],
        xlabel="ratings in the data (log)",
        ylabel="RMSE (stars)",
        ylim=(0.9 * drawn["mean"].min(), 1.03 * drawn["mean"].max()),
        title=f"Below the floor is not skill\nsynthetic ratings, n = {table['n'].max()} splits",
    )
    ax.minorticks_off()
    legend_below(ax, down=0.17)
    return figure

"""Chapter 9, the best of the family: how low its error can be, with settings searched on validation ratings.

The chapter reads the records and the tries of three searches (`Tuning`), and of references beside them. Only the
networks of `ablate` are trained by the chapter itself.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from flexlib.config import ITEM_BASED, FlexConfig, FlexError
from flexlib.data import Ratings, Split, hold_back
from flexlib.datasets.loading import load_ratings
from flexlib.methods.interface import MethodSettings
from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import ALL, Tuning, score
from flexstudy.methods import GREY, REFERENCE, span_words, users_bootstrap, verdict
from flexstudy.statistics import UNKNOWN, Interval, labelled, split_interval
from flexstudy.style import COLOURS, bar_lengths

SIMPLE = ("biases", "flexencoder_set1")
MACHINES = ("bpmf", "bayesian_svdpp")
ONE_TENTH = 0.1  # held out
ONE_NETWORK = "one network"
DRAWN_ABOVE = 0.075  # stars above the lowest validation RMSE, up to which a search is drawn
LEGEND_SPLITS = 5  # at most, which a legend names
SEED_STEP = 1000  # between the seeds that an ablation gives to one split, so that no two splits share one


def plan_searches(
    dataset: str, large: str, folded: str, splits: Sequence[int], tries: Sequence[int], max_seconds: float, average: int
) -> dict[str, Tuning]:
    """Plan the chapter's searches.

    Parameters
    ----------
    dataset
        Searched with three tenths and with one tenth held out.
    large
        One search for all splits, with one tenth held out.
    folded
        Searched on its own folds; "" for none.
    splits, tries
        Three numbers, of the three cases in order. On folds there are as many tries as in the second case.
    max_seconds, average
        As in `Tuning`.

    Returns
    -------
    dict
        Title of each case to its search.
    """

    def search(name: str, rate: float | None, case: int, n_splits: int, shared: bool = False) -> Tuning:
        return Tuning(name, (REFERENCE,), rate, n_splits, tries[case], shared, max_seconds, average)

    found = {
        f"{dataset}, 70/30": search(dataset, 0.3, 0, splits[0]),
        f"{dataset}, 90/10": search(dataset, ONE_TENTH, 1, splits[1]),
    }
    found[f"{large}, 90/10" + (", one search" if large == dataset else "")] = search(
        large, ONE_TENTH, 2, splits[2], True
    )
    if folded:
        found[f"{folded}, its folds"] = search(folded, None, 1, len(load_ratings(folded).folds))
    return found


def plan_references(search: Tuning, tries: int) -> Tuning:
    """Plan what stands beside a search on its splits; factorization machines not where one tenth is held out."""
    methods = SIMPLE if search.test_split_rate == ONE_TENTH else SIMPLE + MACHINES
    return Tuning(search.dataset, methods, search.test_split_rate, search.splits, tries, search.shared)


def check_searches(tunings: Sequence[Tuning], found: Sequence[pd.DataFrame]) -> None:
    """Check that every search found settings on every split.

    Parameters
    ----------
    tunings
        The searches.
    found
        Records of each.

    Raises
    ------
    FlexError
        Naming the first search that did not.
    """
    for tuning, records in zip(tunings, found, strict=True):
        own = records[(records["method"] == REFERENCE) & (records["networks"] == 1)]
        if own["split"].nunique() < tuning.splits or own["rmse"].isna().any():
            advice = "try more settings, or a higher max_seconds"
            raise FlexError(f"{tuning.name}: the search found no network on one of {tuning.splits} splits: {advice}")


def over_users(tuning: Tuning, predictions: pd.DataFrame, of_references: pd.DataFrame) -> dict[str, Interval]:
    """Compute the intervals over users of differences to one network of a search.

    Parameters
    ----------
    tuning
        The search.
    predictions, of_references
        Of `flexstudy.methods.find_tuned`: those of the search, and of the references beside it.

    Returns
    -------
    dict
        What `summarise_best` calls a predictor, to its `flexstudy.methods.users_bootstrap`.
    """
    ratings = load_ratings(tuning.dataset)
    splits = {name: split for name, (_, split) in tuning.load_splits(ratings).items()}
    kept: dict[str, dict[str, ArrayLike]] = {}
    for table, is_search in ((predictions, True), (of_references, False)):
        columns = (table[name] for name in ("method", "split", "networks", "hundredths"))
        for key, split, count, hundredths in zip(*columns, strict=True):
            kept.setdefault(_what(count) if is_search else ALL[key].name, {})[split] = hundredths
    one_network = kept.get(ONE_NETWORK, {})
    return {
        what: users_bootstrap(own, one_network, ratings, splits) for what, own in kept.items() if what != ONE_NETWORK
    }


def _what(networks: int) -> str:
    return ONE_NETWORK if networks == 1 else f"mean of {networks} networks"


def summarise_best(
    cases: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    targets: Sequence[float] = (),
    shares: Sequence[float] = (),
    users: Sequence[Mapping[str, Interval]] = (),
) -> pd.DataFrame:
    """Set what each search found beside references tuned with fewer tries.

    Parameters
    ----------
    cases
        Title to the records of the search and of the references.
    targets
        RMSE that was aimed at, in stars, of each case in order; there may be fewer than cases.
    shares
        Share of the ratings that each case's splits hold out, in order; 0.3 of those that are not given.
    users
        Of `over_users`, of each case in order; there may be fewer than cases.

    Returns
    -------
    pd.DataFrame
        One row a case and predictor, the search's own first:

        - case: title
        - what: "one network", "mean of N networks", or the reference's name
        - n: splits
        - mean, low, high: RMSE in stars, with its 95 % interval over splits
        - gap, gap_low, gap_high: RMSE above that of one network on the same splits in stars, with its 95 % interval
          over splits
        - shared: splits that the gap is over
        - users_low, users_high: 95 % interval of the gap over users; NaN where predictions were not kept
        - verdict: as in `flexstudy.methods.summarise_methods`
        - seconds: of training on all training ratings, mean over splits
        - target: in stars; NaN for references, and where there is none
        - met: whether the mean reaches the target ("yes" or "no"; "" without one)
    """
    n, rows = len(cases), []
    goals = [*targets, *[np.nan] * (n - len(targets))]
    held_out, of_users = [*shares, *[0.3] * (n - len(shares))], [*users, *[{}] * (n - len(users))]
    for (case, (records, references)), target, share, intervals in zip(
        cases.items(), goals, held_out, of_users, strict=True
    ):
        one_network = records[records["networks"] == 1].set_index("split")["rmse"]
        parts = [
            (_what(count), records[records["networks"] == count], target) for count in sorted(set(records["networks"]))
        ]
        keys = sorted(references["method"].unique())
        parts += [(ALL[key].name, references[references["method"] == key], np.nan) for key in keys]
        for what, own, goal in parts:
            rmse = own.set_index("split")["rmse"]
            mean = split_interval(rmse, share)
            gaps = (rmse - one_network).dropna()
            gap, by_users = split_interval(gaps, share), intervals.get(what, UNKNOWN)
            rows.append(
                {
                    "case": case,
                    "what": what,
                    "n": len(rmse),
                    **labelled("mean", mean),
                    **labelled("gap", gap, "gap_"),
                    "shared": len(gaps),
                    "users_low": by_users[1],
                    "users_high": by_users[2],
                    "verdict": verdict(gap, by_users),
                    "seconds": float(own["seconds"].mean()),
                    "target": goal,
                    "met": "" if np.isnan(goal) else "yes" if mean[0] <= goal else "no",
                }
            )
    return pd.DataFrame(rows)


def gap_words(row: Mapping[Any, Any], one: str = "one network") -> str:
    """Say in a sentence's end how far a predictor's RMSE is from that of one network.

    Parameters
    ----------
    row
        Of `summarise_best`.
    one
        What the difference is to.

    Returns
    -------
    str
        "0.010 below one network by both intervals", or what the intervals leave open.
    """
    if np.isnan(row["gap"]):
        return f"not comparable with {one}"
    side = "below" if row["gap"] < 0 else "above"
    words = f"{abs(row['gap']):.3f} {side} {one}"
    if row["verdict"] in ("lower", "higher"):
        return f"{words} by both intervals"
    if row["verdict"] == "open":
        return f"{words}, which its intervals do not tell from 0"
    if np.isnan(row["gap_low"]):
        return f"{words} on one split"
    is_told = row["gap_low"] > 0 or row["gap_high"] < 0
    return f"{words}, which the interval over splits {'tells' if is_told else 'does not tell'} from 0"


def search_history(tries: pd.DataFrame) -> pd.DataFrame:
    """Follow each split's search: what the lowest validation RMSE was after so many tries.

    Parameters
    ----------
    tries
        Of a `Tuning` with one method.

    Returns
    -------
    pd.DataFrame
        One row a try, in the order of the search:

        - split: its name
        - number: place of the try, from 1
        - validation_rmse: in stars; NaN where the try did not end well
        - best: the lowest so far, in stars; NaN before the first
    """
    rows = tries[["split", "number", "validation_rmse"]].sort_values(["split", "number"])
    best = rows.groupby("split")["validation_rmse"].cummin().groupby(rows["split"]).ffill()
    return rows.assign(number=rows.groupby("split").cumcount() + 1, best=best)


def won_by_first_tries(tries: pd.DataFrame) -> int:
    """Count the splits whose best try is one that the search begins with.

    Parameters
    ----------
    tries
        Of a `Tuning` of FlexEncoder.
    """
    ended = tries[tries["validation_rmse"].notna() & ~tries["pruned"]]
    best = ended.sort_values("validation_rmse").groupby("split").head(1)
    return int((best["number"] < len(NETWORKS[REFERENCE].first_tries)).sum())


CHOICES = (
    "pivot",
    "centring",
    "activation",
    "implicit_input",
    "input_normalization",
    "denoising_loss",
    "layers",
)
NUMBERS = ("bottleneck", "drop_probability", "noise_probability", "learning_rate", "weight_decay", "epochs")


def choices(tries: pd.DataFrame, top: int = 10) -> pd.DataFrame:
    """Set the settings of the best tries beside those of all tries that have an RMSE.

    Parameters
    ----------
    tries
        Of a `Tuning` of FlexEncoder.
    top
        How many tries of each split are its best. Pruned ones come last.

    Returns
    -------
    pd.DataFrame
        One row a parameter, as texts for reading:

        - parameter: its name
        - most often: the best tries' most frequent value; "median" of a number
        - best tries, all tries: the value's share in %, or the median
    """
    made = tries[tries["validation_rmse"].notna()]
    best = made.sort_values(["pruned", "validation_rmse"]).groupby("split").head(top)
    of_best, of_all = _settings_table(best), _settings_table(made)
    rows = []
    for name in CHOICES:
        shares, shares_of_all = (table[name].value_counts(normalize=True) * 100 for table in (of_best, of_all))
        choice = shares.index[0]
        rows.append((name, str(choice).lower(), f"{shares.iloc[0]:.0f} %", f"{shares_of_all[choice]:.0f} %"))
    for name in NUMBERS:
        rows.append((name, "median", f"{of_best[name].median():.3g}", f"{of_all[name].median():.3g}"))
    return pd.DataFrame(rows, columns=["parameter", "most often", "best tries", "all tries"])


def _settings_table(tries: pd.DataFrame) -> pd.DataFrame:
    """Read the settings of tries, one row a try, with what `choices` counts of lists."""
    table = pd.DataFrame([FlexConfig.from_dict(json.loads(own)).to_dict() for own in tries["settings"]])
    return table.assign(
        layers=table["hidden_layers"].map(len),
        bottleneck=table["hidden_layers"].map(lambda sizes: sizes[-1]),
        pivot=table["pivot_indexes"].map(lambda pivot: "items" if tuple(pivot) == ITEM_BASED else "users"),
    )


def _to(**fields: object) -> Callable[[MethodSettings], MethodSettings]:
    """Make a change that gives these fields to settings."""
    return lambda settings: settings | fields


def _four_times_as_wide(settings: MethodSettings) -> MethodSettings:
    return settings | {"hidden_layers": [4 * size for size in settings["hidden_layers"]]}


def _with_second_layer(settings: MethodSettings) -> MethodSettings:
    """Put a layer of twice the size before the only one."""
    sizes = settings["hidden_layers"]
    return settings | {"hidden_layers": [2 * sizes[0], *sizes]} if len(sizes) == 1 else settings


def _with_other_pivot(settings: MethodSettings) -> MethodSettings:
    return settings | {"pivot_indexes": settings["pivot_indexes"][::-1]}


# What is changed in the best settings, one change at a time: its words, and how settings look with it.
CHANGES: dict[str, Callable[[MethodSettings], MethodSettings]] = {
    "no implicit input": _to(implicit_input=False),
    "no input normalization": _to(input_normalization=False),
    "loss over all ratings": _to(denoising_loss=False),
    "centring by row means": _to(centring="rows"),
    "output biases in place of centring": _to(centring="output-bias"),
    "no weight decay": _to(weight_decay=0.0),
    "no dropout": _to(drop_probability=0.0),
    "no noise": _to(noise_probability=0.0),
    "four times as wide": _four_times_as_wide,
    "a second hidden layer": _with_second_layer,
    "the other pivot": _with_other_pivot,
}


def ablate(tuning: Tuning, records: pd.DataFrame, n_weights: int = 3) -> pd.DataFrame:
    """Measure what each of `CHANGES` does to the validation RMSE of the best settings. Test ratings are not read.

    A seed draws initial weights and validation ratings, which are others than those that chose the settings. Early
    stopping finds the number of epochs of each network.

    Parameters
    ----------
    tuning
        The search. A change whose network is estimated to take more than its `max_seconds` is left out.
    records
        Of the search: the best settings of each split.
    n_weights
        Seeds for each split; a split's difference is their mean.

    Returns
    -------
    pd.DataFrame
        One row a change that could be measured, the most harmful first:

        - change: a key of `CHANGES`
        - n: splits in which it was measured; settings that have it already do not count
        - changed_by, low, high: change of the validation RMSE in stars, paired by seed, with its 95 % interval over
          splits
    """
    ratings, rows = load_ratings(tuning.dataset), []
    own = records[(records["method"] == REFERENCE) & (records["networks"] == 1)]
    best = dict(zip(own["split"], own["settings"], strict=True))
    for name, (seed, split) in tuning.load_splits(ratings).items():
        settings = json.loads(best[name])
        for weights in range(1, n_weights + 1):
            at = seed + SEED_STEP * weights
            before = _validation_rmse(ratings, split, at, settings, np.inf)
            for word, change in CHANGES.items():
                changed = change(settings)
                if FlexConfig.from_dict(changed) != FlexConfig.from_dict(settings):
                    after = _validation_rmse(ratings, split, at, changed, tuning.max_seconds)
                    rows.append((word, name, after - before))
    made = pd.DataFrame(rows, columns=["change", "split", "gap"]).dropna()
    gaps = made.groupby(["change", "split"], sort=False)["gap"].mean()
    share = tuning.test_split_rate or 1 / tuning.splits  # of folds
    found = [(word, len(own), *split_interval(own, share)) for word, own in gaps.groupby("change", sort=False)]
    measured = pd.DataFrame(found, columns=["change", "n", "changed_by", "low", "high"])
    return measured.sort_values("changed_by", ascending=False, ignore_index=True)


def _validation_rmse(ratings: Ratings, split: Split, seed: int, settings: MethodSettings, max_seconds: float) -> float:
    """Train with early stopping; NaN where training diverges or would take too long."""
    outcome = NETWORKS[REFERENCE].rehearse(ratings, split, seed, settings, max_seconds)
    return score(ratings, hold_back(split, seed), outcome[0])["rmse"] if outcome else np.nan


def best_numbers(table: pd.DataFrame, names: Mapping[str, str]) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose on the searches.

    Parameters
    ----------
    table
        Of `summarise_best`.
    names
        Title of each case to its short name.

    Returns
    -------
    dict
        Name to number or text, for each row of the table. WHAT is "one", "mean_of", or the reference's name with
        underscores:

        - CASE_WHAT (_low, _high): RMSE in stars
        - CASE_WHAT_gap (_low, _high): RMSE above that of one network, in stars
        - CASE_WHAT_met: "yes", "no" or ""
        - CASE_WHAT_words: RMSE with its interval
        - CASE_WHAT_gap_words: of `gap_words`
        - CASE_mean_words: a sentence on the mean of several networks; "" where one network alone was scored
    """
    found: dict[str, float | str] = {f"{name}_mean_words": "" for name in names.values()}
    for row in table.to_dict("records"):
        words = re.sub("[^a-z0-9]+", "_", row["what"].lower()).strip("_")
        is_mean = row["what"].startswith("mean of ")
        what = "one" if row["what"] == ONE_NETWORK else "mean_of" if is_mean else words
        key = f"{names[row['case']]}_{what}"
        found |= labelled(key, (row["mean"], row["low"], row["high"]), f"{key}_")
        found |= labelled(f"{key}_gap", (row["gap"], row["gap_low"], row["gap_high"]), f"{key}_gap_")
        found[f"{key}_met"] = row["met"]
        found[f"{key}_words"] = span_words(row["mean"], row["low"], row["high"])
        found[f"{key}_gap_words"] = gap_words(row)
        if is_mean:
            sentence = f" The {row['what']}, chosen on validation ratings, scores {row['mean']:.3f}: {gap_words(row)}."
            found[f"{names[row['case']]}_mean_words"] = sentence
    return found


def already_so(records: pd.DataFrame) -> list[str]:
    """List those of `CHANGES` that the best settings of every split have already, in the records of a search."""
    own = records[(records["method"] == REFERENCE) & (records["networks"] == 1)]
    settings = [json.loads(text) for text in own["settings"]]
    return [
        word
        for word, change in CHANGES.items()
        if all(FlexConfig.from_dict(change(one)) == FlexConfig.from_dict(one) for one in settings)
    ]


def ablation_numbers(table: pd.DataFrame, already: Sequence[str] = ()) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose on changes of the best settings.

    Parameters
    ----------
    table
        Of `ablate`.
    already
        Of `already_so`: changes that change nothing.

    Returns
    -------
    dict
        Name to number or text:

        - CHANGE (_low, _high), of each of `CHANGES` ("no_dropout"): change of the validation RMSE in stars; 0 where all
          best settings have it already, NaN where it was not measured
        - worst, second_worst: the most harmful changes ("none" where so many were not measured)
        - worst_by, second_worst_by: what they change, in stars
        - ablation_words: a sentence on these, and on how many changes the intervals tell from 0
    """
    rows = table.to_dict("records")
    spans = {row["change"]: (row["changed_by"], row["low"], row["high"]) for row in rows}
    found: dict[str, float | str] = {}
    for word in CHANGES:
        name = word.replace(" ", "_")
        nothing = (0.0, 0.0, 0.0) if word in already else UNKNOWN
        found |= labelled(name, spans.get(word, nothing), f"{name}_")
    worst = [(row["change"], row["changed_by"]) for row in rows] + [("none", np.nan)] * 2
    for name, (word, changed_by) in zip(("worst", "second_worst"), worst, strict=False):
        found |= {name: word, f"{name}_by": changed_by}
    return found | {"ablation_words": _ablation_words(table)}


def _ablation_words(table: pd.DataFrame) -> str:
    rows = table.to_dict("records")
    if not rows or not rows[0]["changed_by"] > 0:
        return "No change that could be measured does harm on average."
    words = f'On average, of the changes "{rows[0]["change"]}" does most harm ({rows[0]["changed_by"]:+.3f} stars)'
    if len(rows) > 1 and rows[1]["changed_by"] > 0:
        words += f', then "{rows[1]["change"]}" ({rows[1]["changed_by"]:+.3f})'
    told = int(((table["low"] > 0) | (table["high"] < 0)).sum())
    return f"{words}. The intervals tell {told} of {len(rows)} changes from 0."


def plot_search(histories: Mapping[str, pd.DataFrame], references: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw each try's validation RMSE and the lowest so far, a panel a search and a line a split.

    Parameters
    ----------
    histories
        Title to the table of `search_history`.
    references
        Title to the validation RMSE of a reference, by its word. One outside the frame is not drawn.
    """
    figure, axes = plt.subplots(len(histories), 1, figsize=(6.5, 3.1 * len(histories)), squeeze=False)
    for ax, (title, history) in zip(axes[:, 0], histories.items(), strict=True):
        lowest = history["best"].min()
        bottom, top = lowest - 0.005, lowest + DRAWN_ABOVE
        for split, own in history.groupby("split"):
            (line,) = ax.step(own["number"], own["best"], where="post", label=split, linewidth=2)
            ax.plot(own["number"], own["validation_rmse"], ".", color=line.get_color(), alpha=0.35, markersize=4)
        for word, value in references.get(title, {}).items():
            if bottom < value < top:
                ax.axhline(value, color=GREY, linestyle="--", linewidth=1.2)
                where = dict(xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize="x-small")
                ax.annotate(word, (1, value), **where)
        ax.set(title=title, xlabel="try", ylabel="validation\nRMSE (stars)", ylim=(bottom, top))
        if 1 < history["split"].nunique() <= LEGEND_SPLITS:
            ax.legend(ncols=3, loc="upper right")
    figure.tight_layout()
    return figure


def plot_ablation(table: pd.DataFrame, title: str) -> Figure:
    """Draw what each change of the best settings does to the validation RMSE, with 95 % intervals.

    Parameters
    ----------
    table
        Of `ablate`.
    title
        Of the figure.
    """
    figure, ax = plt.subplots(figsize=(6.5, 1.4 + 0.4 * len(table)))
    y = np.arange(len(table))
    bars = bar_lengths(table, "changed_by")
    ax.errorbar(table["changed_by"], y, xerr=bars, fmt="s", color=COLOURS["holdout"], capsize=4)
    ax.axvline(0, color="black", linewidth=1)
    words = [f"{change} ({n})" for change, n in zip(table["change"], table["n"], strict=True)]
    ax.set(title=title, xlabel="change in RMSE (stars); right: worse", yticks=y, yticklabels=words, ymargin=0.08)
    ax.tick_params(axis="y", labelsize="small")
    ax.invert_yaxis()
    return figure

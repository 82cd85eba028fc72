"""Chapter 9, the best of the family: how low its error can be, with settings searched on validation ratings.

The chapter reads the records and the tries of three searches (`Tuning`), and of references beside them. Only the
networks of `ablate` are trained by the chapter itself.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from flexlib.config import ITEM_BASED, FlexConfig, FlexError
from flexlib.data import Ratings, Split, hold_back
from flexlib.datasets.loading import load_ratings
from flexlib.methods.interface import MethodSettings
from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import ALL, Tuning, score
from flexstudy.methods import GREY, REFERENCE, users_bootstrap, verdict
from flexstudy.statistics import UNKNOWN, Interval, labelled, split_interval
from flexstudy.style import COLOURS, bar_lengths, title_left

SIMPLE = ("biases", "flexencoder_set1")
MACHINES = ("bpmf", "bayesian_svdpp")
ONE_TENTH = 0.1  # held out
ONE_NETWORK = "one network"
SEVERAL = "mean of several networks"
DRAWN_ABOVE = 0.075  # stars above the lowest validation RMSE, up to which a try is drawn
ROWS = (ONE_NETWORK, SEVERAL, *(ALL[key].name for key in (*reversed(MACHINES), "flexencoder_set1")))
ABLATED = 5  # splits, at most, on which the chapter takes choices back
SEED_STEP = 1000  # between the seeds that an ablation gives to one split, so that no two splits share one


def plan_searches(
    dataset: str,
    large: str,
    folded: str,
    splits: Sequence[int],
    tries: Sequence[int],
    max_seconds: float,
    average: int,
    **layout: Any,
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
    **layout
        Of `dataset` alone, where it is a file: `columns` and `scale` as in `Tuning`.

    Returns
    -------
    dict
        Title of each case to its search.
    """

    def search(name: str, rate: float | None, case: int, n_splits: int, shared: bool = False) -> Tuning:
        own = layout if name == dataset else {}
        return Tuning(name, (REFERENCE,), rate, n_splits, tries[case], shared, max_seconds, average, **own)

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
    return Tuning(
        search.dataset,
        methods,
        search.test_split_rate,
        search.splits,
        tries,
        search.shared,
        columns=search.columns,
        scale=search.scale,
    )


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
    ratings = tuning.load()
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


def against_biases(
    cases: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], shares: Sequence[float] = ()
) -> pd.DataFrame:
    """Compare what each search found, and the other references, with the biases on the splits that both have.

    Parameters
    ----------
    cases, shares
        As in `summarise_best`.

    Returns
    -------
    pd.DataFrame
        One row a case and predictor, in the order of `ROWS`:

        - case, what: title, and word; the mean of so many networks is `SEVERAL`
        - n: splits
        - gap, low, high: RMSE above that of the biases in stars, with its 95 % interval over splits
    """
    rows = []
    held_out = [*shares, *[0.3] * (len(cases) - len(shares))]
    for (case, (records, references)), share in zip(cases.items(), held_out, strict=True):
        biases = references[references["method"] == "biases"].set_index("split")["rmse"]
        parts = {ONE_NETWORK: records[records["networks"] == 1], SEVERAL: records[records["networks"] > 1]}
        parts |= {ALL[str(key)].name: own for key, own in references.groupby("method")}
        for what in ROWS:
            if what in parts and len(gaps := (parts[what].set_index("split")["rmse"] - biases).dropna()):
                rows.append(
                    {"case": case, "what": what, "n": len(gaps), **labelled("gap", split_interval(gaps, share))}
                )
    return pd.DataFrame(rows, columns=["case", "what", "n", "gap", "low", "high"])


def follow_tries(tries: pd.DataFrame) -> pd.DataFrame:
    """Follow the searches: how far each try was from the best of its search.

    Parameters
    ----------
    tries
        Of a `Tuning` of FlexEncoder. Where one search serves all splits, it counts once.

    Returns
    -------
    pd.DataFrame
        One row a try:

        - split: its name
        - place: of the try in its search, from 1
        - is_first: whether the search begins with it
        - above: validation RMSE above the lowest of the search, in stars; NaN where the try did not end well
    """
    own = tries.drop_duplicates(["number", "validation_rmse", "settings"]).sort_values(["split", "number"])
    whole = own["validation_rmse"].mask(own["pruned"].astype(bool))
    return pd.DataFrame(
        {
            "split": own["split"],
            "place": own["number"] + 1,
            "is_first": own["number"] < len(NETWORKS[REFERENCE].first_tries),
            "above": own["validation_rmse"] - whole.groupby(own["split"]).transform("min"),
        }
    )


def won_by_first_tries(tries: pd.DataFrame) -> tuple[int, int]:
    """Count the searches whose best try is one that they begin with, and the searches.

    Parameters
    ----------
    tries
        Of a `Tuning` of FlexEncoder.
    """
    followed = follow_tries(tries)
    won = followed[followed["above"] == 0].groupby("split")["is_first"].first()
    return int(won.sum()), len(won)


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
    ratings, rows = tuning.load(), []
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
        - targets, targets_met: RMSE that were aimed at, and how many of them one network reached
        - targets_words: a sentence on these; "" where there was no target
    """
    found: dict[str, float | str] = {}
    for row in table.to_dict("records"):
        words = re.sub("[^a-z0-9]+", "_", row["what"].lower()).strip("_")
        what = "one" if row["what"] == ONE_NETWORK else "mean_of" if row["what"].startswith("mean of ") else words
        key = f"{names[row['case']]}_{what}"
        found |= labelled(key, (row["mean"], row["low"], row["high"]), f"{key}_")
    aimed = table.loc[(table["what"] == ONE_NETWORK) & table["target"].notna(), "met"]
    met = int((aimed == "yes").sum())
    words = f"Of {len(aimed)} targets written down before the search, one network met {met}." if len(aimed) else ""
    return found | {"targets": len(aimed), "targets_met": met, "targets_words": words}


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
        - worst: the most harmful change ("none" where none was measured)
        - ablation_words: a sentence on these, and on how many changes the intervals tell from 0
    """
    rows = table.to_dict("records")
    spans = {row["change"]: (row["changed_by"], row["low"], row["high"]) for row in rows}
    found: dict[str, float | str] = {}
    for word in CHANGES:
        name = word.replace(" ", "_")
        nothing = (0.0, 0.0, 0.0) if word in already else UNKNOWN
        found |= labelled(name, spans.get(word, nothing), f"{name}_")
    return found | {"worst": rows[0]["change"] if rows else "none", "ablation_words": _ablation_words(table)}


def _ablation_words(table: pd.DataFrame) -> str:
    rows = table.to_dict("records")
    if not rows or not rows[0]["changed_by"] > 0:
        return "No change that could be measured does harm on average."
    words = f'On average, of the changes "{rows[0]["change"]}" does most harm ({rows[0]["changed_by"]:+.3f} stars)'
    if len(rows) > 1 and rows[1]["changed_by"] > 0:
        words += f', then "{rows[1]["change"]}" ({rows[1]["changed_by"]:+.3f})'
    told = int(((table["low"] > 0) | (table["high"] < 0)).sum())
    return f"{words}. The intervals tell {told} of {len(rows)} changes from 0."


def plot_found(table: pd.DataFrame) -> Figure:
    """Draw how far predictors are from the biases, a panel a case, with 95 % intervals over splits.

    Parameters
    ----------
    table
        Of `against_biases`.
    """
    rows = [what for what in ROWS if what in set(table["what"])]
    cases = list(table["case"].unique())
    figure, axes = _panels(len(cases), 0.9 + 0.36 * len(rows))
    for ax, case in zip(axes, cases, strict=False):
        own = table[table["case"] == case].set_index("what")
        y = [rows.index(what) for what in own.index]
        ax.axvline(0, color=GREY, linewidth=1.5)
        ax.errorbar(own["gap"], y, xerr=bar_lengths(own, "gap"), fmt="o", color=COLOURS["holdout"], capsize=3)
        ax.set_title(f"{fill(case, 26)}, n = {own['n'].max()}", fontsize="small")
        ax.xaxis.set_major_locator(MaxNLocator(4))
    axes[0].set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.5, -0.5))
    title_left(figure, "Left of the line: lower error than biases of users and films")
    figure.supxlabel("RMSE above that of biases (stars)", fontsize="small")
    figure.tight_layout()
    return figure


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """Make panels two by two with common axes, each so many inches high; an odd one more is left empty."""
    lines = -(-count // 2)
    figure, axes = plt.subplots(
        lines, min(count, 2), figsize=(6.5, 0.8 + height * lines), sharex=True, sharey=True, squeeze=False
    )
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    for ax in axes.flat:
        ax.tick_params(labelsize="small")
    return figure, list(axes.flat)


def plot_tries(searches: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw each try's validation RMSE above the lowest of its search, a panel a case and a row a place in the search.

    Parameters
    ----------
    searches
        Title to the table of `follow_tries`. Tries more than `DRAWN_ABOVE` above the lowest stand at the frame.
    """
    most = max(int(own["place"].max()) for own in searches.values())
    figure, axes = _panels(len(searches), 0.9 + 0.2 * most)
    looks = ((True, COLOURS["holdout"], "full", "begins with"), (False, GREY, "none", "proposed"))
    for ax, (title, table) in zip(axes, searches.items(), strict=False):
        for is_first, colour, filled, word in looks:
            own = table[(table["is_first"] == is_first) & table["above"].notna()]
            if own.empty:
                continue  # a line without points would have the layout make room for it
            x = own["above"].clip(-0.002, DRAWN_ABOVE)
            ax.plot(x, own["place"], "o", color=colour, fillstyle=filled, markersize=5, alpha=0.8, clip_on=False)
            if ax is axes[:2][-1]:
                at = (1.03, own["place"].unique().mean())
                where: dict[str, Any] = dict(
                    xycoords=("axes fraction", "data"), rotation=270, va="center", annotation_clip=False
                )
                ax.annotate(word, at, color=colour, fontsize="small", **where)
        n = table["split"].nunique()
        ax.set_title(f"{fill(title, 26)}, {n} search{'es' if n > 1 else ''}", fontsize="small")
        ax.set(xlim=(-0.002, DRAWN_ABOVE), ylim=(most + 0.6, 0.4), yticks=range(1, most + 1))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    every = pd.concat([own.assign(case=case) for case, own in searches.items()])
    won = every[every["above"] == 0].groupby(["case", "split"])["is_first"].first()
    title_left(figure, f"In {won.sum()} of {len(won)} searches the best try\nis one that the search begins with")
    figure.supylabel("place in the search", fontsize="small")
    figure.supxlabel("validation RMSE above the lowest of the search (stars)", fontsize="small")
    figure.tight_layout()
    return figure


def plot_ablation(table: pd.DataFrame, where: str) -> Figure:
    """Draw what each change of the best settings does to the validation RMSE, with 95 % intervals.

    Parameters
    ----------
    table
        Of `ablate`.
    where
        Name of the data set and of its splits.
    """
    figure, ax = plt.subplots(figsize=(6.5, 1.9 + 0.36 * max(len(table), 2)))
    y = np.arange(len(table))
    bars = bar_lengths(table, "changed_by")
    ax.errorbar(table["changed_by"], y, xerr=bars, fmt="o", color=COLOURS["holdout"], capsize=3)
    ax.axvline(0, color=GREY, linewidth=1.5)
    words = [f"{change} ({n})" for change, n in zip(table["change"], table["n"], strict=True)]
    harm = table.loc[table["changed_by"] > 0, "change"]
    title = f"Most harm: {harm.iloc[0]}" if len(harm) else "No change does harm"
    xlabel = "change of validation RMSE (stars)\nright: worse"
    ax.set(xlabel=xlabel, yticks=y, yticklabels=words, ymargin=0.08)
    ax.tick_params(labelsize="small")
    ax.invert_yaxis()
    title_left(figure, f"{title}\n{where}")
    figure.tight_layout()
    return figure

"""Chapter 3: Table 2's settings under three protocols, our own ten best, and what the best have in common.

It reads the records of the experiments `table2`, `best` and `one-rate`, those of the sweep that the last two choose
from, and where there is one the report of the replay of the authors' log.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from flexlib.config import PAPERS_DATASET, TABLE2_RMSE, FlexConfig
from flexstudy.paper import PRINTED_TOLERANCE
from flexstudy.plans import BEST, LEAKY_AND_LEAK_FREE, RATE, TABLE_2, THREE_PROTOCOLS, choose_best
from flexstudy.repetitions import PIVOT_TEXTS
from flexstudy.statistics import TOO_FEW, bootstrap, holm, labelled, mean_interval, spearman, split_interval
from flexstudy.style import COLOURS, SHORT_NAMES, bar_lengths, legend_below, words_of

SHOWN = (
    "hidden_layers",
    "weight_decay",
    "drop_probability",
    "noise_probability",
    "optimizer",
    "activation",
    "decoder_constraint",
    "mean_normalization",
    "prediction_rounding",
    "pivot_indexes",
    "test_split_rate",
)
PAPERS_TEN = "the paper's ten"
OUR_TENS = {protocol: f"our ten, {protocol}" for protocol in LEAKY_AND_LEAK_FREE}
GROUP_COLOURS = {PAPERS_TEN: COLOURS["paper"]} | {group: COLOURS[name] for name, group in OUR_TENS.items()}
GROUP_WORDS = {group: f"our ten, {SHORT_NAMES[name]}" for name, group in OUR_TENS.items()}


def published_values(dataset: str, sets: Iterable[str] = TABLE_2) -> pd.Series:
    """Give the RMSE that Table 2 prints for each set, in stars; NaN where there is none for these data."""
    known = TABLE2_RMSE if dataset == PAPERS_DATASET else {}
    return pd.Series({name: known.get(name, np.nan) for name in sets}, dtype=float)


def compare_with_table(summary: pd.DataFrame, published: pd.Series) -> pd.DataFrame:
    """Put our means beside Table 2, for reading.

    Parameters
    ----------
    summary
        Of `flexstudy.repetitions.summarise_settings`.
    published
        RMSE by set, in the order of the rows wanted.

    Returns
    -------
    pd.DataFrame
        One row a set, of texts, "" where there is none:

        - paper: what is published, in stars
        - released, described, holdout: our mean with its interval, and how many of the runs diverged
    """
    texts = summary.assign(text=[_interval_text(row) for row in summary.to_dict("records")])
    wide = texts.pivot(index="setting", columns="protocol", values="text").reindex(published.index).fillna("")
    table = published.rename_axis("set").to_frame("paper").round(3).astype(object)
    table = table.where(table.notna(), "")
    return table.join(wide[[protocol for protocol in THREE_PROTOCOLS if protocol in wide]])


def _interval_text(row: Mapping[Any, Any]) -> str:
    mean = f"{row['mean']:.3f}" if row["n"] else ""
    parts = [f"{mean} ({row['low']:.3f} to {row['high']:.3f})" if row["n"] > 1 else mean]
    if row["diverged"]:
        parts.append(f"{row['diverged']} of {row['n'] + row['diverged'] + row['skipped']} diverged")
    return ", ".join(part for part in parts if part) or "skipped"


def own_ten(fresh: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Follow our ten best of a sample, by each of two protocols, onto new splits.

    Parameters
    ----------
    fresh
        Records of the sample.
    again
        Records of the experiment `best`, which repeats them on other splits.

    Returns
    -------
    pd.DataFrame
        One row a protocol and place:

        - chosen_under: the protocol by whose scores the setting was chosen
        - place: from 1, the best
        - run: of the sample
        - chosen_by, other_half: RMSE on the half of the scored ratings that chose it, and on the other, in stars
        - n: new splits that ended well
        - mean, low, high: RMSE on them with its 95 % t-interval, corrected for the splits' overlap, in stars
        - the parameters `SHOWN`
    """
    rows = []
    for protocol in LEAKY_AND_LEAK_FREE:
        repeated = again[(again["role"] == protocol) & (again["protocol"] == protocol)]
        for place, row in enumerate(choose_best(fresh, protocol).to_dict("records"), start=1):
            own = repeated.loc[repeated["setting"] == f"best {place}", "rmse"].dropna()
            known = {"chosen_under": protocol, "place": place, "run": row["run"]}
            known |= {"chosen_by": row["rmse_first_half"], "other_half": row["rmse_second_half"], "n": len(own)}
            known |= labelled("mean", split_interval(own, row["test_split_rate"]))
            rows.append(known | {name: row[name] for name in SHOWN})
    return pd.DataFrame(rows)


def chosen_both_ways(fresh: pd.DataFrame) -> pd.DataFrame:
    """Ask whether being chosen flatters: the ten best by either half of their scored ratings, on the other half.

    Parameters
    ----------
    fresh
        Records of the sample.

    Returns
    -------
    pd.DataFrame
        One row a protocol and half:

        - protocol: under which settings are chosen and scored
        - chosen_by: "first half" or "second half"
        - n: settings, at most ten
        - worse, low, high: RMSE on the other half minus that on the half that chose, with its 95 % t-interval over
          the settings, each of which has a split of its own, in stars
    """
    halves, rows = {"first half": "rmse_first_half", "second half": "rmse_second_half"}, []
    for protocol in LEAKY_AND_LEAK_FREE:
        own = fresh[(fresh["protocol"] == protocol) & (fresh["status"] == "ok")]
        for half, column in halves.items():
            ten = own.nsmallest(BEST, column)
            (other,) = set(halves.values()) - {column}
            row = {"protocol": protocol, "chosen_by": half, "n": len(ten)}
            rows.append(row | labelled("worse", mean_interval(ten[other] - ten[column])))
    return pd.DataFrame(rows)


def is_monotone(hidden_layers: str | Sequence[int]) -> bool:
    """Say whether layer sizes, or their JSON, only rise or only fall; one layer does both."""
    sizes = json.loads(hidden_layers) if isinstance(hidden_layers, str) else list(hidden_layers)
    return sizes in (sorted(sizes), sorted(sizes, reverse=True))


ITEM_TRAIT, MONOTONE_TRAIT = "item-based (PI)", "layers in monotone order (HLs)"
# A trait's name, the parameter that it is of, and which of the parameter's values in records have it.
TRAITS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    ITEM_TRAIT: ("pivot_indexes", lambda value: value == PIVOT_TEXTS["item-based"]),
    "mean normalization (MeN)": ("mean_normalization", bool),
    MONOTONE_TRAIT: ("hidden_layers", is_monotone),
    "one hidden layer (HLs)": ("hidden_layers", lambda value: len(json.loads(value)) == 1),
    "no prediction rounding (PrR)": ("prediction_rounding", lambda value: not value),
    "dropout above 0 (DrP)": ("drop_probability", lambda value: value > 0),
    "noise above 0 (NoP)": ("noise_probability", lambda value: value > 0),
    "no re-feeding (DeF)": ("dense_refeeding", lambda value: value == 0),
}
NAMED_TRAITS = tuple(TRAITS)[:4]  # by the paper


def at_one_rate(fresh: pd.DataFrame, rerun: pd.DataFrame | None = None) -> pd.DataFrame:
    """Gather a sample's runs that hold out `RATE` of the ratings: settings are then trained and scored on as many.

    Parameters
    ----------
    fresh
        Records of the sample.
    rerun
        Of the experiment `one-rate`, which runs the best settings of other rates again with this one; None for none.

    Returns
    -------
    pd.DataFrame
        The records of both.
    """
    own = fresh[fresh["test_split_rate"] == RATE]
    return own if rerun is None else pd.concat([own, rerun[own.columns.intersection(rerun.columns)]], ignore_index=True)


def compare_traits(
    fresh: pd.DataFrame, report: Mapping[str, Any] | None = None, rerun: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Ask what ten best have in common, against the runs that they are the best of.

    Ours are the ten best of `at_one_rate`, compared with all settings of the sample that ended well under their
    protocol. The paper's ten are compared with the random rows of the authors' log, those that do not vary one
    parameter at a time; where there is no log, with our sample as released.

    Parameters
    ----------
    fresh
        Records of the sample.
    report
        Of `flexstudy.replay.replay_report`, which counts the log's values.
    rerun
        As in `at_one_rate`.

    Returns
    -------
    pd.DataFrame
        One row a group and trait:

        - trait: a key of `TRAITS`
        - group: `PAPERS_TEN`, then `OUR_TENS`
        - count, n: settings of the ten that have the trait, and how many the ten are
        - base: share of the runs compared with that have it
        - alone: p of so large a difference to them (two-sided, Fisher's exact test)
        - p: the same with Holm's correction over a group's traits
    """
    paper = pd.DataFrame([_as_record(FlexConfig.preset(name)) for name in TABLE_2])
    tables = []
    if report is None:
        tables.append(_compare_group(PAPERS_TEN, paper, _value_counts(fresh, "released"), among=False))
    else:
        tables.append(_compare_group(PAPERS_TEN, paper, _logged_counts(report), among=True))
    for protocol, group in OUR_TENS.items():
        ten, counts = choose_best(at_one_rate(fresh, rerun), protocol), _value_counts(fresh, protocol)
        tables.append(_compare_group(group, ten, counts, among=True))
    return pd.concat(tables, ignore_index=True)


def _compare_group(group: str, ten: pd.DataFrame, counts: Mapping[str, pd.Series], among: bool) -> pd.DataFrame:
    """Compare one group; counts: of each parameter's values; among: whether the ten are some of the runs counted."""
    rows = []
    for trait, (parameter, has) in TRAITS.items():
        count, values = sum(map(has, ten[parameter])), counts[parameter]
        base, size = int(values[[has(value) for value in values.index]].sum()), int(values.sum())
        others = [base - count, size - base - (len(ten) - count)] if among else [base, size - base]
        p = stats.fisher_exact([[count, len(ten) - count], np.maximum(others, 0)]).pvalue
        row = {"trait": trait, "group": group, "count": count, "n": len(ten)}
        rows.append(row | {"base": base / max(size, 1), "alone": p})
    table = pd.DataFrame(rows)
    return table.assign(p=holm(table["alone"]))


def _value_counts(fresh: pd.DataFrame, protocol: str) -> dict[str, pd.Series]:
    """Count each parameter's values over the runs that ended well."""
    made = fresh[(fresh["protocol"] == protocol) & (fresh["status"] == "ok")]
    return {parameter: made[parameter].value_counts() for parameter, _ in TRAITS.values()}


def _logged_counts(report: Mapping[str, Any]) -> dict[str, pd.Series]:
    """Read the same of the log's random rows off the report, which has JSON; lists stay JSON, as in records."""
    found = {}
    for parameter, _ in TRAITS.values():
        counts = report["authors"]["random_counts"][parameter]
        values = [text if text.startswith("[") else json.loads(text) for text in counts]
        found[parameter] = pd.Series(list(counts.values()), index=values)
    return found


def _as_record(config: FlexConfig) -> dict[str, Any]:
    return {name: json.dumps(v) if isinstance(v, list) else v for name, v in config.to_dict().items()}


def sets_title(summary: pd.DataFrame, dataset: str) -> str:
    """Say for the title of `plot_sets` how many sets score higher leak-free, of those that have both scores."""
    gap = summary.loc[summary["protocol"] == "released", "gap"].dropna()
    found = f"Leak-free, {int((gap < 0).sum())} of {len(gap)} sets score higher (worse)" if len(gap) else TOO_FEW
    return f"{found}\n{dataset}"


def monotone_paper_p(traits: pd.DataFrame, report: Mapping[str, Any] | None) -> float:
    """Test whether the paper's ten are monotone more often than the log's random rows with as many layers.

    One layer is always monotone, and two are, so only rows of one depth are compared: given how many rows of each depth
    are monotone, the number of monotone sets among the ten is a sum of hypergeometric ones.

    Parameters
    ----------
    traits
        Of `compare_traits` with the report.
    report
        Of `flexstudy.replay.replay_report`; None where there is none.

    Returns
    -------
    float
        One-sided p, with Holm's correction over the traits of the paper's ten, in place of that of `compare_traits`;
        NaN without a report.
    """
    if report is None:
        return float("nan")
    ten = [list(FlexConfig.preset(name).hidden_layers) for name in TABLE_2]
    logged = _logged_counts(report)["hidden_layers"]
    depths, monotone = logged.index.map(lambda text: len(json.loads(text))), logged.index.map(is_monotone)
    chances = np.ones(1)  # of so many monotone ones, from 0
    for depth in sorted({len(layers) for layers in ten}):
        drawn, rows = sum(len(layers) == depth for layers in ten), logged[depths == depth]
        of_depth = stats.hypergeom(rows.sum(), rows[monotone[depths == depth]].sum(), drawn)
        chances = np.convolve(chances, of_depth.pmf(np.arange(drawn + 1)))
    own = traits[traits["group"] == PAPERS_TEN].set_index("trait")["alone"].copy()
    own[MONOTONE_TRAIT] = min(1.0, float(chances[sum(map(is_monotone, ten)) :].sum()))
    return float(holm(own)[own.index.get_loc(MONOTONE_TRAIT)])


def item_based_by_rate(fresh: pd.DataFrame) -> pd.DataFrame:
    """Count the item-based among the ten best of the sample's own runs within each test split rate.

    Parameters
    ----------
    fresh
        Records of the sample.

    Returns
    -------
    pd.DataFrame
        One row a protocol and rate:

        - protocol, test_split_rate
        - runs: how many ended well
        - n: the best of them, at most ten
        - item_based: how many of these are
    """
    rows = []
    for protocol in LEAKY_AND_LEAK_FREE:
        ended = fresh[(fresh["protocol"] == protocol) & (fresh["status"] == "ok")]
        for rate, own in ended.groupby("test_split_rate"):
            ten = choose_best(own, protocol)
            row = {"protocol": protocol, "test_split_rate": rate, "runs": len(own), "n": len(ten)}
            rows.append(row | {"item_based": int((ten["pivot_indexes"] == PIVOT_TEXTS["item-based"]).sum())})
    return pd.DataFrame(rows, columns=["protocol", "test_split_rate", "runs", "n", "item_based"])


def item_contrast(traits: pd.DataFrame) -> float:
    """Test whether our two tens differ in how many are item-based.

    Parameters
    ----------
    traits
        Of `compare_traits`.

    Returns
    -------
    float
        p of so large a difference, or a larger one, if the protocols chose alike (Fisher's exact test); NaN where a
        group has fewer than ten.
    """
    own = traits[(traits["trait"] == ITEM_TRAIT) & traits["group"].isin(OUR_TENS.values())]
    if (own["n"] < len(TABLE_2)).any():
        return math.nan
    return float(stats.fisher_exact(np.column_stack([own["count"], own["n"] - own["count"]])).pvalue)


def sample_numbers(fresh: pd.DataFrame, rerun: pd.DataFrame | None = None) -> dict[str, float]:
    """Name the numbers of the chapter's prose that are of the sample alone.

    Parameters
    ----------
    fresh, rerun
        As in `at_one_rate`.

    Returns
    -------
    dict
        - item_based_least_PROTOCOL, item_based_most_PROTOCOL: over the rates of `item_based_by_rate`
          that have ten runs; NaN where there is none
        - flattered: in how many of the four rows of `chosen_both_ways` the interval lies above 0
        - one_rate, rerun: the rate of `at_one_rate`, and settings that were run again with it
    """
    numbers: dict[str, float] = {}
    by_rate = item_based_by_rate(fresh)
    for protocol in LEAKY_AND_LEAK_FREE:
        is_ten = (by_rate["protocol"] == protocol) & (by_rate["n"] == len(TABLE_2))
        own = by_rate.loc[is_ten, "item_based"]
        ends = (int(own.min()), int(own.max())) if len(own) else (float("nan"), float("nan"))
        numbers |= dict(zip((f"item_based_least_{protocol}", f"item_based_most_{protocol}"), ends, strict=True))
    numbers |= {"one_rate": RATE, "rerun": 0 if rerun is None else rerun["setting"].nunique()}
    halves = chosen_both_ways(fresh)
    return numbers | {"flattered": int((halves["low"] > 0).sum()) if halves["low"].notna().any() else math.nan}


def top10_numbers(summary: pd.DataFrame, traits: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """Name the numbers of the chapter's prose.

    Parameters
    ----------
    summary
        Of `flexstudy.repetitions.summarise_settings`, of Table 2's sets.
    traits
        Of `compare_traits`.
    dataset
        Name of the data.

    Returns
    -------
    dict
        - dataset, sets, n_seeds: what was run
        - compared, near, near_limit: sets whose splits all ended well as released; those within the limit of the
          printed RMSE; the limit, in stars
        - off_mean: our RMSE minus the printed one, over the sets compared, in stars
        - diverged_some, diverged_sets: sets that diverged on some split as released, and on all
        - worth_least, worth_most: by how much the leak lowers a set's RMSE, on the same splits, in stars
        - lowest_holdout, highest_holdout: of the sets' means, in stars
        - same_order, with _low and _high: rank correlation of the sets' means under both protocols
        - TRAIT_GROUP, with _base (in per cent) and _p: of `compare_traits`; NaN where a group has fewer than ten
        - printed_words, off_words: sentences on the printed scores
        - item_contrast_p: of `item_contrast`
    """
    published = published_values(dataset)
    summary = summary.assign(published=summary["setting"].map(published))
    released, holdout = (summary[summary["protocol"] == name].set_index("setting") for name in LEAKY_AND_LEAK_FREE)
    whole = released[(released["n"] == summary["n"].max()) & released["published"].notna()]
    off = whole["mean"] - whole["published"]
    gap = released["gap"].dropna()
    both = pd.DataFrame({"released": released["mean"], "holdout": holdout["mean"]}).loc[released.index].dropna()
    numbers: dict[str, Any] = {
        "dataset": dataset,
        "sets": len(released),
        "n_seeds": int(summary["n"].max()) or math.nan,
        "near_limit": PRINTED_TOLERANCE,
        "near": int((off.abs() <= PRINTED_TOLERANCE).sum()),
        "compared": len(whole),
        "off_mean": float(off.mean()),
        "diverged_some": int((released["diverged"] > 0).sum()),
        "diverged_sets": int(((released["n"] == 0) & (released["diverged"] > 0)).sum()),
        "worth_least": float(-gap.max()),
        "worth_most": float(-gap.min()),
        "lowest_holdout": float(holdout["mean"].min()),
        "highest_holdout": float(holdout["mean"].max()),
        "item_contrast_p": item_contrast(traits),
    }
    numbers |= labelled("same_order", bootstrap(spearman, both["released"], both["holdout"]), "same_order_")
    for row in traits.to_dict("records"):
        key = "_".join(re.findall(r"[a-z]+", f"{row['trait'].partition(' (')[0]} {row['group']}"))
        is_whole = row["n"] == len(TABLE_2)  # ten, like the paper's
        numbers |= {key: row["count"] if is_whole else math.nan}
        numbers |= {f"{key}_base": 100 * row["base"], f"{key}_p": row["p"]}
    return numbers | _printed_words(numbers, bool(published.notna().any()))


def _printed_words(numbers: Mapping[str, Any], is_printed: bool) -> dict[str, str]:
    """Say how far the sets come out as printed, where the paper prints something for these data."""
    if not is_printed:
        return {"printed_words": "The paper prints nothing for these data.", "off_words": ""}
    if not numbers["compared"]:
        return {"printed_words": f"No set ended well on every split ({TOO_FEW}).", "off_words": ""}
    return {
        "printed_words": f"Leaky, {numbers['near']} of {numbers['compared']} sets come out as printed.",
        "off_words": f"On average, the leaky means differ from the printed ones by {numbers['off_mean']:+.3f} stars.",
    }


def plot_sets(
    summary: pd.DataFrame,
    published: ArrayLike | pd.Series,
    title: str,
) -> Figure:
    """Draw the RMSE of numbered settings by protocol: means with 95 % intervals, and the paper's numbers.

    Parameters
    ----------
    summary
        One row a setting and protocol, with the columns setting, protocol, n, mean, low and high, such as
        `flexstudy.repetitions.summarise_settings` makes. Settings are numbered in order, from 1.
    published
        RMSE in stars, by setting or in their order; NaN where there is none.
    title
        Of the figure.
    """
    settings = summary["setting"].unique()
    places = {setting: place for place, setting in enumerate(settings, start=1)}
    printed = pd.Series(published, index=settings)
    protocols = [name for name in THREE_PROTOCOLS if name in set(summary["protocol"])]
    marks = {"released": "o", "described": "^", "holdout": "s"}
    height = 1.6 + 0.52 * len(settings)
    figure, ax = plt.subplots(figsize=(6.5, height))
    for place, protocol in enumerate(protocols):
        own = summary[(summary["protocol"] == protocol) & (summary["n"] > 0)]
        ax.errorbar(
            own["mean"],
            own["setting"].map(places).astype(float) + 0.22 * (place - (len(protocols) - 1) / 2),
            xerr=bar_lengths(own),
            capsize=3,
            fmt=marks[protocol],
            markersize=5.5,
            color=COLOURS[protocol],
            label=words_of(protocol),
        )
    if printed.notna().any():
        word = "printed in the paper"
        ax.plot(printed, list(places.values()), "x", color=COLOURS["paper"], markersize=8, mew=2, label=word)
    ax.set(title=title, xlabel="RMSE (stars)", ylabel="parameter set", yticks=list(places.values()))
    ax.set_ylim(len(settings) + 0.6, 0.4)
    legend_below(ax, down=0.9 / height)
    return figure


def plot_traits(traits: pd.DataFrame, dataset: str) -> Figure:
    """Draw how many of ten best have each trait, by group, against the share of all runs that have it.

    Parameters
    ----------
    traits
        Of `compare_traits`.
    dataset
        For the title.
    """
    names = traits["trait"].unique()
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.8 * len(names)))
    for place, (group, colour) in enumerate(GROUP_COLOURS.items()):
        own = traits[traits["group"] == group]
        y = np.arange(len(names)) + 0.27 * (place - 1)
        of_ten = 10 * own["count"] / own["n"]
        ax.barh(y, of_ten, height=0.23, color=colour, label=GROUP_WORDS.get(group, group))
        ax.plot(
            10 * own["base"],
            y,
            "|",
            color="#999999" if group == PAPERS_TEN else "black",  # which shows on the paper's black bars
            markersize=11,
            mew=2,
            label="expected by chance" if place == 1 else None,  # once, and black
        )
        for where, count in zip(y, own["count"], strict=True):
            ax.annotate(f"{count}", (10.9, where), ha="right", va="center", color=colour, fontsize="small")
    first = traits[traits["trait"] == names[0]].set_index("group")
    leaky, free = (first.loc[group] for group in OUR_TENS.values())
    found = f"{leaky['count']} of our ten best leaky, {free['count']} leak-free"
    if (leaky["n"], free["n"]) != (10, 10):
        found = f"{leaky['count']} of our {leaky['n']} best leaky, {free['count']} of {free['n']} leak-free"
    ax.set(
        title=f"{names[0].partition(' (')[0].capitalize()}: {found}\n{dataset}",
        xlabel="of ten",
        xlim=(0, 11),
        xticks=range(0, 11, 2),
        yticks=range(len(names)),
        yticklabels=[name.replace(" (", "\n(") for name in names],
    )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    legend_below(ax, 2, 0.17)
    return figure

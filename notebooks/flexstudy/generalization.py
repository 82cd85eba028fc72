"""The chapter on generalization: Table 2's sets on a larger data set, and whether ranks carry over to it.

It reads the experiment "table2" on both sets, and the sweeps of both sets, which have the same settings.

References
----------
Tran et al. (2018), Section 4.5 and Figure 5.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from flexlib.config import TABLE2_RMSE, FlexConfig
from flexlib.data import Ratings
from flexstudy.paper import FIGURE_5
from flexstudy.plans import LEAKY_AND_LEAK_FREE, TABLE_2, THREE_PROTOCOLS
from flexstudy.references import score_baselines
from flexstudy.repetitions import PIVOT_TEXTS
from flexstudy.statistics import (
    SIGNIFICANT,
    TOO_FEW,
    bootstrap,
    correlation_interval,
    labelled,
    spearman,
    split_interval,
)
from flexstudy.style import COLOURS, FILLS, MARKERS, bar_lengths, legend_below, title_left, words_of

FIRST_SET = "table2:1"  # the best of the ten in the paper, on both data sets
WITHIN = "all settings, ranked among those of one test split rate"
_ITEM_MEAN = {"released": "item mean over all ratings (leaks)", "holdout": "item mean over training ratings"}


class Group(NamedTuple):
    """Settings whose ranks are compared.

    Parameters
    ----------
    key
        In the names of its numbers.
    choose
        From a table of `match_runs`, says which rows belong to it.
    """

    key: str
    choose: Callable[[pd.DataFrame], pd.Series]


def _all(matched: pd.DataFrame) -> pd.Series:
    return pd.Series(True, matched.index)


def _centred(matched: pd.DataFrame) -> pd.Series:
    return matched["mean_normalization"].astype(bool)


def _centred_with(pivot: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda matched: _centred(matched) & (matched["pivot_indexes"] == PIVOT_TEXTS[pivot])


def _best(share: float) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda matched: matched["small"] <= matched["small"].quantile(share)


RANKED_GROUPS = {
    "all settings": Group("all", _all),
    WITHIN: Group("within", _all),
    "with mean normalization": Group("centred", _centred),
    "item-based, with mean normalization": Group("item", _centred_with("item-based")),
    "user-based, with mean normalization": Group("user", _centred_with("user-based")),
    "the best quarter on the smaller set": Group("quarter", _best(0.25)),
    "the best tenth on the smaller set": Group("tenth", _best(0.1)),
}


def printed_rmse(dataset: str) -> dict[str, float]:
    """Give the RMSE that Figure 5 prints, by set of Table 2; empty for data that it does not have."""
    return dict(zip(TABLE_2, FIGURE_5[dataset], strict=True)) if dataset in FIGURE_5 else {}


def match_runs(small: pd.DataFrame, big: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Match the runs of two sweeps of one seed that ended well on both data sets.

    Parameters
    ----------
    small, big
        Records on the smaller and on the larger set.
    protocol
        Whose runs are matched.

    Returns
    -------
    pd.DataFrame
        A row a run, with the records' columns of the smaller set and these:

        - small, big: RMSE on the two sets, in stars
        - small_first_half: RMSE on the half of the smaller set's test ratings that settings are chosen on
    """
    tables = [table[(table["protocol"] == protocol) & (table["status"] == "ok")] for table in (small, big)]
    renamed = tables[0].rename(columns={"rmse": "small", "rmse_first_half": "small_first_half"})
    return renamed.merge(tables[1][["run", "rmse"]].rename(columns={"rmse": "big"}), on="run", validate="one_to_one")


def rank_agreement(matched: pd.DataFrame) -> pd.DataFrame:
    """Correlate the ranks of RMSE on the two sets, in each of `RANKED_GROUPS`.

    Parameters
    ----------
    matched
        Of `match_runs`.

    Returns
    -------
    pd.DataFrame
        A row a group:

        - group: in words
        - n: settings
        - spearman, low, high: rank correlation with its 95 % interval, by bootstrap over settings
    """
    rows = []
    for words, group in RANKED_GROUPS.items():
        own = matched[group.choose(matched)]
        if words == WITHIN:
            by_rate = own.groupby("test_split_rate")
            own = own.assign(**{side: by_rate[side].rank(pct=True) for side in ("small", "big")})
        found = labelled("spearman", bootstrap(spearman, own["small"], own["big"]))
        rows.append({"group": words, "n": len(own)} | found)
    return pd.DataFrame(rows)


def best_carried_over(matched: pd.DataFrame, lows: pd.DataFrame, n: int = 10) -> dict[str, float]:
    """Follow the settings that the smaller set would have us choose to the larger one.

    Parameters
    ----------
    matched
        Of `match_runs`.
    lows
        Of `reference_rmse`, on the larger set.
    n
        How many settings are chosen: those with the lowest RMSE on the choosing half of the smaller set.

    Returns
    -------
    dict
        RMSE on the larger set in stars, NaN where nothing is matched:

        - matched, chosen: settings
        - rmse_first, rank_first: of the very best on the smaller set
        - mean_n: mean of the chosen ones
        - best_big, median_big: lowest and median of all
        - below_NAME: how many of the chosen ones are below each column of `lows` at their own test split rate; NaN
          where there are not n
    """
    chosen = matched.nsmallest(n, "small_first_half")
    first = float(chosen["big"].iloc[0]) if len(chosen) else float("nan")
    found = {
        "matched": len(matched),
        "chosen": len(chosen),
        "rmse_first": first,
        "rank_first": int((matched["big"] < first).sum()) + 1 if len(chosen) else float("nan"),
        "mean_n": float(chosen["big"].mean()),
        "best_big": float(matched["big"].min()),
        "median_big": float(matched["big"].median()),
    }
    known = {name: chosen["test_split_rate"].map(lows[name]) for name in lows}
    below = {f"below_{name}": int((chosen["big"] < rmse).sum()) for name, rmse in known.items()}
    return found | (below if len(chosen) == n else dict.fromkeys(below, math.nan))


def pivots_carried_over(matched: pd.DataFrame) -> pd.DataFrame:
    """Compare user- and item-based settings with mean normalization on each set.

    Parameters
    ----------
    matched
        Of `match_runs`.

    Returns
    -------
    pd.DataFrame
        By pivot, "user" and "item", NaN where there are no such settings:

        - small, big: median RMSE on the two sets, in stars
        - n: settings
    """
    own = matched[_centred(matched)]
    by_pivot = own.groupby("pivot_indexes")
    table = by_pivot[["small", "big"]].median().assign(n=by_pivot.size())
    pivots = {"user": PIVOT_TEXTS["user-based"], "item": PIVOT_TEXTS["item-based"]}
    return table.reindex(list(pivots.values())).set_axis(list(pivots)).rename_axis("pivot")


def reference_rmse(ratings: Ratings, n_seeds: int, rates: Iterable[float]) -> pd.DataFrame:
    """Score predictors without a network on held-out ratings.

    Parameters
    ----------
    ratings
        What is split and predicted.
    n_seeds
        Splits at each rate.
    rates
        Test split rates.

    Returns
    -------
    pd.DataFrame
        By test split rate, RMSE in stars, averaged over splits:

        - item_mean
        - biases: of users and items
    """
    rows = {}
    for rate in sorted(set(rates)):
        scores = pd.DataFrame(score_baselines(ratings, rate, range(n_seeds)))
        rows[rate] = scores[scores["fitted_on"] == "training ratings"].groupby("predictor")["rmse"].mean()
    names = {"item mean": "item_mean", "user and item biases": "biases"}
    return pd.DataFrame(rows).T[list(names)].rename(columns=names)


def sets_on(records: pd.DataFrame, ratings: Ratings) -> pd.DataFrame:
    """Set Table 2's sets on a data set beside the item mean on the same splits.

    Parameters
    ----------
    records
        Of the experiment "table2".
    ratings
        Its data set.

    Returns
    -------
    pd.DataFrame
        A row a set and protocol, sets in the order of the records:

        - setting, protocol: names
        - n: splits on which it ended well
        - published: what Figure 5 prints, in stars; NaN where it has none
        - diverged: splits
        - mean, low, high: RMSE with its 95 % t-interval over splits, corrected for their overlap, in stars
        - gap, gap_low, gap_high: its difference to the item mean, in stars, below 0 where the network is better. The
          item mean is over training ratings under `holdout`, else over all ratings, as the protocol's row means are.
        - item_mean: RMSE of that item mean over all splits, in stars
    """
    rows, published = [], printed_rmse(ratings.name)
    for setting in records["setting"].unique():
        own, test_share = records[records["setting"] == setting], FlexConfig.preset(setting).test_split_rate
        scores = pd.DataFrame(score_baselines(ratings, test_share, sorted(own["seed"].unique())))
        item = scores[scores["predictor"] == "item mean"].pivot(index="seed", columns="fitted_on", values="rmse")
        for protocol, runs in own.groupby("protocol", sort=False):
            rmse = runs.set_index("seed")["rmse"].dropna()
            reference = item["training ratings" if protocol == "holdout" else "all ratings"]
            row = {"setting": setting, "protocol": protocol, "n": len(rmse)}
            row |= {"published": published.get(setting, np.nan), "diverged": int((runs["status"] == "diverged").sum())}
            row |= labelled("mean", split_interval(rmse, test_share))
            row |= labelled("gap", split_interval(rmse - reference.loc[rmse.index], test_share), "gap_")
            rows.append(row | {"item_mean": float(reference.mean())})
    return pd.DataFrame(rows)


def compare_sizes(small: pd.DataFrame, big: pd.DataFrame) -> pd.DataFrame:
    """Count the sets of Table 2 whose RMSE is higher on the larger data set.

    Parameters
    ----------
    small, big
        Records of the experiment "table2" on the two data sets.

    Returns
    -------
    pd.DataFrame
        A row a protocol of both:

        - protocol
        - n: sets that ended well on some split of both data sets and do not have the same mean RMSE there
        - higher: those with the higher mean on the larger set
        - p: two-sided, by the sign test; NaN where n is 0
        - median, least, most: RMSE on the larger set minus that on the smaller one, over these sets, in stars
    """
    rows = []
    for protocol in [name for name in THREE_PROTOCOLS if name in set(small["protocol"]) & set(big["protocol"])]:
        one, other = (table[table["protocol"] == protocol].groupby("setting")["rmse"].mean() for table in (small, big))
        gap = (other - one).dropna()
        gap = gap[gap != 0]
        n, higher = len(gap), int((gap > 0).sum())
        row = {"protocol": protocol, "n": n, "higher": higher}
        row["p"] = float(stats.binomtest(higher, n).pvalue) if n else float("nan")
        rows.append(row | {"median": gap.median(), "least": gap.min(), "most": gap.max()})
    return pd.DataFrame(rows, columns=["protocol", "n", "higher", "p", "median", "least", "most"])


def size_numbers(table: pd.DataFrame) -> dict[str, Any]:
    """Name the numbers of `compare_sizes`, and what follows from them.

    Parameters
    ----------
    table
        Of `compare_sizes`.

    Returns
    -------
    dict
        - higher_on_large_PROTOCOL, with _n and _p before the protocol: the columns higher, n and p, for `released`
          and `holdout`; NaN where n is 0
        - sizes_words: a sentence on the two; "" where there is nothing to compare
    """
    numbers: dict[str, Any] = {}
    worse = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        own = table[table["protocol"] == protocol]  # one row or none
        p = float(own["p"].mean())
        higher, n = (int(own[name].sum()) if len(own) and own["n"].any() else math.nan for name in ("higher", "n"))
        numbers |= {f"higher_on_large_{protocol}": higher, f"higher_on_large_n_{protocol}": n}
        numbers[f"higher_on_large_p_{protocol}"] = p
        worse[protocol] = p < SIGNIFICANT and 2 * higher > n
    if math.isnan(numbers["higher_on_large_n_released"]):
        words = ""
    elif not worse["released"]:
        words = "So there is no evidence that the larger set looks worse with the leak."
    elif worse["holdout"]:
        words = "So the larger set looks worse under both protocols."
    else:
        words = "So the larger set looks worse with the leak; without it, there is no evidence that it is."
    numbers["sizes_words"] = words
    return numbers


def mean_lines(summary: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """Give the item mean for `flexstudy.top10.plot_sets`.

    Parameters
    ----------
    summary
        Of `sets_on`.

    Returns
    -------
    dict
        Words to RMSE, averaged over the sets' splits, and the protocol whose colour it has.
    """
    means = summary.groupby("protocol")["item_mean"].mean()
    return {words: (float(means[name]), name) for name, words in _ITEM_MEAN.items()}


def sets_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Lay the table of `sets_on` out for reading: a row a set and protocol, with heads in words."""
    heads = {
        "protocol": "protocol",
        "published": "read off Figure 5",
        "n": "splits that end well",
        "diverged": "splits that diverge",
        "mean": "mean RMSE",
        "low": "from",
        "high": "to",
        "gap": "difference to the item mean",
        "gap_low": "difference from",
        "gap_high": "difference to",
    }
    return summary.set_index("setting")[list(heads)].rename(columns=heads).rename_axis("set")


def generalization_numbers(
    summary: pd.DataFrame,
    agreement: Mapping[str, pd.DataFrame],
    carried: Mapping[str, Mapping[str, float]],
    pivots: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Name the numbers of the chapter's prose.

    Parameters
    ----------
    summary
        Of `sets_on`.
    agreement, carried, pivots
        Protocol to what `rank_agreement`, `best_carried_over` and `pivots_carried_over` give.

    Returns
    -------
    dict
        Name to number, among them worst_PROTOCOL, the highest of the sets' means, and item_mean_large_PROTOCOL: RMSE of
        the item mean on the splits on which sets ended well, averaged as their mean is, in stars.
    """
    lines = {protocol: rmse for rmse, protocol in mean_lines(summary).values()}
    numbers = _printed_numbers() | {
        "n_seeds": int(summary["n"].max()) or math.nan,
        "item_mean_all": lines["released"],
        "item_mean_training": lines["holdout"],
        "item_mean_leak": lines["holdout"] - lines["released"],
    }
    for protocol, own in summary.groupby("protocol"):
        made, first = own[own["n"] > 0], own[own["setting"] == FIRST_SET].iloc[0]
        numbers |= {
            f"mean_{protocol}": float(made["mean"].mean()),
            f"item_mean_large_{protocol}": float((made["mean"] - made["gap"]).mean()),
            f"worst_{protocol}": float(made["mean"].max()),
            f"compared_{protocol}": len(made),
            f"beaten_{protocol}": int((made["gap_high"] < 0).sum()) if len(made) else math.nan,
            f"below_{protocol}": int((made["mean"] < FIGURE_5["all_below"]).sum()),
            f"set_1_place_{protocol}": int((made["mean"] < first["mean"]).sum()) + 1 if first["n"] else float("nan"),
        }
        span = tuple(map(float, first[["mean", "low", "high"]]))
        numbers |= labelled(f"set_1_{protocol}", span, f"set_1_{protocol}_")
    means = summary.set_index(["protocol", "setting"])["mean"]
    ended = means["holdout"].dropna().index
    numbers["mean_released_same"] = float(means["released"].loc[ended].mean())
    for protocol, table in agreement.items():
        numbers[f"n_{protocol}"] = int(table["n"].iloc[0])
        for row in table.to_dict("records"):
            name = f"{RANKED_GROUPS[row['group']].key}_{protocol}"
            span = row["spearman"], row["low"], row["high"]
            numbers |= labelled(name, span, f"{name}_") | {f"{name}_n": row["n"]}
        numbers |= {f"{name}_{protocol}": value for name, value in carried[protocol].items()}
        medians = pivots[protocol][["small", "big"]].to_dict()
        numbers |= {f"{side}_{pivot}_{protocol}": rmse for side, of in medians.items() for pivot, rmse in of.items()}
    return numbers


def _printed_numbers() -> dict[str, float]:
    """Name the numbers of what the paper prints."""
    printed, limit = printed_rmse("ml-1m"), FIGURE_5["all_below"]
    values = np.array(list(printed.values()))
    order = spearman([TABLE2_RMSE[name] for name in printed], values)
    low, high = (float(end) for end in correlation_interval(order, len(values)))
    return labelled("printed_order", (order, low, high), "printed_order_") | {
        "claimed_below": limit,
        "claimed_mean": FIGURE_5["mean"],
        "claimed_first": printed[FIRST_SET],
        "printed_above": int((values > limit).sum()),
        "printed_over": float(values.max() - limit),
    }


def plot_sets_on_both(summary: pd.DataFrame, small: pd.DataFrame, names: tuple[str, str]) -> Figure:
    """Draw the RMSE of the sets on both data sets, a panel a protocol.

    Parameters
    ----------
    summary
        Of `sets_on`, on the larger set.
    small
        Records of the experiment "table2" on the smaller one.
    names
        Of the smaller and the larger data set.
    """
    settings = summary["setting"].unique()
    places = {setting: place for place, setting in enumerate(settings, start=1)}
    lines = {protocol: rmse for rmse, protocol in mean_lines(summary).values()}
    figure, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(6.5, 6.4), layout="constrained")
    for ax, protocol in zip(axes, LEAKY_AND_LEAK_FREE, strict=True):
        colour, mark = COLOURS[protocol], "os"[LEAKY_AND_LEAK_FREE.index(protocol)]
        own = summary[summary["protocol"] == protocol].set_index("setting")
        before = small[small["protocol"] == protocol].groupby("setting")["rmse"].mean().reindex(own.index)
        y = np.array([places[setting] for setting in own.index], float)
        ax.hlines(y, before, own["mean"], color=colour, alpha=0.4, linewidth=2)
        ax.plot(before, y, mark, color=colour, fillstyle="none", markersize=6)
        ax.errorbar(own["mean"], y, xerr=bar_lengths(own), fmt=mark, color=colour, markersize=6, capsize=3)
        ax.plot(own["published"], y - 0.25, "x", color=COLOURS["paper"], markersize=8, mew=1.8)
        ax.axvline(lines[protocol], color=colour, linestyle="--", linewidth=1.3)
        for setting, lost in own.loc[own["mean"].isna(), "diverged"].items():
            at = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small"}
            ax.annotate("diverges" if lost else "skipped", (0.02, places[setting]), **at)
        higher = (own["mean"] > before).sum()
        known = (own["mean"].notna() & before.notna()).sum()
        compared = f"{higher} of {known} score higher on the larger" if known else TOO_FEW
        ax.set_title(f"{words_of(protocol)}\n{compared}", fontsize="small")
        ax.set_xlabel("RMSE (stars)")
        ax.grid(axis="y", visible=False)
    axes[0].set(ylabel="parameter set", yticks=list(places.values()), ylim=(len(settings) + 0.6, 0.4))
    title_left(figure, f"The ten sets on {names[1]}")
    words = f"open: {names[0]}; filled: {names[1]}, with 95 % intervals"
    printed = ", crosses: read off Figure 5" if summary["published"].notna().any() else ""
    figure.supxlabel(f"{words}\ndashed: mean rating of each film{printed}", fontsize="small", x=0.02, ha="left")
    return figure


def plot_agreement(agreement: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw how far ranks agree on the two data sets, a row a group of settings.

    Parameters
    ----------
    agreement
        Protocol to the table of `rank_agreement`.
    """
    groups, sizes = (agreement["holdout"][column] for column in ("group", "n"))
    figure, ax = plt.subplots(figsize=(6.5, 5.2))
    for place, (protocol, table) in enumerate(agreement.items()):
        y = np.arange(len(groups)) + 0.3 * (place - (len(agreement) - 1) / 2)
        style: dict[str, Any] = {"fmt": "os"[place % 2], "color": COLOURS[protocol], "capsize": 3, "markersize": 6}
        ax.errorbar(table["spearman"], y, xerr=bar_lengths(table, "spearman"), label=words_of(protocol), **style)
    keys = {group.key: words for words, group in RANKED_GROUPS.items()}
    known = agreement["holdout"].set_index("group")["spearman"]
    item, user, both = (known[keys[key]] for key in ("item", "user", "centred"))
    ax.axvline(0, color="black", linewidth=1)
    found = f"{item:.2f} item-based, {user:.2f} user-based, {both:.2f} both"
    found = TOO_FEW if np.isnan([item, user, both]).any() else found
    ax.set(
        title=f"Leak-free, with mean normalization, ranks agree at\n{found}",
        xlabel="rank correlation of the RMSE on the two data sets",
        yticks=range(len(groups)),
        ylim=(len(groups) - 0.4, -0.6),
    )
    ax.set_yticklabels([f"{fill(words, 26)} ({n})" for words, n in zip(groups, sizes, strict=True)], fontsize="small")
    ax.grid(axis="y", visible=False)
    legend_below(ax, down=0.16)
    return figure


def plot_ranks(matched: pd.DataFrame, names: tuple[str, str], protocol: str = "holdout") -> Figure:
    """Draw the rank of each setting with mean normalization on one data set against its rank on another.

    Parameters
    ----------
    matched
        Of `match_runs`.
    names
        Of the two data sets.
    protocol
        Whose runs these are.
    """
    own = matched[_centred(matched)]
    ranks = own[["small", "big"]].rank()
    figure, ax = plt.subplots(figsize=(6.5, 5.2))
    ax.axline((1, 1), slope=1, color="black", linewidth=0.8, linestyle=":")
    medians = {}
    for pivot, text in PIVOT_TEXTS.items():
        mine = ranks[own["pivot_indexes"] == text]
        style: dict[str, Any] = {"fillstyle": FILLS[pivot], "color": COLOURS[protocol], "markersize": 6}
        ax.plot(mine["small"], mine["big"], MARKERS[pivot], label=f"{pivot} ({len(mine)})", **style)
        medians[pivot] = mine.median()
    better = {
        side: min(medians, key=lambda pivot: np.nan_to_num(medians[pivot][side], nan=np.inf))
        for side in ("small", "big")
    }
    title = f"Better by the median rank: {better['small']} settings on the"
    ax.set(
        title=f"{title}\nsmaller set, {better['big']} ones on the larger",
        xlabel=f"rank of RMSE on {names[0]} (1: lowest)",
        ylabel=f"rank on {names[1]}",
    )
    legend_below(ax, columns=2, down=0.16)
    return figure

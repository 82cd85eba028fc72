"""The chapter on generalization: Table 2's sets on a larger data set, and whether ranks carry over to it.

It reads the experiment "table2" on both sets, and the sweeps of both sets, which have the same settings.

References
----------
Tran et al. (2018), Section 4.5 and Figure 5.
"""

from collections.abc import Callable, Iterable, Mapping
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
    Interval,
    bootstrap,
    correlation_interval,
    labelled,
    spearman,
    spelled,
    split_interval,
)
from flexstudy.style import COLOURS, FILLS, MARKERS, legend_below, words_of

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


def ranks_table(agreement: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Lay agreement out for reading: protocols beside each other, a row a group of settings.

    Parameters
    ----------
    agreement
        Protocol to the table of `rank_agreement`.
    """
    tables = {name: table.set_index("group") for name, table in agreement.items()}
    parts = {
        name: table[["n"]].assign(Spearman=spelled(table, "spearman", form=".2f")) for name, table in tables.items()
    }
    return pd.concat(parts, axis=1)


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
        - below_NAME: how many of the chosen ones are below each column of `lows` at their own test split rate
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
    return found | {f"below_{name}": int((chosen["big"] < rmse).sum()) for name, rmse in known.items()}


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
          and `holdout`
        - sizes_words: a sentence on the two
    """
    numbers: dict[str, Any] = {}
    worse = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        own = table[table["protocol"] == protocol]  # one row or none
        higher, n, p = int(own["higher"].sum()), int(own["n"].sum()), float(own["p"].mean())
        numbers |= {f"higher_on_large_{protocol}": higher, f"higher_on_large_n_{protocol}": n}
        numbers[f"higher_on_large_p_{protocol}"] = p
        worse[protocol] = p < SIGNIFICANT and 2 * higher > n
    if not worse["released"]:
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
    """Lay the sets out for reading, a row a set; "" where there is nothing.

    Parameters
    ----------
    summary
        Of `sets_on`.

    Returns
    -------
    pd.DataFrame
        By set:

        - published: what Figure 5 prints
        - a column a protocol: RMSE with its interval, and how many splits diverged
        - gap, released and gap, holdout: to the item mean, with its interval
    """
    gap = spelled(summary, "gap", "gap_low", "gap_high")
    lost = summary["diverged"].map(lambda count: f"{count} diverged" if count else "")
    rmse = (spelled(summary, "mean", form=".3f") + ", " + lost).str.strip(", ")
    wide = summary.assign(rmse=rmse, gap=gap).pivot(index="setting", columns="protocol", values=["rmse", "gap"])
    table = summary.drop_duplicates("setting").set_index("setting")[["published"]].round(3).astype(object)
    for protocol in THREE_PROTOCOLS:
        if ("rmse", protocol) in wide:
            table[protocol] = wide["rmse", protocol]
    for protocol in _ITEM_MEAN:
        if ("gap", protocol) in wide:
            table[f"gap, {protocol}"] = wide["gap", protocol]
    return table.where(table.notna(), "").rename_axis("set")


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
        "n_seeds": int(summary["n"].max()),
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
            f"beaten_{protocol}": int((made["gap_high"] < 0).sum()),
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


def plot_ranks(
    matched: Mapping[str, pd.DataFrame], agreements: Mapping[str, Interval], names: tuple[str, str]
) -> Figure:
    """Draw the rank of each setting on one data set against its rank on another, a panel a protocol.

    Parameters
    ----------
    matched
        Protocol to the table of `match_runs`.
    agreements
        Protocol to the rank correlation with its interval.
    names
        Of the two data sets.
    """
    figure, axes = plt.subplots(len(matched), figsize=(6.5, 0.7 + 5.4 * len(matched)))
    for ax, (protocol, table) in zip(np.atleast_1d(axes), matched.items(), strict=True):
        ranks = table[["small", "big"]].rank()
        for pivot, text in PIVOT_TEXTS.items():
            for centred, alpha in ((True, 0.95), (False, 0.3)):
                own = ranks[(table["pivot_indexes"] == text) & (table["mean_normalization"] == centred)]
                ax.plot(
                    own["small"],
                    own["big"],
                    MARKERS[pivot],
                    fillstyle=FILLS[pivot],
                    alpha=alpha,
                    markersize=5,
                    color=COLOURS[protocol],
                    label=f"{pivot}, {'with' if centred else 'without'} mean normalization",
                )
        rho, low, high = agreements[protocol]
        ax.set(
            title=f"{words_of(protocol)}, n = {len(table)}\nSpearman {rho:.2f} ({low:.2f} to {high:.2f})",
            xlabel=f"rank of RMSE on {names[0]}",
            ylabel=f"rank of RMSE on {names[1]}",
        )
    legend_below(ax, down=0.15, fontsize="x-small")
    figure.tight_layout()
    return figure

"""The chapter on generalization: Table 2's sets on a larger data set, and whether ranks carry over to it."""


import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from flexlib.config import PUBLISHED_RMSE, FlexConfig
from flexstudy.paper import FIGURE_5
from flexstudy.plans import TABLE_2
from flexstudy.references import score_baselines
from flexstudy.repetitions import by_setting
from flexstudy.statistics import bootstrap, correlation_interval, labelled, mean_interval, spearman, spelled
from flexstudy.style import COLOURS, FILLS, MARKERS, _legend_below, words_of

WITHIN = "all settings, ranked among those of one test split rate"


GROUPS = {
    "all settings": lambda t: np.ones(len(t), bool),
    WITHIN: lambda t: np.ones(len(t), bool),
    "with mean normalization": lambda t: t["mean_normalization"],
    "item-based, with mean normalization": lambda t: t["mean_normalization"] & (t["pivot_indexes"] == "[1, 0]"),
    "user-based, with mean normalization": lambda t: t["mean_normalization"] & (t["pivot_indexes"] == "[0, 1]"),
    "the best quarter on the smaller set": lambda t: t["small"] <= t["small"].quantile(0.25),
    "the best tenth on the smaller set": lambda t: t["small"] <= t["small"].quantile(0.1),
}


def match_runs(small, big, protocol):
    """The runs of two sweeps of one seed, on two data sets, that ended well on both under a protocol: run, small and
    big (RMSE), small_first_half (of the choosing half), and the settings."""
    tables = [table[(table["protocol"] == protocol) & (table["status"] == "ok")] for table in (small, big)]
    renamed = tables[0].rename(columns={"rmse": "small", "rmse_first_half": "small_first_half"})
    return renamed.merge(tables[1][["run", "rmse"]].rename(columns={"rmse": "big"}), on="run", validate="one_to_one")


def rank_agreement(matched):
    """Spearman correlation of RMSE on the two sets over each of `GROUPS`: group, n, spearman, low, high (95 %,
    bootstrap over settings)."""
    rows = []
    for name, choose in GROUPS.items():
        own = matched[choose(matched).astype(bool)]
        if name == WITHIN:
            by_rate = own.groupby("test_split_rate")
            own = own.assign(**{side: by_rate[side].rank(pct=True) for side in ("small", "big")})
        found = labelled("spearman", bootstrap(spearman, own["small"], own["big"]))
        rows.append({"group": name, "n": len(own)} | found)
    return pd.DataFrame(rows)


def best_carried_over(matched, lows, n=10):
    """What choosing on the smaller set brings on the larger one: the settings with the lowest RMSE on the choosing
    half of the smaller set, as a mapping: matched (settings on both); rank_first (of the very best, on the larger set)
    and rmse_first (its RMSE there); mean_n (of the n best); best_big (lowest on the larger set) and median_big; and
    below_NAME, how many of the n lie below each predictor of `reference_rmse` at their own test split rate."""
    chosen = matched.nsmallest(n, "small_first_half")
    first = chosen.iloc[0] if len(chosen) else pd.Series({"big": np.nan})
    found = {"matched": len(matched), "chosen": len(chosen), "rmse_first": float(first["big"]),
             "rank_first": int((matched["big"] < first["big"]).sum()) + 1, "mean_n": float(chosen["big"].mean()),
             "best_big": float(matched["big"].min()), "median_big": float(matched["big"].median())}  # fmt: skip
    known = {name: chosen["test_split_rate"].map(lows[name]) for name in lows}
    return found | {f"below_{name}": int((chosen["big"] < rmse).sum()) for name, rmse in known.items()}


def pivots_carried_over(matched):
    """Median RMSE of user- and item-based settings with mean normalization on each set: a row a pivot, with n, small
    and big."""
    own = matched[matched["mean_normalization"]]
    medians = own.groupby("pivot_indexes")[["small", "big"]].median()
    table = medians.assign(n=own["pivot_indexes"].value_counts()).rename({"[0, 1]": "user", "[1, 0]": "item"})
    return table.reindex(["user", "item"]).rename_axis("pivot")


def sets_on(records, ratings, sets=TABLE_2):
    """Table 2's sets on a data set beside the item mean on the same splits: setting, protocol, n, diverged, mean, low,
    high, and gap, gap_low, gap_high to the item mean (over all ratings where the protocol's row means are, else over
    training ratings; below 0 where the network is better); published where Figure 5 has the data set."""
    rows, published = [], FIGURE_5.get(ratings.name, [np.nan] * len(sets))
    known = dict(zip(TABLE_2, published, strict=False))
    for setting, own in by_setting(records).groupby("setting"):
        seeds = sorted(own["seed"].unique())
        scores = pd.DataFrame(score_baselines(ratings, FlexConfig.preset(sets[setting]).test_split_rate, seeds))
        item = scores[scores["predictor"] == "item mean"].pivot(index="seed", columns="fitted_on", values="rmse")
        for protocol, runs in own.groupby("protocol", sort=False):
            rmse = runs.set_index("seed")["rmse"].dropna()
            fitted_on = "training ratings" if protocol == "holdout" else "all ratings"
            row = {"set": sets[setting], "setting": setting, "protocol": protocol, "n": len(rmse)}
            row |= {
                "published": known.get(sets[setting], np.nan),
                "diverged": int((runs["status"] == "diverged").sum()),
            }
            row |= labelled("mean", mean_interval(rmse))
            row |= labelled("gap", mean_interval(rmse - item[fitted_on].loc[rmse.index]), "gap_")
            rows.append(row | {"item_mean": float(item[fitted_on].mean())})
    return pd.DataFrame(rows)


_ITEM_MEAN = {"released": "item mean over all ratings (leaks)", "holdout": "item mean over training ratings"}


def mean_lines(summary):
    """The item mean for `flexlib.plots.plot_sets`: words to (RMSE, averaged over the sets' splits; protocol)."""
    means = summary.groupby("protocol")["item_mean"].mean()
    return {word: (float(means[name]), name) for name, word in _ITEM_MEAN.items()}


def sets_table(summary):
    """`sets_on` for reading, a row a set: published, the RMSE under each protocol with its interval and how many splits
    diverged, and the gap to the item mean as released and on held-out ratings; "" where there is none."""
    texts = summary.assign(
        rmse=spelled(summary, "mean", form=".3f"), gap=spelled(summary, "gap", "gap_low", "gap_high")
    )
    lost = texts["diverged"].map(lambda count: f"{count} diverged" if count else "")
    texts["rmse"] = (texts["rmse"] + ", " + lost).str.strip(", ")
    wide = texts.pivot(index="setting", columns="protocol", values=["rmse", "gap"])
    table = texts.drop_duplicates("setting").set_index("setting")[["set", "published"]].round(3).astype(object)
    for protocol in ("released", "described", "holdout"):
        if ("rmse", protocol) in wide:
            table[protocol] = wide["rmse", protocol]
    for protocol in _ITEM_MEAN:
        if ("gap", protocol) in wide:
            table[f"gap, {protocol}"] = wide["gap", protocol]
    return table.where(table.notna(), "").set_index("set")


def agreement_table(agreement):
    """`rank_agreement` for reading: protocols beside each other, a row a group of settings."""
    tables = {name: table.set_index("group") for name, table in agreement.items()}
    parts = {
        name: table[["n"]].assign(Spearman=spelled(table, "spearman", form=".2f")) for name, table in tables.items()
    }
    return pd.concat(parts, axis=1)


def reference_rmse(ratings, n_seeds, rates):
    """RMSE on held-out ratings without a network, mean over splits, at each test split rate: a table by rate, with the
    columns "item_mean" and "biases"."""
    rows = {}
    for rate in sorted(set(rates)):
        scores = pd.DataFrame(score_baselines(ratings, rate, range(n_seeds)))
        rows[rate] = scores[scores["fitted_on"] == "training ratings"].groupby("predictor")["rmse"].mean()
    names = {"item mean": "item_mean", "user and item biases": "biases"}
    return pd.DataFrame(rows).T[list(names)].rename(columns=names)


def transfer_numbers(summary, agreement, carried, pivots):
    """The numbers of the chapter's prose, by name; `agreement`, `carried` and `pivots` are mappings of protocol to what
    `rank_agreement`, `best_carried_over` and `pivots_carried_over` give."""
    claims = FIGURE_5
    printed = np.array(claims["ml-1m"])
    order = float(spearman([PUBLISHED_RMSE[name] for name in TABLE_2], printed))
    low, high = (float(value) for value in correlation_interval(order, len(printed)))
    numbers = labelled("printed_order", (order, low, high), "printed_order_")
    numbers |= {
        "claimed_below": claims["all_below"], "claimed_mean": claims["mean"], "claimed_first": float(printed[0]),
        "printed_above": int((printed > claims["all_below"]).sum()), "n_seeds": int(summary["n"].max()),
    }  # fmt: skip
    lines = {protocol: rmse for rmse, protocol in mean_lines(summary).values()}
    numbers |= {"item_mean_all": lines["released"], "item_mean_training": lines["holdout"]}
    numbers["item_mean_leak"] = lines["holdout"] - lines["released"]
    for protocol, own in summary.groupby("protocol"):
        made = own[own["n"] > 0]
        numbers |= {f"mean_{protocol}": float(made["mean"].mean()), f"compared_{protocol}": len(made),
                    f"beaten_{protocol}": int((made["gap_high"] < 0).sum()),
                    f"below_{protocol}": int((made["mean"] < claims["all_below"]).sum())}  # fmt: skip
        first = own[own["setting"] == 0].iloc[0]
        span = tuple(map(float, first[["mean", "low", "high"]]))
        numbers |= labelled(f"set_1_{protocol}", span, f"set_1_{protocol}_")
        numbers[f"set_1_place_{protocol}"] = int((made["mean"] < first["mean"]).sum()) + 1
    ended = summary.pivot(index="setting", columns="protocol", values="mean")
    numbers["mean_released_same"] = float(ended.loc[ended["holdout"].notna(), "released"].mean())
    for protocol, table in agreement.items():
        numbers[f"n_{protocol}"] = int(table["n"].iloc[0])
        for name, row in zip(_KEYS, table.itertuples(), strict=True):
            name = f"{name}_{protocol}"
            numbers |= labelled(name, (row.spearman, row.low, row.high), f"{name}_") | {f"{name}_n": row.n}
        numbers |= {f"{name}_{protocol}": value for name, value in carried[protocol].items()}
        for pivot, row in pivots[protocol].iterrows():
            numbers |= {f"{side}_{pivot}_{protocol}": float(row[side]) for side in ("small", "big")}
    return numbers | {"printed_over": float(printed.max() - claims["all_below"])}


_KEYS = ("all", "within", "centred", "item", "user", "quarter", "tenth")  # of `GROUPS`, in order


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

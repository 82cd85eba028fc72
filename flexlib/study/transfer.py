"""The chapter on generalization: Table 2's sets on a larger data set, and whether ranks carry over to it."""

import numpy as np
import pandas as pd

from flexlib.baselines import score_baselines
from flexlib.config import FlexConfig
from flexlib.plans import TABLE_2
from flexlib.statistics import bootstrap, labelled, mean_interval, spearman
from flexlib.study.correlation import PUBLISHED
from flexlib.study.repetitions import by_setting

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
    big (RMSE), small_first_half (of the validation half), and the settings."""
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


def best_carried_over(matched, baselines, n=10):
    """What choosing on the smaller set brings on the larger one: the settings with the lowest RMSE on the validation
    half of the smaller set, as a mapping: matched (settings on both); rank_first (of the very best, on the larger set)
    and rmse_first (its RMSE there); mean_n (of the n best); best_big (lowest on the larger set) and median_big; and
    below_NAME, how many of the n lie below each of `baselines` (name to RMSE)."""
    chosen = matched.nsmallest(n, "small_first_half")
    first = chosen.iloc[0]
    found = {"matched": len(matched), "n": len(chosen), "rank_first": int((matched["big"] < first["big"]).sum()) + 1,
             "rmse_first": float(first["big"]), "mean_n": float(chosen["big"].mean()),
             "best_big": float(matched["big"].min()), "median_big": float(matched["big"].median())}  # fmt: skip
    return found | {f"below_{name}": int((chosen["big"] < rmse).sum()) for name, rmse in baselines.items()}


def sets_on(records, ratings, sets=TABLE_2):
    """Table 2's sets on a data set beside the item mean on the same splits: setting, protocol, n, diverged, mean, low,
    high, and gap, gap_low, gap_high to the item mean (over all ratings where the protocol's row means are, else over
    training ratings; below 0 where the network is better); published where Figure 5 has the data set."""
    rows, published = [], PUBLISHED["figure5"].get(ratings.name, [np.nan] * len(sets))
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

"""The paper's statements about single parameters, each tested on a random sample under one protocol.

The sample is the fresh one of the sweep; the claim about mean normalization has an experiment of its own, "centring".

References
----------
Tran et al. (2018), Section 4.4. Holm (1979) for the correction of p-values.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from flexlib.data import Ratings
from flexstudy.effects import epsilon_squared, score_runs, superiority
from flexstudy.plans import BY_ROWS, BY_THREE, LEAKY_AND_LEAK_FREE, LEARNED
from flexstudy.references import row_mean_rmse
from flexstudy.repetitions import PIVOT_TEXTS
from flexstudy.statistics import holm, labelled, median_interval, signed_rank_p, spelled, spelled_p
from flexstudy.style import COLOURS, bar_lengths, legend_below, words_of

LOW_USER_BASED = 0.91  # stars: the higher end of what user-based runs reach, in the paper
CENTRED_GROUPS = {"all": "all", "that have learned": "that"}  # of settings: words to part of a number's name


class ParameterClaim(NamedTuple):
    """A statement that runs with a property have a lower RMSE than others.

    Parameters
    ----------
    number
        Of the claim, as the chapter on claims counts.
    what
        Is compared, in words.
    among
        Condition on the runs that are compared, as `pandas.DataFrame.query` reads it; "" for all.
    has
        Condition on the property.
    """

    number: int
    what: str
    among: str
    has: str

    def choose(self, records: pd.DataFrame) -> pd.DataFrame:
        """Choose the runs that are compared."""
        return records.query(self.among) if self.among else records

    def mark(self, records: pd.DataFrame) -> NDArray[np.bool_]:
        """Say which runs have the property."""
        return np.asarray(records.eval(self.has), bool)


_USERS, _ITEMS = (f"pivot_indexes == '{PIVOT_TEXTS[pivot]}'" for pivot in ("user-based", "item-based"))
_DROPOUT, _NOISE, _REFED = "drop_probability > 0", "noise_probability > 0", "dense_refeeding > 0"
PARAMETER_CLAIMS = {
    "user_adam": ParameterClaim(3, "user-based: ADAM, against other optimizers", _USERS, "optimizer == 'adam'"),
    "user_selu": ParameterClaim(3, "user-based: SELU, against other activations", _USERS, "activation == 'selu'"),
    "user_refeeding": ParameterClaim(
        3, "user-based: one re-feeding, against none or more", _USERS, "dense_refeeding == 1"
    ),
    "user_men": ParameterClaim(3, "user-based: mean normalization", _USERS, "mean_normalization"),
    "prr": ParameterClaim(5, "prediction rounding (PrR)", "", "prediction_rounding"),
    "defr": ParameterClaim(5, "re-feeding rounding (DeFR), where re-fed", _REFED, "dense_refeeding_rounding"),
    "dropout": ParameterClaim(6, "some dropout (DrP)", "", _DROPOUT),
    "noise": ParameterClaim(6, "some noise (NoP)", "", _NOISE),
    "high_dropout": ParameterClaim(
        6, "dropout of 0.5 or more, against less but some", _DROPOUT, "drop_probability >= 0.5"
    ),
    "high_noise": ParameterClaim(6, "noise of 0.5 or more, against less but some", _NOISE, "noise_probability >= 0.5"),
    "men": ParameterClaim(9, "mean normalization (MeN), all runs", "", "mean_normalization"),
    "men_item": ParameterClaim(9, "mean normalization (MeN), item-based", _ITEMS, "mean_normalization"),
}
# What the paper calls most common among user-based runs with a low RMSE, in words.
LOW_TRAITS = {
    "user_adam": "ADAM",
    "user_selu": "SELU",
    "user_refeeding": "one re-feeding",
    "user_men": "mean normalization",
}


def check_claims(records: pd.DataFrame, protocol: str, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Compare the runs with the property of each claim with those without it.

    Parameters
    ----------
    records
        Of the fresh sample.
    protocol
        Whose runs are compared.
    resamples, seed
        Of the bootstrap over runs.

    Returns
    -------
    pd.DataFrame
        A row a claim, in the order of `PARAMETER_CLAIMS`:

        - key, claim, what: as there
        - protocol: as given
        - n_with, n_without: runs on each side
        - diverged_with, diverged_without: how many of these diverged
        - effect: probability that a run with the property has the lower RMSE (`superiority`)
        - low, high: its 95 % interval
        - p: of no effect (Mann and Whitney's test, with Holm's correction over the claims)

        What a side without runs leaves unknown is NaN.
    """
    rng, rows = np.random.default_rng(seed), []
    for key, claim in PARAMETER_CLAIMS.items():
        made, rmse = score_runs(claim.choose(records), protocol)
        has, lost = claim.mark(made), (made["status"] == "diverged").to_numpy()
        ours, others = rmse[has].to_numpy(), rmse[~has].to_numpy()
        row = {
            "key": key,
            "claim": claim.number,
            "what": claim.what,
            "protocol": protocol,
            "n_with": len(ours),
            "n_without": len(others),
            "diverged_with": int(lost[has].sum()),
            "diverged_without": int(lost[~has].sum()),
            "effect": float(superiority(ours, others)),
        }
        low = high = p = np.nan
        if len(ours) and len(others):
            drawn = [(rng.choice(ours, len(ours)), rng.choice(others, len(others))) for _ in range(resamples)]
            effects = superiority([one for one, _ in drawn], [other for _, other in drawn])
            low, high = np.quantile(effects, [0.025, 0.975])
            p = stats.mannwhitneyu(ours, others).pvalue
        rows.append(row | {"low": low, "high": high, "p": p})
    table = pd.DataFrame(rows)
    return table.assign(p=holm(table["p"]))


def low_user_based_runs(records: pd.DataFrame, protocol: str, limit: float = LOW_USER_BASED) -> pd.DataFrame:
    """Count what user-based runs with a low RMSE have in common: claim 3, to the letter.

    Parameters
    ----------
    records
        Of the fresh sample.
    protocol
        Whose runs are counted; those that ended well alone.
    limit
        Highest RMSE that counts as low, in stars.

    Returns
    -------
    pd.DataFrame
        A row for each of `LOW_TRAITS`:

        - protocol, trait: as given, and in words
        - low: low runs that have the trait
        - n_low: low runs
        - share_low, other: share of the low runs, and of the others, that have it; NaN where there are none
        - p: of no difference (Fisher's exact test, with Holm's correction over the traits)
    """
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")].query(_USERS)
    is_low, rows = (own["rmse"] <= limit).to_numpy(), []
    for key, trait in LOW_TRAITS.items():
        counts = _count_sides(PARAMETER_CLAIMS[key].mark(own), is_low)
        shares = [with_it / (with_it + without) if with_it + without else np.nan for with_it, without in counts]
        rows.append(
            {
                "protocol": protocol,
                "trait": trait,
                "low": counts[0][0],
                "n_low": int(is_low.sum()),
                "share_low": shares[0],
                "other": shares[1],
                "p": stats.fisher_exact(counts).pvalue,
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(p=holm(table["p"]))


def _count_sides(has: NDArray[np.bool_], good: NDArray[np.bool_]) -> list[list[int]]:
    """Count those with and without a property: first among the good, then among the others."""
    return [[int((has & side).sum()), int((~has & side).sum())] for side in (good, ~good)]


def count_far_off(records: pd.DataFrame, protocol: str) -> dict[str, int]:
    """Count the runs without mean normalization whose RMSE is above 3 stars, by what became of them.

    Parameters
    ----------
    records, protocol
        As in `flexstudy.effects.score_runs`.

    Returns
    -------
    dict
        `off`: runs made without it. `off_above_3`: those above 3 stars. Of these, `off_diverged`: those that diverged;
        of the others, `off_above_4`: above 4 stars, and `off_between`: the rest.
    """
    made, rmse = score_runs(records[~records["mean_normalization"]], protocol)
    lost, far, high = made["status"] == "diverged", rmse > 3, rmse > 4
    sides = {"above_3": far, "diverged": far & lost, "above_4": high & ~lost, "between": far & ~high & ~lost}
    return {"off": len(made)} | {f"off_{name}": int(side.sum()) for name, side in sides.items()}


def compare_without_both(records: pd.DataFrame, protocol: str, best: float = 0.1) -> dict[str, float]:
    """Compare how many of the best runs, and of the others, have neither dropout nor noise: claim 6, turned round.

    Parameters
    ----------
    records, protocol
        As in `flexstudy.effects.score_runs`.
    best
        Share of the runs that count as the best, at least one; runs that tie with these count as well.

    Returns
    -------
    dict
        `n_best`: the best runs. `best`: those of them with neither. `share`, `other`: per cent of the best, and of the
        others, with neither. `p`: of no difference (Fisher's exact test).
    """
    made, rmse = score_runs(records, protocol)
    neither = ((made["drop_probability"] == 0) & (made["noise_probability"] == 0)).to_numpy()
    good = stats.rankdata(rmse, method="min") <= max(1, round(best * len(made)))
    counts = _count_sides(neither, good)
    share, other = (100 * with_it / max(with_it + without, 1) for with_it, without in counts)
    known = {"best": counts[0][0], "n_best": int(good.sum()), "share": share, "other": other}
    return known | {"p": float(stats.fisher_exact(counts).pvalue)}


def compare_choices(
    records: pd.DataFrame, protocols: Sequence[str] = LEAKY_AND_LEAK_FREE, resamples: int = 500
) -> pd.DataFrame:
    """Measure how much the choice of activation or optimizer explains of the rank of RMSE: claim 7.

    Among the runs of one pivot, with mean normalization.

    Parameters
    ----------
    records
        Of the fresh sample.
    protocols
        Whose runs are compared.
    resamples
        Of the bootstrap over runs.

    Returns
    -------
    pd.DataFrame
        A row a protocol, parameter and pivot:

        - protocol, parameter, pivot: the last "user-based" or "item-based"
        - n: runs
        - share: between the choices, beyond chance (`epsilon_squared`); NaN where all runs score the same
        - low, high: its 95 % interval, from which the bootstrap's own bias is taken off
        - p: of no difference (Kruskal and Wallis' test, with Holm's correction over the table)
    """
    rows = []
    for protocol, parameter, pivot in product(protocols, ("activation", "optimizer"), PIVOT_TEXTS):
        chosen = records[(records["pivot_indexes"] == PIVOT_TEXTS[pivot]) & records["mean_normalization"]]
        made, scores = score_runs(chosen, protocol)
        groups, rmse = made[parameter].to_numpy(), scores.to_numpy()
        known = {"protocol": protocol, "parameter": parameter, "pivot": pivot, "n": len(rmse)}
        share, low, high, p = epsilon_squared(rmse, groups), np.nan, np.nan, np.nan
        kinds = np.unique(groups)
        if np.isfinite(share) and len(kinds) > 1:
            p = stats.kruskal(*(rmse[groups == kind] for kind in kinds)).pvalue
            rng = np.random.default_rng(0)
            picks = (rng.integers(len(rmse), size=len(rmse)) for _ in range(resamples))
            drawn = [epsilon_squared(rmse[picked], groups[picked]) for picked in picks]
            low, high = np.nanquantile(drawn, [0.025, 0.975]) - (np.nanmean(drawn) - share)
        rows.append(known | labelled("share", (share, low, high)) | {"p": p})
    table = pd.DataFrame(rows)
    return table.assign(p=holm(table["p"]))


def compare_centring(records: pd.DataFrame, ratings: Ratings) -> pd.DataFrame:
    """Compare each setting centred by row means with the same filled with 3, on the same splits: claim 9, in pairs.

    Parameters
    ----------
    records
        Of the experiment "centring". A setting that diverges on any split is left out.
    ratings
        Its data set.

    Returns
    -------
    pd.DataFrame
        A row for each of `CENTRED_GROUPS`; a setting has learned where, on average over the splits, one of the two
        ways is `LEARNED` or more below the RMSE of predicting by row means:

        - group: in words
        - n: settings
        - better: how many of them row means make better
        - rows, three, row_mean: median RMSE of the two ways and of predicting by row means, in stars
        - change, low, high: median difference over settings, row means minus 3, with its 95 % interval, in stars
        - p: of no difference (signed ranks, with Holm's correction)
    """
    known = [
        row_mean_rmse(ratings, row["pivot_indexes"] == PIVOT_TEXTS["item-based"], row["test_split_rate"], row["seed"])
        for row in records.to_dict("records")
    ]
    by_way = {way: records[records["role"] == way].groupby("setting")["rmse"] for way in (BY_ROWS, BY_THREE)}
    wide = pd.DataFrame({way: runs.agg(_mean_of_all) for way, runs in by_way.items()})
    wide["row_mean"] = pd.Series(known, records.index).groupby(records["setting"]).mean()
    wide = wide.reindex(records["setting"].unique()).dropna()  # in the order of the plan
    learned = wide[[BY_ROWS, BY_THREE]].min(axis=1) <= wide["row_mean"] - LEARNED
    rows = []
    for group, own in {"all": wide, "that have learned": wide[learned]}.items():
        gap = own[BY_ROWS] - own[BY_THREE]
        row = {"group": group, "n": len(own), "better": int((gap < 0).sum()), **own.median()}
        rows.append(row | labelled("change", median_interval(gap)) | {"p": signed_rank_p(gap)})
    table = pd.DataFrame(rows)
    return table.assign(p=holm(table["p"]))


def _mean_of_all(rmse: pd.Series) -> float:
    """Average over splits; NaN where one of them has no RMSE."""
    return float(rmse.mean(skipna=False))


def claims_table(claims: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Lay the claims out for reading: protocols beside each other, a row a claim.

    Parameters
    ----------
    claims
        Protocol to the table of `check_claims`.

    Returns
    -------
    pd.DataFrame
        By claim and what; `n`: with and without the property. Under each protocol:

        - effect: with its interval, as text
        - p: as text
        - diverged: of the runs with / without the property
    """
    shown = {name: table.set_index(["claim", "what"]) for name, table in claims.items()}
    sizes = next(iter(shown.values()))[["n_with", "n_without"]].set_axis(["with", "without"], axis=1)
    parts = {"n": sizes}
    for name, table in shown.items():
        lost = table["diverged_with"].astype(str) + " / " + table["diverged_without"].astype(str)
        effect = spelled(table, "effect", form=".2f")
        parts[name] = pd.DataFrame(
            {"effect": effect, "p": spelled_p(table["p"].tolist()), "diverged": lost}, table.index
        )
    return pd.concat(parts, axis=1)


def parameter_claim_numbers(
    fresh: pd.DataFrame, claims: Mapping[str, pd.DataFrame], choices: pd.DataFrame, centred: pd.DataFrame
) -> dict[str, Any]:
    """Name the numbers that the chapter's prose says about the claims.

    Parameters
    ----------
    fresh
        Records of the fresh sample.
    claims
        Protocol to the table of `check_claims`.
    choices, centred
        Tables of `compare_choices` and `compare_centring`.

    Returns
    -------
    dict
        Name to number; shares in per cent.
    """
    numbers: dict[str, Any] = {}
    for protocol, table in claims.items():
        numbers |= {f"{name}_{protocol}": count for name, count in count_far_off(fresh, protocol).items()}
        neither = compare_without_both(fresh, protocol)
        numbers |= {f"neither_{protocol}_{name}": value for name, value in neither.items()}
        for row in table.to_dict("records"):
            # The name men_PROTOCOL is taken by the correlation.
            name = f"{row['key']}_{protocol}" + ("_effect" if row["key"] == "men" else "")
            numbers |= labelled(name, (row["effect"], row["low"], row["high"]), f"{name}_")
            numbers |= {f"{name}_p": row["p"], f"{name}_n": row["n_with"], f"{name}_n_without": row["n_without"]}
            numbers |= {f"{name}_diverged": row["diverged_with"], f"{name}_diverged_without": row["diverged_without"]}
    for row in choices.to_dict("records"):
        name = f"{row['parameter']}_{row['pivot'].removesuffix('-based')}_{row['protocol']}"
        span = [100 * row[part] for part in ("share", "low", "high")]
        numbers |= labelled(name, span, f"{name}_") | {f"{name}_p": row["p"]}
    for row in centred.to_dict("records"):
        name = f"centred_{CENTRED_GROUPS[row['group']]}"
        numbers |= labelled(name, (row["change"], row["low"], row["high"]), f"{name}_")
        numbers |= {f"{name}_{part}": row[part] for part in ("n", "better", "p")}
    return numbers


def plot_claims(claims: Mapping[str, pd.DataFrame], dataset: str) -> Figure:
    """Draw how probably a run with each claim's property has a lower RMSE than one without, by protocol.

    Parameters
    ----------
    claims
        Protocol to the table of `check_claims`.
    dataset
        For the title.
    """
    figure, ax = plt.subplots(figsize=(6.5, 11.5))
    for place, (protocol, table) in enumerate(claims.items()):
        y = np.arange(len(table)) + 0.26 * (place - (len(claims) - 1) / 2)
        lengths = bar_lengths(table, "effect")
        ax.errorbar(table["effect"], y, xerr=lengths, fmt="none", color=COLOURS[protocol], capsize=3)
        clear = table["p"] < 0.05
        for filled, rows in (("full", clear), ("none", ~clear)):
            ax.plot(
                table["effect"][rows],
                y[rows],
                "os"[place % 2],
                fillstyle=filled,
                color=COLOURS[protocol],
                markersize=6.5,
                label=words_of(protocol) if filled == "full" else None,
            )
    words = [fill(f"claim {row.claim}: {row.what}", 26) for row in table.itertuples()]
    ax.axvline(0.5, color="black", linewidth=1)
    ax.set(
        title=f"Does it go with a lower RMSE?\n{dataset}",
        xlim=(0, 1),
        xlabel="probability that a run with it beats one without",
        yticks=range(len(words)),
    )
    ax.set_yticklabels(words, fontsize="small")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    legend_below(ax, down=0.08, title="filled: differs from 0.5 after Holm's correction")
    return figure

"""The paper's statements about single parameters, each tested on a random sample under one protocol.

The sample is the fresh one of the sweep. The claims about mean normalization, and about activation and optimizer, have
experiments of their own, "centring" and "choices", whose settings are chosen on validation ratings.

References
----------
Tran et al. (2018), Section 4.4. Holm (1979) for the correction of p-values.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats

from flexlib.data import Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.runs.plan import repetition_name
from flexlib.runs.run import run_plan
from flexstudy.effects import score_runs, superiority
from flexstudy.plans import BY_ROWS, BY_THREE, LEARNED, choose_learned, experiment
from flexstudy.references import row_mean_rmse
from flexstudy.repetitions import PIVOT_TEXTS, find_records
from flexstudy.statistics import (
    FEWEST,
    SIGNIFICANT,
    UNKNOWN,
    Interval,
    bootstrap,
    holm,
    labelled,
    mean_interval,
    median_interval,
    signed_rank_p,
    spelled,
    spelled_p,
)
from flexstudy.style import COLOURS, bar_lengths, legend_below, title_left, words_of

THRESHOLDS = (0.0, 0.005, LEARNED, 0.02, 0.03)  # stars below the row means, from which a setting counts as learned
CHOICES = ("activation", "optimizer")


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
    "user_adam": ParameterClaim(3, "ADAM, user-based", _USERS, "optimizer == 'adam'"),
    "user_selu": ParameterClaim(3, "SELU, user-based", _USERS, "activation == 'selu'"),
    "user_refeeding": ParameterClaim(3, "one re-feeding, user-based", _USERS, "dense_refeeding == 1"),
    "user_men": ParameterClaim(3, "mean normalization, user-based", _USERS, "mean_normalization"),
    "prr": ParameterClaim(5, "prediction rounding", "", "prediction_rounding"),
    "defr": ParameterClaim(5, "re-feeding rounding, where re-fed", _REFED, "dense_refeeding_rounding"),
    "dropout": ParameterClaim(6, "some dropout", "", _DROPOUT),
    "noise": ParameterClaim(6, "some noise", "", _NOISE),
    "high_dropout": ParameterClaim(6, "dropout from 0.5, where any", _DROPOUT, "drop_probability >= 0.5"),
    "high_noise": ParameterClaim(6, "noise from 0.5, where any", _NOISE, "noise_probability >= 0.5"),
    "men": ParameterClaim(9, "mean normalization", "", "mean_normalization"),
    "men_item": ParameterClaim(9, "mean normalization, item-based", _ITEMS, "mean_normalization"),
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


def _count_sides(has: NDArray[np.bool_], good: NDArray[np.bool_]) -> list[list[int]]:
    """Count those with and without a property: first among the good, then among the others."""
    return [[int((has & side).sum()), int((~has & side).sum())] for side in (good, ~good)]


def count_far_off(records: pd.DataFrame, protocol: str) -> dict[str, int]:
    """Count the runs without mean normalization whose RMSE is far above that of the others.

    Parameters
    ----------
    records, protocol
        As in `flexstudy.effects.score_runs`.

    Returns
    -------
    dict
        `off`: runs made without it. `off_above_3`: those above 3 stars. `off_between`: those of them that ended well
        and are not above 4 stars.
    """
    made, rmse = score_runs(records[~records["mean_normalization"]], protocol)
    far = rmse > 3
    between = far & (rmse <= 4) & (made["status"] == "ok")
    return {"off": len(made), "off_above_3": int(far.sum()), "off_between": int(between.sum())}


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


def find_pairs(
    dataset: str, folder: str, fresh: pd.DataFrame, n_seeds: int, device: str | None = None, **options: Any
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Read the records of "screening" and "centring", or make them now.

    Parameters
    ----------
    dataset, folder, device
        As in `flexstudy.repetitions.find_records`.
    fresh
        Records of the fresh sample, to choose from where runs are made now.
    n_seeds, **options
        Of "centring", and of both experiments, where runs are made now.

    Returns
    -------
    tuple or None
        Both tables; None where the folder lacks one of them, or where no setting has learned anything.
    """
    if folder:
        found = [find_if_there(name, dataset, folder) for name in ("screening", "centring")]
        return None if found[0] is None or found[1] is None else (found[0], found[1])
    screened = find_records("screening", dataset, device=device, records=fresh, **options)
    if not choose_learned(screened, load_ratings(dataset, options.get("columns"), options.get("scale"))):
        return None
    plan = experiment("centring", dataset, n_seeds=n_seeds, records=screened, **options)
    return screened, run_plan(plan, device=device)


def find_if_there(name: str, dataset: str, folder: str) -> pd.DataFrame | None:
    """Read the records of an experiment; None where the folder, "" for none, does not have them."""
    there = folder and (Path(folder) / f"{repetition_name(name, dataset)}.parquet").exists()
    return find_records(name, dataset, folder) if there else None


def find_choices(dataset: str, folder: str, **layout: Any) -> pd.DataFrame:
    """Read the records of "choices-tried" and "choices" as `tuned_cells`.

    Without them there is no cell; making them now would take thousands of runs. `layout` is as in `find_evidence`.
    """
    tried, made = (find_if_there(name, dataset, folder) for name in ("choices-tried", "choices"))
    if tried is None or made is None:
        return pd.DataFrame({"base": [], **{name: [] for name in CHOICES}, "learned": [], "rmse": []}).astype(
            {"learned": bool}
        )
    return tuned_cells(tried, made, load_ratings(dataset, **layout))


def count_learned(records: pd.DataFrame, ratings: Ratings, protocol: str = "holdout") -> dict[str, int]:
    """Count the item-based runs with mean normalization, those of claim 7, that learned something.

    Parameters
    ----------
    records
        Of the fresh sample.
    ratings
        Its data set.
    protocol
        Whose runs are counted; `row_mean_rmse` is a reference under `holdout`.

    Returns
    -------
    dict
        `item_made`: the runs. `item_learned`: those `LEARNED` or more below predicting by row means on their own split.
    """
    own = records[(records["pivot_indexes"] == PIVOT_TEXTS["item-based"]) & records["mean_normalization"]]
    made, rmse = score_runs(own, protocol)
    floors = [row_mean_rmse(ratings, True, row["test_split_rate"], row["seed"]) for row in made.to_dict("records")]
    return {"item_made": len(made), "item_learned": int((rmse <= np.array(floors) - LEARNED).sum())}


def compare_centring(records: pd.DataFrame, ratings: Ratings) -> pd.DataFrame:
    """Compare each setting centred by row means with the same filled with 3, on the same splits: claim 9, in pairs.

    Parameters
    ----------
    records
        Of the experiment "centring", whose settings have learned something by validation ratings. A setting that
        diverges on any split is left out.
    ratings
        Its data set.

    Returns
    -------
    pd.DataFrame
        One row:

        - group: "that have learned"
        - n: settings
        - better: how many of them row means make better
        - rows, three, row_mean: median RMSE of the two ways and of predicting by row means, in stars
        - change, low, high: median difference over settings, row means minus 3, with its 95 % interval, in stars
        - p: of no difference (signed ranks)
    """
    wide = _both_ways(records)
    known = [
        row_mean_rmse(ratings, row["pivot_indexes"] == PIVOT_TEXTS["item-based"], row["test_split_rate"], row["seed"])
        for row in records.to_dict("records")
    ]
    row_mean = pd.Series(known, records.index, dtype=float).groupby(records["setting"]).mean().reindex(wide.index)
    gap = wide[BY_ROWS] - wide[BY_THREE]
    row = {"group": "that have learned", "n": len(wide), "better": int((gap < 0).sum()), **wide.median()}
    row |= {"row_mean": row_mean.median()} | labelled("change", _median_of(gap)) | {"p": signed_rank_p(gap)}
    return pd.DataFrame([row])


def compare_thresholds(
    screened: pd.DataFrame, records: pd.DataFrame, ratings: Ratings, thresholds: Sequence[float] = THRESHOLDS
) -> pd.DataFrame:
    """Compare the two ways among the settings that have learned by other thresholds.

    Parameters
    ----------
    screened
        Records of the experiment "screening", by which settings are chosen.
    records
        Of the experiment "centring". Where it lacks a setting that a threshold chooses, its test ratings say nothing.
    ratings
        Their data set.
    thresholds
        Stars below the row means' RMSE on the validation ratings.

    Returns
    -------
    pd.DataFrame
        A row a threshold:

        - threshold: in stars
        - chosen: settings that have learned by it
        - validation: their median difference on the validation ratings, row means minus 3, in stars; the ratings that
          chose them measure it too
        - n, better, change, low, high, p: on the test ratings, as in `compare_centring`; n is 0 where they say nothing
    """
    tried, tested, rows = _both_ways(screened), _both_ways(records), []
    for threshold in thresholds:
        names = [name for name, _ in choose_learned(screened, ratings, learned=threshold)]
        own = tested[tested.index.isin(names)] if set(names) <= set(records["setting"]) else tested[:0]
        gap, before = own[BY_ROWS] - own[BY_THREE], tried[tried.index.isin(names)]
        row = {
            "threshold": threshold,
            "chosen": len(names),
            "validation": (before[BY_ROWS] - before[BY_THREE]).median(),
        }
        row |= {"n": len(own), "better": int((gap < 0).sum())}
        rows.append(row | labelled("change", _median_of(gap)) | {"p": signed_rank_p(gap)})
    return pd.DataFrame(rows)


def _both_ways(records: pd.DataFrame) -> pd.DataFrame:
    """Average each setting's RMSE over splits, by the way of centring, unless a run of it was lost."""
    by_way = {way: records[records["role"] == way].groupby("setting")["rmse"] for way in (BY_ROWS, BY_THREE)}
    wide = pd.DataFrame({way: runs.agg(_mean_of_all) for way, runs in by_way.items()})
    return wide.reindex(records["setting"].unique()).dropna()  # in the order of the plan


def _mean_of_all(rmse: pd.Series) -> float:
    """Average over splits; NaN where one of them has no RMSE."""
    return float(rmse.mean(skipna=False))


def _median_of(values: pd.Series) -> Interval:
    """Compute the median with its interval, which `FEWEST` values or more have."""
    median, low, high = median_interval(values)
    return (median, low, high) if len(values) >= FEWEST else (median, np.nan, np.nan)


def tuned_cells(tried: pd.DataFrame, records: pd.DataFrame, ratings: Ratings) -> pd.DataFrame:
    """Say of each activation with each optimizer, in each base setting, what it scores and whether it learned.

    Parameters
    ----------
    tried
        Records of the experiment "choices-tried": every learning rate, on validation ratings.
    records
        Of the experiment "choices": the best of them, on test ratings.
    ratings
        Their data set.

    Returns
    -------
    pd.DataFrame
        A row for each that was tried:

        - base: name of the base setting
        - activation, optimizer: names
        - learned: whether its best learning rate is `LEARNED` or more below predicting by row means, on the validation
          ratings, and no split of `records` lost it
        - rmse: on the test ratings, mean over splits, in stars; NaN where it has not learned
    """
    learned = {name for name, _ in choose_learned(tried, ratings, tried["role"].unique().tolist())}
    table = tried.drop_duplicates("setting")[["setting", *CHOICES]].reset_index(drop=True)
    table["rmse"] = table["setting"].map(records.groupby("setting")["rmse"].agg(_mean_of_all)).astype(float)
    table["learned"] = table["setting"].isin(learned) & table["rmse"].notna()
    ends = " " + table["activation"] + " " + table["optimizer"]
    table["base"] = [name.removesuffix(end) for name, end in zip(table["setting"], ends, strict=True)]
    return table.assign(rmse=table["rmse"].where(table["learned"]))[["base", *CHOICES, "learned", "rmse"]]


def compare_tuned_choices(cells: pd.DataFrame) -> pd.DataFrame:
    """Compare activations, and optimizers, among runs that learned with the learning rate that suits them: claim 7.

    Choices are compared within a base setting and with the same other choice, so that one that fails where runs score
    badly gains nothing by it.

    Parameters
    ----------
    cells
        Of `tuned_cells`.

    Returns
    -------
    pd.DataFrame
        A row a choice, best first within its parameter:

        - parameter, choice: "activation" or "optimizer", and its value
        - n: base settings in which it learned
        - learned: share of its runs that learned
        - mean, low, high: RMSE over base settings, had each of them the average level, with the 95 % t-interval of its
          distance to the others, in stars
        - best: mean over base settings of its best cell's RMSE, in stars
    """
    rows = []
    for parameter in CHOICES:
        own, level = _within(cells, parameter), cells["rmse"].mean()
        for choice, group in cells.groupby(parameter):
            lowest = group.groupby("base")["rmse"].min()
            row = {"parameter": parameter, "choice": choice, "n": int(own[choice].notna().sum())}
            row |= {"learned": group["learned"].mean(), "best": lowest.mean()}
            span = np.array(mean_interval(own[choice].dropna())) + level
            rows.append(row | labelled("mean", tuple(span)))
    columns = ["parameter", "choice", "n", "learned", "mean", "low", "high", "best"]
    return pd.DataFrame(rows, columns=columns).sort_values(["parameter", "mean"], ignore_index=True)


def _within(cells: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Give how far each choice is from the mean of those that learned beside it: a row a base, a column a choice."""
    (other,) = (name for name in CHOICES if name != parameter)
    gaps = cells["rmse"] - cells.groupby(["base", other])["rmse"].transform("mean")
    return cells.assign(gap=gaps).pivot_table(
        index="base", columns=parameter, values="gap", dropna=False, observed=False, sort=False
    )


def tuned_choice_numbers(cells: pd.DataFrame | None, resamples: int = 1000) -> dict[str, float]:
    """Name the numbers of claim 7 among tuned runs.

    Parameters
    ----------
    cells
        Of `tuned_cells`; None where there are no such runs.
    resamples
        Of the bootstrap over base settings.

    Returns
    -------
    dict
        By name, NaN where there is nothing to tell:

        - choices_n: base settings in which anything learned
        - choices_learned: per cent of the runs that learned
        - PARAMETER_spread, with _low and _high: between the highest and the lowest mean of a choice, in stars, with its
          95 % interval, by bootstrap over base settings, which three of them or more have
        - PARAMETER_best, PARAMETER_worst: the choices with the lowest and the highest mean; "" where there are none
    """
    numbers: dict[str, Any] = {"choices_n": 0, "choices_learned": np.nan}
    for parameter in CHOICES:
        numbers |= labelled(f"{parameter}_spread", UNKNOWN, f"{parameter}_spread_")
        numbers |= {f"{parameter}_best": "", f"{parameter}_worst": ""}
    if cells is None or not cells["learned"].any():
        return numbers
    numbers |= {
        "choices_n": cells.loc[cells["learned"], "base"].nunique(),
        "choices_learned": 100 * float(cells["learned"].mean()),
    }
    for parameter in CHOICES:
        own = _within(cells, parameter).dropna(how="all")
        span = bootstrap(_spread, own.to_numpy(), resamples=resamples)
        numbers |= labelled(f"{parameter}_spread", (_spread(own.to_numpy()), *span[1:]), f"{parameter}_spread_")
        numbers |= {f"{parameter}_best": own.mean().idxmin(), f"{parameter}_worst": own.mean().idxmax()}
    return numbers


def _spread(gaps: NDArray[np.float64]) -> float:
    """Give the difference between the highest and the lowest mean of columns, those without a value left out."""
    means = pd.DataFrame(gaps).mean()
    return float(means.max() - means.min())


def claims_table(claims: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Lay the claims out for reading, protocols one below the other.

    Parameters
    ----------
    claims
        Protocol to the table of `check_claims`.

    Returns
    -------
    pd.DataFrame
        By protocol, a row a claim, with heads in words.
    """
    heads = {
        "claim": "claim",
        "what": "property",
        "n_with": "runs with it",
        "n_without": "runs without it",
        "diverged_with": "of those with it diverged",
        "diverged_without": "of those without it diverged",
        "effect": "chance to be the better one",
        "low": "from",
        "high": "to",
        "p": "p",
    }
    tables = [table.assign(protocol=words_of(name)).set_index("protocol") for name, table in claims.items()]
    return pd.concat(tables)[list(heads)].rename(columns=heads)


def parameter_claim_numbers(
    fresh: pd.DataFrame,
    claims: Mapping[str, pd.DataFrame],
    centred: pd.DataFrame | None = None,
    cells: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Name the numbers that the chapter's prose says about the claims.

    Parameters
    ----------
    fresh
        Records of the fresh sample.
    claims
        Protocol to the table of `check_claims`.
    centred, cells
        Of `compare_centring` and `tuned_cells`; None where there are no such runs.

    Returns
    -------
    dict
        Name to number; shares in per cent, NaN where they are of nothing, or of fewer than `FEWEST` best runs.
    """
    numbers: dict[str, Any] = {}
    for protocol, table in claims.items():
        numbers |= {f"{name}_{protocol}": count for name, count in count_far_off(fresh, protocol).items()}
        off, above, between = (numbers[f"{name}_{protocol}"] for name in ("off", "off_above_3", "off_between"))
        numbers[f"off_above_3_share_{protocol}"] = 100 * above / off if off else math.nan
        numbers[f"off_between_share_{protocol}"] = 100 * between / above if above else math.nan
        neither = compare_without_both(fresh, protocol)
        if neither["n_best"] < FEWEST:
            neither |= {"share": math.nan, "other": math.nan}
        numbers |= {f"neither_{protocol}_{name}": value for name, value in neither.items()}
        for row in table.to_dict("records"):
            # The name men_PROTOCOL is taken by the correlation.
            name = f"{row['key']}_{protocol}" + ("_effect" if row["key"] == "men" else "")
            numbers |= labelled(name, (row["effect"], row["low"], row["high"]), f"{name}_")
            numbers |= {f"{name}_p": row["p"], f"{name}_n": row["n_with"], f"{name}_n_without": row["n_without"]}
            numbers |= {f"{name}_diverged": row["diverged_with"], f"{name}_diverged_without": row["diverged_without"]}
    return numbers | centring_numbers(centred) | tuned_choice_numbers(cells)


def centring_numbers(centred: pd.DataFrame | None) -> dict[str, float]:
    """Name the numbers of claim 9 in pairs.

    Parameters
    ----------
    centred
        Of `compare_centring`; None where there are no such runs.

    Returns
    -------
    dict
        centred_that, in stars, with _low, _high, _n, _better and _p; without such runs 0 settings, and NaN.
    """
    row: dict[Any, Any] = dict.fromkeys(("change", "low", "high", "p"), np.nan) | {"n": 0, "better": 0}
    row |= {} if centred is None else centred.iloc[0].to_dict()
    parts = {f"centred_that_{part}": row[part] for part in ("n", "better", "p")}
    return labelled("centred_that", (row["change"], row["low"], row["high"]), "centred_that_") | parts


def centring_sentence(centred: pd.DataFrame | None) -> str:
    """Say what centring by row means does, by the table of `compare_centring`; None where there are no such runs."""
    if centred is None or not centred["n"].iloc[0]:
        return "No setting here has learned anything by that rule, so there is nothing to compare."
    row: dict[Any, Any] = centred.iloc[0].to_dict()
    moved = "lowers" if row["change"] < 0 else "raises"
    told = (
        f"Centring by row means {moved} the RMSE on test ratings by a median of {abs(row['change']):.3f} stars. "
        f"It scores lower in {row['better']} of {row['n']} settings."
    )
    if np.isnan(row["low"]):
        return f"{told} These are too few for an interval."
    side = "excludes" if row["low"] > 0 or row["high"] < 0 else "includes"
    return f"{told} The 95 % interval of the change {side} 0."


def thresholds_table(thresholds: pd.DataFrame | None) -> pd.DataFrame:
    """Lay the table of `compare_thresholds` out for reading; without rows where there is none."""
    name = "learned from (stars)"
    heads = [
        "settings that learned",
        "change on validation ratings",
        "settings on test ratings",
        "of these lower by row means",
        "change on test ratings",
        "p",
    ]
    if thresholds is None:
        return pd.DataFrame(columns=heads, index=pd.Index([], name=name))
    shown = thresholds.assign(
        validation=[_signed(value) for value in thresholds["validation"]],
        change=spelled(thresholds, "change"),
        p=spelled_p(thresholds["p"].tolist()),
    )
    parts = ["chosen", "validation", "n", "better", "change", "p"]
    return shown.set_index("threshold")[parts].set_axis(heads, axis=1).rename_axis(name)


def _signed(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f}"


def choices_sentence(numbers: Mapping[str, Any]) -> str:
    """Say what the choice of activation and of optimizer is worth, by the numbers of `tuned_choice_numbers`."""
    if not numbers["choices_n"]:
        return "There are no such runs here."
    parts = [
        f"Of all runs {numbers['choices_learned']:.0f} % learn something, in {numbers['choices_n']} base settings."
    ]
    for parameter in CHOICES:
        best, worst, spread = (numbers[f"{parameter}_{part}"] for part in ("best", "worst", "spread"))
        if best != worst:
            parts.append(f"The best {parameter}, {best}, scores {spread:.3f} stars lower than the worst, {worst}.")
    return " ".join(parts)


def choices_table(choices: pd.DataFrame) -> pd.DataFrame:
    """Lay the table of `compare_tuned_choices` out for reading."""
    heads = {
        "n": "base settings",
        "learned": "share that learned",
        "mean": "mean RMSE",
        "low": "from",
        "high": "to",
        "best": "RMSE with the best other choice",
    }
    return choices.set_index(["parameter", "choice"])[list(heads)].rename(columns=heads)


def plot_choices(choices: pd.DataFrame, dataset: str) -> Figure:
    """Draw the RMSE of each activation and of each optimizer, with the learning rate that suits it.

    Parameters
    ----------
    choices
        Of `compare_tuned_choices`.
    dataset
        For the title.
    """
    figure, axes = plt.subplots(
        len(CHOICES), figsize=(6.5, 5.6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for ax, parameter in zip(axes, CHOICES, strict=True):
        own = choices[choices["parameter"] == parameter].dropna(subset="mean")
        y, spread = np.arange(len(own)), own["mean"].max() - own["mean"].min()
        ax.errorbar(own["mean"], y, xerr=bar_lengths(own), fmt="s", color=COLOURS["holdout"], capsize=3)
        ax.set(title=f"{parameter}: {spread:.3f} stars apart", yticks=y, ylim=(len(own) - 0.5, -0.5))
        words = [f"{row['choice']} ({100 * row['learned']:.0f} %)" for row in own.to_dict("records")]
        ax.set_yticklabels(words, fontsize="small")
        ax.grid(axis="y", visible=False)
    axes[-1].set(xlabel="leak-free RMSE (stars)")
    axes[-1].xaxis.set_major_locator(MaxNLocator(5))
    title_left(figure, f"RMSE by tuned choice (share that learned)\n{dataset}")
    return figure


def plot_claims(claims: Mapping[str, pd.DataFrame], dataset: str, leading: str = "holdout") -> Figure:
    """Draw how probably a run with each claim's property has a lower RMSE than one without, by protocol.

    Parameters
    ----------
    claims
        Protocol to the table of `check_claims`.
    dataset
        For the title.
    leading
        The protocol that the title is about.
    """
    what = next(iter(claims.values()))["what"]
    height = 2.2 + 0.42 * len(what)
    figure, ax = plt.subplots(figsize=(6.5, height))
    for place, (protocol, table) in enumerate(claims.items()):
        y = np.arange(len(table)) + 0.32 * (place - (len(claims) - 1) / 2)
        lengths = bar_lengths(table, "effect")
        ax.errorbar(table["effect"], y, xerr=lengths, fmt="none", color=COLOURS[protocol], capsize=3)
        clear = table["p"] < SIGNIFICANT
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
    ax.axvline(0.5, color="black", linewidth=1)
    clear, better = claims[leading]["p"] < SIGNIFICANT, claims[leading]["effect"] > 0.5
    counts = (
        f"Clearly better with {(clear & better).sum()} of {len(what)} properties, worse with {(clear & ~better).sum()}"
    )
    ax.set(
        title=f"{counts}\n{dataset}, {words_of(leading)}",
        xlim=(0, 1),
        ylim=(len(what) - 0.4, -0.6),
        xlabel="chance that a run with it beats one without",
        yticks=range(len(what)),
    )
    ax.set_yticklabels(what, fontsize="small")
    ax.grid(axis="y", visible=False)
    words = "filled: differs from 0.5 after Holm's correction"
    legend_below(ax, down=0.95 / height, title=words, title_fontsize="small", alignment="left")
    return figure

"""Chapter 9, blends: what FlexEncoder adds to methods that one has already.

A blend is a weighted sum of methods' predictions. Its weights, none below 0, are fitted by least squares on a split's
validation ratings, which the methods did not see then. The blend of the test ratings has these weights too, and methods
that were fitted on all training ratings.

References
----------
Lawson and Hanson (1974) (least squares without negative weights). Breiman (1996) (such weights for stacking).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from flexlib.config import FlexError
from flexlib.data import hold_back
from flexlib.evaluation import errors
from flexlib.methods.tuning import ALL, Tuning
from flexstudy.best import MACHINES
from flexstudy.methods import REFERENCE, spelled_users, users_bootstrap, verdict
from flexstudy.statistics import labelled, spelled, split_interval

BOTH_MACHINES = "both factorization machines"
WITH_FAMILY = "and FlexEncoder"
FAMILY_ALONE = "FlexEncoder alone"


class Kept(NamedTuple):
    """What a method predicted on one split, in stars: of the validation ratings and of the test ratings."""

    validation: NDArray[np.float64]
    test: NDArray[np.float64]


def kept_predictions(predictions: pd.DataFrame, networks: int = 1) -> dict[str, dict[str, Kept]]:
    """Collect the predictions of methods that have those of validation ratings too.

    Parameters
    ----------
    predictions
        Of `flexstudy.methods.find_tuned`.
    networks
        How many networks the mean of which is taken.

    Returns
    -------
    dict
        Method's name to split to predictions.
    """
    found: dict[str, dict[str, Kept]] = {}
    for row in predictions[predictions["networks"] == networks].to_dict("records"):
        parts = Kept(*(np.asarray(row[name], float) / 100 for name in ("validation_hundredths", "hundredths")))
        if len(parts.validation) and len(parts.test):
            found.setdefault(ALL[row["method"]].name, {})[row["split"]] = parts
    return found


def blend_weights(predicted: ArrayLike, actual: ArrayLike) -> NDArray[np.float64]:
    """Fit a blend.

    Parameters
    ----------
    predicted
        (m, n) stars that m methods predict.
    actual
        (n,) stars.

    Returns
    -------
    NDArray
        (m,) weights of at least 0, whose blend has the lowest squared error.
    """
    return np.asarray(nnls(np.asarray(predicted, float).T, np.asarray(actual, float))[0])


def compare_blends(
    tuning: Tuning, members: Mapping[str, Mapping[str, Kept]], groups: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Blend groups of methods, and compare each group with the first.

    Parameters
    ----------
    tuning
        Whose splits they are.
    members
        Method's name to split to predictions.
    groups
        A group's word to names of `members`.

    Returns
    -------
    pd.DataFrame
        One row a group, over the splits that all its members have:

        - group: its word
        - n: splits
        - mean, low, high: RMSE in stars, with its 95 % interval over splits
        - gap, gap_low, gap_high: RMSE above that of the first group in stars, with its 95 % interval over splits
        - shared: splits that the gap is over
        - users_low, users_high: 95 % interval of the gap over users
        - verdict: as in `flexstudy.methods.summarise_methods`
        - weights: name to mean weight over splits

    Raises
    ------
    FlexError
        Where predictions are not as many as ratings.
    """
    ratings = tuning.load()
    splits = tuning.load_splits(ratings)
    share = float(np.mean([len(split.test) / len(ratings) for _, split in splits.values()]))
    low, high = ratings.scale[:2]
    rmse: dict[str, pd.Series] = {}
    weights: dict[str, dict[str, float]] = {}
    blended: dict[str, dict[str, ArrayLike]] = {}
    for word, names in groups.items():
        found, fitted = {}, []
        for split, (seed, parts) in splits.items():
            if not all(split in members.get(name, {}) for name in names):
                continue
            held_back, own = hold_back(parts, seed).test, [members[name][split] for name in names]
            if {(len(kept.validation), len(kept.test)) for kept in own} != {(len(held_back), len(parts.test))}:
                raise FlexError(f"{tuning.name}, {split}: predictions are not as many as ratings")
            found_weights = blend_weights([kept.validation for kept in own], ratings.values[held_back])
            sums = np.clip(found_weights @ np.array([kept.test for kept in own]), low, high)
            found[split] = errors(ratings.values[parts.test].astype(float), sums)[0]
            blended.setdefault(word, {})[split] = np.rint(100 * sums)
            fitted.append(found_weights)
        rmse[word] = pd.Series(found, dtype=float)
        weights[word] = dict(zip(names, np.mean(fitted, axis=0), strict=True)) if fitted else {}
    first = next(iter(groups))
    rows: list[dict[str, Any]] = []
    for word in groups:
        gaps = (rmse[word] - rmse[first]).dropna()
        gap = split_interval(gaps, share)
        parts_only = {name: split for name, (_, split) in splits.items()}
        users = users_bootstrap(blended.get(word, {}), blended.get(first, {}), ratings, parts_only)
        rows.append(
            {
                "group": word,
                "n": len(rmse[word]),
                **labelled("mean", split_interval(rmse[word], share)),
                **labelled("gap", gap, "gap_"),
                "shared": len(gaps),
                "users_low": users[1],
                "users_high": users[2],
                "verdict": verdict(gap, users) if word != first else "",
                "weights": weights[word],
            }
        )
    return pd.DataFrame(rows)


def compare_families(tuning: Tuning, searched: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """Blend the two factorization machines without and with FlexEncoder: see `compare_blends`.

    Parameters
    ----------
    tuning
        The search, whose networks' mean stands for FlexEncoder where several were averaged.
    searched, beside
        Predictions of the search, and of the methods beside it, of `flexstudy.methods.find_tuned`.
    """
    family, machines = ALL[REFERENCE].name, [ALL[key].name for key in MACHINES]
    members = kept_predictions(beside) | kept_predictions(searched, tuning.average)
    groups = {BOTH_MACHINES: machines, WITH_FAMILY: [*machines, family], FAMILY_ALONE: [family]}
    return compare_blends(tuning, members, groups)


def compare_searches(
    searches: Mapping[str, Tuning], searched: Sequence[pd.DataFrame], beside: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Blend the methods of each search beside which both factorization machines stand.

    Parameters
    ----------
    searches
        Title of each case to its search.
    searched, beside
        Of each case in order: predictions, as in `compare_families`.

    Returns
    -------
    pd.DataFrame
        Rows of `compare_families`, with the column `case`.
    """
    tables = []
    for (case, tuning), own, others in zip(searches.items(), searched, beside, strict=True):
        if set(MACHINES) <= set(others["method"]):
            tables.append(compare_families(tuning, own, others).assign(case=case))
    return pd.concat(tables, ignore_index=True)


def spelled_weights(weights: Mapping[str, float]) -> str:
    """Spell out the weights of a blend: "BPMF 0.20, ..."; "" where there is none."""
    return ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())


def blends_table(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out blends for reading.

    Parameters
    ----------
    table
        Of `compare_searches`.
    """
    is_first = table["group"] == BOTH_MACHINES
    texts = {
        "case": table["case"],
        "blend": table["group"],
        "splits": table["n"],
        "RMSE": spelled(table, "mean", form=".3f"),
        "change": spelled(table, "gap", "gap_low", "gap_high").mask(is_first, ""),
        "over users": pd.Series(spelled_users(table), table.index).mask(is_first, ""),
        "verdict": table["verdict"],
        "weights": table["weights"].map(spelled_weights),
    }
    return pd.DataFrame(texts).set_index(["case", "blend"])


def blend_numbers(table: pd.DataFrame, names: Mapping[str, str]) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose on blends.

    Parameters
    ----------
    table
        Of `compare_families`, with the column `case`; cases without a blend are left out.
    names
        Title of each case to its short name.

    Returns
    -------
    dict
        Name to number or text, of each case:

        - CASE_blend_without, CASE_blend_with: RMSE in stars of both factorization machines, and with FlexEncoder
        - CASE_blend_gap (_low, _high): what FlexEncoder changes, in stars
    """
    found: dict[str, float | str] = {}
    for case in table["case"].unique():
        name = names[case]
        rows = table[table["case"] == case].set_index("group").to_dict("index")
        without, blend = rows[BOTH_MACHINES], rows[WITH_FAMILY]
        found |= {f"{name}_blend_without": without["mean"], f"{name}_blend_with": blend["mean"]}
        gap = (blend["gap"], blend["gap_low"], blend["gap_high"])
        found |= labelled(f"{name}_blend_gap", gap, f"{name}_blend_gap_")
    return found

"""How the runs of a random sample are scored and compared: ranks of their RMSE, and sizes of effects on it.

A run that diverged is an outcome like any other, the worst, unless the released code's rounding made stars of it.

References
----------
Mann and Whitney (1947) for the probability of superiority. Kelley (1935) and Tomczak and Tomczak (2014) for epsilon
squared.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def score_runs(records: pd.DataFrame, protocol: str) -> tuple[pd.DataFrame, pd.Series]:
    """Score the runs that were made under a protocol.

    Parameters
    ----------
    records
        Of a sweep or a replay.
    protocol
        Whose runs are scored; skipped and failed ones are left out.

    Returns
    -------
    made
        Their records.
    rmse
        In stars, by the same index. Of a run that diverged, that of its predictions where these are finite
        nevertheless; otherwise infinite.
    """
    made = records[(records["protocol"] == protocol) & records["status"].isin(["ok", "diverged"])]
    return made, made["rmse"].fillna(made["rmse_of_diverged"]).fillna(np.inf)


def rank_runs(records: pd.DataFrame, protocol: str) -> tuple[pd.DataFrame, pd.Series]:
    """Rank the runs that were made under a protocol by their RMSE, which one extreme value cannot dominate.

    Parameters
    ----------
    records, protocol
        As in `score_runs`.

    Returns
    -------
    made
        Their records.
    rank
        By the same index: the share of the other runs with a lower RMSE, from 0 (best) to 1; ties count half.
    """
    made, rmse = score_runs(records, protocol)
    return made, pd.Series((stats.rankdata(rmse) - 1) / max(len(made) - 1, 1), made.index)


def superiority(with_it: ArrayLike, without: ArrayLike) -> NDArray[np.float64]:
    """Estimate the probability that a run with something has a lower RMSE than one without; ties count half.

    Parameters
    ----------
    with_it, without
        (..., n) and (..., m) RMSE, infinite where a run diverged.

    Returns
    -------
    NDArray
        (...) from 0 to 1, 0.5 where it makes no difference; NaN where n or m is 0.
    """
    ours, others = np.asarray(with_it, float), np.asarray(without, float)
    pairs = ours.shape[-1] * others.shape[-1]
    if not pairs:
        return np.full(ours.shape[:-1], np.nan)
    # The statistic counts the pairs in which the first is higher. No p-value is needed, so the method is the fast one.
    return np.asarray(stats.mannwhitneyu(others, ours, axis=-1, method="asymptotic").statistic / pairs)


def epsilon_squared(values: NDArray[np.float64], groups: NDArray[np.generic]) -> float:
    """Measure how much of the variance of the ranks lies between groups, beyond what chance gives so many groups.

    Parameters
    ----------
    values
        (n,) RMSE, infinite where a run diverged.
    groups
        (n,) name of each run's group.

    Returns
    -------
    float
        At most 1; on average 0 where groups do not differ, and 0 where there is one. NaN where all values are equal,
        or where there are no more values than groups.
    """
    kinds = np.unique(groups)
    if len(values) <= len(kinds) or (values == values[0]).all():
        return float("nan")
    if len(kinds) == 1:
        return 0.0
    parts = [values[groups == kind] for kind in kinds]
    return float((stats.kruskal(*parts).statistic - len(kinds) + 1) / (len(values) - len(kinds)))

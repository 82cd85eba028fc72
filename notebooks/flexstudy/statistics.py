"""Intervals, rank correlations and corrections, on plain arrays: what the study says of a difference.

An interval is a tuple of its value, low and high end, at a confidence of 95 % unless said otherwise.

References
----------
Efron (1979) for the bootstrap. Holm (1979) for the correction of p-values. Wilcoxon (1945) for the signed ranks. Nadeau
and Bengio (2003) for splits that overlap.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Interval = tuple[float, float, float]

CONFIDENCE = 0.95
SIGNIFICANT = 0.05  # corrected p, below which the study calls a difference clear
UNKNOWN: Interval = (float("nan"), float("nan"), float("nan"))
TOO_FEW = "too few runs: raise max_seconds"  # in place of what a few runs cannot tell
FEWEST = 6  # values, below which no effect is clear: signed ranks have no p
SMALLEST_P = 0.001  # below it a p-value is not spelled out


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Compute the mean of independent repeats and its t-interval.

    Parameters
    ----------
    values
        (n,) numbers.
    confidence
        Between 0 and 1.

    Returns
    -------
    mean, low, high
        In the values' unit. The ends are NaN below two repeats, and the mean is NaN where there is none.
    """
    values = np.asarray(values, dtype=float)
    if not len(values):
        return UNKNOWN
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def split_interval(values: ArrayLike, test_share: float, confidence: float = CONFIDENCE) -> Interval:
    """Compute the mean over random splits of the same ratings, and its t-interval corrected for their overlap.

    Two random splits share most of their training ratings, so their errors are not independent. The plain variance of
    the mean, s^2 / J over J splits, is replaced by s^2 (1 / J + n_test / n_train).

    Parameters
    ----------
    values
        (J,) numbers, one a split.
    test_share
        Share of all ratings that each split holds out, above 0 and below 1.
    confidence
        Between 0 and 1.

    Returns
    -------
    mean, low, high
        In the values' unit. The ends are NaN below two splits, and the mean is NaN where there is none.

    Raises
    ------
    ValueError
        For a share that leaves nothing to train or to test on.

    References
    ----------
    Nadeau and Bengio (2003), Section 3 ("corrected resampled t-test").
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share {test_share}: must be above 0 and below 1")
    mean, low, high = mean_interval(values, confidence)
    widened = np.sqrt(1 + len(np.asarray(values)) * test_share / (1 - test_share))
    return mean, mean - float(widened) * (mean - low), mean + float(widened) * (high - mean)


def median_interval(
    values: ArrayLike, seed: int = 0, resamples: int = 2000, confidence: float = CONFIDENCE
) -> Interval:
    """Compute the median of independent repeats and its interval, by bootstrap percentiles.

    Parameters
    ----------
    values
        (n,) numbers.
    seed
        Of the resampling.
    resamples
        How many medians are drawn.
    confidence
        Between 0 and 1.

    Returns
    -------
    median, low, high
        In the values' unit; NaN where there are no values.
    """
    values = np.asarray(values, float)
    if not len(values):
        return UNKNOWN
    drawn = np.median(np.random.default_rng(seed).choice(values, (resamples, len(values))), axis=1)
    return (float(np.median(values)), *_percentiles(drawn, confidence))


def bootstrap(
    statistic: Callable[..., float],
    *columns: ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Compute a statistic of paired columns and its interval, by bootstrap percentiles.

    Parameters
    ----------
    statistic
        Takes the columns, gives a number.
    *columns
        (n,) each; their rows are drawn together.
    seed
        Of the resampling.
    resamples
        How many samples of n rows are drawn. Those without a value (NaN) are left out.
    confidence
        Between 0 and 1.

    Returns
    -------
    value, low, high
        In the statistic's unit; NaN below 3 rows.
    """
    arrays = [np.asarray(column) for column in columns]
    n, rng = len(arrays[0]), np.random.default_rng(seed)
    if n < 3:
        return UNKNOWN
    drawn = []
    for _ in range(resamples):
        rows = rng.integers(n, size=n)
        drawn.append(statistic(*(column[rows] for column in arrays)))
    return (float(statistic(*arrays)), *_percentiles(drawn, confidence))


def _percentiles(drawn: ArrayLike, confidence: float) -> tuple[float, float]:
    drawn = np.asarray(drawn, float)
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Compute the rank correlation of two columns.

    Parameters
    ----------
    one, other
        (n,) numbers, in the same order.

    Returns
    -------
    float
        From -1 to 1; NaN below 3 values, and where all of one column are equal.
    """
    ranks = stats.rankdata(one), stats.rankdata(other)
    if len(ranks[0]) < 3:
        return float("nan")
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(*ranks)[0, 1])


def correlation_interval(
    r: ArrayLike, n: int, confidence: float = CONFIDENCE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the intervals of Pearson correlations, by Fisher's z.

    Parameters
    ----------
    r
        Correlations, one or an array of any shape.
    n
        Pairs that each is computed from.
    confidence
        Between 0 and 1.

    Returns
    -------
    low, high
        In the shape of `r`; NaN below 4 pairs.
    """
    r = np.asarray(r, float)
    if n < 4:
        return np.full_like(r, np.nan), np.full_like(r, np.nan)
    half = stats.norm.ppf((1 + confidence) / 2) / np.sqrt(n - 3)
    z = np.arctanh(np.clip(r, -1, 1) * (1 - 1e-12))
    return np.tanh(z - half), np.tanh(z + half)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for how many tests there are: all those below 0.05 are true findings with 95 % confidence.

    Parameters
    ----------
    p_values
        (n,) of one family of tests; NaN counts as no test.

    Returns
    -------
    NDArray
        (n,) corrected values in the same order; NaN stays.

    References
    ----------
    Holm (1979).
    """
    p_values = np.asarray(p_values, float)
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


def signed_rank_p(values: ArrayLike) -> float:
    """Test whether paired differences have a median of 0, by Wilcoxon's signed ranks.

    Parameters
    ----------
    values
        (n,) differences. Those that are 0 or not finite are left out.

    Returns
    -------
    float
        p of the two-sided test; NaN where fewer than 6 differences are left.
    """
    given = np.asarray(values, float)
    used = given[np.isfinite(given) & (given != 0)]
    return float(stats.wilcoxon(used).pvalue) if len(used) >= FEWEST else float("nan")


def labelled(name: str, interval: Sequence[float], prefix: str = "") -> dict[str, float]:
    """Name the parts of an interval: (value, low, high) by the keys `name`, `prefix` + "low" and `prefix` + "high"."""
    return dict(zip((name, f"{prefix}low", f"{prefix}high"), interval, strict=True))


def spelled(table: pd.DataFrame, value: str, low: str = "low", high: str = "high", form: str = "+.3f") -> pd.Series:
    """Spell out a column with its interval, for reading.

    Parameters
    ----------
    table
        n rows.
    value, low, high
        Names of the columns of the interval.
    form
        How each number is formatted.

    Returns
    -------
    pd.Series
        (n,) texts such as "+0.100 (+0.050 to +0.150)": "" where there is no value, the value alone where there is no
        interval.
    """

    def spell(row: pd.Series) -> str:
        number, *ends = (format(row[name], form) for name in (value, low, high))
        return "" if np.isnan(row[value]) else number if np.isnan(row[low]) else f"{number} ({ends[0]} to {ends[1]})"

    return table.apply(spell, axis=1) if len(table) else pd.Series([], dtype=str)


def spelled_p(p_values: Sequence[float]) -> list[str]:
    """Spell out (n,) p-values for reading: "" where there is none."""
    return ["" if np.isnan(p) else f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}" for p in p_values]

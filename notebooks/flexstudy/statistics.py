"""Intervals, rank correlations and corrections: what the study says of a difference, on plain arrays."""

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


def mean_interval(values, confidence=CONFIDENCE):
    """(mean, low, high) of independent repeats, by Student's t; low and high are NaN below two repeats."""
    values = np.asarray(values, dtype=float)
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def labelled(name, interval, prefix=""):
    """(value, low, high) as a mapping with the keys `name`, `prefix` + "low" and `prefix` + "high"."""
    return dict(zip((name, f"{prefix}low", f"{prefix}high"), interval, strict=True))


def spelled(table, value, low="low", high="high", form="+.3f"):
    """A column with its interval, for reading: a Series of texts, "" where there is no value and without the interval
    where there is none."""

    def text(row):
        number, *ends = (format(row[name], form) for name in (value, low, high))
        return "" if np.isnan(row[value]) else number if np.isnan(row[low]) else f"{number} ({ends[0]} to {ends[1]})"

    return table.apply(text, axis=1) if len(table) else pd.Series([], dtype=str)


def spelled_p(p_values):
    """p-values for reading: a list of texts, "" where there is none."""
    return ["" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}" for p in p_values]


def median_interval(values, seed=0, resamples=2000, confidence=CONFIDENCE):
    """(median, low, high), the interval by bootstrap percentiles; NaN where there are no values."""
    values = np.asarray(values, float)
    if not len(values):
        return (float("nan"),) * 3
    drawn = np.median(np.random.default_rng(seed).choice(values, (resamples, len(values))), axis=1)
    return (float(np.median(values)), *_percentiles(drawn, confidence))


def bootstrap(statistic, *columns, seed=0, resamples=1000, confidence=CONFIDENCE):
    """(value, low, high) of `statistic(*columns)` over (n,) columns whose rows are drawn together, by percentiles;
    draws without a value (NaN) are left out. NaN where there are fewer than 3 rows."""
    columns = [np.asarray(column) for column in columns]
    n, rng = len(columns[0]), np.random.default_rng(seed)
    if n < 3:
        return (float("nan"),) * 3
    drawn = []
    for _ in range(resamples):
        rows = rng.integers(n, size=n)
        drawn.append(statistic(*(column[rows] for column in columns)))
    return (float(statistic(*columns)), *_percentiles(drawn, confidence))


def _percentiles(drawn, confidence):
    drawn = np.asarray(drawn, float)
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def spearman(one, other):
    """Rank correlation of two (n,) arrays; NaN below 3 values, and where all of one side are equal."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(stats.rankdata(one), stats.rankdata(other))[0, 1] if len(one) > 2 else np.nan


def correlation_interval(r, n, confidence=CONFIDENCE):
    """(low, high) of Pearson correlations of n pairs each, by Fisher's z; NaN below 4 pairs. `r` may be an array."""
    if n < 4:
        return np.full_like(r, np.nan, dtype=float), np.full_like(r, np.nan, dtype=float)
    half = stats.norm.ppf((1 + confidence) / 2) / np.sqrt(n - 3)
    z = np.arctanh(np.clip(np.asarray(r, float), -1, 1) * (1 - 1e-12))
    return np.tanh(z - half), np.tanh(z + half)


def holm(p_values):
    """(n,) p-values corrected for n tests (Holm 1979): a family below 0.05 holds no false one with 95 % confidence.

    NaN stays, and counts as no test.
    """
    p_values = np.asarray(p_values, float)
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


def signed_rank_p(values):
    """p of paired differences with a median of 0 (Wilcoxon's signed ranks, two-sided); NaN below 6 that are not 0."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & (values != 0)]
    return float(stats.wilcoxon(values).pvalue) if len(values) >= 6 else float("nan")

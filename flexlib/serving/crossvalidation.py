"""Scores over several splits by the measures that people ask for, each with an interval, and by users' activity.

A model is given the training ratings alone, in a set of their own: it cannot see what it is scored on.

References
----------
Järvelin and Kekäläinen (2002) (nDCG). Efron (1979) (the bootstrap).
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from flexlib.config import FlexError
from flexlib.data import Ratings, Split
from flexlib.predict import Fitted
from flexlib.seeds import Purpose, numpy_generator
from flexlib.serving.recommending import recommend

CONFIDENCE = 0.95
RESAMPLES = 2000
AT_ONCE = 20_000_000  # resampled users that are held in memory
GROUPS = 4  # of users by activity
RELEVANT = 0.8  # share of the highest rating, from which an item counts as relevant

Fit = Callable[[Ratings, int], Fitted]


def fold_ratings(ratings: Ratings, folds: int = 5, seed: int = 0) -> Iterator[Split]:
    """Split ratings so that each is a test rating once.

    Parameters
    ----------
    ratings
        What to split.
    folds
        How many splits, at least 2.
    seed
        At least 0.

    Yields
    ------
    Split
        The sizes of their test parts differ by one rating at most.

    Raises
    ------
    FlexError
        For fewer than 2 folds, or more folds than ratings.
    """
    if not 2 <= folds <= len(ratings):
        raise FlexError(f"{folds} folds: from 2 to {len(ratings):,}, the number of ratings, are possible")
    shuffled = numpy_generator(seed, Purpose.FOLDS).permutation(len(ratings))
    ends = np.arange(folds + 1) * len(ratings) // folds
    for first, last in itertools.pairwise(ends):
        test = np.sort(shuffled[first:last])
        yield Split(np.setdiff1d(np.arange(len(ratings)), test), test)


def cross_validate(
    ratings: Ratings,
    fit: Fit,
    splits: Iterable[Split],
    k: int = 10,
    relevant: float | None = None,
    lists: bool = True,
) -> pd.DataFrame:
    """Fit and score on each split.

    Predictions are clipped to the scale for RMSE and MAE. A list holds items of the training ratings that the user has
    no training rating of. An item in it is relevant, with a gain of 1, where the user's test rating is at least
    `relevant`.

    Parameters
    ----------
    ratings
        What to learn from and to score on.
    fit
        Given the training ratings and the number of the split, from 0, fits on all of them.
    splits
        Of `fold_ratings`, `flexlib.split_ratings` or `flexlib.serving.splits.read_split`.
    k
        Length of the lists.
    relevant
        In stars; by default four fifths of the highest rating.
    lists
        Whether lists are made too, which predicts every pair of a user and an item.

    Returns
    -------
    DataFrame
        One row a group of users and measure:

        - users: "all", or a group by the user's number of ratings in the set, such as "20 to 34 ratings"
        - measure: RMSE and MAE, pooled over all test ratings, in stars; nDCG@k and recall@k, means over users with
          relevant test ratings; coverage@k, the share of the items in training that any list holds
        - value, low, high: with an interval at 95 %. It is a bootstrap over users, for these splits and models; for
          coverage a t-interval over splits. NaN where there are fewer than two of these, or a model diverged
        - n: how many users, or splits

    Raises
    ------
    FlexError
        For k below 1, no split, or a split without test ratings.

    Examples
    --------
    >>> from flexlib import load_ratings
    >>> from flexlib.serving.crossvalidation import cross_validate, fold_ratings
    >>> from flexlib.serving.methods import fit_method
    >>> ratings = load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1")
    >>> table = cross_validate(ratings, lambda train, split: fit_method(train, "biases"), fold_ratings(ratings, 3))
    >>> table.head(5)["measure"].tolist()
    ['RMSE', 'MAE', 'nDCG@10', 'recall@10', 'coverage@10']
    """
    if k < 1:
        raise FlexError(f"k {k}: at least 1 is needed")
    relevant = RELEVANT * ratings.scale[1] if relevant is None else relevant
    scored = [_score_split(ratings, split, fit, number, k, relevant, lists) for number, split in enumerate(splits)]
    if not scored:
        raise FlexError("there is nothing to score: no split")
    of_user = np.sum([sums for sums, _ in scored], axis=0)
    covered = [coverage for _, coverage in scored]
    counts = np.bincount(ratings.users, minlength=ratings.n_users)
    rows = []
    for name, chosen in _groups(counts).items():
        rows += [{"users": name} | row for row in _measures(of_user[:, chosen], k, lists)]
        if lists and name == "all":
            rows.append({"users": name, "measure": f"coverage@{k}"} | _over_splits(covered))
    return pd.DataFrame(rows)


def _score_split(
    ratings: Ratings, split: Split, fit: Fit, number: int, k: int, relevant: float, lists: bool
) -> tuple[NDArray[np.float64], float]:
    """Score one split.

    Returns
    -------
    sums
        (6, n_users): squared error, absolute error and number of test ratings; nDCG, recall, and 1 where the user has
        relevant test ratings.
    coverage
        Share of the items in training that are in a list.
    """
    if not len(split.test):
        raise FlexError("there is nothing to score: a split has no test ratings")
    known = training_part(ratings, split)
    model = fit(known, number)
    users, items, n = ratings.users[split.test], ratings.items[split.test], ratings.n_users
    actual = ratings.values[split.test].astype(np.float64)
    gap = np.clip(model.predict_pairs(users, items), *ratings.scale[:2]) - actual
    weights = gap**2, np.abs(gap), np.ones(len(gap))
    sums, coverage = np.zeros((6, n)), np.nan
    sums[:3] = [np.bincount(users, weights=one, minlength=n) for one in weights]
    if lists:
        made = recommend(model, ratings.user_ids[np.unique(users)], k)
        hits = pd.DataFrame({"user": ratings.user_ids[users], "item": ratings.item_ids[items], "stars": actual})
        hits = hits[hits["stars"] >= relevant]
        sums[3:] = _rank_users(made, hits, ratings, k)
        coverage = made["item"].nunique() / len(np.unique(known.items))
    return sums, coverage


def training_part(ratings: Ratings, split: Split) -> Ratings:
    """Give the training ratings as a set of their own, with the same users and items."""
    train = split.train
    return dataclasses.replace(
        ratings,
        users=ratings.users[train],
        items=ratings.items[train],
        values=ratings.values[train],
        timestamps=None if ratings.timestamps is None else ratings.timestamps[train],
        folds={},
        oracle=None,
    )


def _rank_users(made: pd.DataFrame, hits: pd.DataFrame, ratings: Ratings, k: int) -> list[NDArray[np.float64]]:
    """Give each user's nDCG and recall, and who has them, from lists and relevant test ratings."""
    found = made.merge(hits, on=["user", "item"])
    dense = pd.Index(ratings.user_ids)
    gains = np.bincount(
        dense.get_indexer(found["user"]), weights=1 / np.log2(found["rank"] + 1), minlength=ratings.n_users
    )
    n_found = np.bincount(dense.get_indexer(found["user"]), minlength=ratings.n_users)
    n_relevant = np.bincount(dense.get_indexer(hits["user"]), minlength=ratings.n_users)
    k = min(k, ratings.n_items)
    ideal = np.concatenate([[1], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])  # 1 where nothing is divided by it
    ndcg = gains / ideal[np.minimum(n_relevant, k)]
    return [ndcg, n_found / np.maximum(n_relevant, 1), (n_relevant > 0).astype(float)]


def _groups(counts: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.bool_]]:
    """Name groups of about as many users each, by how many ratings they have."""
    groups = {"all": np.ones(len(counts), bool)}
    edges = np.unique(np.quantile(counts, np.arange(1, GROUPS) / GROUPS, method="inverted_cdf"))
    of = np.searchsorted(edges, counts)
    for group in np.unique(of) if len(np.unique(of)) > 1 else []:
        own = counts[of == group]
        groups[f"{own.min()} to {own.max()} ratings"] = of == group
    return groups


def _measures(sums: NDArray[np.float64], k: int, lists: bool) -> list[dict[str, Any]]:
    """Compute the measures of a group of users from their sums (6, users)."""
    squares, gaps, n, ndcg, recall, ranked = sums
    scored, listed = n > 0, ranked > 0
    rows = [
        {"measure": "RMSE"} | _over_users(squares[scored], n[scored], np.sqrt),
        {"measure": "MAE"} | _over_users(gaps[scored], n[scored]),
    ]
    if lists:
        for name, total in (("nDCG", ndcg), ("recall", recall)):
            own = total[listed] / ranked[listed]
            rows.append({"measure": f"{name}@{k}"} | _over_users(own, np.ones(len(own))))
    return rows


def _over_users(
    totals: NDArray[np.float64], weights: NDArray[np.float64], form: Callable[..., Any] = np.asarray
) -> dict[str, Any]:
    """Compute form(sum of totals / sum of weights), and its bootstrap interval over users."""

    def ratio(total: NDArray[np.float64], weight: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(form(total.sum(axis=axis) / weight.sum(axis=axis)))

    n = len(totals)
    if n < 2 or not np.isfinite(totals).all():  # a model that diverged predicts NaN
        return {"value": float(ratio(totals, weights)) if n else np.nan, "low": np.nan, "high": np.nan, "n": n}
    drawn = stats.bootstrap(
        (totals, weights),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // n),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=numpy_generator(0, Purpose.RESAMPLES),
    ).confidence_interval
    return {"value": float(ratio(totals, weights)), "low": float(drawn.low), "high": float(drawn.high), "n": n}


def _over_splits(values: Sequence[float]) -> dict[str, Any]:
    """Average shares over splits, with a t-interval, which ends at 0 and 1."""
    n, mean = len(values), float(np.mean(values))
    low, high = np.nan, np.nan
    if n > 1:
        half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    return {"value": mean, "low": float(low), "high": float(high), "n": n}

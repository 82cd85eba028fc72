"""Chapter 10's cases: splits that show few ratings of some users or items, or few ratings at all, and their scores.

Nothing is tuned here. Settings are those that `flexlib tune` chose on the training ratings of random splits. A case is
a `Split` that leaves some ratings out; every method is fitted to it anew.
"""

import math
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from flexlib.config import FlexError
from flexlib.data import Ids, Mask, Ratings, Split, split_ratings
from flexlib.methods.interface import MethodSettings
from flexlib.methods.tuning import ALL, score
from flexlib.runs.plan import slug
from flexlib.runs.provenance import software
from flexlib.seeds import Purpose, numpy_generator

BINS = (0, 1, 3, 6, 11, 21, 51, 101)  # the lowest number of training ratings in each
SHOWN = (0, 1, 2, 5, 10)  # ratings of each new user or item
SHARES = (100, 50, 25, 12.5)  # of the training ratings, in %
NEW_SHARE = 0.1  # of the users (items) with enough ratings, those that are taken for new
ENOUGH = 20  # ratings of a user (item) that may be taken for new

# Tasks, and the side of the ratings that they are about
NEW = {"new users": "users", "new items": "items"}
COUNTS = {"by user": "users", "by item": "items"}
SPARSITY = "sparsity"

_OTHERS = ("flexencoder_set1", "svdpp", "hidden_similarity", "item_knn", "bpmf", "biases", "item_mean")
METHOD_NAMES = {"flexencoder": "FlexEncoder, tuned"} | {key: ALL[key].name for key in _OTHERS}

# Records: one row a method, seed, task and case. Errors are in stars.
SERVED_COLUMNS = {
    "group": "str",
    "method": "str",
    "seed": "int64",
    "task": "str",
    "shown": "float64",
    "n_train": "int64",
    "n_test": "int64",
    "n_unseen": "int64",
    "n_users": "int64",
    "n_items": "int64",
    "rmse": "float64",
    "mae": "float64",
    "rmse_known": "float64",
    "rmse_own_fallback": "float64",
    "settings": "str",
    "seconds": "float64",
    "tuned": "str",
    **dict.fromkeys(["dataset", "checksum", "device", *software()], "str"),
}


def served_name(dataset: str) -> str:
    """Name the records of a data set, without the ending."""
    return f"served-{slug(dataset)}"


def _ids_of(ratings: Ratings, side: str) -> tuple[Ids, int]:
    """Give the (n,) ids of the ratings' "users" or "items", and how many of these there are."""
    return (ratings.users, ratings.n_users) if side == "users" else (ratings.items, ratings.n_items)


def new_rows(ratings: Ratings, side: str, seed: int = 0) -> dict[float, Split]:
    """Split so that some users or items are new, and show few ratings of each.

    Training ratings are all ratings of the others, and the shown ones. Test ratings are the same in every split: those
    of the new users (items) beyond the most that is shown.

    Parameters
    ----------
    ratings
        What to split.
    side
        "users" or "items".
    seed
        Draws which are new, `NEW_SHARE` of those with `ENOUGH` ratings, and the order in which their ratings are shown.

    Returns
    -------
    dict
        Number of ratings shown (`SHOWN`) to `Split`. What one shows, the next shows too.

    Raises
    ------
    FlexError
        Where fewer than two users (items) have enough ratings.
    """
    ids, n = _ids_of(ratings, side)
    rng = numpy_generator(seed, Purpose.NEW_ROWS, int(side == "items"))
    enough = np.flatnonzero(np.bincount(ids, minlength=n) >= ENOUGH)
    if len(enough) < 2:
        raise FlexError(f"{ratings.name}: fewer than 2 {side} have {ENOUGH} ratings, so that none can be taken for new")
    new = rng.permutation(enough)[: max(1, round(NEW_SHARE * len(enough)))]
    is_new = np.isin(ids, new)
    theirs = rng.permutation(np.flatnonzero(is_new))
    theirs = theirs[np.argsort(ids[theirs], kind="stable")]
    place = np.arange(len(theirs)) - np.searchsorted(ids[theirs], ids[theirs])  # among the row's own, as drawn
    test = np.sort(theirs[place >= max(SHOWN)])
    known = np.flatnonzero(~is_new)
    return {k: Split(np.sort(np.concatenate([known, theirs[place < k]])), test) for k in SHOWN}


def thin_training(split: Split, seed: int = 0) -> dict[float, Split]:
    """Leave out training ratings at random. The test ratings stay the same.

    Parameters
    ----------
    split
        Whose training ratings are thinned.
    seed
        At least 0.

    Returns
    -------
    dict
        Share that is left, in % (`SHARES`), to `Split`. A smaller share is part of every larger one.
    """
    drawn = split.train[numpy_generator(seed, Purpose.THINNING).permutation(len(split.train))]
    counts = {share: max(1, round(share / 100 * len(drawn))) for share in SHARES}
    return {share: Split(np.sort(drawn[:count]), split.test) for share, count in counts.items()}


def by_count(ratings: Ratings, split: Split, side: str) -> dict[int, Mask]:
    """Sort the test ratings by how many training ratings their user or item has.

    Parameters
    ----------
    ratings, split
        The ratings, and which of them train and test.
    side
        "users" or "items".

    Returns
    -------
    dict
        Lowest number of each of `BINS` that holds a test rating, to (n_test,) which it holds.
    """
    ids, n = _ids_of(ratings, side)
    counts = np.bincount(ids[split.train], minlength=n)[ids[split.test]]
    bins = np.searchsorted(BINS, counts, side="right") - 1
    return {BINS[k]: bins == k for k in np.unique(bins)}


def merged_bins(counts: pd.Series, at_least: int) -> dict[float, float]:
    """Merge neighbouring bins, from the lowest on, until each holds enough test ratings.

    Parameters
    ----------
    counts
        Test ratings, by the lowest number of each bin.
    at_least
        What each merged bin holds, where all bins together hold as many.

    Returns
    -------
    dict
        Lowest number of each bin to that of the merged one.
    """
    starts, held = [counts.index[0]], 0
    for low, count in counts.items():
        if held >= at_least:
            starts, held = [*starts, low], 0
        held += count
    if held < at_least and len(starts) > 1:
        starts.pop()
    return {low: max(start for start in starts if start <= low) for low in counts.index}


def bin_labels(merged: Mapping[float, float]) -> dict[float, str]:
    """Write merged bins as ranges.

    Parameters
    ----------
    merged
        Of `merged_bins`.

    Returns
    -------
    dict
        Lowest number of each merged bin to its words: "0", "3-5", or "101+" for a bin without an upper end.
    """
    above = [low for low in BINS if low > max(merged)]
    starts = [*sorted(set(merged.values())), above[0] if above else math.inf]
    words = {}
    for low, after in pairwise(starts):
        last = after - 1
        words[low] = f"{low:g}+" if math.isinf(last) else f"{low:g}" if low == last else f"{low:g}-{last:g}"
    return words


def score_group(
    ratings: Ratings, group: str, method: str, seed: int, settings: MethodSettings, rate: float
) -> list[dict[str, Any]]:
    """Train and score a method in one group of cases.

    Parameters
    ----------
    ratings
        The data set.
    group
        "new users", "new items" or "sparsity". The last one's whole training set gives "by user" and "by item" too.
    method
        Key of the method.
    seed
        Of the splits and of the method.
    settings
        Of the method.
    rate
        Share of the ratings that the split of "sparsity" holds out.

    Returns
    -------
    list
        Records, one a task and case, without the columns that say where they come from:

        - group, method, seed: as given
        - task: of `NEW` or `COUNTS`, or `SPARSITY`
        - shown: ratings shown, % of the training ratings, or the bin's lowest number
        - seconds: of training and predicting
        - n_users, n_items: in the test ratings
        - n_train: training ratings
        - rmse, mae, rmse_known, rmse_own_fallback (stars), n_test, n_unseen: as `flexlib.methods.tuning.score` has
          them; errors are NaN where training diverged
    """
    if group in NEW:
        splits = new_rows(ratings, NEW[group], seed)
    else:
        splits = thin_training(split_ratings(ratings, rate, seed), seed)
    rows = []
    for shown, split in splits.items():
        begun = time.perf_counter()
        predicted = ALL[method].predict(ratings, split, seed, **settings)
        seconds = round(time.perf_counter() - begun, 3)
        parts: dict[tuple[str, float], Mask] = {(group, shown): np.ones(len(split.test), bool)}
        if (group, shown) == (SPARSITY, max(SHARES)):
            for task, side in COUNTS.items():
                parts |= {(task, low): mask for low, mask in by_count(ratings, split, side).items()}
        for (task, low), mask in parts.items():
            part = Split(split.train, split.test[mask])
            row = {"group": group, "method": method, "seed": seed, "task": task, "shown": low, "seconds": seconds}
            row |= {f"n_{side}": len(np.unique(_ids_of(ratings, side)[0][part.test])) for side in ("users", "items")}
            rows.append(row | {"n_train": len(part.train)} | score(ratings, part, predicted[mask]))
    return rows

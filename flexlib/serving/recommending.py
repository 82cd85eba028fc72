"""Lists of the items that users are predicted to rate highest."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.data import Index, find_ids
from flexlib.predict import Fitted


def recommend(model: Fitted, users: object = None, k: int = 10) -> pd.DataFrame:
    """List the items with the highest predicted ratings for a user, or for many.

    Candidates are items seen in training that the user has not rated anywhere in the set. Predictions are made from
    training ratings alone. Ties go to the item with more training ratings, then to the lower id.

    Parameters
    ----------
    model
        Of `flexlib.fit`, `flexlib.load_model` or `flexlib.fold_in`.
    users
        The original id of a user; or a sequence of ids, whose lists are made in one pass; by default all users.
    k
        How many items a list has, at most.

    Returns
    -------
    DataFrame
        item (original id), title and genres (where known), predicted (stars), n_ratings (in training); best first. For
        many users, it begins with the columns user (original id) and rank (from 1), and one who has rated every item
        has no rows.

    Raises
    ------
    FlexError
        For k below 1, an unknown user, a single one who has rated everything, or a model that diverged.

    Examples
    --------
    >>> from flexlib import FlexConfig, fit, load_ratings, recommend
    >>> model = fit(load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1"), FlexConfig(epochs=2))
    >>> len(recommend(model, 42, k=5))
    5
    >>> recommend(model, [42, 7], k=2)[["user", "rank"]].values.tolist()
    [[42, 1], [42, 2], [7, 1], [7, 2]]
    """
    if k < 1:
        raise FlexError(f"k {k}: at least 1 is needed")
    ratings = model.ratings
    single = not (users is None or isinstance(users, Sequence | np.ndarray | pd.Series | pd.Index))
    single = single or isinstance(users, str | bytes)
    wanted = ratings.user_ids if users is None else np.atleast_1d(np.asarray(users))
    dense = find_ids(ratings.user_ids, wanted)
    if (dense < 0).any():
        few = ", ".join(map(str, ratings.user_ids[:3]))
        unknown = wanted[dense < 0][0]
        raise FlexError(f"user '{unknown}' is not in {ratings.name}; its {ratings.n_users:,} ids are {few}, ...")
    counts = np.bincount(ratings.items[model.split.train], minlength=ratings.n_items)
    parts = list(_lists(model, dense, counts, k))
    user, rank, item, predicted = (np.concatenate(part) for part in zip(*parts, strict=True))
    if single and not len(item):
        raise FlexError(f"user '{users}' has rated every item that the model knows")
    table: dict[str, Any] = {} if single else {"user": ratings.user_ids[user], "rank": rank + 1}
    table["item"] = ratings.item_ids[item]
    for name, texts in (("title", ratings.titles), ("genres", ratings.genres)):
        if texts is not None:
            table[name] = texts[item]
    return pd.DataFrame(table | {"predicted": predicted, "n_ratings": counts[item]})


def _lists(model: Fitted, users: Index, counts: Index, k: int) -> Iterator[tuple[NDArray[Any], ...]]:
    """List items for dense users, a block of them at a time: user, rank from 0, item and prediction of each entry."""
    ratings = model.ratings
    items = np.lexsort((np.arange(ratings.n_items), -counts))  # the order of ties
    items = items[counts[items] > 0]
    place = np.full(ratings.n_items, -1)
    place[items] = np.arange(len(items))
    by_user = np.argsort(ratings.users, kind="stable")
    ends = np.cumsum(np.bincount(ratings.users, minlength=ratings.n_users))
    size = max(1, model.pairs_at_once // max(1, len(items)))
    for first in range(0, max(1, len(users)), size):
        block = users[first : first + size]
        allowed = np.ones((len(block), len(items) + 1), bool)  # the last column takes what training does not know
        for row, user in enumerate(block):
            rated = ratings.items[by_user[ends[user - 1] if user else 0 : ends[user]]]
            allowed[row, place[rated]] = False
        rows, columns = np.nonzero(allowed[:, :-1])
        predicted = model.predict_pairs(block[rows], items[columns])
        if k < len(items):  # sorting is costly: only those as good as the last on the list are sorted
            scores = np.full((len(block), len(items)), -np.inf, predicted.dtype)
            scores[rows, columns] = predicted
            scores.partition(len(items) - k, axis=1)
            kept = predicted >= scores[rows, len(items) - k]
            rows, columns, predicted = rows[kept], columns[kept], predicted[kept]
        order = np.lexsort((columns, -predicted, rows))
        begin = np.searchsorted(rows, np.arange(len(block)))  # sorting leaves each row's entries where they begin
        rank = np.arange(len(rows)) - begin[rows]
        best = order[rank < k]
        yield block[rows[best]], rank[rank < k], items[columns[best]], predicted[best]

"""Scoring and recommending: what a protocol shows the network at test time, and which ratings count.

Errors are pooled over all scored ratings in float64. An output that is not finite is counted, never dropped.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from flexlib.config import FlexError
from flexlib.means import mean_by
from flexlib.predict import network_outputs, round_predictions
from flexlib.train import fit


@dataclass(eq=False)
class Evaluation:
    """Scores over `n_scored` test ratings, in stars. n_unseen: those whose user or item has no training rating.
    n_nonfinite: outputs that are NaN or infinite; RMSE and MAE are then NaN, unless the protocol's rounding makes stars
    of them. predictions: one row a test rating (user, item as dense ids; actual, predicted, hidden, unseen, scored)."""

    rmse: float
    mae: float
    n_scored: int
    n_unseen: int
    n_nonfinite: int
    predictions: pd.DataFrame

    def scores(self):
        """The numbers as a mapping, NaN as None."""
        known = not math.isnan(self.rmse)
        counts = {name: getattr(self, name) for name in ("n_scored", "n_unseen", "n_nonfinite")}
        return {"rmse": self.rmse if known else None, "mae": self.mae if known else None} | counts


def evaluate(model):
    """Score a `FittedModel` on its split's test ratings, under its protocol."""
    ratings, protocol, test = model.ratings, model.protocol, model.split.test
    hidden = hidden_mask(model)
    if protocol.test_input == "training":
        shown, values = model.split.train, model.centred(model.split.train)
    else:
        shown = test[~hidden]
        values = model.centred(shown) if protocol.test_input == "visible-centred" else ratings.values[shown]
    predicted, unseen, nonfinite = _predict(model, shown, values, model.rows[test], model.columns[test])
    actual = ratings.values[test].astype(np.float64)
    scored = hidden if protocol.scored == "hidden" else np.ones(len(test), bool)
    rmse, mae = errors(actual[scored], predicted[scored])
    table = pd.DataFrame({
        "user": ratings.users[test], "item": ratings.items[test], "actual": actual, "predicted": predicted,
        "hidden": hidden, "unseen": unseen, "scored": scored,
    })  # fmt: skip
    counts = (int(which.sum()) for which in (scored, unseen & scored, nonfinite & scored))
    return Evaluation(rmse, mae, *counts, table)


def errors(actual, predicted):
    """(RMSE, MAE) of two (n,) arrays, pooled; NaN where a prediction is not finite or n is 0."""
    if not len(actual) or not np.isfinite(predicted).all():
        return math.nan, math.nan
    gap = predicted - actual
    return float(np.sqrt(np.mean(gap**2))), float(np.mean(np.abs(gap)))


def hidden_mask(model):
    """(n_test,) which test ratings the network does not see. TMR draws them; where its input is the training
    ratings it sees none of the test ratings. The draw depends on the seed alone."""
    n, rate = len(model.split.test), model.config.test_masking_rate
    if model.protocol.test_input == "training":
        return np.ones(n, bool)
    rng = np.random.default_rng([model.seed, 0x3A5C])
    hidden, count = np.zeros(n, bool), round(rate * n)
    with_replacement = model.protocol.masking == "with-replacement"
    hidden[rng.integers(0, n, count) if with_replacement else rng.permutation(n)[:count]] = True
    return hidden


def _predict(model, shown, values, rows, columns):
    """(k,) predictions in stars at (rows, columns) from the ratings at index `shown` with these values as input; which
    of them have a user or item without training ratings (`fallback`); and which outputs were not finite."""
    pair = (columns, rows) if model.config.item_based else (rows, columns)
    unseen, means = fallback(model.ratings, model.split.train, *pair)
    predicted = network_outputs(model, shown, values, rows, columns) + model.centres(rows, columns)
    if model.protocol.unseen_fallback:
        predicted = np.where(unseen, means, predicted)
    nonfinite = ~np.isfinite(predicted)
    if model.config.prediction_rounding:
        predicted = round_predictions(predicted, model.ratings.scale, model.protocol.rounding)
    return predicted, unseen, nonfinite


def fallback(ratings, train, users, items):
    """(k,) which of the pairs have a user or item without ratings at index `train`, and what is predicted for these:
    the training mean of the one that has some, or the overall mean."""
    seen, means = [], []
    for ids, at, n in ((ratings.users, users, ratings.n_users), (ratings.items, items, ratings.n_items)):
        seen.append((np.bincount(ids[train], minlength=n) > 0)[at])
        means.append(mean_by(ids[train], ratings.values[train], n)[at])
    return ~(seen[0] & seen[1]), np.where(seen[0], *means)


def recommend(model, user_id, k=10):
    """The k items with the highest predicted rating for a user, of those seen in training that the user has not
    rated anywhere in the set. The network sees training ratings alone. Ties go to the item with more
    training ratings, then to the lower id.

    Returns a table: item (original id), title, genres (where known), predicted (stars), n_ratings (in training).
    Raises `FlexError` for an unknown user or a model whose predictions are not finite.
    """
    ratings, train = model.ratings, model.split.train
    found = np.flatnonzero(ratings.user_ids.astype(str) == str(user_id))
    if not len(found):
        few = ", ".join(map(str, ratings.user_ids[:3]))
        raise FlexError(f"user '{user_id}' is not in {ratings.name}; its {ratings.n_users:,} ids are {few}, ...")
    user = int(found[0])
    counts = np.bincount(ratings.items[train], minlength=ratings.n_items)
    items = np.setdiff1d(np.flatnonzero(counts), ratings.items[ratings.users == user])
    users = np.full(len(items), user)
    if not len(items):
        raise FlexError(f"user '{user_id}' has rated every item that the model knows")
    rows, columns = (items, users) if model.config.item_based else (users, items)
    shown = train if model.config.item_based else train[model.rows[train] == user]
    predicted, _, nonfinite = _predict(model, shown, model.centred(shown), rows, columns)
    if nonfinite.any():
        raise FlexError(f"the model's predictions are not finite (status: {model.status}); train it again")
    best = np.lexsort((items, -counts[items], -predicted))[:k]
    table = {"item": ratings.item_ids[items[best]]}
    for name, texts in (("title", ratings.titles), ("genres", ratings.genres)):
        if texts is not None:
            table[name] = texts[items[best]]
    return pd.DataFrame(table | {"predicted": predicted[best], "n_ratings": counts[items[best]]})


def learning_curve(ratings, config, protocol="holdout", seed=0, device=None):
    """Training RMSE and test RMSE after each epoch, as a table (epoch, training, test). For looking, not for choosing:
    an epoch picked by this test RMSE would be picked on test data."""
    test = []
    model = fit(ratings, config, protocol, seed, device=device, on_epoch=lambda m: test.append(evaluate(m).rmse))
    return pd.DataFrame({"epoch": range(1, len(test) + 1), "training": model.history, "test": test})

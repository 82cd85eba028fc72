"""Scoring and recommending: what a protocol shows the network at test time, and which ratings count.

Errors are pooled over all scored ratings in float64. An output that is not finite is counted, never dropped.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.data import Ids, Index, Mask, Stars
from flexlib.model import FittedModel
from flexlib.predict import fallback, network_outputs, round_predictions
from flexlib.seeds import Purpose, numpy_generator


@dataclass(eq=False)
class Evaluation:
    """Scores of a model over the test ratings that its protocol counts.

    Parameters
    ----------
    rmse, mae
        In stars; NaN where an output is not finite, unless the protocol's rounding makes stars of it.
    n_scored
        Test ratings that count.
    n_unseen
        Of these, those whose user or item has no training rating.
    n_nonfinite
        Of these, outputs that are NaN or infinite.
    predictions
        One row a test rating: user and item (dense ids), actual and predicted (stars), hidden, unseen, scored.
    """

    rmse: float
    mae: float
    n_scored: int
    n_unseen: int
    n_nonfinite: int
    predictions: pd.DataFrame

    def scores(self) -> dict[str, Any]:
        """Give the numbers as a mapping, NaN as None."""
        known = not math.isnan(self.rmse)
        counts = {"n_scored": self.n_scored, "n_unseen": self.n_unseen, "n_nonfinite": self.n_nonfinite}
        return {"rmse": self.rmse if known else None, "mae": self.mae if known else None} | counts


def evaluate(model: FittedModel) -> Evaluation:
    """Score a model on its split's test ratings, under its protocol.

    Parameters
    ----------
    model
        Of `flexlib.fit`.

    Returns
    -------
    Evaluation
        RMSE and MAE in stars, counts, and every prediction.
    """
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
    table = pd.DataFrame(
        {
            "user": ratings.users[test],
            "item": ratings.items[test],
            "actual": actual,
            "predicted": predicted,
            "hidden": hidden,
            "unseen": unseen,
            "scored": scored,
        }
    )
    return Evaluation(
        rmse=rmse,
        mae=mae,
        n_scored=int(scored.sum()),
        n_unseen=int((unseen & scored).sum()),
        n_nonfinite=int((nonfinite & scored).sum()),
        predictions=table,
    )


def errors(actual: NDArray[np.floating[Any]], predicted: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Compute the pooled RMSE and MAE.

    Parameters
    ----------
    actual, predicted
        (n,) stars.

    Returns
    -------
    rmse, mae
        In stars; NaN where a prediction is not finite or n is 0.
    """
    if not len(actual) or not np.isfinite(predicted).all():
        return math.nan, math.nan
    gap = predicted - actual
    return float(np.sqrt(np.mean(gap**2))), float(np.mean(np.abs(gap)))


def hidden_mask(model: FittedModel) -> Mask:
    """Say which test ratings the network does not see.

    The masking rate (TMR) draws them by the model's seed. Where the network's input is the training ratings, it sees
    none of the test ratings.

    Parameters
    ----------
    model
        Of `flexlib.fit`.

    Returns
    -------
    Mask
        (n_test,) True where hidden.
    """
    n, rate = len(model.split.test), model.config.test_masking_rate
    if model.protocol.test_input == "training":
        return np.ones(n, bool)
    rng = numpy_generator(model.seed, Purpose.MASKING)
    hidden, count = np.zeros(n, bool), round(rate * n)
    with_replacement = model.protocol.masking == "with-replacement"
    hidden[rng.integers(0, n, count) if with_replacement else rng.permutation(n)[:count]] = True
    return hidden


def _predict(
    model: FittedModel, shown: Index, values: Stars, rows: Ids, columns: Ids
) -> tuple[NDArray[np.floating[Any]], Mask, Mask]:
    """Predict (k,) stars at (rows, columns) from the ratings at `shown` with these values as input.

    Returns the predictions, which have a user or item without training ratings, and which outputs were not finite.
    """
    users, items = (columns, rows) if model.config.item_based else (rows, columns)
    unseen, means = fallback(model.ratings, model.split.train, users, items)
    predicted: NDArray[np.floating[Any]] = network_outputs(model, shown, values, rows, columns) + model.centres(
        rows, columns
    )
    if model.protocol.unseen_fallback:
        predicted = np.where(unseen, means, predicted)
    nonfinite = ~np.isfinite(predicted)
    if model.config.prediction_rounding:
        predicted = round_predictions(predicted, model.ratings.scale, model.protocol.rounding)
    return predicted, unseen, nonfinite


def recommend(model: FittedModel, user_id: object, k: int = 10) -> pd.DataFrame:
    """List the items with the highest predicted ratings for a user.

    Candidates are items seen in training that the user has not rated anywhere in the set. The network sees training
    ratings alone. Ties go to the item with more training ratings, then to the lower id.

    Parameters
    ----------
    model
        Of `flexlib.fit`.
    user_id
        The user's original id.
    k
        How many items, at most.

    Returns
    -------
    pd.DataFrame
        item (original id), title and genres (where known), predicted (stars), n_ratings (in training).

    Raises
    ------
    FlexError
        For an unknown user, one who has rated everything, or a model whose predictions are not finite.
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
    table: dict[str, Any] = {"item": ratings.item_ids[items[best]]}
    for name, texts in (("title", ratings.titles), ("genres", ratings.genres)):
        if texts is not None:
            table[name] = texts[items[best]]
    return pd.DataFrame(table | {"predicted": predicted[best], "n_ratings": counts[items[best]]})

"""Scoring: what a protocol shows the network at test time, and which ratings count.

Errors are pooled over all scored ratings in float64. An output that is not finite is counted, never dropped.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.data import Mask
from flexlib.predict import FittedModel, predict_cells
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

    Raises
    ------
    FlexError
        Where the model was trained on all ratings.
    """
    ratings, protocol, test = model.ratings, model.protocol, model.split.test
    if not len(test):
        raise FlexError("there is nothing to score: the model was trained on all ratings")
    hidden = hidden_mask(model)
    if protocol.test_input == "training":
        shown, values = model.split.train, model.centred(model.split.train)
    else:
        shown = test[~hidden]
        values = model.centred(shown) if protocol.test_input == "visible-centred" else ratings.values[shown]
    predicted, unseen, nonfinite = predict_cells(model, ratings.users[test], ratings.items[test], shown, values)
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

"""Scores to hold a network against: means and biases, and what others have published.

Means and biases are fitted on all ratings or on training ratings alone. The published figures are in `published.yaml`.

References
----------
Koren (2010), Equation 1 (biases).
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from flexlib.data import Index, Ratings, hold_back, split_ratings
from flexlib.evaluation import errors
from flexlib.methods.means_and_biases import biases, item_mean, user_mean
from flexlib.predict import fallback

Predictor = Callable[[Ratings, Index], NDArray[np.floating]]


def unshrunk_biases(ratings: Ratings, used: Index) -> NDArray[np.float64]:
    """Predict each rating by the overall mean, the bias of its user and the bias of its item, none of them shrunk.

    The biases are the least-squares fit to the ratings used, by alternating least squares from 0: item biases are the
    mean of what the others leave, then user biases, ten times over. On MovieLens that comes within 0.002 stars of the
    exact solution, and its RMSE within 0.00001. Without shrinkage, an item's only rating is reproduced.

    Parameters
    ----------
    ratings
        What to predict.
    used
        Index of the ratings that the biases are fitted on.

    Returns
    -------
    NDArray
        (n,) stars; a user or an item without such a rating has the bias 0.
    """
    return biases(ratings, used, item_shrinkage=0, user_shrinkage=0)


BASELINES: dict[str, Predictor] = {
    "item mean": item_mean,
    "user mean": user_mean,
    "user and item biases": biases,
}


def row_mean_rmse(
    ratings: Ratings, item_based: bool, test_split_rate: float, seed: int = 0, validation: bool = False
) -> float:
    """Score predicting each test rating by the mean of its row's training ratings.

    This is what a centred network that has learned nothing predicts under `holdout`: where user or item has no training
    rating, the common `fallback` stands in, as it does for the network.

    Parameters
    ----------
    ratings
        What to split and predict.
    item_based
        Whether rows are items; else they are users.
    test_split_rate, seed
        Of the split.
    validation
        Whether the validation ratings are predicted, from the other training ratings.

    Returns
    -------
    float
        RMSE in stars.
    """
    split = split_ratings(ratings, test_split_rate, seed)
    split = hold_back(split, seed) if validation else split
    test, predict = split.test, item_mean if item_based else user_mean
    unseen, means = fallback(ratings, split.train, ratings.users[test], ratings.items[test])
    predicted = np.where(unseen, means, predict(ratings, split.train)[test])
    return errors(ratings.values[test].astype(np.float64), predicted)[0]


def score_baselines(
    ratings: Ratings, test_split_rate: float, seeds: Iterable[int], predictors: Mapping[str, Predictor] | None = None
) -> list[dict[str, Any]]:
    """Score predictors on splits that `fit` draws, fitted on all ratings and on training ratings alone.

    A pair whose user or item has no rating to be fitted on is predicted by the common `fallback`.

    Parameters
    ----------
    ratings
        What to split and predict.
    test_split_rate, seeds
        Of the splits, one a seed.
    predictors
        By name; None for `BASELINES`.

    Returns
    -------
    list of dict
        One a seed, set of ratings and predictor:

        - predictor: its name
        - fitted_on: "all ratings" or "training ratings"
        - seed
        - rmse: over the test ratings, in stars
    """
    rows = []
    for seed in seeds:
        split = split_ratings(ratings, test_split_rate, seed)
        test, actual = split.test, ratings.values[split.test].astype(np.float64)
        for fitted_on, used in (("all ratings", np.arange(len(ratings))), ("training ratings", split.train)):
            unseen, means = fallback(ratings, used, ratings.users[test], ratings.items[test])
            for name, predict in (BASELINES if predictors is None else predictors).items():
                rmse, _ = errors(actual, np.where(unseen, means, predict(ratings, used)[test]))
                rows.append({"predictor": name, "fitted_on": fitted_on, "seed": seed, "rmse": rmse})
    return rows


def published_figures() -> pd.DataFrame:
    """Read the RMSE that others have published for methods on MovieLens.

    Returns
    -------
    pd.DataFrame
        One row a method, data set and split:

        - method: its name in the source
        - key: of `flexlib.methods.tuning.ALL`; "" where that does not have it
        - rmse: in stars, as printed
        - dataset, split: what it was measured on
        - epoch_chosen_on: "test", "validation", "nothing" or "not said"
        - source: key of the bibliography
        - note: what else to know
    """
    text = Path(__file__).with_name("published.yaml").read_text(encoding="utf-8")
    return pd.DataFrame([{**row, "note": row.get("note", "")} for row in yaml.safe_load(text)])

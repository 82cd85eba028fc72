"""Other predictors: means, biases, matrix factorisations, a Boltzmann machine, and hybrids of an autoencoder.

From `als` on, each is a function of the ratings, a split, a seed and settings, which fits on the training ratings and
returns (len(split.test),) float64 stars, not clipped, for the test ratings, of which it reads users and items alone.
"""

import numpy as np
from flexlib.methods.predictors import biases, item_mean, user_mean

from flexlib.data import split_ratings
from flexlib.evaluate import errors, fallback


def row_mean_rmse(ratings, item_based, test_split_rate, seed=0):
    """RMSE over the test ratings of a split of predicting each by the mean of its row's training ratings, which is what
    a centred network that has learned nothing predicts."""
    split = split_ratings(ratings, test_split_rate, seed)
    predicted = (item_mean if item_based else user_mean)(ratings, split.train)
    return errors(ratings.values[split.test].astype(np.float64), predicted[split.test])[0]


BASELINES = {"item mean": item_mean, "user mean": user_mean, "user and item biases": biases}


def score_baselines(ratings, test_split_rate, seeds):
    """RMSE of each of `BASELINES` over the test ratings of the splits that `fit` draws with these seeds, fitted on all
    ratings, test ratings too, and on training ratings alone, with the common `fallback` where user or item has none: a
    list of mappings, predictor, fitted_on ("all ratings" or "training ratings"), seed, rmse."""
    rows = []
    for seed in seeds:
        split = split_ratings(ratings, test_split_rate, seed)
        test, actual = split.test, ratings.values[split.test].astype(np.float64)
        for fitted_on, used in (("all ratings", np.arange(len(ratings))), ("training ratings", split.train)):
            unseen, means = fallback(ratings, used, ratings.users[test], ratings.items[test])
            for name, predict in BASELINES.items():
                rmse, _ = errors(actual, np.where(unseen, means, predict(ratings, used)[test]))
                rows.append({"predictor": name, "fitted_on": fitted_on, "seed": seed, "rmse": rmse})
    return rows

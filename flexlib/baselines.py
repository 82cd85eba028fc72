"""Predictors without a network: means, and biases of users and items."""

import numpy as np

from flexlib.data import split_ratings
from flexlib.evaluate import errors
from flexlib.train import mean_by

# Ratings of 0 that a bias is averaged with (Koren 2010, the values that scikit-surprise and others start from).
ITEM_SHRINKAGE, USER_SHRINKAGE, SWEEPS = 10, 15, 10


def item_mean(ratings, used):
    """(n,) the mean of the item's ratings at index `used`, for every rating; the mean of all where it has none."""
    return mean_by(ratings.items[used], ratings.values[used], ratings.n_items)[ratings.items]


def user_mean(ratings, used):
    """(n,) the mean of the user's ratings at index `used`, for every rating; the mean of all where there is none."""
    return mean_by(ratings.users[used], ratings.values[used], ratings.n_users)[ratings.users]


def biases(ratings, used):
    """(n,) overall mean plus user's and item's bias (Koren 2010, Equation 1), for every rating. The biases minimise the
    squared error over the ratings at `used`, shrunk, by alternating least squares."""
    users, items = ratings.users[used], ratings.items[used]
    values = ratings.values[used].astype(np.float64)
    overall = values.mean()
    per_item = np.bincount(items, minlength=ratings.n_items) + ITEM_SHRINKAGE
    per_user = np.bincount(users, minlength=ratings.n_users) + USER_SHRINKAGE
    of_user = np.zeros(ratings.n_users)
    for _ in range(SWEEPS):
        left = values - overall - of_user[users]
        of_item = np.bincount(items, weights=left, minlength=ratings.n_items) / per_item
        left = values - overall - of_item[items]
        of_user = np.bincount(users, weights=left, minlength=ratings.n_users) / per_user
    return overall + of_user[ratings.users] + of_item[ratings.items]


def row_mean_rmse(ratings, item_based, test_split_rate, seed=0):
    """RMSE over the test ratings of a split of predicting each by the mean of its row's training ratings, which is what
    a centred network that has learned nothing predicts."""
    split = split_ratings(ratings, test_split_rate, seed)
    predicted = (item_mean if item_based else user_mean)(ratings, split.train)
    return errors(ratings.values[split.test].astype(np.float64), predicted[split.test])[0]


BASELINES = {"item mean": item_mean, "user mean": user_mean, "user and item biases": biases}


def score_baselines(ratings, test_split_rate, seeds):
    """RMSE of each of `BASELINES` over the test ratings of the splits that `fit` draws with these seeds, fitted on all
    ratings, test ratings too, and on training ratings alone: a list of mappings, predictor, fitted_on ("all ratings" or
    "training ratings"), seed, rmse."""
    rows = []
    for seed in seeds:
        split = split_ratings(ratings, test_split_rate, seed)
        for fitted_on, used in (("all ratings", slice(None)), ("training ratings", split.train)):
            for name, predict in BASELINES.items():
                rmse, _ = errors(ratings.values[split.test].astype(np.float64), predict(ratings, used)[split.test])
                rows.append({"predictor": name, "fitted_on": fitted_on, "seed": seed, "rmse": rmse})
    return rows

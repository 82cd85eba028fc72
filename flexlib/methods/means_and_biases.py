"""Predictors without a network: the mean of the item, the mean of the user, and biases of both.

Each takes the index of the ratings to fit on, and predicts every rating.

References
----------
Koren (2010), Equation 1 (biases).
"""

import numpy as np
from numpy.typing import NDArray

from flexlib.centring import fit_biases, mean_by
from flexlib.data import Index, Ratings, Stars
from flexlib.methods.interface import Weight

# Ratings of 0 that a bias is averaged with, as in Koren (2010).
ITEM_SHRINKAGE = 10.0
USER_SHRINKAGE = 15.0


def item_mean(ratings: Ratings, used: Index | slice) -> Stars:
    """Predict each rating by the mean of its item.

    Parameters
    ----------
    ratings
        What to predict.
    used
        Index of the ratings that the means are taken over.

    Returns
    -------
    Stars
        (n,) stars; the overall mean for an item without such a rating.
    """
    return mean_by(ratings.items[used], ratings.values[used], ratings.n_items)[ratings.items]


def user_mean(ratings: Ratings, used: Index | slice) -> Stars:
    """Predict each rating by the mean of its user.

    Parameters
    ----------
    ratings
        What to predict.
    used
        Index of the ratings that the means are taken over.

    Returns
    -------
    Stars
        (n,) stars; the overall mean for a user without such a rating.
    """
    return mean_by(ratings.users[used], ratings.values[used], ratings.n_users)[ratings.users]


def biases(
    ratings: Ratings,
    used: Index | slice,
    item_shrinkage: Weight = ITEM_SHRINKAGE,
    user_shrinkage: Weight = USER_SHRINKAGE,
) -> NDArray[np.float64]:
    """Predict each rating by the overall mean, the bias of its user and the bias of its item.

    Parameters
    ----------
    ratings
        What to predict.
    used
        Index of the ratings that the biases are fitted on.
    item_shrinkage, user_shrinkage
        Ratings of 0 that each bias is averaged with.

    Returns
    -------
    NDArray
        (n,) stars; a user or an item without such a rating has the bias 0.
    """
    users, items, values = ratings.users[used], ratings.items[used], ratings.values[used]
    counts = ratings.n_users, ratings.n_items
    overall, of_user, of_item = fit_biases(users, items, values, *counts, user_shrinkage, item_shrinkage)
    return overall + of_user[ratings.users] + of_item[ratings.items]

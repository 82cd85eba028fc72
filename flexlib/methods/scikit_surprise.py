"""Methods of scikit-surprise, fed with the training ratings of a split.

A pair whose user or item has no training rating is predicted by the mean of the training ratings. Each method raises
`FlexError` where scikit-surprise is missing.

References
----------
Hug (2020), scikit-surprise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flexlib.centring import SHRINKAGE
from flexlib.config import Size
from flexlib.data import Ratings, Split
from flexlib.methods.extras import import_extra
from flexlib.methods.interface import Passes, Predictions, Rate, Weight


def slope_one(ratings: Ratings, split: Split, seed: int = 0) -> Predictions:
    """Predict by Slope One, unweighted.

    Parameters
    ----------
    ratings, split
        As in `Predictor.predict`.
    seed
        Not used: nothing is drawn.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Lemire and Maclachlan (2005).
    """
    return _predict(ratings, split, "SlopeOne", {}, in_steps=True)


def regularized_svd(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    n_factors: Size = 100,
    n_epochs: Passes = 20,
    lr_all: Rate = 0.005,
    reg_all: Weight = 0.02,
) -> Predictions:
    """Predict by RSVD: vectors of users and items, whose product is the rating, by gradient descent.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    n_factors
        Length of the vectors.
    n_epochs
        Passes over the training ratings.
    lr_all, reg_all
        Learning rate, and weight of the penalty, of all vectors.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Paterek (2007).
    """
    options = dict(n_factors=n_factors, n_epochs=n_epochs, lr_all=lr_all, reg_all=reg_all)
    return _predict(ratings, split, "SVD", dict(biased=False, random_state=seed, **options))


def improved_svd(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    n_factors: Size = 100,
    n_epochs: Passes = 20,
    lr_all: Rate = 0.005,
    reg_all: Weight = 0.02,
) -> Predictions:
    """Predict by RSVD2: RSVD with biases of users and items.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    n_factors
        Length of the vectors.
    n_epochs
        Passes over the training ratings.
    lr_all, reg_all
        Learning rate, and weight of the penalty, of all biases and vectors.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Paterek (2007).
    """
    options = dict(n_factors=n_factors, n_epochs=n_epochs, lr_all=lr_all, reg_all=reg_all)
    return _predict(ratings, split, "SVD", dict(biased=True, random_state=seed, **options))


def svdpp(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    n_factors: Size = 20,
    n_epochs: Passes = 20,
    lr_all: Rate = 0.007,
    reg_all: Weight = 0.02,
) -> Predictions:
    """Predict by SVD++, where a user's vector also depends on which items the user has rated.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    n_factors
        Length of the vectors.
    n_epochs
        Passes over the training ratings.
    lr_all, reg_all
        Learning rate, and weight of the penalty, of all biases and vectors.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Koren (2008).
    """
    options = dict(n_factors=n_factors, n_epochs=n_epochs, lr_all=lr_all, reg_all=reg_all)
    return _predict(ratings, split, "SVDpp", dict(random_state=seed, cache_ratings=True, **options))


def nmf(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    n_factors: Size = 15,
    n_epochs: Passes = 50,
    regularization: Weight = 0.06,
) -> Predictions:
    """Predict by non-negative matrix factorization.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    n_factors
        Length of the vectors.
    n_epochs
        Passes over the training ratings.
    regularization
        Weight of the penalty, for users and for items.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Luo, Zhou, Xia and Zhu (2014).
    """
    options = dict(n_factors=n_factors, n_epochs=n_epochs, reg_pu=regularization, reg_qi=regularization)
    return _predict(ratings, split, "NMF", dict(random_state=seed, **options))


def item_knn(
    ratings: Ratings, split: Split, seed: int = 0, neighbours: Size = 40, shrinkage: Weight = 100.0
) -> Predictions:
    """Predict by biases, and by what the user rated similar items above theirs.

    Parameters
    ----------
    ratings, split
        As in `Predictor.predict`.
    seed
        Not used: nothing is drawn.
    neighbours
        Most similar items that count.
    shrinkage
        Of similarities: a correlation over n common users is multiplied by (n - 1) / (n - 1 + shrinkage).

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Koren (2010), Equation 3.
    """
    alike = dict(name="pearson_baseline", user_based=False, shrinkage=shrinkage)
    around = dict(method="als", n_epochs=10, reg_u=SHRINKAGE, reg_i=SHRINKAGE)
    options = dict(k=neighbours, sim_options=alike, bsl_options=around, verbose=False)
    return _predict(ratings, split, "KNNBaseline", options)


def _predict(
    ratings: Ratings, split: Split, algorithm: str, options: dict[str, Any], in_steps: bool = False
) -> Predictions:
    """Predict by an algorithm of surprise, made with these options.

    in_steps: hand the ratings over in steps of the scale (7 for 3.5 stars). An algorithm that holds ratings as whole
    numbers would cut half stars off.
    """
    surprise = import_extra("surprise", "this method")
    train, test, unit = split.train, split.test, ratings.scale[2] if in_steps else 1.0
    values: NDArray[Any] = ratings.values[train].astype(np.float64) / unit
    if in_steps:
        values = np.rint(values).astype(int)
    # Its own ids count the users and items with a training rating, in the order of ours. Its `Dataset` would number
    # them by their first rating instead, and draw other factors for each.
    users = {user: own for own, user in enumerate(np.unique(ratings.users[train]).tolist())}
    items = {item: own for own, item in enumerate(np.unique(ratings.items[train]).tolist())}
    by_user: dict[int, list[tuple[int, float]]] = {own: [] for own in users.values()}
    by_item: dict[int, list[tuple[int, float]]] = {own: [] for own in items.values()}
    pairs = list(zip(ratings.users.tolist(), ratings.items.tolist(), strict=True))
    for k, value in zip(train.tolist(), values.tolist(), strict=True):
        user, item = users[pairs[k][0]], items[pairs[k][1]]
        by_user[user].append((item, value))
        by_item[item].append((user, value))
    counts, scale = (len(users), len(items), len(train)), (ratings.scale[0] / unit, ratings.scale[1] / unit)
    trainset = surprise.Trainset(by_user, by_item, *counts, scale, users, items)
    fitted = getattr(surprise, algorithm)(**options).fit(trainset)
    predicted = np.full(len(test), values.mean())
    for place, k in enumerate(test.tolist()):
        user, item = pairs[k]
        if user in users and item in items:
            predicted[place] = fitted.predict(user, item, clip=False).est
    return predicted * unit

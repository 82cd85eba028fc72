"""Bayesian factorization machines of myfm, fitted by Gibbs sampling on the training ratings of a split.

A rating is predicted by a constant, a weight of each of its features, and the inner product of each two features'
vectors. Features are the user and the item; for SVD++ also the items that the user has rated, and the users who have
rated the item. Each of these kinds has priors of its own, which are drawn too. Both methods raise `FlexError` where
myfm is missing, and where no draw is left to count.

References
----------
Ohtsuki (2020), myfm. Rendle, Zhang and Koren (2019) (which features make which method). Rendle (2013) (blocks of
features that ratings share).
"""

import io
import warnings
from contextlib import redirect_stderr
from types import ModuleType
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, eye, hstack

from flexlib.config import FlexError, Size
from flexlib.data import Ids, Index, Ratings, Split
from flexlib.methods.extras import import_extra
from flexlib.methods.interface import Passes, Predictions

BURN_IN = 10  # draws left out of the mean, made while the chain leaves its random start


def bpmf(
    ratings: Ratings, split: Split, seed: int = 0, factors: Size = 10, draws: Size = 200, burn_in: Passes = BURN_IN
) -> Predictions:
    """Predict by Bayesian matrix factorization with biases: the only features are the user and the item.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    factors
        Length of the vectors.
    draws
        Of all weights and vectors, including the burn-in.
    burn_in
        Draws at the start that do not count; below `draws`.

    Returns
    -------
    Predictions
        (len(split.test),) stars, the mean over the draws that count.

    References
    ----------
    Salakhutdinov and Mnih (2008), but with biases, and with independent factors in the priors. Rendle et al. (2019).
    """
    return _predict(ratings, split, seed, factors, draws, burn_in, with_sets=False)


def bayesian_svdpp(
    ratings: Ratings, split: Split, seed: int = 0, factors: Size = 10, draws: Size = 200, burn_in: Passes = BURN_IN
) -> Predictions:
    """Predict by Bayesian SVD++ flipped: features are also the items that the user rated, and the users of the item.

    Only training ratings count. Those of a user, or of an item, are weighted by 1 / square root of their number.

    Parameters
    ----------
    ratings, split, seed, factors, draws, burn_in
        As in `bpmf`.

    Returns
    -------
    Predictions
        (len(split.test),) stars, as from `bpmf`.

    References
    ----------
    Rendle et al. (2019).
    """
    return _predict(ratings, split, seed, factors, draws, burn_in, with_sets=True)


def _predict(
    ratings: Ratings, split: Split, seed: int, factors: int, draws: int, burn_in: int, with_sets: bool
) -> Predictions:
    """Predict by a factorization machine, with or without the sets of who rated what."""
    if burn_in >= draws:
        raise FlexError(f"burn_in: {burn_in} is not below the number of draws, {draws}")
    myfm = _imported()
    train, test, total = split.train, split.test, np.zeros(len(split.test))
    sides = [(ratings.users, ratings.n_users), (ratings.items, ratings.n_items)]
    features, groups = [], []
    for (own, n_own), (other, n_other) in (sides, sides[::-1]):
        parts = [eye(n_own, format="csr")]
        if with_sets:
            parts.append(_sets(own[train], other[train], n_own, n_other))
        features.append(hstack(parts, format="csr"))
        groups += [part.shape[1] for part in parts]

    def blocks(index: Index) -> list[Any]:
        return [myfm.RelationBlock(ids[index], of) for (ids, _), of in zip(sides, features, strict=True)]

    tested, no_others = blocks(test), csr_matrix((len(test), 0))

    def add_draw(draw: int, machine: Any, *_: Any) -> tuple[bool, None]:
        # Keeping all draws for later would take up to a gigabyte.
        if draw >= burn_in:
            total[:] += machine.predict_score(no_others, tested)
        return False, None

    regressor = myfm.MyFMRegressor(rank=factors, random_seed=seed)
    options = dict(group_shapes=groups, n_iter=draws, n_kept_samples=1, callback=add_draw)
    with redirect_stderr(io.StringIO()):  # its progress bar, which no option turns off
        regressor.fit(None, ratings.values[train].astype(np.float64), X_rel=blocks(train), **options)
    return total / (draws - burn_in)


def _imported() -> ModuleType:
    with warnings.catch_warnings():
        # myfm 0.4 imports pkg_resources, which warns that it is deprecated: nothing that a user could mend.
        warnings.filterwarnings("ignore", ".*pkg_resources")
        return import_extra("myfm", "this method")


def _sets(own: Ids, other: Ids, n_own: int, n_other: int) -> csr_matrix:
    """Fill an (n_own, n_other) matrix: 1 / square root of the row's number of ratings where it has one, else 0."""
    marks = 1 / np.sqrt(np.bincount(own, minlength=n_own)[own])
    return csr_matrix((marks, (own, other)), (n_own, n_other))

"""Mean normalization (MeN): what is taken off the ratings before training and added back to predictions.

Row means (Equation 3): a rating less the mean of its row. Beyond the paper: user and item biases, the constant 3, or
nothing, where the network's output biases start at the mean rating instead.

References
----------
Tran et al. (2018), Section 3.2. Koren (2010), Equation 1 (biases). Sedhain et al. (2015) (missing ratings count as 3).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flexlib.config import FlexConfig
from flexlib.data import Ids, Stars

ROUNDS = 10  # of alternating least squares, after which biases move by less than a thousandth of a star
SHRINKAGE = 5  # ratings of 0 that each bias is averaged with


def fit_centring(
    config: FlexConfig, rows: Ids, columns: Ids, values: Stars, shape: tuple[int, int]
) -> tuple[Stars, Stars]:
    """Find what mean normalization takes off each row and each column.

    Parameters
    ----------
    config
        Says whether (`mean_normalization`) and how (`centring`).
    rows, columns, values
        (k,) ratings that the centres are taken over: row, column, stars.
    shape
        Rows and columns of the rating matrix.

    Returns
    -------
    row_means, column_offsets
        (rows,) and (columns,) stars; their sum is taken off. Zeros where nothing is. A row without ratings has the
        overall mean.
    """
    means, offsets = np.zeros(shape[0], np.float32), np.zeros(shape[1], np.float32)
    if not config.mean_normalization or config.centring == "output-bias":
        return means, offsets
    if config.centring == "rows":
        return mean_by(rows, values, shape[0]), offsets
    if config.centring == "three":
        return means + np.float32(3), offsets
    overall, of_row, of_column = fit_biases(rows, columns, values, *shape, SHRINKAGE, SHRINKAGE)
    means[:], offsets[:] = overall + of_row, of_column
    return means, offsets


def mean_by(keys: NDArray[Any], values: Stars, n: int) -> Stars:
    """Average the values of each key.

    Parameters
    ----------
    keys
        (k,) whole numbers below `n`.
    values
        (k,) stars.
    n
        How many keys there are.

    Returns
    -------
    Stars
        (n,) means; the overall mean where a key has no value.
    """
    counts = np.bincount(keys, minlength=n)
    sums = np.bincount(keys, weights=values, minlength=n)
    overall = values.mean(dtype=np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall).astype(np.float32)


def fit_biases(
    users: Ids,
    items: Ids,
    values: Stars,
    n_users: int,
    n_items: int,
    user_shrinkage: float,
    item_shrinkage: float,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Fit rating = overall mean + bias of the user + bias of the item, by alternating least squares.

    Parameters
    ----------
    users, items, values
        (k,) ratings: dense ids and stars.
    n_users, n_items
        How many of each there are.
    user_shrinkage, item_shrinkage
        Ratings of 0 that each bias is averaged with.

    Returns
    -------
    overall, of_user, of_item
        Stars: a number, (n_users,) and (n_items,). A bias without ratings is 0.

    References
    ----------
    Koren (2010), Equation 1.
    """
    stars = values.astype(np.float64)
    overall = stars.mean()
    per_item = np.maximum(np.bincount(items, minlength=n_items) + item_shrinkage, 1e-9)
    per_user = np.maximum(np.bincount(users, minlength=n_users) + user_shrinkage, 1e-9)
    of_user, of_item = np.zeros(n_users), np.zeros(n_items)
    for _ in range(ROUNDS):
        left = stars - overall - of_user[users]
        of_item = np.bincount(items, weights=left, minlength=n_items) / per_item
        left = stars - overall - of_item[items]
        of_user = np.bincount(users, weights=left, minlength=n_users) / per_user
    return overall, of_user, of_item

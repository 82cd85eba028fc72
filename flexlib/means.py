"""Means of ratings, and biases: what a rating is beside its user's and its item's others."""

import numpy as np

SWEEPS = 10  # of the alternating least squares, after which biases move by less than a thousandth of a star


def mean_by(keys, values, n):
    """(n,) float32 mean of the values of each key; the overall mean where a key has none."""
    counts = np.bincount(keys, minlength=n)
    sums = np.bincount(keys, weights=values, minlength=n)
    overall = values.mean(dtype=np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall).astype(np.float32)


def fit_biases(users, items, values, n_users, n_items, user_shrinkage, item_shrinkage):
    """The overall mean, (n_users,) and (n_items,) biases, in stars (Koren 2010, Equation 1).

    They minimise the squared error over (k,) ratings by alternating least squares, each bias averaged with `shrinkage`
    ratings of 0; one that has no rating is 0.
    """
    values = values.astype(np.float64)
    overall = values.mean()
    per_item = np.maximum(np.bincount(items, minlength=n_items) + item_shrinkage, 1e-9)
    per_user = np.maximum(np.bincount(users, minlength=n_users) + user_shrinkage, 1e-9)
    of_user = np.zeros(n_users)
    for _ in range(SWEEPS):
        left = values - overall - of_user[users]
        of_item = np.bincount(items, weights=left, minlength=n_items) / per_item
        left = values - overall - of_item[items]
        of_user = np.bincount(users, weights=left, minlength=n_users) / per_user
    return overall, of_user, of_item

"""Matrix factorization: a rating, centred, is the product of a vector of its user and a vector of its item.

Two ways to find the vectors: alternating least squares and mean field. In each, one side's vectors are solved for while
the other side's are fixed, and only the training ratings of a row count for its vector.

References
----------
Zhou, Wilkinson, Schreiber and Pan (2008), Section 3.1 (alternating least squares). Lim and Teh (2007) (mean field).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from flexlib.centring import SHRINKAGE
from flexlib.config import Size
from flexlib.data import Index, Ratings, Split
from flexlib.methods.interface import Centre, Passes, Predictions, Rate
from flexlib.methods.means_and_biases import biases
from flexlib.seeds import Purpose, numpy_generator

Matrix = NDArray[np.floating]


class _Side(NamedTuple):
    """Training ratings, centred, with users as rows or with items as rows; one that is 0 is still an entry.

    Parameters
    ----------
    values
        (rows, columns) sparse matrix of stars.
    pattern
        The same entries, each 1.
    counts
        (rows,) entries in each row.
    """

    values: csr_array
    pattern: csr_array
    counts: NDArray[np.int32]

    def moments(self, means: Matrix, covariances: Matrix | float = 0.0) -> tuple[Matrix, Matrix]:
        """Sum over each row's entries what its vector depends on.

        Parameters
        ----------
        means
            (columns, f) expected vectors v of the other side.
        covariances
            (columns, f, f) of these vectors; 0 where they are known.

        Returns
        -------
        squares, sums
            (rows, f, f) sums of E[v v'], and (rows, f) sums of value times E[v].
        """
        f = means.shape[1]
        second = means[:, :, None] * means[:, None, :] + covariances
        return (self.pattern @ second.reshape(-1, f * f)).reshape(-1, f, f), self.values @ means


def als(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    factors: Size = 10,
    regularization: Rate = 0.1,
    sweeps: Passes = 15,
    centre: Centre = "biases",
) -> Predictions:
    """Predict by alternating least squares with weighted-lambda regularization.

    A row's vector minimises its squared error plus `regularization` times its number of ratings times the vector's
    squared length.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    factors
        Length of the vectors.
    regularization
        Weight of the penalty.
    sweeps
        How often users and items are solved for.
    centre
        What is taken off the ratings first: their "mean", or "biases" too.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Zhou et al. (2008), Section 3.1.
    """
    sides, centres = _sides(ratings, split, centre)
    vectors = _start(numpy_generator(seed, Purpose.FACTORS), sides, factors)
    for _ in range(sweeps):
        for k, side in enumerate(sides):
            squares, sums = side.moments(vectors[1 - k])
            squares += regularization * np.maximum(side.counts, 1)[:, None, None] * np.eye(factors)
            vectors[k] = np.linalg.solve(squares, sums[..., None])[..., 0]
    return centres + _products(vectors, ratings, split.test)


def mean_field(
    ratings: Ratings, split: Split, seed: int = 0, factors: Size = 10, sweeps: Passes = 30, centre: Centre = "mean"
) -> Predictions:
    """Predict by variational Bayesian matrix factorization.

    In the posterior, the vectors are independent normals. The prior variance is 1 / `factors` for items; for users it
    is fitted, as is the variance of a rating.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    factors
        Length of the vectors.
    sweeps
        How often users, items and variances are updated.
    centre
        What is taken off the ratings first: their "mean", or "biases" too.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Lim and Teh (2007).
    """
    sides, centres = _sides(ratings, split, centre)
    vectors = _start(numpy_generator(seed, Purpose.FACTORS), sides, factors)
    priors = [np.ones(factors), np.full(factors, 1 / factors)]
    covariances = [np.zeros(0), np.diag(priors[1])]  # those of users are found before they are used
    values = sides[0].values
    squared, count = np.sum(values.data**2), values.nnz
    noise = squared / count
    for _ in range(sweeps):
        for k, side in enumerate(sides):
            squares, sums = side.moments(vectors[1 - k], covariances[1 - k])
            covariances[k] = np.linalg.inv(np.diag(1 / priors[k]) + squares / noise)
            vectors[k] = (covariances[k] @ (sums / noise)[..., None])[..., 0]
        second = covariances[1] + vectors[1][:, :, None] * vectors[1][:, None, :]
        noise = (squared - 2 * np.sum(sums * vectors[1]) + np.sum(second * squares)) / (count - 1)
        variances = np.diagonal(covariances[0], axis1=1, axis2=2) + vectors[0] ** 2
        priors[0] = variances.sum(axis=0) / (len(variances) - 1)
    return centres + _products(vectors, ratings, split.test)


def _sides(ratings: Ratings, split: Split, centre: Centre) -> tuple[list[_Side], Predictions]:
    """Centre the training ratings, by user and by item; also give the (len(split.test),) centres of test ratings."""
    train = split.train
    if centre == "biases":
        centres = biases(ratings, train, SHRINKAGE, SHRINKAGE)
    else:
        centres = np.full(len(ratings), ratings.values[train].mean(dtype=np.float64))
    places, shape = (ratings.users[train], ratings.items[train]), (ratings.n_users, ratings.n_items)
    by_user = csr_array((ratings.values[train] - centres[train], places), shape)
    sides = []
    for values in (by_user, by_user.T.tocsr()):
        pattern = csr_array((np.ones(values.nnz), values.indices, values.indptr), values.shape)
        sides.append(_Side(values, pattern, np.diff(values.indptr)))
    return sides, centres[split.test]


def _start(rng: np.random.Generator, sides: list[_Side], factors: int) -> list[Matrix]:
    """Give the vectors of users, zeros, and of items, small normal numbers."""
    of_users, of_items = ((len(side.counts), factors) for side in sides)
    return [np.zeros(of_users), rng.normal(0, 0.1, of_items)]


def _products(vectors: list[Matrix], ratings: Ratings, index: Index) -> Predictions:
    """Multiply the vectors of user and item for the (k,) ratings at `index`."""
    of_users, of_items = vectors
    return np.asarray(np.einsum("nf,nf->n", of_users[ratings.users[index]], of_items[ratings.items[index]]))

"""Other predictors: means, biases, matrix factorisations, a Boltzmann machine, and hybrids of an autoencoder.

From `als` on, each is a function of the ratings, a split, a seed and settings, which fits on the training ratings and
returns (len(split.test),) float64 stars, not clipped, for the test ratings, of which it reads users and items alone.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from scipy.stats import wishart

from flexlib.centring import SHRINKAGE, fit_biases, mean_by
from flexlib.config import ITEM_BASED, USER_BASED, FlexConfig, FlexError
from flexlib.fast.entries import RowTable
from flexlib.predict import CELLS_PER_BLOCK
from flexlib.train import fit

# Ratings of 0 that a bias is averaged with (Koren 2010, the values that scikit-surprise and others start from).
ITEM_SHRINKAGE, USER_SHRINKAGE = 10, 15


PAIRS_PER_CHUNK = 500_000  # of a rating to predict and a neighbour, looked at in one go


def item_mean(ratings, used):
    """(n,) the mean of the item's ratings at index `used`, for every rating; the mean of all where it has none."""
    return mean_by(ratings.items[used], ratings.values[used], ratings.n_items)[ratings.items]


def user_mean(ratings, used):
    """(n,) the mean of the user's ratings at index `used`, for every rating; the mean of all where there is none."""
    return mean_by(ratings.users[used], ratings.values[used], ratings.n_users)[ratings.users]


def biases(ratings, used, item_shrinkage=ITEM_SHRINKAGE, user_shrinkage=USER_SHRINKAGE):
    """(n,) overall mean plus user's and item's bias, for every rating, fitted on those at `used` (`fit_biases`)."""
    users, items, values = ratings.users[used], ratings.items[used], ratings.values[used]
    counts = ratings.n_users, ratings.n_items
    overall, of_user, of_item = fit_biases(users, items, values, *counts, user_shrinkage, item_shrinkage)
    return overall + of_user[ratings.users] + of_item[ratings.items]


class _Side(NamedTuple):
    """One side's rows of the training residuals: values and pattern (rows, columns) sparse, counts (rows,) of ratings.
    A residual of 0 is still an entry."""

    values: csr_array
    pattern: csr_array
    counts: np.ndarray

    def moments(self, means, covariances=0.0):
        """Of the other side's factors v with (columns, f) means and (columns, f, f) covariances, over each row's
        entries: (rows, f, f) sum of E[v v'], and (rows, f) sum of value times E[v]."""
        f = means.shape[1]
        second = means[:, :, None] * means[:, None, :] + covariances
        return (self.pattern @ second.reshape(-1, f * f)).reshape(-1, f, f), self.values @ means


def _sides(ratings, split, centre):
    """Users' and items' `_Side`, and (len(split.test),) what is taken off the ratings there: the training ratings' mean
    (centre "mean") or overall mean and biases fitted on them ("biases")."""
    train = split.train
    mean = np.full(len(ratings), ratings.values[train].mean(dtype=np.float64))
    centres = biases(ratings, train, SHRINKAGE, SHRINKAGE) if centre == "biases" else mean
    places, counts = (ratings.users[train], ratings.items[train]), (ratings.n_users, ratings.n_items)
    left = csr_array((ratings.values[train] - centres[train], places), counts)
    sides = []
    for values in (left, left.T.tocsr()):
        pattern = csr_array((np.ones(values.nnz), values.indices, values.indptr), values.shape)
        sides.append(_Side(values, pattern, np.diff(values.indptr)))
    return sides, centres[split.test]


def _products(factors, ratings, index):
    """(k,) products of users' and items' factors at the ratings at `index`."""
    return np.einsum("nf,nf->n", factors[0][ratings.users[index]], factors[1][ratings.items[index]])


def _start(sides, n_factors, seed):
    """Random numbers, and users' and items' factors to begin with: zeros, and normal ones of 0.1."""
    rng = np.random.default_rng([seed, 0xFAC7])
    return rng, [np.zeros((len(sides[0].counts), n_factors)), rng.normal(0, 0.1, (len(sides[1].counts), n_factors))]


def als(ratings, split, seed=0, factors=10, regularization=0.1, sweeps=15, centre="biases"):
    """(len(split.test),) matrix factorisation by alternating least squares with weighted-lambda regularisation (Zhou,
    Wilkinson, Schreiber and Pan 2008, Section 3.1): a row's factors minimise its squared error plus `regularization`
    times its number of ratings times their squared length. On what `centre` leaves (`_sides`)."""
    sides, centres = _sides(ratings, split, centre)
    _, found = _start(sides, factors, seed)
    for _ in range(sweeps):
        for k, side in enumerate(sides):
            squares, sums = side.moments(found[1 - k])
            squares += regularization * np.maximum(side.counts, 1)[:, None, None] * np.eye(factors)
            found[k] = np.linalg.solve(squares, sums[..., None])[..., 0]
    return centres + _products(found, ratings, split.test)


def bpmf(ratings, split, seed=0, factors=10, precision=2.0, burn_in=20, samples=60, centre="mean"):
    """(len(split.test),) Bayesian probabilistic matrix factorisation by Gibbs sampling (Salakhutdinov and Mnih 2008,
    Section 3.3): the mean prediction of `samples` draws after the first `burn_in`. `precision` is that of a rating, 1 /
    variance in stars; the hyperparameters' prior is theirs. On what `centre` leaves (`_sides`)."""
    sides, centres = _sides(ratings, split, centre)
    rng, found = _start(sides, factors, seed)
    found[0] = rng.normal(0, 0.1, found[0].shape)
    total = np.zeros(len(split.test))
    for draw in range(burn_in + samples):
        for k, side in enumerate(sides):
            mean, spread = _draw_prior(rng, found[k])
            squares, sums = side.moments(found[1 - k])
            # With L L' the precision given the rest, L'^-1 (L^-1 b + noise) has its mean and its covariance.
            root = torch.from_numpy(np.linalg.cholesky(spread + precision * squares))
            half = torch.from_numpy((precision * sums + spread @ mean)[..., None])
            half = torch.linalg.solve_triangular(root, half, upper=False)
            half += torch.from_numpy(rng.normal(size=half.shape))
            found[k] = torch.linalg.solve_triangular(root.mT, half, upper=True)[..., 0].numpy()
        if draw >= burn_in:
            total += _products(found, ratings, split.test)
    return centres + total / samples


def _draw_prior(rng, factors):
    """(f,) mean and (f, f) precision of one side's factors (n, f), drawn given these (Salakhutdinov and Mnih 2008,
    Equation 14) with their prior: mean 0, beta 2, W the identity, f degrees of freedom."""
    n, f = factors.shape
    average, beta = factors.mean(axis=0), 2.0
    apart = factors - average
    scale = np.eye(f) + apart.T @ apart + beta * n / (beta + n) * np.outer(average, average)
    scale = np.linalg.inv(scale)
    spread = np.reshape(wishart.rvs(f + n, (scale + scale.T) / 2, random_state=rng), (f, f))
    noise = np.linalg.solve(np.linalg.cholesky((beta + n) * spread).T, rng.normal(size=f))
    return n * average / (beta + n) + noise, spread


def mean_field(ratings, split, seed=0, factors=10, sweeps=30, centre="mean"):
    """(len(split.test),) variational Bayesian matrix factorisation (Lim and Teh 2007): in the posterior, users' and
    items' factors are independent normals. Items' factors have the prior variance 1 / `factors`; users' and that of
    ratings are fitted. On what `centre` leaves (`_sides`)."""
    sides, centres = _sides(ratings, split, centre)
    _, found = _start(sides, factors, seed)
    priors = [np.ones(factors), np.full(factors, 1 / factors)]
    spreads = [None, np.diag(priors[1])]
    squared, count = np.sum(sides[0].values.data ** 2), sides[0].values.nnz
    noise = squared / count
    for _ in range(sweeps):
        for k, side in enumerate(sides):
            squares, sums = side.moments(found[1 - k], spreads[1 - k])
            spreads[k] = np.linalg.inv(np.diag(1 / priors[k]) + squares / noise)
            found[k] = (spreads[k] @ (sums / noise)[..., None])[..., 0]
        second = spreads[1] + found[1][:, :, None] * found[1][:, None, :]
        noise = (squared - 2 * np.sum(sums * found[1]) + np.sum(second * squares)) / (count - 1)
        variances = np.diagonal(spreads[0], axis1=1, axis2=2) + found[0] ** 2
        priors[0] = variances.sum(axis=0) / (len(variances) - 1)
    return centres + _products(found, ratings, split.test)


def rbm(ratings, split, seed=0, hidden=100, epochs=50, learning_rate=0.5, weight_decay=0.005, batch=25):
    """(len(split.test),) restricted Boltzmann machine for collaborative filtering (Salakhutdinov, Mnih and Hinton 2007,
    Section 2): a softmax unit over the scale's steps for each item that the user has rated, `hidden` binary units,
    one step of contrastive divergence on `batch` users at a learning rate that falls to 0. The prediction is the
    expected rating given the user's hidden units."""
    stars = np.arange(ratings.scale[0], ratings.scale[1] + ratings.scale[2] / 2, ratings.scale[2])
    levels, train, rng = len(stars), split.train, np.random.default_rng([seed, 0x4B3])
    level = np.rint((ratings.values[train] - stars[0]) / ratings.scale[2]).astype(np.int64)
    places = ratings.users[train], ratings.items[train] * np.int64(levels) + level
    shape = (ratings.n_users, ratings.n_items * levels)
    seen = csr_array((np.ones(len(level), np.float32), places), shape)
    shares = np.bincount(level, minlength=levels) / len(level) + 1e-3
    counts = np.bincount(places[1], minlength=shape[1]).reshape(-1, levels) + shares
    visible = np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32).ravel()
    weights = rng.normal(0, 0.01, (shape[1], hidden)).astype(np.float32)
    offsets = np.zeros(hidden, np.float32)

    def logits(items, states):
        cube = weights.reshape(-1, levels, hidden)[items]
        return visible.reshape(-1, levels)[items] + np.einsum("nkf,nf->nk", cube, states)

    for epoch in range(epochs):
        rate = learning_rate * (1 - epoch / epochs)
        batches = np.array_split(rng.permutation(ratings.n_users), max(1, ratings.n_users // batch))
        for rows in batches:
            data = seen[rows]
            up = expit(data @ weights + offsets)
            states = (rng.random(up.shape, np.float32) < up).astype(np.float32)
            users, items = np.repeat(np.arange(len(rows)), np.diff(data.indptr)), data.indices // levels
            noisy = logits(items, states[users]) + rng.gumbel(size=(len(items), levels))
            drawn = csr_array((data.data, items * levels + noisy.argmax(axis=1), data.indptr), data.shape)
            up_again = expit(drawn @ weights + offsets)
            # Few cells are touched: these alone move.
            cells, place = np.unique(np.concatenate([data.indices, drawn.indices]), return_inverse=True)
            signs = np.concatenate([data.data, -drawn.data])
            change = csr_array(
                (signs, (place, np.concatenate([users, users + len(rows)]))), (len(cells), 2 * len(rows))
            )
            weights[cells] += rate / len(rows) * (change @ np.concatenate([up, up_again]))
            visible[cells] += rate / len(rows) * change.sum(axis=1)
            offsets += rate * (up - up_again).mean(axis=0)
        weights *= (1 - rate * weight_decay) ** len(batches)
    states = expit(seen @ weights + offsets)
    predicted = np.empty(len(split.test))
    for first in range(0, len(predicted), 20_000):
        index = split.test[first : first + 20_000]
        chances = softmax(logits(ratings.items[index], states[ratings.users[index]]), axis=1)
        predicted[first : first + 20_000] = chances @ stars
    return predicted


def bottlenecks(model):
    """(rows, h) float32 outputs of a `FittedModel`'s innermost layer for every row, from its training ratings."""
    network, (n_rows, width), train = model.network, model.shape, model.split.train
    table = RowTable(model.rows[train], model.columns[train], model.centred(train), n_rows, model.device)
    parts = []
    with torch.inference_mode():
        for entries, values in table.batches(np.arange(n_rows), max(1, CELLS_PER_BLOCK // width), width):
            inner = entries.dense(values)
            for weight, bias in zip(network.encoder_weights, network.encoder_biases, strict=True):
                inner = network.activation(torch.addmm(bias, inner, weight))
            parts.append(inner.cpu().numpy())
    return np.concatenate(parts)


def _encoded(ratings, split, seed, pivot, **settings):
    """`bottlenecks` of a denoising autoencoder fitted on the training ratings less 3 stars, which keeps in the vectors
    how high a row's ratings are."""
    common = dict(activation="tanh", output_activation=False, dense_refeeding=0, centring="three")
    config = FlexConfig(pivot_indexes=pivot, **common, **settings)
    return bottlenecks(fit(ratings, config, "holdout", seed, split, "cpu"))


def cofils(ratings, split, seed=0, factors=10, epochs=20, noise=0.1, leaf=10, trees=30):
    """(len(split.test),) autoencoder COFILS (Barbieri, Alvim, Braida and Zimbrao 2017): a random forest on the user's
    and the item's vector, each out of the bottleneck, of `factors` units, of a denoising autoencoder of its own.
    leaf: the least number of ratings in a leaf. Raises `FlexError` where scikit-learn is missing."""
    try:
        from sklearn.ensemble import RandomForestRegressor  # an extra, and slow to import
    except ImportError as error:
        raise FlexError(f"cofils needs {error.name}: pip install 'flexlib[methods]'") from None
    settings = dict(hidden_layers=[factors], epochs=epochs, noise_probability=noise)
    of_user, of_item = (_encoded(ratings, split, seed, pivot, **settings) for pivot in (USER_BASED, ITEM_BASED))
    vectors = np.hstack([of_user[ratings.users], of_item[ratings.items]])
    forest = RandomForestRegressor(
        trees, min_samples_leaf=leaf, max_features=1 / 3, max_samples=0.5, random_state=seed, n_jobs=1
    )
    forest.fit(vectors[split.train], ratings.values[split.train])
    return forest.predict(vectors[split.test])


def hidden_similarity(
    ratings, split, seed=0, factors=30, epochs=20, noise=0.3, neighbours=40, shrinkage=1.0, pivot="items"
):
    """(len(split.test),) hybrid of an autoencoder and neighbours (Suzuki and Ozaki 2017): the biases' prediction, plus
    what the `neighbours` most alike rows that have a rating in the column are above theirs, weighted by similarity and
    averaged with `shrinkage` in weights of 0. Rows (`pivot`: users or items) are alike by the cosine of their vectors
    in the bottleneck of a denoising autoencoder of two layers; a cosine below 0 counts as 0."""
    by_item = pivot == "items"
    settings = dict(hidden_layers=[2 * factors, factors], epochs=epochs, noise_probability=noise)
    vectors = _encoded(ratings, split, seed, ITEM_BASED if by_item else USER_BASED, **settings)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows, columns = (ratings.items, ratings.users) if by_item else (ratings.users, ratings.items)
    base = biases(ratings, split.train, SHRINKAGE, SHRINKAGE)
    left = ratings.values - base
    raters = split.train[np.argsort(columns[split.train], kind="stable")]
    counts = np.bincount(columns[raters], minlength=columns.max() + 1)
    starts, predicted = np.cumsum(counts) - counts, base[split.test]
    n_pairs = counts[columns[split.test]]
    for part in np.array_split(np.arange(len(split.test)), n_pairs.sum() // PAIRS_PER_CHUNK + 1):
        test, many = split.test[part], n_pairs[part]
        ends = np.cumsum(many)
        place = np.repeat(np.arange(len(part)), many)
        within = np.arange(len(place)) - np.repeat(ends - many, many)
        others = raters[np.repeat(starts[columns[test]], many) + within]
        alike = np.einsum("nf,nf->n", vectors[rows[test]][place], vectors[rows[others]])
        nearest = np.lexsort((-alike, place))[within < neighbours]
        place, weight = place[nearest], np.maximum(alike[nearest], 0)
        sums = np.bincount(place, weight * left[others[nearest]], len(part))
        predicted[part] += sums / np.maximum(np.bincount(place, weight, len(part)) + shrinkage, 1e-9)
    return predicted

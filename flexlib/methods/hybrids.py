"""Hybrids of an autoencoder: its bottleneck gives each user and each item a vector, and another method predicts.

References
----------
Barbieri, Alvim, Braida and Zimbrao (2017) (a random forest on the vectors). Suzuki and Ozaki (2017) (neighbours among
them). Vincent et al. (2008) (denoising autoencoders).
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from flexlib.centring import SHRINKAGE
from flexlib.config import ITEM_BASED, USER_BASED, FlexConfig, Share, Size
from flexlib.data import Ratings, Split
from flexlib.fast.entries import RowTable, has_sparse_products
from flexlib.methods.extras import import_extra
from flexlib.methods.interface import Passes, Predictions, Weight
from flexlib.methods.means_and_biases import biases
from flexlib.predict import CELLS_PER_BLOCK, FittedModel, encode_rows
from flexlib.train import fit

Vectors = NDArray[np.float32]

PAIRS_PER_BLOCK = 500_000  # of a rating to predict and a neighbour, looked at in one go


def cofils(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    factors: Size = 10,
    epochs: Passes = 20,
    noise: Share = 0.1,
    leaf: Size = 10,
    trees: Size = 30,
) -> Predictions:
    """Predict by autoencoder COFILS: a random forest on the user's and the item's vector.

    Two denoising autoencoders give the vectors, one for users and one for items.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    factors
        Length of a vector: units of the only hidden layer.
    epochs
        Of an autoencoder.
    noise
        Share of its input that is dropped.
    leaf
        Least number of ratings in a leaf of a tree.
    trees
        Of the forest.

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    Raises
    ------
    FlexError
        Where scikit-learn is missing.

    References
    ----------
    Barbieri et al. (2017).
    """
    ensemble = import_extra("sklearn.ensemble", "cofils")
    settings = dict(hidden_layers=[factors], epochs=epochs, noise_probability=noise)
    of_user, of_item = (_encoded(ratings, split, seed, pivot, **settings) for pivot in (USER_BASED, ITEM_BASED))
    vectors = np.hstack([of_user[ratings.users], of_item[ratings.items]])
    forest = ensemble.RandomForestRegressor(
        trees, min_samples_leaf=leaf, max_features=1 / 3, max_samples=0.5, random_state=seed, n_jobs=1
    )
    forest.fit(vectors[split.train], ratings.values[split.train])
    return np.asarray(forest.predict(vectors[split.test]))


def hidden_similarity(
    ratings: Ratings,
    split: Split,
    seed: int = 0,
    factors: Size = 30,
    epochs: Passes = 20,
    noise: Share = 0.3,
    neighbours: Size = 40,
    shrinkage: Weight = 1.0,
    pivot: Literal["items", "users"] = "items",
) -> Predictions:
    """Predict by biases, and by what similar rows are rated above theirs.

    A denoising autoencoder of two layers gives each row its vector. Rows are as similar as the cosine of their vectors;
    a cosine below 0 counts as 0.

    Parameters
    ----------
    ratings, split, seed
        As in `Predictor.predict`.
    factors
        Length of a vector: units of the second layer. The first has twice as many.
    epochs
        Of the autoencoder.
    noise
        Share of its input that is dropped.
    neighbours
        Most similar rows with a training rating in the column, whose residuals are averaged, weighted by similarity.
    shrinkage
        Weight of a residual of 0 that they are averaged with.
    pivot
        What rows are: "items" or "users".

    Returns
    -------
    Predictions
        (len(split.test),) stars.

    References
    ----------
    Suzuki and Ozaki (2017).
    """
    by_item = pivot == "items"
    settings = dict(hidden_layers=[2 * factors, factors], epochs=epochs, noise_probability=noise)
    vectors = _encoded(ratings, split, seed, ITEM_BASED if by_item else USER_BASED, **settings)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows, columns = (ratings.items, ratings.users) if by_item else (ratings.users, ratings.items)
    base = biases(ratings, split.train, SHRINKAGE, SHRINKAGE)
    residuals = ratings.values - base
    by_column = split.train[np.argsort(columns[split.train], kind="stable")]
    counts = np.bincount(columns[by_column], minlength=columns.max() + 1)
    starts, predicted = np.cumsum(counts) - counts, base[split.test]
    n_pairs = counts[columns[split.test]]
    for block in np.array_split(np.arange(len(split.test)), n_pairs.sum() // PAIRS_PER_BLOCK + 1):
        # Pairs of each test rating (its place in the block) with each training rating of its column
        test, many = split.test[block], n_pairs[block]
        place = np.repeat(np.arange(len(block)), many)
        within = np.arange(len(place)) - np.repeat(np.cumsum(many) - many, many)
        others = by_column[np.repeat(starts[columns[test]], many) + within]
        alike = np.einsum("nf,nf->n", vectors[rows[test]][place], vectors[rows[others]])
        nearest = np.lexsort((-alike, place))[within < neighbours]
        place, weight = place[nearest], np.maximum(alike[nearest], 0)
        sums = np.bincount(place, weight * residuals[others[nearest]], len(block))
        predicted[block] += sums / np.maximum(np.bincount(place, weight, len(block)) + shrinkage, 1e-9)
    return predicted


def _encoded(ratings: Ratings, split: Split, seed: int, pivot: tuple[int, int], **settings: Any) -> Vectors:
    """Give the `bottlenecks` of a denoising autoencoder fitted on the training ratings.

    Centring takes 3 stars off them all, so that a vector also tells how high its row's ratings are.
    """
    common = dict(activation="tanh", output_activation=False, dense_refeeding=0, centring="three")
    config = FlexConfig.from_dict({"pivot_indexes": pivot} | common | settings)
    return bottlenecks(fit(ratings, config, "holdout", seed, split, "cpu"))


def bottlenecks(model: FittedModel) -> Vectors:
    """Encode every row of the rating matrix from its training ratings.

    Parameters
    ----------
    model
        A fitted network.

    Returns
    -------
    Vectors
        (rows, last hidden layer) outputs of the innermost layer.
    """
    (n_rows, width), train = model.shape, model.split.train
    table = RowTable(model.rows[train], model.columns[train], model.centred(train), n_rows, model.device)
    with torch.inference_mode():
        size, sparse = max(1, CELLS_PER_BLOCK // width), has_sparse_products(model.device)
        batches = table.batches(np.arange(n_rows), size, width, sparse, transposed=False)
        parts = [encode_rows(model.network, *batch).cpu().numpy() for batch in batches]
    return np.concatenate(parts)

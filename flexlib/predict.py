"""A network's predictions: its outputs at chosen cells, centres added back, and rounding to stars (PrR)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flexlib.centring import mean_by
from flexlib.data import Ids, Index, Mask, Ratings, Stars
from flexlib.fast.entries import Entries, RowTable, SparseRows, has_sparse_products
from flexlib.model import Autoencoder, FittedModel

CELLS_PER_BLOCK = 16_000_000  # of the rating matrix that are scored at once, the network's rows times its columns
DENSE_SPEEDUP = 8  # how much faster an output is computed along with all others of its row than by itself


def network_outputs(model: FittedModel, shown: Index, values: Stars, rows: Ids, columns: Ids) -> Stars:
    """Run the network on each row's shown ratings and read its outputs.

    Time and memory grow with the ratings shown and the cells read, not with the size of the rating matrix.

    Parameters
    ----------
    model
        A fitted network.
    shown, values
        (s,) index of the ratings that the network sees, and what it sees of them.
    rows, columns
        (k,) cells of the rating matrix to be read.

    Returns
    -------
    Stars
        (k,) outputs, before centres are added back.
    """
    network, (n_rows, width) = model.network, model.shape
    distinct, place = np.unique(rows, return_inverse=True)
    by_row = np.argsort(place, kind="stable")
    inputs = RowTable(model.rows[shown], model.columns[shown], values, n_rows, model.device)
    wanted = RowTable(place[by_row], columns[by_row], np.zeros(len(rows), np.float32), len(distinct), model.device)
    size, sparse = max(1, CELLS_PER_BLOCK // width), has_sparse_products(model.device)
    few = sparse and len(rows) * DENSE_SPEEDUP < len(distinct) * width
    blocks = zip(
        inputs.batches(distinct, size, width, sparse, transposed=False),
        wanted.batches(np.arange(len(distinct)), size, width, few, transposed=False),
        strict=True,
    )
    weight, bias = network.outward_weights()[-1], network.decoder_biases[-1]
    outputs = torch.empty(len(rows))
    done = 0
    with torch.inference_mode():
        for batch, (cells, _) in blocks:
            hidden = network.decode_inner(encode_rows(network, *batch))
            sums = cells.sample(hidden, weight.t()) + bias[cells.columns]
            there = torch.from_numpy(by_row[done : done + len(sums)])
            outputs[there] = network.activate_output(sums).cpu()
            done += len(sums)
    return np.asarray(outputs.numpy())


def encode_rows(network: Autoencoder, entries: Entries, values: Tensor) -> Tensor:
    """Map rows with these (k,) values at `entries` to the bottleneck (B, last hidden layer)."""
    rated = SparseRows(entries, torch.ones_like(values)) if network.reads_rated else None
    return network.encode(SparseRows(entries, values), rated)


def predict_ratings(model: FittedModel, index: Index) -> Stars:
    """Predict ratings from the training ratings, whatever the protocol, without fallback or rounding.

    Parameters
    ----------
    model
        A fitted network.
    index
        (k,) ratings to predict.

    Returns
    -------
    Stars
        (k,) stars.
    """
    train, rows, columns = model.split.train, model.rows[index], model.columns[index]
    return network_outputs(model, train, model.centred(train), rows, columns) + model.centres(rows, columns)


def fallback(ratings: Ratings, train: Index, users: Ids, items: Ids) -> tuple[Mask, Stars]:
    """Say which pairs have a user or an item without training ratings, and what is predicted for these.

    Parameters
    ----------
    ratings, train
        The ratings, and the index of those that count as known.
    users, items
        (k,) pairs of dense ids.

    Returns
    -------
    unseen
        (k,) True where the user, the item or both are new.
    means
        (k,) stars: the user's training mean where it has one, else the item's, else the overall mean.
    """
    user_seen = (np.bincount(ratings.users[train], minlength=ratings.n_users) > 0)[users]
    item_seen = (np.bincount(ratings.items[train], minlength=ratings.n_items) > 0)[items]
    user_means = mean_by(ratings.users[train], ratings.values[train], ratings.n_users)[users]
    item_means = mean_by(ratings.items[train], ratings.values[train], ratings.n_items)[items]
    return ~(user_seen & item_seen), np.where(user_seen, user_means, item_means)


def round_predictions(
    predicted: NDArray[np.floating[Any]], scale: tuple[float, float, float], rounding: str
) -> NDArray[np.floating[Any]]:
    """Round predictions to the rating scale (PrR): to the nearest step, halfway cases to the even one, and into range.

    Parameters
    ----------
    predicted
        (k,) stars.
    scale
        Lowest, highest and step.
    rounding
        "scale": NaN where a prediction is not finite. "released": to halves in [0, 5], NaN read as 2.5.

    Returns
    -------
    NDArray
        (k,) stars on the scale.

    References
    ----------
    Tran et al. (2018), Section 3.2.
    """
    if rounding == "released":
        (low, high, step), predicted = (0.0, 5.0, 0.5), np.where(np.isnan(predicted), 2.5, predicted)
    else:
        (low, high, step), predicted = scale, np.where(np.isfinite(predicted), predicted, np.nan)
    return np.asarray(np.clip(low + np.round((predicted - low) / step) * step, low, high))

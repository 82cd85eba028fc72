"""A fitted model and its predictions: outputs at chosen cells, centres added back, and rounding to stars (PrR)."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from flexlib.centring import mean_by
from flexlib.config import FlexConfig, FlexError, Protocol
from flexlib.data import AnyIds, Ids, Index, Mask, Ratings, Split, Stars, find_ids
from flexlib.fast.entries import Entries, RowTable, SparseRows, has_sparse_products
from flexlib.model import Autoencoder, matrix_shape

CELLS_PER_BLOCK = 16_000_000  # of the rating matrix that are scored at once, the network's rows times its columns
DENSE_SPEEDUP = 8  # how much faster an output is computed along with all others of its row than by itself


class Fitted(ABC):
    """Anything that is fitted on the training ratings of a split, and predicts any user's rating of any item.

    Attributes
    ----------
    ratings, split
        What it was fitted on.
    pairs_at_once
        How many pairs may be asked for in one call, where there are many.
    """

    ratings: Ratings
    split: Split
    pairs_at_once = 4_000_000

    @abstractmethod
    def predict_pairs(self, users: AnyIds, items: AnyIds) -> NDArray[np.floating[Any]]:
        """Predict by dense ids, of which -1 stands for a user or item that the ratings do not have.

        Parameters
        ----------
        users, items
            (k,) pairs.

        Returns
        -------
        NDArray
            (k,) stars, as `predict` gives them.
        """

    def predict(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.floating[Any]]:
        """Predict what users would rate items, from the training ratings alone.

        A user or an item without training ratings has no prediction of its own. The user's training mean stands for
        it, or the item's where the user is unknown, or the overall mean where both are.

        Parameters
        ----------
        users, items
            (k,) original ids, pair by pair; one of them may be a single id.

        Returns
        -------
        NDArray
            (k,) stars: rounded where the configuration says so (PrR), and not clipped to the scale otherwise.

        Raises
        ------
        FlexError
            For arrays of different lengths, or a model that diverged.

        Examples
        --------
        >>> from flexlib import FlexConfig, fit, load_ratings
        >>> model = fit(load_ratings("synthetic:users=60,items=90,ratings=1500,seed=1"), FlexConfig(epochs=2))
        >>> model.predict([3, 3, 12], [17, 42, 17]).shape
        (3,)
        >>> bool(model.predict("nobody", 17)[0] == model.predict("no one", 17)[0])
        True
        """
        user, item = find_ids(self.ratings.user_ids, users), find_ids(self.ratings.item_ids, items)
        if len(user) != len(item) and 1 not in (len(user), len(item)):
            raise FlexError(f"{len(user)} users and {len(item)} items are not pairs: as many of both are needed")
        return self.predict_pairs(*np.broadcast_arrays(user, item))


@dataclass(eq=False)
class FittedModel(Fitted):
    """A trained network with all it takes to score it, to recommend with it, and to say where it came from.

    Parameters
    ----------
    config, protocol, ratings, seed, device
        What `flexlib.fit` was given.
    network
        The autoencoder, on the device.
    split
        Training ratings (less those held back for early stopping) and test ratings.
    row_means, column_offsets
        (rows,) and (columns,) stars that centring takes off, and that predictions get back.
    status
        "ok", or "diverged" where the loss became NaN or infinite, which ends training.
    history
        RMSE over the training ratings of each epoch, taken while it trains, in stars.
    steps
        Of the optimizer.
    seconds
        Of training alone.
    validation_rmse
        With `patience`: the lowest RMSE over the ratings held back, in stars.
    best_epoch
        With `patience`: the epoch (from 1) of that RMSE, whose weights the network has.
    validation_history
        With `patience`: the RMSE over the ratings held back after each epoch, in stars.
    """

    config: FlexConfig
    protocol: Protocol
    network: Autoencoder
    ratings: Ratings
    split: Split
    row_means: Stars
    column_offsets: Stars
    seed: int
    device: str
    status: str = "ok"
    history: list[float] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    validation_rmse: float = math.nan
    best_epoch: int = 0
    validation_history: list[float] = field(default_factory=list)

    @property
    def rows(self) -> Ids:
        """(n,) row of each rating: its item where item-based, else its user."""
        return self.ratings.items if self.config.item_based else self.ratings.users

    @property
    def columns(self) -> Ids:
        """(n,) column of each rating."""
        return self.ratings.users if self.config.item_based else self.ratings.items

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the rating matrix."""
        return matrix_shape(self.ratings, self.config)

    def centres(self, rows: AnyIds, columns: AnyIds) -> Stars:
        """Give the (k,) stars that centring takes off ratings at (rows, columns)."""
        return self.row_means[rows] + self.column_offsets[columns]

    def centred(self, index: Index) -> Stars:
        """Give the (k,) values of the ratings at `index`, centred."""
        return np.asarray(self.ratings.values[index] - self.centres(self.rows[index], self.columns[index]))

    def predict_pairs(self, users: AnyIds, items: AnyIds) -> NDArray[np.floating[Any]]:
        """Predict by dense ids: see `Fitted.predict_pairs`. The network sees the training ratings of these rows.

        Raises
        ------
        FlexError
            Where a prediction is not finite.
        """
        train, wanted = self.split.train, np.zeros(self.shape[0] + 1, bool)
        wanted[items if self.config.item_based else users] = True  # the last row stands for unknown ones
        shown = train[wanted[self.rows[train]]]
        predicted, _, nonfinite = predict_cells(self, users, items, shown, self.centred(shown))
        if nonfinite.any():
            raise FlexError(f"the model's predictions are not finite (status: {self.status}); train it again")
        return predicted


class OutputReader:
    """Reads a network's outputs at chosen cells, as often as it is asked while the network trains.

    What depends on the cells alone is made once. Time and memory grow with the ratings shown and the cells read, not
    with the size of the rating matrix.

    Parameters
    ----------
    model
        A network, fitted or in training.
    inputs
        What the network sees, by row.
    rows, columns
        (k,) cells of the rating matrix to be read.
    """

    def __init__(self, model: FittedModel, inputs: RowTable, rows: AnyIds, columns: AnyIds) -> None:
        self.model, self.inputs = model, inputs
        self.distinct, place = np.unique(rows, return_inverse=True)
        self.by_row = np.argsort(place, kind="stable")
        places, nothing = place[self.by_row], np.zeros(len(rows), np.float32)
        self.wanted = RowTable(places, columns[self.by_row], nothing, len(self.distinct), model.device)

    def read(self) -> Stars:
        """Run the network on the rows, and give the (k,) outputs, before centres are added back."""
        network, width, n_cells = self.model.network, self.model.shape[1], len(self.by_row)
        size, sparse = max(1, CELLS_PER_BLOCK // width), has_sparse_products(self.model.device)
        few = sparse and n_cells * DENSE_SPEEDUP < len(self.distinct) * width
        blocks = zip(
            self.inputs.batches(self.distinct, size, width, sparse, transposed=False),
            self.wanted.batches(np.arange(len(self.distinct)), size, width, few, transposed=False),
            strict=True,
        )
        weight, bias = network.outward_weights()[-1], network.decoder_biases[-1]
        outputs = torch.empty(n_cells)
        done = 0
        with torch.inference_mode():
            for batch, (cells, _) in blocks:
                hidden = network.decode_inner(encode_rows(network, *batch))
                sums = cells.sample(hidden, weight.t()) + bias[cells.columns]
                there = torch.from_numpy(self.by_row[done : done + len(sums)])
                outputs[there] = network.activate_output(sums).cpu()
                done += len(sums)
        return np.asarray(outputs.numpy())


def network_outputs(model: FittedModel, shown: Index, values: Stars, rows: AnyIds, columns: AnyIds) -> Stars:
    """Read a network's outputs once: see `OutputReader`.

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
    inputs = RowTable(model.rows[shown], model.columns[shown], values, model.shape[0], model.device)
    return OutputReader(model, inputs, rows, columns).read()


def encode_rows(network: Autoencoder, entries: Entries, values: Tensor) -> Tensor:
    """Map rows with these (k,) values at `entries` to the bottleneck (B, last hidden layer)."""
    rated = SparseRows(entries, torch.ones_like(values)) if network.reads_rated else None
    return network.encode(SparseRows(entries, values), rated)


def predict_cells(
    model: FittedModel, users: AnyIds, items: AnyIds, shown: Index, values: Stars
) -> tuple[NDArray[np.floating[Any]], Mask, Mask]:
    """Predict pairs by what a protocol shows the network, with its fallback and its rounding.

    Parameters
    ----------
    model
        A fitted network.
    users, items
        (k,) pairs of dense ids, -1 for unknown ones, which have the `fallback` under every protocol.
    shown, values
        (s,) index of the ratings that the network sees, and what it sees of them.

    Returns
    -------
    predicted
        (k,) stars.
    unseen
        (k,) which pairs have a user or an item without training ratings.
    nonfinite
        (k,) which predictions were NaN or infinite before they were rounded.
    """
    unseen, means = fallback(model.ratings, model.split.train, users, items)
    known = (users >= 0) & (items >= 0)
    rows, columns = (items, users) if model.config.item_based else (users, items)
    rows, columns = rows[known], columns[known]
    outputs = network_outputs(model, shown, values, rows, columns) + model.centres(rows, columns)
    predicted: NDArray[np.floating[Any]] = means.astype(outputs.dtype)
    by_mean = unseen[known] & model.protocol.unseen_fallback
    predicted[known] = np.where(by_mean, predicted[known], outputs)
    nonfinite = ~np.isfinite(predicted)
    if model.config.prediction_rounding:
        predicted = round_predictions(predicted, model.ratings.scale, model.protocol.rounding)
    return predicted, unseen, nonfinite


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


def fallback(ratings: Ratings, train: Index, users: AnyIds, items: AnyIds) -> tuple[Mask, Stars]:
    """Say which pairs have a user or an item without training ratings, and what is predicted for these.

    Parameters
    ----------
    ratings, train
        The ratings, and the index of those that count as known.
    users, items
        (k,) pairs of dense ids, -1 for unknown ones.

    Returns
    -------
    unseen
        (k,) True where the user, the item or both are new.
    means
        (k,) stars: the user's training mean where it has one, else the item's, else the overall mean.
    """
    # One user and one item more, without ratings, at the end: there -1 finds "not seen" and the overall mean.
    n_users, n_items, values = ratings.n_users + 1, ratings.n_items + 1, ratings.values[train]
    user_seen = (np.bincount(ratings.users[train], minlength=n_users) > 0)[users]
    item_seen = (np.bincount(ratings.items[train], minlength=n_items) > 0)[items]
    user_means = mean_by(ratings.users[train], values, n_users)[users]
    item_means = mean_by(ratings.items[train], values, n_items)[items]
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

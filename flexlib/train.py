"""Training (paper, Sections 3.2 and 3.4): `fit` turns ratings, a configuration and a protocol into a model.

The ratings live on the device from the start. Each epoch's shuffled entries are laid out once, so that a
batch is a slice of them, and the loop reads one number back per epoch.
"""

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from flexlib.backprop import Backprop
from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Ratings, Split, split_ratings
from flexlib.entries import RowTable
from flexlib.means import fit_biases, mean_by
from flexlib.model import Autoencoder, dropout
from flexlib.optimizers import make_optimizer
from flexlib.predict import network_outputs

VALIDATION_SHARE = 0.1  # of the training ratings, that early stopping (patience) watches
SHRINKAGE = 5  # ratings of 0 that a bias is averaged with


@dataclass(eq=False)
class FittedModel:
    """A trained network with all it takes to score it, to recommend with it and to say where it came from.

    row_means (rows,), column_offsets (columns,): stars added back to the network's output (zeros where MeN is off;
    offsets belong to centring by biases). history: each epoch's RMSE over the training ratings, taken while training.
    status: "ok", or "diverged" where the loss became NaN or infinite, which ends training. steps: optimizer steps.
    seconds: of training alone. With patience, the lowest RMSE over the ratings held back to watch is `watched_rmse`, of
    epoch `best_epoch` (from 1).
    """

    config: FlexConfig
    protocol: Protocol
    network: Autoencoder
    ratings: Ratings
    split: Split
    row_means: np.ndarray
    column_offsets: np.ndarray
    seed: int
    device: str
    status: str = "ok"
    history: list = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    watched_rmse: float = math.nan
    best_epoch: int = 0

    @property
    def rows(self):
        """(n,) row of each rating: its item where item-based, else its user."""
        return self.ratings.items if self.config.item_based else self.ratings.users

    @property
    def columns(self):
        """(n,) column of each rating."""
        return self.ratings.users if self.config.item_based else self.ratings.items

    @property
    def shape(self):
        """(rows, columns) of the rating matrix."""
        counts = (self.ratings.n_users, self.ratings.n_items)
        return counts[::-1] if self.config.item_based else counts

    def centres(self, rows, columns):
        """(k,) float32 stars that centring takes off the ratings at (rows, columns)."""
        return self.row_means[rows] + self.column_offsets[columns]

    def centred(self, index):
        """(k,) float32 values of the ratings at `index`, centred."""
        return self.ratings.values[index] - self.centres(self.rows[index], self.columns[index])


def choose_device(device=None):
    """The named device, or cuda where there is one, else cpu. Raises `FlexError` for one that is not there."""
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).cpu()
    # PyTorch raises NotImplementedError for a device that it can name and not compute on, such as meta.
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise FlexError(f"device '{device}' cannot be used: {first_line(error)}") from None
    return str(device)


def fit(ratings, config, protocol="holdout", seed=0, split=None, device=None, on_epoch=None):
    """Train a FlexEncoder on the training part of a split.

    ratings: `Ratings`. config: `FlexConfig`. protocol: a `Protocol` or a name. split: by default a random
    one of the configuration's test split rate. The split, the initial weights and the order of batches depend on the
    seed and the configuration alone, never on the protocol, so that two protocols differ by themselves alone.
    on_epoch: called with the model after each epoch. With `patience`, a share of the training ratings is held back to
    watch, training ends when their RMSE has not fallen for so many epochs, and the best epoch's weights stay.
    Raises `FlexError` for a protocol or device that is not.
    """
    protocol, device = Protocol.named(protocol), choose_device(device)
    split = split or split_ratings(ratings, config.test_split_rate, seed)
    test = split.test
    if config.patience:
        split = hold_back(split, seed)
    model = FittedModel(
        config=config, protocol=protocol, network=None, ratings=ratings, split=split,
        row_means=np.zeros(0), column_offsets=np.zeros(0), seed=seed, device=device,
    )  # fmt: skip
    model.row_means, model.column_offsets = centring(model)
    model.network = Autoencoder(model.shape[1], config, _generator(seed, 1)).to(device)
    trainer = _Trainer(model, _generator(seed, 3, device))
    order = _generator(seed, 2)
    best = Best(math.inf, 0, None)
    for epoch in range(1, config.epochs + 1):
        begun = time.perf_counter()
        with _threads_for(model):
            rmse = trainer.epoch(order)
        if rmse is not None and config.patience:
            best = best.or_better(validation_rmse(model), epoch, trainer.passes.parameters)
        model.seconds += time.perf_counter() - begun
        if rmse is None:
            model.status = "diverged"
            break
        model.history.append(rmse)
        if on_epoch:
            on_epoch(model)
        if config.patience and epoch - best.epoch >= config.patience:
            break
    if best.weights is not None and model.status == "ok":
        trainer.passes.parameters.data.copy_(best.weights)
        model.watched_rmse, model.best_epoch = best.rmse, best.epoch
    model.split = Split(split.train, test)
    return model


class Best(NamedTuple):
    """The epoch with the lowest validation RMSE so far, and its weights."""

    rmse: float
    epoch: int
    weights: torch.Tensor | None

    def or_better(self, rmse, epoch, weights):
        """This, or the new epoch if its RMSE is lower."""
        return Best(rmse, epoch, weights.detach().clone()) if rmse < self.rmse else self


def hold_back(split, seed):
    """A split's training ratings split again: `VALIDATION_SHARE` of them, drawn by the seed, to watch or to tune on."""
    shuffled = split.train[np.random.default_rng([seed, 0x57A1]).permutation(len(split.train))]
    n_validation = max(1, round(VALIDATION_SHARE * len(shuffled)))
    return Split(np.sort(shuffled[n_validation:]), np.sort(shuffled[:n_validation]))


def predict_ratings(model, index):
    """(k,) predictions in stars of the ratings at `index` from the training ratings, whatever the protocol."""
    train, rows, columns = model.split.train, model.rows[index], model.columns[index]
    return network_outputs(model, train, model.centred(train), rows, columns) + model.centres(rows, columns)


def validation_rmse(model):
    """RMSE of `predict_ratings` over the test part of the model's split."""
    test = model.split.test
    gap = predict_ratings(model, test) - model.ratings.values[test]
    return float(np.sqrt(np.mean(gap.astype(np.float64) ** 2)))


@contextmanager
def _threads_for(model):
    """One thread where a step's largest product is small: handing it to several costs more than it saves."""
    threads = torch.get_num_threads()
    widest = max(weight.numel() for weight in model.network.parameters())
    noisy = model.config.drop_probability or model.config.noise_probability
    rows = model.shape[0] if model.protocol.pad_refeeding and noisy else model.config.train_batch_size
    try:
        torch.set_num_threads(1 if rows * widest < 5_000_000 else threads)
        yield
    finally:
        torch.set_num_threads(threads)


def centring(model):
    """What mean normalization takes off: (rows,) and (columns,) float32, zeros where it is off.

    Over the ratings that the protocol names: Equation 3 for rows (those with no rating get the overall mean). Centring
    by biases: the overall mean plus the row's bias, and the column's bias, each shrunk by `SHRINKAGE` ratings of 0
    (`fit_biases`). By three: 3 off every rating, so that missing entries count as 3 (Sedhain et al. 2015).
    """
    used = slice(None) if model.protocol.means == "all" else model.split.train
    rows, columns, values = model.rows[used], model.columns[used], model.ratings.values[used]
    means, offsets = np.zeros(model.shape[0], np.float32), np.zeros(model.shape[1], np.float32)
    if not model.config.mean_normalization:
        return means, offsets
    if model.config.centring == "rows":
        means = mean_by(rows, values, model.shape[0])
    elif model.config.centring == "three":
        means[:] = 3
    else:
        overall, of_row, of_column = fit_biases(rows, columns, values, *model.shape, SHRINKAGE, SHRINKAGE)
        means[:], offsets[:] = overall + of_row, of_column
    return means, offsets


def _generator(seed, stream, device="cpu"):
    """An independent random stream for each use of one seed."""
    state = np.random.SeedSequence([seed, stream]).generate_state(2, np.uint32).astype(np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] << np.uint64(31) | state[1] >> np.uint64(1)))


class _Trainer:
    """One network's training state: the rows' entries on the device, the passes, the optimizer, the random stream."""

    def __init__(self, model, generator):
        self.model, self.config, self.protocol, self.generator = model, model.config, model.protocol, generator
        self.passes = Backprop(model.network, generator)
        self.optimizer = make_optimizer(self.passes.parameters, self.config)
        train, self.width = model.split.train, model.shape[1]
        values = model.centred(train)
        self.table = RowTable(model.rows[train], model.columns[train], values, model.shape[0], model.device)
        self.rows = np.flatnonzero(self.table.counts)
        covered = values != 0 if self.protocol.loss_entries == "nonzero" else np.ones(len(values), bool)
        self.covered = np.bincount(model.rows[train], weights=covered, minlength=model.shape[0])
        self.whole_matrix = self.protocol.loss_entries == "all" and self.config.mean_normalization
        # Without MKL, PyTorch has no product of a sparse and a dense matrix on a CPU.
        self.sparse = str(model.device) == "cpu" and torch.backends.mkl.is_available()

    def epoch(self, order_generator):
        """Train on each row once; the RMSE of the first passes over the ratings, None where a loss was not finite."""
        size = self.config.train_batch_size
        order = self.rows[torch.randperm(len(self.rows), generator=order_generator).numpy()]
        starts = np.arange(0, len(order), size)
        covered = np.add.reduceat(self.covered[order], starts).tolist()
        padded = (np.maximum.reduceat(order, starts) + 1).tolist()
        squares = torch.zeros((), device=self.table.values.device)
        watched = torch.zeros((), device=self.table.values.device)
        scored = 0
        for batch, (entries, values) in enumerate(self.table.batches(order, size, self.width, self.sparse)):
            count = entries.shape[0] * self.width if self.whole_matrix else covered[batch]
            if count == 0 and not self.config.loss_size_average:
                continue  # nothing to fit (0 / 0): the released code skips such a batch too
            error, loss = self._batch(entries, values, padded[batch], count)
            squares += error
            watched += loss
            scored += covered[batch]
        # A step may blow the weights up after the last loss was seen: they are watched too.
        squares, watched = torch.stack([squares, watched + self.passes.parameters.sum()]).tolist()
        return math.sqrt(squares / max(scored, 1)) if math.isfinite(watched) else None

    def _batch(self, entries, values, padded, count):
        """The step on a batch's ratings, then DeF steps on its own output. `padded`: rows of the released code's
        batch matrix. Returns the first pass's squared error over the ratings, and the sum of all losses."""
        config, protocol, passes = self.config, self.protocol, self.passes
        n_rows, refeeding = entries.shape[0], config.dense_refeeding
        seen = values
        if protocol.noise == "input-and-refed":
            seen = dropout(values, config.noise_probability, self.generator)
        weights = None
        if protocol.pad_refeeding and refeeding and padded > n_rows:
            weights = self._pad(entries, padded)
        hidden, trace = passes.forward(seen, entries)
        whole = refeeding or self.whole_matrix
        outputs, before = passes.outputs(hidden, None if whole else entries)
        at, before_at = (t.view(-1)[entries.cells] if whole else t for t in (outputs, before))
        gap = at - values
        if protocol.loss_entries == "nonzero":
            gap = gap * (values != 0)
        squares = error = gap.square().sum()
        size = (padded if protocol.pad_first_pass else n_rows) * self.width
        divisor = size if config.loss_size_average else count
        if self.whole_matrix:
            gap = outputs - entries.dense(values)
            gap[n_rows:] = 0
            error, at, before_at = gap.square().sum(), outputs, before
        passes.backward(gap * (2 / divisor), at, before_at, hidden, trace, entries)
        self._step()
        watched = error / divisor
        for _ in range(refeeding):
            outputs, loss = self._refeed(outputs, weights)
            watched = watched + loss
        return squares, watched

    def _pad(self, entries, padded):
        """Append the batch matrix's zero rows. Without dropout or noise they are all alike: one stands for
        all, and what it weighs is returned, (rows, 1)."""
        n_rows = entries.shape[0]
        if self.config.drop_probability or self.config.noise_probability:
            entries.pad(padded)
            return None
        entries.pad(n_rows + 1)
        weights = torch.ones(n_rows + 1, 1, device=self.table.values.device)
        weights[-1] = padded - n_rows
        return weights

    def _refeed(self, outputs, weights):
        """One step that fits the network to its own output (Kuchaiev and Ginsburg 2017), with DeFR and NoP."""
        targets = torch.round(outputs * 2) / 2 if self.config.dense_refeeding_rounding else outputs
        inputs = dropout(targets, self.config.noise_probability, self.generator)
        hidden, trace = self.passes.forward(inputs)
        refitted, before = self.passes.outputs(hidden)
        weigh = (lambda matrix: matrix) if weights is None else weights.mul
        size = weigh(torch.ones_like(targets[:, :1])).sum() * self.width
        if self.protocol.loss_entries == "nonzero":
            covered = inputs != 0
            gap, count = (refitted - inputs) * covered, weigh(covered).sum()
        else:
            gap, count = refitted - targets, size
        divisor = size if self.config.loss_size_average else count
        weighted = weigh(gap)
        loss = torch.dot(weighted.view(-1), gap.view(-1)) / divisor
        self.passes.backward(weighted * (2 / divisor), refitted, before, hidden, trace)
        self._step()
        return refitted, loss

    def _step(self):
        self.optimizer.step()
        self.model.steps += 1

"""Training (paper, Sections 3.2 and 3.4): `fit` turns ratings, a configuration and a protocol into a model.

The ratings live on the device from the start. Each epoch's shuffled entries are laid out once, so that a
batch is a slice of them, and the loop reads one number back per epoch.
"""

import itertools
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Ratings, Split, split_ratings
from flexlib.model import Autoencoder, dropout

MOMENTUM = 0.9  # of SGD and RMSprop, as in the released code


@dataclass(eq=False)
class FittedModel:
    """A trained network with all it takes to score it, to recommend with it and to say where it came from.

    row_means: (rows,) stars added back to the network's output (zeros where MeN is off). history: each epoch's RMSE
    over the training ratings, taken while training. status: "ok", or "diverged" where the loss became NaN or infinite,
    which ends training. steps: optimizer steps taken. seconds: of training alone.
    """

    config: FlexConfig
    protocol: Protocol
    network: Autoencoder
    ratings: Ratings
    split: Split
    row_means: np.ndarray
    seed: int
    device: str
    status: str = "ok"
    history: list = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0

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

    def centred(self, index):
        """(k,) float32 values of the ratings at `index`, less their row's mean."""
        return self.ratings.values[index] - self.row_means[self.rows[index]]


class RowTable:
    """Entries of a sparse matrix by row, on the device: for any order of rows, their entries in one go."""

    def __init__(self, rows, columns, values, n_rows, device):
        order = np.argsort(rows, kind="stable")
        self.counts = np.bincount(rows, minlength=n_rows)
        self.starts = torch.from_numpy(np.cumsum(self.counts) - self.counts).to(device)
        self.columns = torch.from_numpy(columns[order].astype(np.int64)).to(device)
        self.values = torch.from_numpy(values[order]).to(device, torch.get_default_dtype())

    def entries(self, order, batch_size, n_columns):
        """The entries of the rows in `order` (k,), cut into batches of `batch_size` rows.

        Returns their flat cells in a (batch_size, n_columns) matrix, their values, and the k // batch_size + 1
        offsets (on the host) where each batch's entries begin.
        """
        device, counts = self.values.device, self.counts[order]
        ends = np.concatenate([[0], np.cumsum(counts)])
        lengths = torch.from_numpy(counts).to(device)
        total = int(ends[-1])
        shift = self.starts[torch.from_numpy(order).to(device)] - torch.from_numpy(ends[:-1]).to(device)
        at = torch.arange(total, device=device) + torch.repeat_interleave(shift, lengths, output_size=total)
        place = torch.arange(len(order), device=device) % batch_size * n_columns
        cells = torch.repeat_interleave(place, lengths, output_size=total) + self.columns[at]
        bounds = ends[np.minimum(np.arange(0, len(order) + batch_size, batch_size), len(order))]
        return cells, self.values[at], bounds.tolist()


def choose_device(device=None):
    """The named device, or cuda where there is one, else cpu. Raises `FlexError` for one that is not there."""
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise FlexError(f"device '{device}' cannot be used: {first_line(error)}") from None
    return str(device)


def fit(ratings, config, protocol="holdout", seed=0, split=None, device=None, on_epoch=None):
    """Train a FlexEncoder on the training part of a split.

    ratings: `Ratings`. config: `FlexConfig`. protocol: a `Protocol` or a name. split: by default a random
    one of the configuration's test split rate. The split, the initial weights and the order of batches depend on the
    seed and the configuration alone, never on the protocol, so that two protocols differ by themselves alone.
    on_epoch: called with the model after each epoch. Raises `FlexError` for a protocol or device that is not.
    """
    protocol, device = Protocol.named(protocol), choose_device(device)
    split = split or split_ratings(ratings, config.test_split_rate, seed)
    model = FittedModel(
        config=config, protocol=protocol, network=None, ratings=ratings, split=split,
        row_means=np.zeros(0, np.float32), seed=seed, device=device,
    )  # fmt: skip
    model.row_means = row_means(model)
    model.network = Autoencoder(model.shape[1], config, _generator(seed, 1)).to(device)
    trainer = _Trainer(model, _generator(seed, 3, device))
    order = _generator(seed, 2)
    for _ in range(config.epochs):
        begun = time.perf_counter()
        with _threads_for(model):
            rmse = trainer.epoch(order)
        model.seconds += time.perf_counter() - begun
        if rmse is None:
            model.status = "diverged"
            break
        model.history.append(rmse)
        if on_epoch:
            on_epoch(model)
    return model


@contextmanager
def _threads_for(model):
    """One thread where a step's largest product is small: handing it to several costs more than it saves."""
    threads = torch.get_num_threads()
    widest = max(weight.numel() for weight in model.network.parameters())
    rows = model.shape[0] if model.protocol.pad_refeeding else model.config.train_batch_size
    try:
        torch.set_num_threads(1 if rows * widest < 5_000_000 else threads)
        yield
    finally:
        torch.set_num_threads(threads)


def row_means(model):
    """Equation 3, over the ratings the protocol names: (rows,) float32; rows with none get the overall mean.

    Zeros where mean normalization is off.
    """
    used = slice(None) if model.protocol.means == "all" else model.split.train
    return mean_by(model.rows[used], model.ratings.values[used], model.shape[0]) * model.config.mean_normalization


def mean_by(keys, values, n):
    """(n,) float32 mean of the values of each key; the overall mean where a key has none."""
    counts = np.bincount(keys, minlength=n)
    sums = np.bincount(keys, weights=values, minlength=n)
    overall = values.mean(dtype=np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), overall).astype(np.float32)


def _generator(seed, stream, device="cpu"):
    """An independent random stream for each use of one seed."""
    state = np.random.SeedSequence([seed, stream]).generate_state(2, np.uint32).astype(np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] << np.uint64(31) | state[1] >> np.uint64(1)))


def _optimizer(parameters, config):
    common = dict(lr=config.learning_rate, weight_decay=config.weight_decay)
    on_cpu = parameters[0].device.type == "cpu"
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, fused=True, **common)
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(parameters, fused=on_cpu or None, **common)
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=MOMENTUM, fused=True, **common)
    return torch.optim.RMSprop(parameters, momentum=MOMENTUM, foreach=True, **common)


class _Trainer:
    """One network's training state: the rows' entries on the device, the optimizer, the random stream."""

    def __init__(self, model, generator):
        self.model, self.config, self.protocol = model, model.config, model.protocol
        self.network, self.generator = model.network, generator
        train = model.split.train
        self.n_columns = model.shape[1]
        values = model.centred(train)
        self.table = RowTable(model.rows[train], model.columns[train], values, model.shape[0], model.device)
        self.rows = np.flatnonzero(self.table.counts)
        covered = values != 0 if self.protocol.loss_entries == "nonzero" else np.ones(len(values), bool)
        self.covered = np.bincount(model.rows[train], weights=covered, minlength=model.shape[0])
        self.whole_matrix = self.protocol.loss_entries == "all" and self.config.mean_normalization
        self.optimizer = _optimizer(list(self.network.parameters()), self.config)

    def epoch(self, order_generator):
        """Train on each row once; the RMSE of the first passes over the ratings, None where a loss was not finite."""
        size = self.config.train_batch_size
        order = self.rows[torch.randperm(len(self.rows), generator=order_generator).numpy()]
        cells, values, bounds = self.table.entries(order, size, self.n_columns)
        starts = np.arange(0, len(order), size)
        covered = np.add.reduceat(self.covered[order], starts).tolist()
        padded = (np.maximum.reduceat(order, starts) + 1).tolist()
        squares = torch.zeros((), device=values.device)
        watched = torch.zeros((), device=values.device)
        entries = 0
        for batch, (first, last) in enumerate(itertools.pairwise(bounds)):
            n_rows = min(size, len(order) - batch * size)
            count = n_rows * self.n_columns if self.whole_matrix else covered[batch]
            if count == 0 and not self.config.loss_size_average:
                continue  # nothing to fit (0 / 0): the released code skips such a batch too
            error, loss = self._batch(cells[first:last], values[first:last], n_rows, padded[batch], count)
            squares += error
            watched += loss
            entries += covered[batch]
        # A step may blow the weights up after the last loss was seen: they are watched too.
        watched += sum(weight.detach().sum() for weight in self.network.parameters())
        squares, watched = torch.stack([squares, watched]).tolist()
        return math.sqrt(squares / max(entries, 1)) if math.isfinite(watched) else None

    def _batch(self, cells, values, n_rows, padded, count):
        """The step on a batch's ratings, then DeF steps on its own output."""
        config, protocol, width = self.config, self.protocol, self.n_columns
        seen = values
        if protocol.noise == "input-and-refed":
            seen = dropout(values, config.noise_probability, self.generator)
        n_matrix = padded if protocol.pad_refeeding and config.dense_refeeding else n_rows
        inputs = torch.zeros(n_matrix * width, device=values.device)
        inputs[cells] = seen
        outputs = self.network(inputs.view(n_matrix, width), self.generator)
        gap = outputs.view(-1)[cells] - values
        if protocol.loss_entries == "nonzero":
            gap = gap * (values != 0)
        error = squares = gap.square().sum()
        if self.whole_matrix:
            targets = torch.zeros(n_rows * width, device=values.device)
            targets[cells] = values
            error = (outputs[:n_rows].reshape(-1) - targets).square().sum()
        size = (padded if protocol.pad_first_pass else n_rows) * width
        loss = error / (size if config.loss_size_average else count)
        self._step(loss)
        watched = loss.detach()
        for _ in range(config.dense_refeeding):
            outputs, loss = self._refeed(outputs.detach())
            watched = watched + loss
        return squares.detach(), watched

    def _refeed(self, outputs):
        """One step that fits the network to its own output (Kuchaiev and Ginsburg 2017), with DeFR and NoP."""
        targets = torch.round(outputs * 2) / 2 if self.config.dense_refeeding_rounding else outputs
        inputs = dropout(targets, self.config.noise_probability, self.generator)
        refitted = self.network(inputs, self.generator)
        if self.protocol.loss_entries == "nonzero":
            error, count = ((refitted - inputs) * (inputs != 0)).square().sum(), (inputs != 0).sum()
        else:
            error, count = (refitted - targets).square().sum(), targets.numel()
        loss = error / (targets.numel() if self.config.loss_size_average else count)
        self._step(loss)
        return refitted, loss.detach()

    def _step(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.model.steps += 1

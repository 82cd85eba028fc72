"""Training: `fit` turns ratings, a configuration and a protocol into a model.

For each batch of rows with observed ratings r, centred, and outputs f(x)::

    loss = sum over observed (f(x) - r)^2 / number of observed ratings
           (or / size of the whole batch matrix, with `loss_size_average`)

one step of the optimizer, then dense re-feeding (DeF): f(x) becomes input and target of another step, `dense_refeeding`
times. What a step sees and what counts is up to the protocol. With `denoising_loss` the sum is over the ratings that
noise hides from x. Weight decay (WeD) is the optimizer's; with `loss_decay` the sum has another term, WeD times the
squared weights times the batch's share of all training ratings.

The ratings live on the device from the start. Each epoch's shuffled entries are laid out once, so that a batch is a
slice of them, and the loop reads one number back per epoch. One step: `_Trainer.train_batch` here, its passes in
`flexlib.fast.backprop`, their sparse products in `flexlib.fast.entries`.

References
----------
Tran et al. (2018), Sections 3.2 to 3.4. Kuchaiev and Ginsburg (2017) for dense re-feeding. Prechelt (1998) for early
stopping.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from typing import Protocol as Interface

import numpy as np
import torch
from torch import Tensor

from flexlib.centring import fit_centring
from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Index, Ratings, Split, Stars, hold_back, split_ratings
from flexlib.fast.backprop import Backprop, dropout, dropout_factors
from flexlib.fast.entries import Entries, RowTable, has_sparse_products
from flexlib.fast.rmsprop import ChunkedRMSprop
from flexlib.model import Autoencoder, matrix_shape
from flexlib.predict import FittedModel, OutputReader, predict_ratings
from flexlib.seeds import TorchStream, torch_generator

MOMENTUM = 0.9  # of SGD and RMSprop, as in the released code
PROGRESS = ("history", "validation_history", "steps", "seconds")  # of a model, what training adds to
LEAVE_OUT_FROM = 64  # width of the first layer, from which products without the ratings that noise hides are faster
SMALL_PRODUCT = 5_000_000  # multiplications, below which handing a product to several threads costs more than it saves


@contextmanager
def _subnormals_as_zero() -> Iterator[None]:
    """Take numbers below 1.2e-38 for 0, in this thread and in those that it starts.

    Where no rating touches a weight, the optimizer's moving averages of it fade until they are subnormal, after some
    800 steps of ADAM, and stay so. Processors compute with subnormal numbers several times slower. Threads that
    computed for PyTorch before are left as they were: a process that trains first is fastest.
    """
    were = bool(torch.tensor(torch.finfo(torch.float32).tiny) / 2 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were)


@_subnormals_as_zero()
def fit(
    ratings: Ratings,
    config: FlexConfig,
    protocol: Protocol | str = "holdout",
    seed: int = 0,
    split: Split | None = None,
    device: str | None = None,
    on_epoch: Callable[[FittedModel], bool | None] | None = None,
    on_batch: Callable[[FittedModel, float], object] | None = None,
    checkpoint: "Keeper | None" = None,
) -> FittedModel:
    """Train a FlexEncoder on the training part of a split.

    The split, the initial weights and the order of batches depend on the seed and the configuration, never on the
    protocol: two protocols differ by themselves alone. With `patience`, a share of the training ratings is held back;
    training ends when their RMSE has not fallen for so many epochs, and the best epoch's weights stay.

    Parameters
    ----------
    ratings
        What to learn from.
    config
        The paper's 17 parameters, and ours.
    protocol
        How to train and score: a `Protocol`, or the name of one.
    seed
        At least 0.
    split
        By default a random one of the configuration's test split rate (TSR).
    device
        By default cuda where there is one, else cpu.
    on_epoch
        Called with the model after each epoch; training ends where it returns True. The model's split is the same at
        every call.
    on_batch
        Called after each batch with the model and the share of the epoch's rows that are done.
    checkpoint
        Where training goes on from, and keeps its state after each epoch: `flexlib.storage.checkpoints.Checkpoint`.

    Returns
    -------
    FittedModel
        Its status is "diverged" where the loss became NaN or infinite.

    Raises
    ------
    FlexError
        For a protocol or a device that is not there, and for a checkpoint of another training.
    """
    rules, device = Protocol.named(protocol), choose_device(device)
    split = split or split_ratings(ratings, config.test_split_rate, seed)
    held_back = None
    if config.patience:
        inner = hold_back(split, seed)
        held_back, split = inner.test, Split(inner.train, split.test)
    model = _untrained(ratings, config, rules, seed, split, device)
    trainer = _Trainer(model, held_back, on_batch)
    state = checkpoint.load(model) if checkpoint else None
    if state:
        trainer.restore(state)
    while len(model.history) < config.epochs and not trainer.out_of_patience:
        if not trainer.run_epoch():
            model.status = "diverged"
            break
        if checkpoint:
            checkpoint.save(model, trainer.state())
        if on_epoch and on_epoch(model):
            break
    best = trainer.best
    if best.weights is not None and model.status == "ok":
        trainer.passes.parameters.data.copy_(best.weights)
        model.validation_rmse, model.best_epoch = best.rmse, best.epoch
    return model


def _untrained(
    ratings: Ratings, config: FlexConfig, protocol: Protocol, seed: int, split: Split, device: str
) -> FittedModel:
    """Centre the ratings and draw the network's weights."""
    shape = matrix_shape(ratings, config)
    network = Autoencoder(shape[1], config, torch_generator(seed, TorchStream.WEIGHTS)).to(device)
    nothing = np.zeros(0, np.float32)
    model = FittedModel(config, protocol, network, ratings, split, nothing, nothing, seed, device)
    used = slice(None) if protocol.means == "all" else split.train
    known = model.rows[used], model.columns[used], ratings.values[used]
    model.row_means, model.column_offsets = fit_centring(config, *known, shape)
    if config.mean_normalization and config.centring == "output-bias":
        network.decoder_biases[-1].data.fill_(float(known[2].mean(dtype=np.float64)))
    return model


def choose_device(device: str | None = None) -> str:
    """Check the named device, or choose one.

    Parameters
    ----------
    device
        As PyTorch names it ("cpu", "cuda:1"); None for cuda where there is one, else cpu.

    Returns
    -------
    str
        The device's name.

    Raises
    ------
    FlexError
        For a device that cannot be used.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).cpu()
    # PyTorch raises a kind of RuntimeError for a device that it can name and not compute on, such as meta.
    except (RuntimeError, AssertionError, ImportError) as error:
        raise FlexError(f"device '{device}' cannot be used: {first_line(error)}") from None
    return str(device)


def rmse_of(model: FittedModel, index: Index) -> float:
    """Compute the RMSE, in stars, of `predict_ratings` over the ratings at `index`."""
    return _root_mean_square(predict_ratings(model, index) - model.ratings.values[index])


def _root_mean_square(gap: Stars) -> float:
    return float(np.sqrt(np.mean(gap.astype(np.float64) ** 2)))


class BestEpoch(NamedTuple):
    """The epoch with the lowest validation RMSE so far, and its weights."""

    rmse: float
    epoch: int
    weights: Tensor | None

    def or_better(self, rmse: float, epoch: int, weights: Tensor) -> "BestEpoch":
        """Give the new epoch if its RMSE is lower, else this one."""
        return BestEpoch(rmse, epoch, weights.detach().clone()) if rmse < self.rmse else self


class Stepper(Interface):
    """Anything that updates weights from their gradients."""

    @property
    def state(self) -> Mapping[Tensor, Any]:
        """What it keeps of each tensor between steps, by name."""

    def step(self) -> object:
        """Update every weight once."""


class TrainingState(NamedTuple):
    """All that training goes on from after an epoch.

    tensors: weights, the optimizer's state, random generators, and the best epoch's weights, by name. numbers: plain
    values, also by name.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Keeper(Interface):
    """Anything that keeps the state of one training."""

    def load(self, model: FittedModel) -> TrainingState | None:
        """Give the state that is kept, or None."""

    def save(self, model: FittedModel, state: TrainingState) -> object:
        """Keep a state in place of the one before."""


def make_optimizer(parameters: torch.nn.Parameter, config: FlexConfig) -> Stepper:
    """Make the update rule (Opt) of one tensor that has a gradient, with its learning rate (LR) and decay (WeD).

    Parameters
    ----------
    parameters
        All weights and biases of a network.
    config
        Names the rule.

    Returns
    -------
    Stepper
        Its `step` updates the tensor in place.

    Raises
    ------
    FlexError
        For a rule without an implementation.
    """
    rate, decay = config.learning_rate, 0.0 if config.loss_decay else config.weight_decay
    match config.optimizer:
        case "adam":
            return torch.optim.Adam([parameters], lr=rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW([parameters], lr=rate, weight_decay=decay, fused=True)
        case "adagrad":
            fused = parameters.device.type == "cpu" or None  # it has no fused form elsewhere
            return torch.optim.Adagrad([parameters], lr=rate, weight_decay=decay, fused=fused)
        case "adadelta":
            return torch.optim.Adadelta([parameters], lr=rate, weight_decay=decay)
        case "rmsprop":
            return ChunkedRMSprop(parameters, lr=rate, weight_decay=decay, momentum=MOMENTUM)
        case "sgd":
            return torch.optim.SGD([parameters], lr=rate, weight_decay=decay, momentum=MOMENTUM, fused=True)
    raise FlexError(f"optimizer '{config.optimizer}' is not known")


@contextmanager
def _threads_for(model: FittedModel) -> Iterator[None]:
    """Use one thread where a step's largest product is small."""
    threads = torch.get_num_threads()
    widest = max(weight.numel() for weight in model.network.parameters())
    noisy = model.config.drop_probability or model.config.noise_probability
    rows = model.shape[0] if model.protocol.pad_refeeding and noisy else model.config.train_batch_size
    try:
        torch.set_num_threads(1 if rows * widest < SMALL_PRODUCT else threads)
        yield
    finally:
        torch.set_num_threads(threads)


class _Trainer:
    """One network in training: its rows on the device, passes, optimizer, random streams, and the best epoch."""

    def __init__(
        self,
        model: FittedModel,
        held_back: Index | None = None,
        on_batch: Callable[[FittedModel, float], object] | None = None,
    ) -> None:
        self.model, self.config, self.protocol = model, model.config, model.protocol
        self.held_back, self.on_batch = held_back, on_batch
        self.best = BestEpoch(math.inf, 0, None)
        self.order_generator = torch_generator(model.seed, TorchStream.ORDER)
        self.generator = torch_generator(model.seed, TorchStream.DROPOUT, model.device)
        self.passes = Backprop(model.network, self.generator)
        self.optimizer = make_optimizer(self.passes.parameters, self.config)
        train, self.width = model.split.train, model.shape[1]
        values = model.centred(train)
        self.table = RowTable(model.rows[train], model.columns[train], values, model.shape[0], model.device)
        self.rows = np.flatnonzero(self.table.counts)
        if held_back is not None:
            cells = model.rows[held_back], model.columns[held_back]
            self.reader, self.held_back_centres = OutputReader(model, self.table, *cells), model.centres(*cells)
        covered = values != 0 if self.protocol.loss_entries == "nonzero" else np.ones(len(values), bool)
        self.covered = np.bincount(model.rows[train], weights=covered, minlength=model.shape[0])
        self.whole_matrix = self.protocol.loss_entries == "all" and self.config.mean_normalization
        self.sparse = has_sparse_products(model.device)
        self.leave_out = self.sparse and self.config.hidden_layers[0] >= LEAVE_OUT_FROM

    @property
    def out_of_patience(self) -> bool:
        """Whether the validation RMSE has not fallen for `patience` epochs."""
        return self.held_back is not None and len(self.model.history) - self.best.epoch >= self.config.patience

    def run_epoch(self) -> bool:
        """Train for an epoch, score the ratings held back, and take both down; False where a loss was not finite."""
        model, begun = self.model, time.perf_counter()
        with _threads_for(model):
            rmse = self.train_epoch()
        if rmse is not None:
            model.history.append(rmse)
            if self.held_back is not None:
                predicted = self.reader.read() + self.held_back_centres
                model.validation_history.append(_root_mean_square(predicted - model.ratings.values[self.held_back]))
                found = model.validation_history[-1], len(model.history), self.passes.parameters
                self.best = self.best.or_better(*found)
        model.seconds += time.perf_counter() - begun
        return rmse is not None

    def state(self) -> TrainingState:
        """Give all that training goes on from; the tensors are those in use."""
        kept: dict[str, Tensor | None] = self.optimizer.state[self.passes.parameters]
        tensors = {f"optimizer.{name}": tensor for name, tensor in kept.items() if tensor is not None}
        tensors |= {"weights": self.passes.parameters.detach()}
        tensors |= {"order": self.order_generator.get_state(), "dropout": self.generator.get_state()}
        if self.best.weights is not None:
            tensors["best"] = self.best.weights
        numbers = {name: getattr(self.model, name) for name in PROGRESS}
        return TrainingState(tensors, numbers | {"best_rmse": self.best.rmse, "best_epoch": self.best.epoch})

    def restore(self, state: TrainingState) -> None:
        """Go on from a state of the same training."""
        tensors, numbers = state
        self.passes.parameters.data.copy_(tensors["weights"])
        kept = self.optimizer.state[self.passes.parameters]
        for name in tensors:
            kind, _, part = name.partition(".")
            if kind == "optimizer" and part in kept:
                kept[part].copy_(tensors[name])
            elif kind == "optimizer":
                kept[part] = tensors[name].to(self.model.device)
        self.order_generator.set_state(tensors["order"])
        self.generator.set_state(tensors["dropout"])
        self.best = BestEpoch(numbers["best_rmse"], numbers["best_epoch"], tensors.get("best"))
        for name in PROGRESS:
            setattr(self.model, name, numbers[name])

    def train_epoch(self) -> float | None:
        """Train on each row once; the RMSE of the first passes in stars, None where a loss was not finite."""
        size = self.config.train_batch_size
        order = self.rows[torch.randperm(len(self.rows), generator=self.order_generator).numpy()]
        starts = np.arange(0, len(order), size)
        covered = np.add.reduceat(self.covered[order], starts).tolist()
        padded = (np.maximum.reduceat(order, starts) + 1).tolist()
        squares = torch.zeros((), device=self.table.values.device)
        losses = torch.zeros((), device=self.table.values.device)
        scored = 0.0
        for batch, (entries, values) in enumerate(self.table.batches(order, size, self.width, self.sparse)):
            count = entries.shape[0] * self.width if self.whole_matrix else covered[batch]
            if count == 0 and not self.config.loss_size_average:
                continue  # nothing to fit (0 / 0): the released code skips such a batch too
            error, loss = self.train_batch(entries, values, padded[batch], count)
            squares += error
            losses += loss
            scored += covered[batch]
            if self.on_batch:
                self.on_batch(self.model, min(1.0, (batch + 1) * size / len(order)))
        # A step may blow the weights up after the last loss was seen: their sum tells.
        total, finite = torch.stack([squares, losses + self.passes.parameters.sum()]).tolist()
        return math.sqrt(total / max(scored, 1)) if math.isfinite(finite) else None

    def train_batch(self, entries: Entries, values: Tensor, padded: int, count: float) -> tuple[Tensor, Tensor]:
        """Take the step on a batch's ratings, then DeF steps on its own output.

        Parameters
        ----------
        entries, values
            The batch's ratings: places, and (k,) centred stars.
        padded
            Rows of the released code's batch matrix: the largest row of the batch, plus 1.
        count
            Entries that the loss covers.

        Returns
        -------
        squares, loss
            Squared error of the first pass over the ratings, and the sum of all losses.
        """
        config, protocol, passes = self.config, self.protocol, self.passes
        n_rows, refeeding = entries.shape[0], config.dense_refeeding
        rated, noisy = torch.ones_like(values), bool(config.noise_probability) and protocol.noise == "input-and-refed"
        if noisy:
            rated = dropout_factors(values, config.noise_probability, self.generator)
        confined = noisy and config.denoising_loss
        weights = None
        if protocol.pad_refeeding and refeeding and padded > n_rows:
            weights = self._pad(entries, padded)
        inputs, seen, shown = values * rated if noisy else values, rated, entries
        if noisy and self.leave_out:
            shown, index = entries.select(rated != 0)
            inputs, seen = inputs[index], rated[index]
        hidden, trace = passes.forward(inputs, shown, seen)
        dense = bool(refeeding) or self.whole_matrix  # all outputs are needed, not only those at ratings
        outputs, sums = passes.outputs(hidden, None if dense else entries)
        at, sums_at = (t.view(-1)[entries.cells] if dense else t for t in (outputs, sums))
        gap = at - values
        if protocol.loss_entries == "nonzero":
            gap = gap * (values != 0)
        squares = error = gap.square().sum()
        if self.whole_matrix:
            gap = outputs - entries.dense(values)
            gap[n_rows:] = 0
            at, sums_at = outputs, sums
        if confined:
            gap = gap * (entries.dense(rated) if self.whole_matrix else rated).eq(0)
        if self.whole_matrix or confined:
            error = gap.square().sum()
        size = (padded if protocol.pad_first_pass else n_rows) * self.width
        divisor = size if config.loss_size_average else count
        passes.backward(gap * (2 / divisor), at, sums_at, hidden, trace, None if self.whole_matrix else entries)
        share = len(values) / len(self.table.values)
        self._step(share / divisor)
        losses = error / divisor
        for _ in range(refeeding):
            outputs, loss = self._refeed(outputs, weights, share)
            losses = losses + loss
        return squares, losses

    def _pad(self, entries: Entries, padded: int) -> Tensor | None:
        """Append the zero rows of the released code's batch matrix.

        Without dropout or noise they are all alike: one stands for all, and what each row counts for is returned,
        (rows, 1).
        """
        n_rows = entries.shape[0]
        if self.config.drop_probability or self.config.noise_probability:
            entries.pad(padded)
            return None
        entries.pad(n_rows + 1)
        weights = torch.ones(n_rows + 1, 1, device=self.table.values.device)
        weights[-1] = padded - n_rows
        return weights

    def _refeed(self, outputs: Tensor, weights: Tensor | None, share: float) -> tuple[Tensor, Tensor]:
        """Take one step that fits the network to its own output (B, width), rounded (DeFR) and noisy (NoP).

        weights: what each row counts for, of `_pad`. share: of the training ratings, the batch's. Returns the new
        output and the loss.
        """
        targets = torch.round(outputs * 2) / 2 if self.config.dense_refeeding_rounding else outputs
        inputs = dropout(targets, self.config.noise_probability, self.generator)
        hidden, trace = self.passes.forward(inputs)
        refitted, sums = self.passes.outputs(hidden)

        def weighted(matrix: Tensor) -> Tensor:
            return matrix if weights is None else weights.mul(matrix)

        size = weighted(torch.ones_like(targets[:, :1])).sum() * self.width
        if self.protocol.loss_entries == "nonzero":
            covered = inputs != 0
            gap, count = (refitted - inputs) * covered, weighted(covered).sum()
        else:
            gap, count = refitted - targets, size
        divisor = size if self.config.loss_size_average else count
        weighted_gap = weighted(gap)
        loss = torch.dot(weighted_gap.view(-1), gap.view(-1)) / divisor
        self.passes.backward(weighted_gap * (2 / divisor), refitted, sums, hidden, trace)
        self._step(share / divisor)
        return refitted, loss

    def _step(self, decayed: float | Tensor) -> None:
        """Take a step. decayed: how often the sum over all ratings has the L2 term of this batch (LoD)."""
        if self.config.loss_decay and self.config.weight_decay:
            self.passes.add_decay(2 * self.config.weight_decay * decayed)
        self.optimizer.step()
        self.model.steps += 1

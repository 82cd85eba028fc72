"""The shortcuts of training change no result: sparse products, RMSprop in pieces, one row for many alike."""

import sys

import numpy as np
import pytest
import torch
from conftest import make_ratings, random_ratings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flexlib.activations import FUNCTIONS
from flexlib.config import ACTIVATIONS, FlexConfig, Protocol
from flexlib.data import Split, split_ratings
from flexlib.evaluation import evaluate
from flexlib.fast.entries import Entries, RowTable
from flexlib.fast.rmsprop import ChunkedRMSprop
from flexlib.predict import network_outputs
from flexlib.train import fit

# The shortcut is off in flexlib, too, where PyTorch has no MKL, as on ARM processors: there is nothing to compare.
needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="sparse products need PyTorch with MKL")


@needs_mkl
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), size=st.integers(1, 9), width=st.integers(1, 7), extra=st.integers(0, 2))
def test_sparse_products_equal_dense_ones(double_precision, seed, size, width, extra):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(8, width)) * (rng.random((8, width)) < 0.4)
    rows, columns = np.nonzero(matrix)
    table = RowTable(rows, columns, matrix[rows, columns], 8, "cpu")
    order = rng.permutation(np.flatnonzero(table.counts))
    for batch, (entries, values) in enumerate(table.batches(order, size, width, sparse=True)):
        own = matrix[order[batch * size : (batch + 1) * size]]
        if extra:
            entries.pad(len(own) + extra)
            own = np.vstack([own, np.zeros((extra, width))])
        own = torch.from_numpy(own)
        left, right = torch.randn(width, 3), torch.randn(len(own), 3)
        torch.testing.assert_close(entries.dense(values), own)
        torch.testing.assert_close(entries.times(values, left), own @ left)
        for add in (False, True):
            total = torch.ones(width, 3)
            entries.times_transposed(values, right, total, add)
            torch.testing.assert_close(total, add + own.T @ right)
        torch.testing.assert_close(entries.sample(right, left.T), (right @ left.T)[own != 0])


@pytest.mark.parametrize("size", [1, 3, 50])
def test_batches_laid_out_in_pieces_are_the_same(monkeypatch, size):
    config = FlexConfig(hidden_layers=(5,), train_batch_size=size, epochs=2, noise_probability=0.3, patience=2)
    ratings = random_ratings(3, n_users=20)
    whole = fit(ratings, config)
    laid_out = []
    lay_out = RowTable._lay_out
    monkeypatch.setattr(RowTable, "_lay_out", lambda *args: laid_out.append(args[1]) or lay_out(*args))
    monkeypatch.setattr(sys.modules["flexlib.fast.entries"], "ENTRIES_AT_ONCE", 10)
    pieces = fit(ratings, config)
    assert size == 50 or max(map(len, laid_out)) < 20  # there are pieces, if there are batches
    assert (pieces.history, pieces.validation_history) == (whole.history, whole.validation_history)
    assert evaluate(pieces).scores() == evaluate(whole).scores()


@pytest.mark.parametrize("share_wanted", [0.05, 1.0])
@pytest.mark.parametrize("cells_per_block", [1, 40, 10**6])
def test_outputs_are_those_of_the_dense_network(double_precision, monkeypatch, share_wanted, cells_per_block):
    settings = dict(hidden_layers=(5, 3), implicit_input=True, input_normalization=True, output_activation=False)
    model = fit(random_ratings(3, n_users=30), FlexConfig(epochs=2, dense_refeeding=0, **settings))
    rng, (n_rows, width), shown = np.random.default_rng(0), model.shape, model.split.train
    matrix, rated = np.zeros((2, n_rows, width))
    cells = model.rows[shown], model.columns[shown]
    values = rng.normal(size=len(shown))
    matrix[cells], rated[cells] = values, 1
    outputs = model.network(torch.from_numpy(matrix), torch.from_numpy(rated)).detach().numpy()
    rows, columns = rng.permutation(np.argwhere(rng.random(outputs.shape) < share_wanted)).T
    monkeypatch.setattr(sys.modules["flexlib.predict"], "CELLS_PER_BLOCK", cells_per_block)
    read = network_outputs(model, shown, values, rows, columns)
    np.testing.assert_allclose(read, outputs[rows, columns], rtol=1e-6)


@pytest.mark.parametrize("protocol", ["released", "described", "holdout", "released-padded"])
@pytest.mark.parametrize("refeeding", [0, 2])
def test_without_sparse_products_training_is_the_same(double_precision, monkeypatch, protocol, refeeding):
    config = FlexConfig(
        hidden_layers=(5, 3),
        train_batch_size=4,
        epochs=2,
        dense_refeeding=refeeding,
        decoder_constraint=bool(refeeding),
        activation="tanh",
    )
    sparse = fit(random_ratings(3), config, protocol, device="cpu")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    dense = fit(random_ratings(3), config, protocol, device="cpu")
    for one, other in zip(sparse.network.parameters(), dense.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@needs_mkl
@pytest.mark.parametrize("protocol", ["described", "holdout"])
@pytest.mark.parametrize("refeeding", [0, 1])
@pytest.mark.parametrize("ours", [False, True])
def test_leaving_hidden_ratings_out_of_products_changes_nothing(
    double_precision, monkeypatch, protocol, refeeding, ours
):
    extras = dict(implicit_input=ours, input_normalization=ours, denoising_loss=ours)
    config = FlexConfig(
        hidden_layers=(5, 3),
        train_batch_size=4,
        epochs=3,
        dense_refeeding=refeeding,
        noise_probability=0.6,
        decoder_constraint=not ours,
        **extras,
    )
    whole = fit(random_ratings(3), config, protocol, device="cpu")
    selected = []
    select = Entries.select
    monkeypatch.setattr(sys.modules["flexlib.train"], "LEAVE_OUT_FROM", 1)
    monkeypatch.setattr(Entries, "select", lambda *args: selected.append(args) or select(*args))
    fewer = fit(random_ratings(3), config, protocol, device="cpu")
    assert selected
    assert fewer.history == pytest.approx(whole.history, rel=1e-12)
    for one, other in zip(fewer.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_of_activations_are_those_that_autograd_finds(double_precision, name):
    x = torch.tensor([-30.0, -2.5, -1.0, -0.3, 0.2, 0.9, 1.7, 4.0, 7.0, 30.0], requires_grad=True)
    y = FUNCTIONS[name].function(x)
    upstream = torch.linspace(0.5, 2.0, len(x))
    (expected,) = torch.autograd.grad(y, x, upstream)
    torch.testing.assert_close(FUNCTIONS[name].gradient(upstream, x.detach(), y.detach()), expected)


@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
def test_rmsprop_in_pieces_is_pytorchs(monkeypatch, weight_decay):
    monkeypatch.setattr(ChunkedRMSprop, "PIECE", 7)
    torch.manual_seed(0)
    start = torch.randn(30)
    own, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    own.grad = torch.zeros_like(own)
    settings_ = dict(lr=0.01, weight_decay=weight_decay, momentum=0.9)
    pieces, whole = ChunkedRMSprop(own, **settings_), torch.optim.RMSprop([theirs], **settings_)
    for step in range(25):
        gradient = torch.randn(30, generator=torch.Generator().manual_seed(step))
        own.grad.copy_(gradient)
        theirs.grad = gradient
        pieces.step()
        whole.step()
    torch.testing.assert_close(own.detach(), theirs.detach())
    assert (own - start).abs().min() > 1e-4


def test_one_weighted_row_stands_for_all_the_zero_rows(double_precision):
    """Without dropout or noise the padding's rows are alike. With a dropout too rare to strike they are re-fed one by
    one, and the weights come out the same."""
    config = FlexConfig(hidden_layers=(4,), train_batch_size=3, epochs=2, dense_refeeding=2, activation="tanh")
    protocol = Protocol.named("released-padded")
    for changes in (
        {},
        {"loss_size_average": True},
        {"dense_refeeding_rounding": True, "activation": "selu", "learning_rate": 0.1},
    ):
        alike = fit(random_ratings(4), config.replace(**changes), protocol, device="cpu")
        singly = fit(random_ratings(4), config.replace(**changes, drop_probability=1e-15), protocol, device="cpu")
        for one, other in zip(alike.network.parameters(), singly.network.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
        unpadded = fit(random_ratings(4), config.replace(**changes), "released", device="cpu")
        assert any(
            not torch.allclose(one, other, rtol=1e-4)
            for one, other in zip(alike.network.parameters(), unpadded.network.parameters(), strict=True)
        )


STOPPING = FlexConfig(
    hidden_layers=(6,),
    learning_rate=0.05,
    epochs=60,
    patience=2,
    train_batch_size=8,
    dense_refeeding=0,
    activation="tanh",
)


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_early_stopping_keeps_the_weights_of_its_best_epoch(protocol):
    ratings = random_ratings(7)
    split = split_ratings(ratings, 0.3, 0)
    stopped = fit(ratings, STOPPING, protocol, split=split, device="cpu")
    ran = len(stopped.history)
    assert STOPPING.patience < ran < STOPPING.epochs
    assert np.array_equal(stopped.split.test, split.test)
    assert set(stopped.split.train) < set(split.train)
    held_back = np.setdiff1d(split.train, stopped.split.train)
    assert len(held_back) == round(0.1 * len(split.train))
    # The best of the epochs, found by training that long from the start on what was left to train on
    scores, weights = [], []
    for epochs in range(1, ran + 1):
        plain = STOPPING.replace(epochs=epochs, patience=0)
        model = fit(ratings, plain, protocol, split=Split(stopped.split.train, split.test), device="cpu")
        model.split = Split(model.split.train, held_back)
        model.protocol = Protocol.named("holdout").replace(unseen_fallback=False)
        scores.append(evaluate(model).rmse)
        weights.append([p.detach().clone() for p in model.network.parameters()])
    best = int(np.argmin(scores))
    assert ran - 1 - best == STOPPING.patience
    for mine, expected in zip(stopped.network.parameters(), weights[best], strict=True):
        torch.testing.assert_close(mine.detach(), expected)


def test_centring_by_biases_on_a_hand_sized_case():
    """Less the mean of 3, row 0 has 2 and 0, row 1 has 0 and -2, and so have the columns; 5 ratings of 0 shrink their
    biases to 2 / (2 + 5)."""
    ratings = make_ratings([(0, 0, 5.0), (0, 1, 3.0), (1, 0, 3.0), (1, 1, 1.0), (0, 2, 4.0)])
    split = Split(np.arange(4), np.array([4]))
    config = FlexConfig(epochs=0, centring="biases")
    model = fit(ratings, config, "holdout", split=split)
    np.testing.assert_allclose(model.row_means, [3 + 2 / 7, 3 - 2 / 7])
    np.testing.assert_allclose(model.column_offsets, [2 / 7, -2 / 7, 0])
    np.testing.assert_allclose(model.centred(np.array([0])), [5 - 3 - 4 / 7], rtol=1e-6)
    assert not fit(ratings, config.replace(mean_normalization=False), "holdout", split=split).column_offsets.any()


class Last:
    """A keeper of training's last state alone."""

    def load(self, model):
        return None

    def save(self, model, state):
        self.tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}


def are_subnormals_zero():
    return bool(torch.tensor(torch.finfo(torch.float32).tiny) / 2 == 0)


def test_averages_that_fade_end_at_zero_and_the_processor_is_left_as_it_was():
    users = np.arange(3_000)
    films = np.where(users == 0, 1, 0)  # a step in 2,999 touches the weights of the second
    ratings = make_ratings(zip(users, films, 1 + users % 5, strict=True))
    last = Last()
    split = Split(users[:-1], users[-1:])
    config = FlexConfig(hidden_layers=[4], epochs=1, train_batch_size=1, dense_refeeding=0, mean_normalization=False)
    seen = []
    fit(ratings, config, split=split, checkpoint=last, on_epoch=lambda _: seen.append(are_subnormals_zero()))
    assert (seen, are_subnormals_zero()) == ([True], False)
    averages = last.tensors["optimizer.exp_avg"].double().abs().numpy()
    tiny = torch.finfo(torch.float32).tiny
    assert not ((averages > 0) & (averages < tiny)).any()
    assert (averages > 0).any()
    with pytest.raises(ZeroDivisionError):
        fit(ratings, config, split=split, on_epoch=lambda _: 1 / 0)
    assert not are_subnormals_zero()
    torch.set_flush_denormal(True)
    try:
        fit(ratings, config, split=split)
        assert are_subnormals_zero()
    finally:
        torch.set_flush_denormal(False)

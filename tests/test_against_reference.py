"""Every parameter and every protocol field, in combinations that hypothesis draws, against the naive reference."""

import numpy as np
import pytest
import torch
from conftest import random_ratings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import Reference

from flexlib.config import ACTIVATIONS, OPTIMIZERS, FlexConfig, Protocol
from flexlib.data import split_ratings
from flexlib.evaluation import evaluate, hidden_mask
from flexlib.model import Autoencoder
from flexlib.seeds import TorchStream, torch_generator
from flexlib.train import fit

CONFIG_FIELDS = {
    "learning_rate": st.sampled_from([0.001, 0.02]),
    "weight_decay": st.sampled_from([0.0, 0.01]),
    "hidden_layers": st.sampled_from([[4], [5, 3], [3, 6], [4, 2, 3]]),
    "drop_probability": st.sampled_from([0.0, 0.4]),
    "noise_probability": st.sampled_from([0.0, 0.3]),
    "train_batch_size": st.sampled_from([1, 3, 64]),
    "epochs": st.sampled_from([1, 3]),
    "optimizer": st.sampled_from(OPTIMIZERS),
    "activation": st.sampled_from(ACTIVATIONS),
    "dense_refeeding": st.sampled_from([0, 1, 2]),
    "dense_refeeding_rounding": st.booleans(),
    "decoder_constraint": st.booleans(),
    "mean_normalization": st.booleans(),
    "prediction_rounding": st.booleans(),
    "pivot_indexes": st.sampled_from([[0, 1], [1, 0]]),
    "test_masking_rate": st.sampled_from([0.0, 0.5, 1.0]),
    "test_split_rate": st.sampled_from([0.1, 0.4]),
    "output_activation": st.booleans(),
    "loss_size_average": st.booleans(),
    "centring": st.sampled_from(["rows", "biases", "output-bias"]),
    "patience": st.just(0),  # early stopping has tests of its own
    "implicit_input": st.booleans(),
    "input_normalization": st.booleans(),
    "denoising_loss": st.booleans(),
    "loss_decay": st.booleans(),
}
PROTOCOL_FIELDS = {
    "means": st.sampled_from(["training", "all"]),
    "test_input": st.sampled_from(["training", "visible-centred", "visible-raw"]),
    "masking": st.sampled_from(["exact", "with-replacement"]),
    "scored": st.sampled_from(["all", "hidden"]),
    "loss_entries": st.sampled_from(["observed", "nonzero", "all"]),
    "noise": st.sampled_from(["input-and-refed", "refed"]),
    "pad_first_pass": st.booleans(),
    "pad_refeeding": st.booleans(),
    "rounding": st.sampled_from(["scale", "released"]),
    "unseen_fallback": st.booleans(),
}


def test_no_field_is_left_out():
    assert set(CONFIG_FIELDS) == set(FlexConfig().to_dict())
    assert set(PROTOCOL_FIELDS) == set(Protocol().to_dict())


def compare(config, protocol, seed):
    ratings = random_ratings(seed)
    split = split_ratings(ratings, config.test_split_rate, seed)
    model = fit(ratings, config, protocol, seed, split=split, device="cpu")
    n_columns = ratings.n_users if config.item_based else ratings.n_items
    start = Autoencoder(n_columns, config, torch_generator(seed, TorchStream.WEIGHTS)).state_dict()
    naive = Reference(ratings, config, protocol, split, start)
    finished = naive.fit(torch_generator(seed, TorchStream.ORDER), torch_generator(seed, TorchStream.DROPOUT))
    assert model.status == ("ok" if finished else "diverged")
    if not finished:
        return
    for mine, reference in zip(model.network.parameters(), naive.parameters, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-6, atol=1e-6)  # a step is 1e-3
    result = evaluate(model)
    expected = np.array(naive.predict(hidden_mask(model).tolist()))
    np.testing.assert_allclose(result.predictions["predicted"], expected, rtol=1e-6, atol=1e-6)
    scored = hidden_mask(model) if protocol.scored == "hidden" else np.ones(len(expected), bool)
    gap = (expected - ratings.values[split.test])[scored]
    assert result.n_scored == scored.sum()
    np.testing.assert_allclose(result.rmse, np.sqrt((gap**2).mean()) if len(gap) else np.nan, rtol=1e-5)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    config=st.fixed_dictionaries(CONFIG_FIELDS),
    fields=st.fixed_dictionaries(PROTOCOL_FIELDS),
    seed=st.integers(0, 1000),
)
def test_training_and_scores_equal_the_naive_reference(double_precision, config, fields, seed):
    compare(FlexConfig.from_dict(config), Protocol.from_dict(fields), seed)


BASE = dict(
    hidden_layers=[5, 3],
    train_batch_size=3,
    epochs=2,
    drop_probability=0.3,
    noise_probability=0.3,
    dense_refeeding=1,
    learning_rate=0.01,
    activation="tanh",
    test_masking_rate=0.5,
)
FLIPS = [
    *({"activation": name} for name in ACTIVATIONS),
    *({"optimizer": name} for name in OPTIMIZERS),
    *({name: True} for name in ("dense_refeeding_rounding", "decoder_constraint", "prediction_rounding")),
    *({name: False} for name in ("mean_normalization", "output_activation")),
    {"loss_size_average": True},
    {"centring": "biases"},
    {"pivot_indexes": [1, 0]},
    {"dense_refeeding": 0},
    {"dense_refeeding": 3},
]


@pytest.mark.parametrize("protocol", ["released", "described", "holdout"])
@pytest.mark.parametrize("change", FLIPS, ids=lambda change: "-".join(map(str, *change.items())))
def test_each_parameter_under_each_named_protocol(double_precision, protocol, change):
    compare(FlexConfig.from_dict(BASE | change), Protocol.named(protocol), seed=5)

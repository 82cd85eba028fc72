"""The spaces that a sweep draws its configurations from."""

import numpy as np

from flexlib.config import ACTIVATIONS, OPTIMIZERS, PIVOTS, FlexConfig

_TENTHS = [k / 10 for k in range(10)]
_SIZES = [2**k for k in range(1, 13)]
_SWITCHES = ("dense_refeeding_rounding", "decoder_constraint", "mean_normalization", "prediction_rounding",
             "output_activation", "loss_size_average")  # fmt: skip

# What the released code's random search draws from, each value as likely as it is often listed.
_PAPER = {
    "learning_rate": [1e-4, 1e-3, 5e-3, 1e-2, 1e-1],
    "weight_decay": [0.0, 1e-4, 1e-3, 5e-3, 1e-2, 1e-1],
    "drop_probability": [0.0, 0.0, *_TENTHS],
    "noise_probability": [0.0, 0.0, *_TENTHS],
    "train_batch_size": [2**k for k in range(11)],
    "epochs": [1, 2, 4, 8, 10],
    "optimizer": OPTIMIZERS[:4],
    "activation": ACTIVATIONS[:8],
    "dense_refeeding": [0, 0, 0, 1, 1, 2, 3],
    **{name: [False, True] for name in _SWITCHES},
    "pivot_indexes": PIVOTS,
    "test_masking_rate": _TENTHS[1:],
    "test_split_rate": _TENTHS[1:5],
}

SPACES = {
    "paper": _PAPER,
    # What the paper plans or leaves out. With early stopping an epoch too many does no harm, so there are more.
    "extended": _PAPER
    | {
        "optimizer": OPTIMIZERS,
        "activation": ACTIVATIONS,
        "epochs": [50],
        "patience": [3],
        "centring": ["rows", "biases"],
    },
}


def sample_config(space, seed, run):
    """The configuration of a sweep's run `run`, by (seed, run) alone.

    space: a key of `SPACES`. Hidden layers: 1 to 5 of 2, 4, ... 4096, sorted up, sorted down or left, a third each.
    """
    rng = np.random.default_rng([seed, run])
    drawn = {name: values[rng.integers(len(values))] for name, values in SPACES[space].items()}
    layers = [_SIZES[k] for k in rng.integers(len(_SIZES), size=rng.integers(1, 6))]
    order = rng.integers(3)
    drawn["hidden_layers"] = sorted(layers, reverse=bool(order == 1)) if order < 2 else layers
    return FlexConfig.from_dict(drawn)


def run_seed(seed, run):
    """The seed of a run's split, weights and order: one for all its protocols."""
    return int(np.random.SeedSequence([seed, run, 1]).generate_state(1)[0])

"""The spaces that a sweep draws its configurations from."""

import json

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


def suggest_paper(trial):
    """A configuration of the paper's space as an Optuna trial suggests it, as a mapping: each value once."""
    found = {"hidden_layers": [2 ** trial.suggest_int(f"log2_size_{k}", 1, 12)
                               for k in range(trial.suggest_int("n_layers", 1, 5))]}  # fmt: skip
    for name, values in _PAPER.items():
        if name not in ("test_split_rate", "test_masking_rate"):  # the split is given, and holdout masks nothing
            place = trial.suggest_categorical(name, [json.dumps(value) for value in dict.fromkeys(values)])
            found[name] = json.loads(place)
    return found


# These rules take larger steps than the others.
_STEP_SIZES = {
    "sgd": ("learning_rate_sgd", 1e-2, 10), "adadelta": ("learning_rate_adadelta", 1e-2, 10),
    "adagrad": ("learning_rate_adagrad", 1e-3, 0.3),
}  # fmt: skip


def suggest_extended(trial):
    """A configuration of the extended space, whose numbers are continuous, as an Optuna trial suggests it."""
    found = {"hidden_layers": [2 ** trial.suggest_int(f"log2_size_{k}", 3, 10)
                               for k in range(trial.suggest_int("n_layers", 1, 2))]}  # fmt: skip
    found["optimizer"] = trial.suggest_categorical("optimizer", OPTIMIZERS)
    if found["optimizer"] == "adamw":  # a share of the weights, not a term of the gradient
        found["weight_decay"] = trial.suggest_float("weight_decay_adamw", 1e-3, 10, log=True)
    else:
        found["weight_decay"] = trial.suggest_float("weight_decay", 1e-7, 1e-2, log=True)
    name, low, high = _STEP_SIZES.get(found["optimizer"], ("learning_rate", 1e-4, 1e-2))
    found["learning_rate"] = trial.suggest_float(name, low, high, log=True)
    found["activation"] = trial.suggest_categorical("activation", ACTIVATIONS)
    found["output_activation"] = trial.suggest_categorical("output_activation", [False, True])
    found["drop_probability"] = trial.suggest_float("drop_probability", 0, 0.9)
    found["noise_probability"] = trial.suggest_float("noise_probability", 0, 0.95)
    found["train_batch_size"] = 2 ** trial.suggest_int("log2_train_batch_size", 4, 10)
    found["dense_refeeding"] = trial.suggest_int("dense_refeeding", 0, 1)
    for name in ("decoder_constraint", "loss_size_average"):
        found[name] = trial.suggest_categorical(name, [False, True])
    found["centring"] = trial.suggest_categorical("centring", ["biases", "rows"])
    found["pivot_indexes"] = list(PIVOTS[trial.suggest_int("item_based", 0, 1)])
    return found

"""Spaces of configurations: drawn at random for a sweep, or suggested by the trials of a search.

What a run of a sweep is follows from this file, a seed and the run's number. Lists are therefore written out, and their
order and length must not change: another list, other draws.

References
----------
Tran et al. (2018), Section 4.1 and the released code (the paper's space).
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flexlib.config import ITEM_BASED, USER_BASED, FlexConfig

if TYPE_CHECKING:
    from optuna.trial import BaseTrial  # an optional dependency, and slow to import

TENTHS = [k / 10 for k in range(10)]
LAYER_SIZES = [2**k for k in range(1, 13)]
PAPERS_OPTIMIZERS = ["adam", "adagrad", "rmsprop", "sgd"]
PAPERS_ACTIVATIONS = ["selu", "relu", "relu6", "elu", "lrelu", "sigmoid", "tanh", "swish"]
EXTENDED_OPTIMIZERS = [*PAPERS_OPTIMIZERS, "adadelta", "adamw"]
EXTENDED_ACTIVATIONS = [*PAPERS_ACTIVATIONS, "gelu", "mish", "softplus", "hardtanh"]

# What the released code's random search draws from, each value as likely as it is often listed.
_PAPER: dict[str, Sequence[Any]] = {
    "learning_rate": [1e-4, 1e-3, 5e-3, 1e-2, 1e-1],
    "weight_decay": [0.0, 1e-4, 1e-3, 5e-3, 1e-2, 1e-1],
    "drop_probability": [0.0, 0.0, *TENTHS],
    "noise_probability": [0.0, 0.0, *TENTHS],
    "train_batch_size": [2**k for k in range(11)],
    "epochs": [1, 2, 4, 8, 10],
    "optimizer": PAPERS_OPTIMIZERS,
    "activation": PAPERS_ACTIVATIONS,
    "dense_refeeding": [0, 0, 0, 1, 1, 2, 3],
    "dense_refeeding_rounding": [False, True],
    "decoder_constraint": [False, True],
    "mean_normalization": [False, True],
    "prediction_rounding": [False, True],
    "output_activation": [False, True],
    "loss_size_average": [False, True],
    "pivot_indexes": [USER_BASED, ITEM_BASED],
    "test_masking_rate": TENTHS[1:],
    "test_split_rate": TENTHS[1:5],
}

# Beyond the paper's. With early stopping an epoch too many does no harm, so there are more.
_EXTENDED = _PAPER | {
    "optimizer": EXTENDED_OPTIMIZERS,
    "activation": EXTENDED_ACTIVATIONS,
    "epochs": [50],
    "patience": [3],
    "centring": ["rows", "biases"],
}

SPACES: Mapping[str, Mapping[str, Sequence[Any]]] = {"paper": _PAPER, "extended": _EXTENDED}

# Optimizers that take larger steps: name and bounds of their learning rate in a search
_LEARNING_RATES = {
    "sgd": ("learning_rate_sgd", 1e-2, 10),
    "adadelta": ("learning_rate_adadelta", 1e-2, 10),
    "adagrad": ("learning_rate_adagrad", 1e-3, 0.3),
}


def sample_config(space: str, seed: int, run: int) -> FlexConfig:
    """Draw the configuration of one run of a sweep.

    Hidden layers are 1 to 5 of 2, 4, ... 4096; a third of the time sorted up, a third sorted down, a third as drawn.

    Parameters
    ----------
    space
        Key of `SPACES`.
    seed, run
        Of the sweep, and number of the run, both at least 0: the configuration follows from them alone.

    Returns
    -------
    FlexConfig
        What the run trains.
    """
    rng = np.random.default_rng([seed, run])
    drawn = {name: values[int(rng.integers(len(values)))] for name, values in SPACES[space].items()}
    layers = [LAYER_SIZES[k] for k in rng.integers(len(LAYER_SIZES), size=rng.integers(1, 6))]
    order = rng.integers(3)
    if order < 2:
        layers = sorted(layers, reverse=bool(order == 1))
    return FlexConfig.from_dict(drawn | {"hidden_layers": layers})


def run_seed(seed: int, run: int) -> int:
    """Give the seed of a run's split, weights and order, one for all its protocols.

    Parameters
    ----------
    seed, run
        Of the sweep, and number of the run, both at least 0.

    Returns
    -------
    int
        Below 2**32.
    """
    return int(np.random.SeedSequence([seed, run, 1]).generate_state(1)[0])


def suggest_paper(trial: "BaseTrial") -> dict[str, Any]:
    """Let a trial suggest a configuration of the paper's space, where each value is listed once.

    Parameters
    ----------
    trial
        Of an Optuna search, or one with fixed values.

    Returns
    -------
    dict
        Fields of `FlexConfig`, as plain values. Not the rates of splitting and masking: tuning is given its split,
        and masks nothing.
    """
    n_layers = trial.suggest_int("n_layers", 1, 5)
    found: dict[str, Any] = {
        "hidden_layers": [2 ** trial.suggest_int(f"log2_size_{k}", 1, 12) for k in range(n_layers)]
    }
    for name, values in _PAPER.items():
        if name not in ("test_split_rate", "test_masking_rate"):
            # As texts: Optuna's choices may not be lists.
            text = trial.suggest_categorical(name, [json.dumps(value) for value in dict.fromkeys(values)])
            found[name] = json.loads(text)
    return found


def suggest_extended(trial: "BaseTrial") -> dict[str, Any]:
    """Let a trial suggest a configuration beyond the paper's space, with continuous numbers.

    Weight decay, dropout and noise can each be off. What only makes sense with another choice is suggested with it
    alone: the loss on what noise hides needs noise and is not re-fed, and rates and decays have the range of their
    optimizer.

    Parameters
    ----------
    trial
        Of an Optuna search, or one with fixed values.

    Returns
    -------
    dict
        Fields of `FlexConfig`, as plain values. Not the number of epochs, which early stopping finds.
    """
    n_layers = trial.suggest_int("n_layers", 1, 2)
    layers = [2 ** trial.suggest_int(f"log2_size_{k}", 4, 9) for k in range(n_layers)]
    optimizer = trial.suggest_categorical("optimizer", EXTENDED_OPTIMIZERS)
    name, low, high = _LEARNING_RATES.get(optimizer, ("learning_rate", 1e-4, 1e-2))
    rate = trial.suggest_float(name, low, high, log=True)
    loss_decay, weight_decay = trial.suggest_categorical("loss_decay", [False, True]), 0.0
    if not trial.suggest_categorical("weight_decay_off", [False, True]):
        if loss_decay:
            weight_decay = trial.suggest_float("weight_decay_loss", 0.3, 100, log=True)
        elif optimizer == "adamw":  # a share of the weights, not a term of the gradient
            weight_decay = trial.suggest_float("weight_decay_adamw", 1e-3, 10, log=True)
        else:
            weight_decay = trial.suggest_float("weight_decay", 1e-7, 1e-2, log=True)
    found = {
        "hidden_layers": layers,
        "optimizer": optimizer,
        "learning_rate": rate,
        "loss_decay": loss_decay,
        "weight_decay": weight_decay,
        "activation": trial.suggest_categorical("activation", EXTENDED_ACTIVATIONS),
        "output_activation": trial.suggest_categorical("output_activation", [False, True]),
        "drop_probability": _off_or(trial, "drop_probability", 0.05, 0.9),
        "noise_probability": _off_or(trial, "noise_probability", 0.05, 0.95),
        "train_batch_size": 2 ** trial.suggest_int("log2_train_batch_size", 5, 10),
        "decoder_constraint": trial.suggest_categorical("decoder_constraint", [False, True]),
        "loss_size_average": trial.suggest_categorical("loss_size_average", [False, True]),
        "implicit_input": trial.suggest_categorical("implicit_input", [False, True]),
        "input_normalization": trial.suggest_categorical("input_normalization", [False, True]),
        "centring": trial.suggest_categorical("centring", ["biases", "rows", "output-bias"]),
        "pivot_indexes": list((USER_BASED, ITEM_BASED)[trial.suggest_int("item_based", 0, 1)]),
    }
    if found["noise_probability"]:
        found["denoising_loss"] = trial.suggest_categorical("denoising_loss", [False, True])
    confined = found.get("denoising_loss", False)
    return found | {"dense_refeeding": 0 if confined else trial.suggest_int("dense_refeeding", 0, 1)}


def _off_or(trial: "BaseTrial", name: str, low: float, high: float) -> float:
    return 0.0 if trial.suggest_categorical(f"{name}_off", [False, True]) else trial.suggest_float(name, low, high)


# What a search of the extended space begins with, as suggested: AutoRec of both pivots (Sedhain et al. 2015), and item
# and user vectors made of implicit input too (Koren 2008), fitted on what noise hides (Vincent et al. 2010).
_AUTOREC = {
    "n_layers": 1,
    "log2_size_0": 9,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "loss_decay": True,
    "weight_decay_off": False,
    "weight_decay_loss": 60.0,
    "activation": "sigmoid",
    "output_activation": False,
    "drop_probability_off": True,
    "noise_probability_off": True,
    "log2_train_batch_size": 9,
    "dense_refeeding": 0,
    "decoder_constraint": False,
    "loss_size_average": False,
    "implicit_input": False,
    "input_normalization": False,
    "item_based": 1,
    "centring": "output-bias",
}
_DENOISING = {name: value for name, value in _AUTOREC.items() if name != "dense_refeeding"} | {
    "log2_size_0": 7,
    "weight_decay_loss": 4.0,
    "activation": "tanh",
    "noise_probability_off": False,
    "noise_probability": 0.8,
    "denoising_loss": True,
    "implicit_input": True,
    "input_normalization": True,
    "centring": "biases",
}
EXTENDED_FIRST: tuple[dict[str, Any], ...] = (
    _AUTOREC,
    _AUTOREC | {"item_based": 0},
    _DENOISING,
    _DENOISING | {"item_based": 0, "log2_train_batch_size": 6, "weight_decay_loss": 30.0},
)

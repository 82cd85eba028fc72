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

MOST_RUNS = 100_000  # of a plan; more would take minutes and gigabytes to write down before the first is made

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

    Dropout and noise can each be off; the loss is confined to what noise hides only where there is noise. What the
    paper's space varies and was never best in trial searches on validation ratings is left out, as few tries cannot
    cover it: other optimizers than Adam, an activated output, tied weights and re-feeding.

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
    found: dict[str, Any] = {
        "hidden_layers": [2 ** trial.suggest_int(f"log2_size_{k}", 5, 9) for k in range(n_layers)],
        "optimizer": "adam",
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        "loss_decay": True,
        "weight_decay": trial.suggest_float("weight_decay", 1, 200, log=True),
        "activation": trial.suggest_categorical("activation", ["tanh", "sigmoid", "elu"]),
        "output_activation": False,
        "drop_probability": _off_or(trial, "drop_probability", 0.05, 0.7),
        "noise_probability": _off_or(trial, "noise_probability", 0.3, 0.95),
        "train_batch_size": 2 ** trial.suggest_int("log2_train_batch_size", 6, 10),
        "dense_refeeding": 0,
        "implicit_input": trial.suggest_categorical("implicit_input", [False, True]),
        "input_normalization": trial.suggest_categorical("input_normalization", [False, True]),
        "centring": trial.suggest_categorical("centring", ["biases", "output-bias"]),
        "pivot_indexes": list((USER_BASED, ITEM_BASED)[trial.suggest_int("item_based", 0, 1)]),
    }
    if found["noise_probability"]:
        found["denoising_loss"] = trial.suggest_categorical("denoising_loss", [False, True])
    return found


def _off_or(trial: "BaseTrial", name: str, low: float, high: float) -> float:
    return 0.0 if trial.suggest_categorical(f"{name}_off", [False, True]) else trial.suggest_float(name, low, high)


# What a search of the extended space begins with, as suggested: a small and a larger network with implicit input (Koren
# 2008), fitted on what noise hides (Vincent et al. 2010); the same for users; and AutoRec (Sedhain et al. 2015).
_DENOISING = {
    "n_layers": 1,
    "log2_size_0": 7,
    "learning_rate": 1e-3,
    "weight_decay": 4.0,
    "activation": "tanh",
    "drop_probability_off": True,
    "noise_probability_off": False,
    "noise_probability": 0.8,
    "denoising_loss": True,
    "log2_train_batch_size": 9,
    "implicit_input": True,
    "input_normalization": True,
    "centring": "biases",
    "item_based": 1,
}
_LARGER = {"log2_size_0": 8, "weight_decay": 15.0, "log2_train_batch_size": 8, "noise_probability": 0.7}
_AUTOREC = {
    "n_layers": 1,
    "log2_size_0": 9,
    "learning_rate": 1e-3,
    "weight_decay": 100.0,
    "activation": "sigmoid",
    "drop_probability_off": True,
    "noise_probability_off": True,
    "log2_train_batch_size": 9,
    "implicit_input": False,
    "input_normalization": False,
    "centring": "output-bias",
    "item_based": 1,
}
EXTENDED_FIRST: tuple[dict[str, Any], ...] = (
    _DENOISING,
    _DENOISING | _LARGER,
    _DENOISING | {"item_based": 0, "weight_decay": 30.0, "log2_train_batch_size": 6},
    _AUTOREC,
)

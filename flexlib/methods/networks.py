"""FlexEncoder and AutoRec as methods to be tuned: like those of `flexlib.methods`, and with early stopping."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flexlib.config import PRESETS, FlexConfig
from flexlib.data import hold_back
from flexlib.predict import predict_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.sampling import suggest_extended, suggest_paper
from flexlib.train import fit

PATIENCE, MOST_EPOCHS = 5, 100  # of a try; what is then trained on all training ratings has the best epoch's number


@dataclass(frozen=True)
class Network:
    """An autoencoder with a space of settings (`FlexConfig` fields), as `flexlib.methods.Method`. stopped: whether the
    number of epochs is found by early stopping, within `MOST_EPOCHS`, or is one of the settings."""

    name: str
    space: Callable
    citation: str
    made_by: str = "flexlib"
    stopped: bool = True

    def predict(self, ratings, split, seed=0, **settings):
        """(n_test,) predictions in stars; NaN where training diverged."""
        model = fit(ratings, FlexConfig.from_dict(settings), "holdout", seed, split=split)
        return _predictions(model, split.test)

    def rehearse(self, ratings, split, seed, settings, max_seconds=math.inf):
        """Try settings on the ratings that `hold_back` takes off the training ones: predictions of these, and the
        settings to be trained with on all. None where a try is estimated to take more than `max_seconds`."""
        stopping = {"epochs": MOST_EPOCHS, "patience": PATIENCE} if self.stopped else {}
        config = FlexConfig.from_dict(settings | stopping)
        if estimate_cost(config, ratings).seconds > max_seconds:
            return None
        inner = hold_back(split, seed)
        if not self.stopped:
            return self.predict(ratings, inner, seed, **settings), settings
        model = fit(ratings, config, "holdout", seed, split=split)
        return _predictions(model, inner.test), settings | {"epochs": max(1, model.best_epoch)}


def _predictions(model, index):
    found = predict_ratings(model, index).astype(np.float64)
    return found if model.status == "ok" else np.full(len(index), np.nan)


def _autorec(preset):
    def space(trial):
        own = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-7, 1e-2, log=True),
            "hidden_layers": [trial.suggest_int("hidden_units", 50, 500, log=True)],
            "train_batch_size": 2 ** trial.suggest_int("log2_train_batch_size", 5, 9),
        }
        return PRESETS[preset] | own

    return space


_PAPER = "tran2018flexencoder"


NETWORKS = {
    "autorec_item": Network("AutoRec, item-based", _autorec("autorec-item"), "sedhain2015autorec"),
    "autorec_user": Network("AutoRec, user-based", _autorec("autorec-user"), "sedhain2015autorec"),
    "flexencoder_set1": Network("FlexEncoder, set 1", lambda trial: PRESETS["table2:1"], _PAPER, stopped=False),
    "flexencoder_paper": Network("FlexEncoder, the paper's space", suggest_paper, _PAPER, stopped=False),
    "flexencoder": Network("FlexEncoder, extended space", suggest_extended, _PAPER),
}

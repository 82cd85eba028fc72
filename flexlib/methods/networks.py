"""The networks, FlexEncoder and AutoRec, as methods to be tuned, by key.

References
----------
Tran et al. (2018). Sedhain et al. (2015) (AutoRec).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flexlib.config import PRESETS, FlexConfig
from flexlib.data import Index, Ratings, Split, hold_back
from flexlib.methods.interface import MethodSettings, Predictions, Predictor, Rehearsal, Space
from flexlib.methods.stopping import DIGITS, MOST_EPOCHS, PATIENCE, Curve, expected_epochs, median_rule
from flexlib.predict import FittedModel, predict_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.sampling import EXTENDED_FIRST, suggest_extended, suggest_paper
from flexlib.train import fit

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Network:
    """A `Predictor` whose settings are fields of `FlexConfig`.

    Settings that a search found say all in which they differ from `FlexConfig()`, which completes them; `defaults` are
    for who tells none.

    Parameters
    ----------
    name, citation, made_by, first_tries, defaults
        As in `Predictor`.
    space
        The function by which a trial suggests settings, as `Predictor.space`.
    stopped
        Whether the number of epochs is found by early stopping, within `MOST_EPOCHS`; else it is one of the settings.
        Only then is a try compared to earlier ones.
    """

    name: str
    space: Space
    citation: str = "tran2018flexencoder"
    made_by: str = "flexlib"
    stopped: bool = True
    first_tries: tuple[MethodSettings, ...] = ()
    defaults: FlexConfig = field(default_factory=FlexConfig)

    def predict(self, ratings: Ratings, split: Split, seed: int = 0, **settings: Any) -> Predictions:
        """Train on the training ratings and predict the test ratings: see `Predictor.predict`."""
        model = fit(ratings, FlexConfig.from_dict(settings), "holdout", seed, split=split)
        return _predictions(model, split.test)

    def rehearse(
        self,
        ratings: Ratings,
        split: Split,
        seed: int,
        settings: MethodSettings,
        max_seconds: float = math.inf,
        earlier: Sequence[Curve] = (),
    ) -> Rehearsal | None:
        """Try settings out on the validation ratings, unless that is too costly: see `Predictor.rehearse`."""
        expected = {"epochs": expected_epochs(earlier)} if self.stopped else {}
        if estimate_cost(FlexConfig.from_dict(settings | expected), ratings).seconds > max_seconds:
            return None
        inner = hold_back(split, seed)
        if not self.stopped:
            return Rehearsal(self.predict(ratings, inner, seed, **settings), settings)
        config = FlexConfig.from_dict(settings | {"epochs": MOST_EPOCHS, "patience": PATIENCE})
        ends = median_rule(earlier)
        model = fit(ratings, config, "holdout", seed, split=split, on_epoch=lambda model: ends(_curve(model)))
        found = settings | {"epochs": max(1, model.best_epoch)}
        by_itself = len(model.history) >= min(MOST_EPOCHS, model.best_epoch + PATIENCE)
        pruned = model.status == "ok" and not by_itself
        return Rehearsal(_predictions(model, inner.test), found, _curve(model), pruned)


def _curve(model: FittedModel) -> list[float]:
    return [round(rmse, DIGITS) for rmse in model.validation_history]


def _predictions(model: FittedModel, index: Index) -> Predictions:
    if model.status != "ok":
        return np.full(len(index), np.nan)
    return predict_ratings(model, index).astype(np.float64)


def _suggest_autorec(trial: "BaseTrial") -> MethodSettings:
    """Suggest what AutoRec leaves open: learning rate, weight decay, width and batch size."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay_loss", 1.0, 300.0, log=True),
        "hidden_layers": [trial.suggest_int("hidden_units", 50, 500, log=True)],
        "train_batch_size": 2 ** trial.suggest_int("log2_train_batch_size", 5, 9),
    }


def _suggest_autorec_item(trial: "BaseTrial") -> MethodSettings:
    return {**PRESETS["autorec-item"], **_suggest_autorec(trial)}


def _suggest_autorec_user(trial: "BaseTrial") -> MethodSettings:
    return {**PRESETS["autorec-user"], **_suggest_autorec(trial)}


def _set_1(trial: "BaseTrial") -> MethodSettings:
    """Give the best set of the paper's Table 2: there is nothing to suggest."""
    return dict(PRESETS["table2:1"])


# What the search of AutoRec begins with, as suggested: the presets
_AUTOREC_FIRST = {"learning_rate": 1e-3, "weight_decay_loss": 100.0, "hidden_units": 500, "log2_train_batch_size": 9}

NETWORKS: dict[str, Predictor] = {
    "autorec_item": Network(
        "AutoRec, item-based",
        _suggest_autorec_item,
        citation="sedhain2015autorec",
        first_tries=(_AUTOREC_FIRST,),
        defaults=FlexConfig.preset("autorec-item"),
    ),
    "autorec_user": Network(
        "AutoRec, user-based",
        _suggest_autorec_user,
        citation="sedhain2015autorec",
        first_tries=(_AUTOREC_FIRST | {"weight_decay_loss": 10.0},),
        defaults=FlexConfig.preset("autorec-user"),
    ),
    "flexencoder_set1": Network("FlexEncoder, set 1", _set_1, stopped=False, defaults=FlexConfig.preset("table2:1")),
    "flexencoder_paper": Network("FlexEncoder, the paper's space", suggest_paper, stopped=False),
    "flexencoder": Network("FlexEncoder, extended space", suggest_extended, first_tries=EXTENDED_FIRST),
}

"""Networks that train side by side: each is the one that trains alone."""

import numpy as np
import pytest
from conftest import SMALL
from flexexplorer.together import fit_together

from flexlib.config import FlexConfig
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.train import fit

RATINGS = load_ratings(SMALL)
PROTOCOLS = ("released", "holdout")


def score_into(seen):
    return lambda model: seen.append(evaluate(model).rmse)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 3},
        {"epochs": 3, "optimizer": "adagrad", "drop_probability": 0.5, "noise_probability": 0.4, "dense_refeeding": 1},
        {"epochs": 40, "patience": 2, "learning_rate": 0.05},
        {"epochs": 5, "learning_rate": 1e9, "optimizer": "sgd", "activation": "relu"},
        {"epochs": 0},
    ],
    ids=["plain", "random streams", "patience", "diverged", "no epochs"],
)
def test_each_network_is_the_one_that_trains_alone(changes):
    config, order = FlexConfig(hidden_layers=(8, 4), **changes), []

    def watch(protocol, model):
        order.append((protocol, len(model.history), evaluate(model).rmse))

    models = fit_together(RATINGS, config, PROTOCOLS, 3, "cpu", on_epoch=watch)
    assert list(models) == list(PROTOCOLS)
    for protocol, model in models.items():
        seen = []
        alone = fit(RATINGS, config, protocol, 3, device="cpu", on_epoch=score_into(seen))
        assert (model.history, model.status, model.steps) == (alone.history, alone.status, alone.steps)
        assert (model.validation_history, model.best_epoch) == (alone.validation_history, alone.best_epoch)
        for one, other in zip(model.network.parameters(), alone.network.parameters(), strict=True):
            np.testing.assert_array_equal(one.detach(), other.detach())
        assert [rmse for name, _, rmse in order if name == protocol] == seen
    if "patience" in changes:
        assert len({len(model.history) for model in models.values()} | {40}) > 1  # one ends early


def test_the_networks_take_turns():
    turns = []
    config = FlexConfig(hidden_layers=(4,), epochs=3)
    fit_together(
        RATINGS, config, PROTOCOLS, device="cpu", on_epoch=lambda name, model: turns.append((name, len(model.history)))
    )
    assert turns == [(name, epoch) for epoch in (1, 2, 3) for name in PROTOCOLS]


@pytest.mark.parametrize("where", ["on_epoch", "on_batch"])
def test_an_error_from_within_ends_all(where):
    seen = []

    def fail(*told):
        seen.append(told)
        if len(seen) == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit_together(RATINGS, FlexConfig(hidden_layers=(4,), epochs=3), PROTOCOLS, device="cpu", **{where: fail})
    assert len(seen) == 2

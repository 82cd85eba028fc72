"""How long the live explorer says that training takes, where the seconds of the machine are made up."""

from types import SimpleNamespace

import pytest
from conftest import SMALL
from flexexplorer import pace
from flexexplorer.pace import LARGE_STEPS, MANY_STEPS, Pace, estimate_seconds, measure_pace

from flexlib.config import FlexConfig
from flexlib.datasets.loading import load_ratings
from flexlib.runs.cost import estimate_cost

RATINGS = load_ratings(SMALL)


def test_the_pace_is_that_of_trainings_after_the_first(monkeypatch):
    stand_in, trained = load_ratings(pace.STAND_IN), set()

    def slow_fit(ratings, config, device):
        """A machine that takes 3 and 5 times as long, and another 9 seconds the first time."""
        assert (len(ratings), device) == (15_000, "cpu")
        slower = {MANY_STEPS.hidden_layers: 3, LARGE_STEPS.hidden_layers: 5}[config.hidden_layers]
        first = 9 * (config.hidden_layers not in trained)
        trained.add(config.hidden_layers)
        return SimpleNamespace(seconds=first + slower * estimate_cost(config, stand_in).seconds)

    monkeypatch.setattr(pace, "fit", slow_fit)
    assert measure_pace("cpu") == pytest.approx((3, 5))


def test_the_pace_of_this_machine_can_be_measured():
    assert all(0 < value < float("inf") for value in measure_pace("cpu"))


def test_one_of_the_settings_measured_is_mostly_steps_and_the_other_is_mostly_work():
    ratings = load_ratings(pace.STAND_IN)
    shares = [
        cost.step_seconds / cost.seconds for cost in (estimate_cost(c, ratings) for c in (MANY_STEPS, LARGE_STEPS))
    ]
    assert shares[0] > 0.7
    assert shares[1] < 0.3


@pytest.mark.parametrize(
    ("changes", "own"), [({"train_batch_size": 1, "hidden_layers": [1]}, "steps"), ({"hidden_layers": [5000]}, "work")]
)
def test_steps_and_work_have_a_pace_each(changes, own):
    config = FlexConfig.from_dict({"epochs": 5, "train_batch_size": 30} | changes)
    known = estimate_seconds(config, RATINGS)
    assert estimate_seconds(config, RATINGS, Pace().scaled(3)) == pytest.approx(3 * known)
    slower = {name: estimate_seconds(config, RATINGS, Pace(**{name: 3.0})) / known for name in ("steps", "work")}
    assert slower.pop(own) > 2.8
    assert slower.popitem()[1] < 1.2

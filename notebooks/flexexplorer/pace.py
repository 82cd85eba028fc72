"""How long the live explorer's training takes on the machine that it runs on."""

from typing import NamedTuple

from flexstudy.plans import EXPLORED, LEAKY_AND_LEAK_FREE

from flexlib.config import FlexConfig
from flexlib.data import Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.train import fit

STAND_IN = "synthetic:users=300,items=500,ratings=15000,seed=1"  # for a set that is not here, and to measure the pace
# Two settings that take about a tenth of a second on it: hundreds of small steps, and a few large ones.
MANY_STEPS = FlexConfig.preset(EXPLORED).replace(epochs=3)
LARGE_STEPS = MANY_STEPS.replace(hidden_layers=(512,), train_batch_size=64)
# For splitting, laying out and scoring the ratings, which `fit_together` does in each epoch of each protocol
EPOCH_SECONDS_PER_RATING = 2.5e-7


class Pace(NamedTuple):
    """Seconds on this machine for each second on the core that `flexlib.runs.cost` knows.

    Parameters
    ----------
    steps
        Of what a step takes whatever its size.
    work
        Of operations and memory.
    """

    steps: float = 1.0
    work: float = 1.0

    def scaled(self, factor: float) -> "Pace":
        """Give the pace of a machine that takes so many times longer."""
        return Pace(self.steps * factor, self.work * factor)


REFERENCE = Pace()


def measure_pace(device: str | None = None) -> Pace:
    """Measure this machine's pace, in about a fifth of a second once PyTorch has trained before.

    Parameters
    ----------
    device
        As in `flexlib.fit`.

    Raises
    ------
    FlexError
        For a device that cannot be used.
    """
    ratings = load_ratings(STAND_IN)

    def measure(config: FlexConfig) -> float:
        fit(ratings, config.replace(epochs=1), device=device)  # takes longer the first time
        return fit(ratings, config, device=device).seconds / estimate_cost(config, ratings).seconds

    return Pace(measure(MANY_STEPS), measure(LARGE_STEPS))


def estimate_seconds(config: FlexConfig, ratings: Ratings, pace: Pace = REFERENCE) -> float:
    """Estimate how long `fit_together` takes with and without the leak, in seconds.

    Parameters
    ----------
    config, ratings
        What is trained.
    pace
        Of this machine.
    """
    cost = estimate_cost(config, ratings)
    steps = cost.step_seconds + EPOCH_SECONDS_PER_RATING * config.epochs * len(ratings)
    work = cost.seconds - cost.step_seconds
    return len(LEAKY_AND_LEAK_FREE) * (pace.steps * steps + pace.work * work)

"""Plans: which runs a table of records is made of. A run follows from its plan and its number alone."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from typing import Protocol as Interface

from flexlib.config import FlexConfig, FlexError, Protocol
from flexlib.data import Ratings
from flexlib.datasets.loading import load_ratings
from flexlib.predict import FittedModel
from flexlib.runs.cost import estimate_cost
from flexlib.runs.sampling import MOST_RUNS, SPACES, run_seed, sample_config


class NothingToRunError(FlexError):
    """A plan without a setting, as the runs that it chooses from have none that would do."""


class Measure(Interface):
    """What a plan measures of each run beside its errors."""

    def watch(self, model: FittedModel) -> None:
        """Look at the model after an epoch."""

    def details(self, model: FittedModel) -> dict[str, Any]:
        """Give what was measured of the trained model, as plain values for JSON."""


class Setting(NamedTuple):
    """A configuration, its name, and its role in the plan ("" where all have the same)."""

    name: str
    config: FlexConfig
    role: str = ""


@dataclass(frozen=True)
class Run:
    """One run: a setting under a protocol, with one seed.

    Parameters
    ----------
    key
        What records call the number: "run", or "record" in a replay.
    number
        Place in the plan, from 0.
    setting
        What is trained.
    protocol
        The name of how.
    seed
        Of split, weights and order.
    estimate
        Seconds of one core, by the cost model.
    measure
        Makes what is measured beside the errors; None for nothing.
    validation
        Whether it is scored on validation ratings: see `Plan`.
    """

    key: str
    number: int
    setting: Setting
    protocol: str
    seed: int
    estimate: float = 0.0
    measure: Callable[[], Measure] | None = None
    validation: bool = False

    @property
    def job(self) -> tuple[int, str]:
        """What tells the run from others of its plan: number and protocol."""
        return self.number, self.protocol


@dataclass(frozen=True)
class Plan:
    """All that a table of records follows from: each run's setting and seed, under each protocol, on one data set.

    Parameters
    ----------
    name
        Of the records, without the ending.
    key
        What records call a run's number.
    dataset
        As in `flexlib.load_ratings`.
    protocols
        Names.
    settings, seeds
        Of each run.
    max_seconds
        Of a run's estimate, above which it is recorded as skipped.
    columns, scale
        Of a file, as in `flexlib.load_ratings`; columns as pairs.
    measure
        Makes what is measured of each run beside the errors; it must be importable by name.
    validation
        Whether runs are trained without a tenth of the training ratings (`flexlib.data.hold_back`) and scored on these,
        so that settings can be chosen before any test rating is looked at.
    """

    name: str
    key: str
    dataset: str
    protocols: tuple[str, ...]
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    max_seconds: float = math.inf
    columns: tuple[tuple[str, str], ...] = ()
    scale: tuple[float, float, float] | None = None
    measure: Callable[[], Measure] | None = None
    validation: bool = False

    @classmethod
    def sweep(
        cls, dataset: str, protocols: Iterable[str], runs: int, seed: int, space: str = "paper", **options: Any
    ) -> "Plan":
        """Plan `runs` random configurations of a space; run k follows from the seed and k alone.

        Raises
        ------
        FlexError
            For more than `MOST_RUNS`, a negative seed or an unknown space.
        """
        _check_size(runs)
        if seed < 0 or space not in SPACES:
            raise FlexError(f"seed {seed}, space '{space:.100}': at least 0 and one of {', '.join(SPACES)} are needed")
        settings = tuple(Setting(f"sample {k}", sample_config(space, seed, k)) for k in range(runs))
        seeds = tuple(run_seed(seed, k) for k in range(runs))
        return cls(sweep_name(dataset, space, seed), "run", dataset, tuple(protocols), settings, seeds, **options)

    @classmethod
    def replay(
        cls, dataset: str, protocols: Iterable[str], configs: Iterable[FlexConfig], seed: int = 0, **options: Any
    ) -> "Plan":
        """Plan given configurations, such as those of the authors' log."""
        settings = tuple(Setting(f"row {k}", config) for k, config in enumerate(configs))
        seeds = tuple(run_seed(seed, k) for k in range(len(settings)))
        return cls(replay_name(dataset, seed), "record", dataset, tuple(protocols), settings, seeds, **options)

    @classmethod
    def repeat(
        cls,
        name: str,
        dataset: str,
        protocols: Iterable[str],
        settings: Sequence[Setting],
        n_seeds: int,
        **options: Any,
    ) -> "Plan":
        """Plan each setting with seeds 0 to `n_seeds` - 1: more seeds are more runs behind those that there are.

        Raises
        ------
        FlexError
            Where there is no setting, two share their name and role, or the runs are more than `MOST_RUNS`.
        """
        settings = tuple(settings)
        if not settings:
            raise NothingToRunError(f"{name}: no setting to run; a sweep it chooses from has none that would do")
        if len({(setting.name, setting.role) for setting in settings}) < len(settings):
            raise FlexError(f"{name}: two settings share their name and role")
        _check_size(len(settings) * n_seeds)
        seeds = tuple(seed for seed in range(n_seeds) for _ in settings)
        return cls(
            repetition_name(name, dataset), "run", dataset, tuple(protocols), settings * n_seeds, seeds, **options
        )

    @property
    def configs(self) -> tuple[FlexConfig, ...]:
        """Configuration of each run."""
        return tuple(setting.config for setting in self.settings)

    def load(self) -> Ratings:
        """Load the data set."""
        return load_ratings(self.dataset, self.columns, self.scale)

    def run(self, number: int, protocol: str, estimate: float = 0.0) -> Run:
        """Give one run of the plan."""
        setting, seed = self.settings[number], self.seeds[number]
        return Run(self.key, number, setting, protocol, seed, estimate, self.measure, self.validation)

    def runs(self, ratings: Ratings) -> list[Run]:
        """Give all runs with their estimated seconds, cheapest first, so that a sweep soon has much to show.

        The protocols of a run are neighbours, ordered by the most expensive of them.
        """
        found = []
        for number, setting in enumerate(self.settings):
            seconds = {
                name: estimate_cost(setting.config, ratings, Protocol.named(name).pad_refeeding).seconds
                for name in self.protocols
            }
            runs = [self.run(number, name, seconds[name]) for name in self.protocols]
            found.append((max(seconds.values()), number, runs))
        return [run for _, _, runs in sorted(found, key=lambda each: each[:2]) for run in runs]


def _check_size(runs: int) -> None:
    if runs > MOST_RUNS:
        raise FlexError(f"{runs:,} runs: a plan has at most {MOST_RUNS:,}")


def sweep_name(dataset: str, space: str = "paper", seed: int = 0) -> str:
    """Name a sweep's records, without the ending."""
    return f"sweep-{slug(dataset)}-{space}-seed{seed}"


def replay_name(dataset: str, seed: int = 0) -> str:
    """Name a replay's records, without the ending."""
    return f"replay-{slug(dataset)}-seed{seed}"


def repetition_name(experiment: str, dataset: str) -> str:
    """Name the records of settings that are run on several splits, without the ending."""
    return f"{experiment}-{slug(dataset)}"


def slug(dataset: str) -> str:
    """Make a data set's name or path a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", Path(dataset).name)

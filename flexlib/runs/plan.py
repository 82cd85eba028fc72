"""Sweeps: what their runs are, what one run records, and the table of records that they leave behind."""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from flexlib.config import FlexConfig, FlexError, Protocol
from flexlib.datasets.loading import load_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.sampling import run_seed, sample_config


@dataclass(frozen=True)
class Plan:
    """All that a sweep's records follow from: run k of `configs` under each protocol, on one data set.

    key: what the records call k, "run" or "record". identity: what, with the data, tells its ledger from others of its
    name. configs: a mapping for each run (`FlexConfig.to_dict`). seeds: of each run of a repetition; empty where they
    follow from `seed`. detail: what `details` holds, "lists" or "course"; by default nothing.
    max_seconds: of a run's estimate, above which it is skipped. columns, scale: of a file, as in `load_ratings`.
    """

    name: str
    key: str
    dataset: str
    protocols: tuple
    seed: int
    configs: tuple
    identity: str
    max_seconds: float = math.inf
    columns: dict = field(default_factory=dict)
    scale: tuple | None = None
    seeds: tuple = ()
    detail: str = ""

    @classmethod
    def sweep(cls, dataset, protocols, runs, seed, space="paper", **options):
        """`runs` random configurations of a space."""
        configs = tuple(sample_config(space, seed, run).to_dict() for run in range(runs))
        name = sweep_name(dataset, space, seed)
        return cls(name, "run", dataset, tuple(protocols), seed, configs, f"{space} {seed}", **options)

    @classmethod
    def replay(cls, dataset, protocols, configs, seed=0, **options):
        """Given configurations, such as those of the authors' records."""
        configs = tuple(config.to_dict() for config in configs)
        name, identity = replay_name(dataset, seed), json.dumps(configs)
        return cls(name, "record", dataset, tuple(protocols), seed, configs, identity, **options)

    @classmethod
    def repeat(cls, name, dataset, protocols, configs, n_seeds, **options):
        """Each of `configs` with seeds 0 to `n_seeds` - 1, which all of them share: run k is configuration k modulo
        their number, so that more seeds are more runs behind those that there are."""
        configs = tuple(config.to_dict() for config in configs)
        if not configs:
            raise FlexError(f"{name}: there is no setting to run; a sweep it chooses from has none that would do")
        seeds = tuple(seed for seed in range(n_seeds) for _ in configs)
        name, identity = repetition_name(name, dataset), json.dumps([name, configs])
        return cls(name, "run", dataset, tuple(protocols), 0, configs * n_seeds, identity, seeds=seeds, **options)

    def seed_of(self, k):
        """The seed of run k."""
        return self.seeds[k] if self.seeds else run_seed(self.seed, k)

    def load(self):
        """The data set's `Ratings`."""
        return load_ratings(self.dataset, self.columns, self.scale)

    def estimates(self, ratings):
        """(k, protocol) to the estimated seconds of each run, cheapest first, so that a sweep soon has much to show.

        The protocols of a run are neighbours, ordered by the dearest of them.
        """
        found = {}
        for k, config in enumerate(map(FlexConfig.from_dict, self.configs)):
            for name in self.protocols:
                found[k, name] = estimate_cost(config, ratings, Protocol.named(name).pad_refeeding).seconds
        dearest = {k: max(found[k, name] for name in self.protocols) for k in range(len(self.configs))}
        return dict(sorted(found.items(), key=lambda item: (dearest[item[0][0]], item[0][0])))


def sweep_name(dataset, space="paper", seed=0):
    """The name of a sweep's records, without the ending."""
    return f"sweep-{slug(dataset)}-{space}-seed{seed}"


def replay_name(dataset, seed=0):
    """The name of a replay's records, without the ending."""
    return f"replay-{slug(dataset)}-seed{seed}"


def repetition_name(experiment, dataset):
    """The name of the records of an experiment (`flexlib.plans`), without the ending."""
    return f"{experiment}-{slug(dataset)}"


def slug(dataset):
    """A data set's name or path as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", Path(dataset).name)

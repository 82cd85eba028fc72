"""A search for the settings of one method: which ones come next, and which were best.

References
----------
Bergstra et al. (2011) (the sampler). Caruana et al. (2004) (which networks are averaged).
"""

import itertools
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from flexlib.config import FlexError, first_line
from flexlib.methods.interface import MethodSettings
from flexlib.methods.registry import ALL
from flexlib.methods.stopping import Curve, quiet_study

# Before the sampler learns from tries: at most so many, and at most half of all. Where a method names its first tries,
# which are better than random ones, a quarter.
RANDOM_TRIES = 30
PRIOR_WEIGHT = 0.2  # of the sampler's uniform prior beside one try, below Optuna's 1: a few tries are to be refined


def check_start(key: str, suggested: str) -> None:
    """Check that the search of a method can begin with what was suggested to another one (a JSON text).

    Raises
    ------
    FlexError
        Naming the setting whose value the method's space does not have.
    """
    study = quiet_study(sampler=optuna.samplers.RandomSampler(0))
    try:
        study.enqueue_trial(json.loads(suggested))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # where a number is out of range
            ALL[key].space(study.ask())
    except (ValueError, TypeError, KeyError, UserWarning) as error:
        raise FlexError(f"{key}: a search cannot begin with {suggested}: {first_line(error)}") from None


def check_suggested(key: str, suggested: MethodSettings) -> None:
    """Check that all that was suggested to a method in an earlier call is in its space.

    Raises
    ------
    FlexError
        Naming the method and what is off.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # where a number is out of range
            ALL[key].space(optuna.trial.FixedTrial(suggested))
    except (ValueError, TypeError, KeyError, UserWarning) as error:
        raise FlexError(f"{key}: {json.dumps(suggested)} was never suggested: {first_line(error)}") from None


@dataclass
class Search:
    """The tries of one method for one split, or for all.

    Parameters
    ----------
    method
        Key of `ALL`.
    split
        The split's name, or `flexlib.methods.tuning.SHARED`.
    seed
        Of the split; also of the sampler.
    tries
        How many settings it may look at.
    start
        Settings to begin with, as suggested (a JSON text each). The method's `first_tries` follow.
    made
        Finished tries: number, suggested, settings, validation_rmse (None where there is none), seconds, pruned and
        curve.
    """

    method: str
    split: str
    seed: int
    tries: int
    start: tuple[str, ...] = ()
    made: list[dict[str, Any]] = field(default_factory=list)

    def next_settings(self) -> tuple[MethodSettings, MethodSettings] | None:
        """Suggest the next settings, from the finished tries alone.

        Returns
        -------
        settings, suggested
            What to try, and what the sampler drew for it. None when the search has ended.
        """
        if len(self.made) >= self.tries or any(not one["suggested"] for one in self.made):
            return None  # all were tried, or there is nothing to tune
        study = self._study()
        trial = study.ask()
        return ALL[self.method].space(trial), dict(trial.params)

    def _study(self) -> optuna.Study:
        """Make Optuna's study anew; a seed of its own for each try makes a search independent of interruptions."""
        first = [*map(json.loads, self.start), *ALL[self.method].first_tries]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # Optuna 6 is to drop `prior_weight`
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=min(RANDOM_TRIES, max(len(first), self.tries // 4) if first else self.tries // 2),
                prior_weight=PRIOR_WEIGHT,
                multivariate=True,
                group=True,
                seed=1000 * self.seed + len(self.made),
            )
        study = quiet_study(sampler=sampler)
        for one in self.made:
            fixed = optuna.trial.FixedTrial(one["suggested"])
            ALL[self.method].space(fixed)
            lost = one["validation_rmse"] is None
            state = optuna.trial.TrialState.PRUNED if lost or one["pruned"] else optuna.trial.TrialState.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(
                    params=one["suggested"],
                    distributions=fixed.distributions,
                    value=one["validation_rmse"],
                    intermediate_values={} if lost else dict(enumerate(one["curve"], start=1)),
                    state=state,
                )
            )
        if len(self.made) < len(first):
            study.enqueue_trial(first[len(self.made)])
        return study

    def tell(self, suggested: MethodSettings, outcome: dict[str, Any]) -> dict[str, Any]:
        """Take the outcome of the next try, and return it as it is kept."""
        one = {"number": len(self.made), "suggested": suggested, "pruned": False, "curve": []} | outcome
        self.made.append(one)
        return one

    def curves(self) -> list[Curve]:
        """List the curves of the tries that ended by themselves, of a method that has curves."""
        return [one["curve"] for one in self._ended() if one["curve"] and not one["pruned"]]

    def best(self) -> list[dict[str, Any]]:
        """List the tries that have a validation RMSE, lowest first; pruned ones only where there are no others."""
        ended = self._ended()
        whole = [one for one in ended if not one["pruned"]]
        return sorted(whole or ended, key=lambda one: one["validation_rmse"])

    def _ended(self) -> list[dict[str, Any]]:
        return [one for one in self.made if one["validation_rmse"] is not None]


def choose_members(
    best: Sequence[dict[str, Any]], actual: NDArray[np.floating[Any]], count: int
) -> list[MethodSettings]:
    """Choose the networks whose mean is scored, greedily: each lowers the validation RMSE of the mean the most.

    A try may be chosen again; its network then has other initial weights.

    Parameters
    ----------
    best
        Tries, lowest validation RMSE first, with their predictions of the validation ratings in hundredths of a star.
        Where one of them lacks these, tries are taken in turns.
    actual
        (n,) stars of the validation ratings.
    count
        How many networks.

    Returns
    -------
    list
        Settings of each network, those of the best try first; empty where there are no tries.

    References
    ----------
    Caruana et al. (2004) (ensemble selection).
    """
    if not best:
        return []
    if count == 1 or not all(one.get("predicted") for one in best):
        return [one["settings"] for one in itertools.islice(itertools.cycle(best), count)]
    predicted = np.array([one["predicted"] for one in best], float) / 100
    chosen, total = [0], predicted[0].copy()
    while len(chosen) < count:
        errors = np.square((total + predicted) / (len(chosen) + 1) - actual).sum(axis=1)
        chosen.append(int(errors.argmin()))
        total += predicted[chosen[-1]]
    return [best[k]["settings"] for k in chosen]

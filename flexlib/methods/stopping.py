"""When the try of a network ends: by early stopping, or because earlier tries of its search were better by then.

References
----------
Prechelt (1998) (early stopping). Golovin et al. (2017) (the median rule).
"""

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna import Study  # an optional dependency, and slow to import

Curve = Sequence[float]  # validation RMSE after each epoch, in stars

# Of early stopping. Training on all training ratings then takes as many epochs as the try's best one.
PATIENCE = 5
MOST_EPOCHS = 150

EXPECTED_EPOCHS = 30  # of a try, as long as fewer than `FULL_TRIES` tell
FULL_TRIES = 4  # that ended by themselves, before others are measured by them
GRACE = 2  # times the expected epochs are given to every try: with fewer, slow learners that end best are lost
DIGITS = 5  # of the RMSE in a curve


def expected_epochs(earlier: Sequence[Curve]) -> int:
    """Tell how many epochs a try will take: the median of earlier ones.

    Parameters
    ----------
    earlier
        Curves of the search's tries that ended by themselves.

    Returns
    -------
    int
        `EXPECTED_EPOCHS` where there are fewer than `FULL_TRIES`.
    """
    if len(earlier) < FULL_TRIES:
        return EXPECTED_EPOCHS
    return round(statistics.median(map(len, earlier)))


def median_rule(earlier: Sequence[Curve]) -> Callable[[Curve], bool]:
    """Make Optuna's median rule, which ends a try that is worse than half of the earlier ones were at its epoch.

    What counts is the lowest RMSE until then, of the try and of the earlier ones. A try that ended sooner stays at its
    lowest.

    Parameters
    ----------
    earlier
        Curves of the search's tries that ended by themselves.

    Returns
    -------
    Callable
        Takes a try's curve after each epoch; returns whether to end the try. Never where there are fewer than
        `FULL_TRIES`, nor before `GRACE` times the `expected_epochs`.
    """
    if len(earlier) < FULL_TRIES:
        return lambda curve: False
    import optuna

    pruner = optuna.pruners.MedianPruner(FULL_TRIES, n_warmup_steps=GRACE * expected_epochs(earlier))
    study = quiet_study(pruner=pruner)
    for curve in earlier:
        lowest = np.fmin.accumulate(np.pad(curve, (0, max(0, MOST_EPOCHS - len(curve))), "edge")).tolist()
        values = dict(enumerate(lowest, start=1))
        study.add_trial(optuna.trial.create_trial(value=lowest[-1], intermediate_values=values))
    trial = study.ask()

    def ends(curve: Curve) -> bool:
        trial.report(curve[-1], len(curve))
        return trial.should_prune()

    return ends


def quiet_study(**options: Any) -> "Study":
    """Make a study of Optuna in memory, with options of `optuna.create_study`, and no message about it."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(**options)
    optuna.logging.set_verbosity(verbosity)
    return study

"""A random sample, and settings centred two ways, with planted effects that the chapter on parameters must find."""

import functools
import math

import numpy as np
from conftest import SMALL, records_of
from flexstudy.importance import measure_importance
from flexstudy.plans import BY_THREE, experiment
from flexstudy.references import row_mean_rmse

from flexlib.datasets.loading import load_ratings
from flexlib.runs.plan import Plan

PLAN = Plan.sweep(SMALL, ("released", "holdout"), 150, 3)
CONFIGS = list(PLAN.configs)


def planted(k, protocol):
    """Mean normalization halves the RMSE; on held-out ratings user-based runs are worse; the rest is noise. Every tenth
    run diverges, of which rounding makes stars as released, and every eleventh is skipped, whatever its settings."""
    noise = np.random.default_rng([k, protocol == "holdout"]).normal(0, 0.05)
    if k % 10 == 4:
        as_stars = 1.4 + noise if CONFIGS[k].prediction_rounding and protocol == "released" else None
        return {"status": "diverged", "rmse_of_diverged": as_stars}
    rmse = (0.9 if CONFIGS[k].mean_normalization else 1.8) + noise
    return "skipped" if k % 11 == 6 else rmse + (0.1 if protocol == "holdout" and not CONFIGS[k].item_based else 0)


RECORDS = records_of(PLAN, planted)


def ended_well(protocol="released"):
    """RMSE by run, of those that ended well."""
    return {k: end for k in range(len(CONFIGS)) if isinstance(end := planted(k, protocol), float)}


def as_scored(protocol):
    """RMSE by run, of those that were made: infinite where the run diverged and nothing made stars of it."""
    made = {}
    for k in range(len(CONFIGS)):
        end = planted(k, protocol)
        if end != "skipped":
            made[k] = end if isinstance(end, float) else end["rmse_of_diverged"] or math.inf
    return made


@functools.cache
def importances():
    """What the analysis of importance finds under each protocol, by a few small forests."""
    return {name: measure_importance(RECORDS, name, resamples=4, trees=6) for name in PLAN.protocols}


RATINGS = load_ratings(SMALL)
SCREENING = experiment("screening", SMALL, records=RECORDS[RECORDS["run"] < 60])
SCREENED_NAMES = list(dict.fromkeys(setting.name for setting in SCREENING.settings))
SCREENED_CONFIGS = {setting.name: setting.config for setting in SCREENING.settings}
LEARNED_BY_ROWS = (-0.05, -0.001, 0.05)  # a third of the settings each: much, next to nothing, worse than nothing


def level_of(name, seed, validation=False):
    """The RMSE of the row means on this split, which networks are placed around."""
    config = SCREENED_CONFIGS[name]
    return row_mean_rmse(RATINGS, config.item_based, config.test_split_rate, seed, validation)


def by_rows(name):
    """What a setting centred by row means adds to the RMSE of the row means."""
    return LEARNED_BY_ROWS[SCREENED_NAMES.index(name) % 3]


def worth(name):
    """What filling with 3 adds to the RMSE; no two settings are alike."""
    place = SCREENED_NAMES.index(name)
    return 0.003 * (place - 4.5) * (1 + place / 100) * (-1) ** (place // 4)


def placed(plan, k):
    """The RMSE of run k of a plan that centres both ways, on the ratings that it is scored on."""
    name, _, role = plan.settings[k]
    return level_of(name, plan.seeds[k], plan.validation) + by_rows(name) + (role == BY_THREE) * worth(name)


SCREENED = records_of(SCREENING, lambda k, _: placed(SCREENING, k))
CENTRED = experiment("centring", SMALL, n_seeds=2, records=SCREENED)
CENTRED_NAMES = list(dict.fromkeys(setting.name for setting in CENTRED.settings))


def centred(k, _=None):
    """The RMSE of run k of `CENTRED`."""
    return placed(CENTRED, k)

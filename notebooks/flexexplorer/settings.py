"""One recorded setting at a time: what it scores leaky and leak-free, its curve, its predictions and its lists.

The data stand in the page, and `settings.js` draws them: neither a kernel nor a server is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from flexstudy.plans import EXPLORED, GRIDS, LEAKY_AND_LEAK_FREE, explored, presets
from flexstudy.style import COLOURS, SHORT_NAMES
from IPython.display import HTML

from flexexplorer.page import LABELS, scripted
from flexexplorer.recorded import Course, find_runs, read_courses, spell_runs, spell_value, summarise_runs
from flexlib.config import PRESETS, FlexConfig

FALLBACK = "This part needs JavaScript. It shows what each recorded setting scores, leaky and leak-free."
# What the grids set each parameter to that they change; the explored preset has one of these.
LEVELS = {
    name: list(dict.fromkeys(value for grid in GRIDS.values() for value in grid.get(name, ())))
    for name in dict.fromkeys(name for grid in GRIDS.values() for name in grid)
}
DIGITS = 4  # after the point, of an RMSE in the page

Places = dict[Any, int]  # of what the page holds once, and refers to by its place


def settings_data(measured: pd.DataFrame, courses: pd.DataFrame) -> dict[str, Any]:
    """Gather what is recorded of each setting.

    Parameters
    ----------
    measured
        Records of the experiment "explore": RMSE on several splits.
    courses
        Records of the experiment "courses": a run of each setting, from its learning curve to its lists. Its RMSE
        stands for settings that `measured` has not.

    Returns
    -------
    dict
        Plain values for JSON.

        - start: name of the explored preset.
        - labels: of each of `LEVELS`; levels: its values, spelled.
        - protocols: of each of `flexstudy.plans.LEAKY_AND_LEAK_FREE`, its word and its colour.
        - settings: by name, those of which there is a record. `runs` is of each protocol, as `_runs_of` has it;
          `levels` the place of each parameter's value, or `differs`, of a preset in no grid, pairs of a label and a
          value that the explored preset has otherwise.
        - edges: of the bins of the histograms, in stars. actual: counts of actual ratings. titles: of items, their
          ids where these are unknown. users: original ids.
    """
    in_grids = {setting.name: setting.config for setting in explored()}
    configs = {setting.name: setting.config for setting in presets(PRESETS)} | in_grids
    several, single, found = find_runs(measured), find_runs(courses), read_courses(courses)
    actual: Places = {}
    titles: Places = {}
    settings: dict[str, dict[str, Any]] = {}
    for name, config in configs.items():
        records = [several[config, protocol] or single[config, protocol] for protocol in LEAKY_AND_LEAK_FREE]
        if not any(records):
            continue
        own = [found.get((name, protocol)) for protocol in LEAKY_AND_LEAK_FREE]
        runs = [_runs_of(*pair, actual, titles) for pair in zip(records, own, strict=True)]
        settings[name] = {"runs": runs}
        if name in in_grids:
            settings[name]["levels"] = [levels.index(getattr(config, known)) for known, levels in LEVELS.items()]
        else:
            settings[name]["differs"] = _differences(config)
    one: Course = next(iter(found.values()), {})
    return {
        "start": EXPLORED,
        "labels": [LABELS[name] for name in LEVELS],
        "levels": [[spell_value(name, value) for value in values] for name, values in LEVELS.items()],
        "protocols": [{"word": SHORT_NAMES[name], "colour": COLOURS[name]} for name in LEAKY_AND_LEAK_FREE],
        "settings": settings,
        "edges": one.get("edges", []),
        "actual": [list(counts) for counts in actual],
        "titles": list(titles),
        "users": list(one.get("lists", [])),
    }


def _differences(config: FlexConfig) -> list[tuple[str, str]]:
    """Spell what a configuration has otherwise than the explored preset."""
    base = FlexConfig.preset(EXPLORED)
    changed = [name for name in LABELS if getattr(config, name) != getattr(base, name)]
    return [(LABELS[name], spell_value(name, getattr(config, name))) for name in changed]


def _runs_of(
    runs: Sequence[Mapping[str, Any]], course: Course | None, actual: Places, titles: Places
) -> dict[str, Any]:
    """Gather a setting's runs under one protocol.

    Returns
    -------
    dict
        - told: mean RMSE with its interval, in words, or why there is none. rmse: of each run; mean: their mean, or
          None; in stars
        - of the first run, where it ended well: test and training, RMSE after each epoch; unrounded and rounded,
          pairs of an RMSE and the counts of a histogram; actual, the place of the counts to compare with; lists,
          by user, pairs of a title's place and the predicted stars
    """
    row = summarise_runs(runs)
    told = {"told": spell_runs(row), "rmse": _rounded(row["values"]), "mean": _rounded([row["mean"]])[0]}
    if course is None:
        return told
    counts = course["histogram"]
    return told | {
        "test": _rounded(course["test"]),
        "training": _rounded(course["training"]),
        "unrounded": [*_rounded([course["rmse"]["unrounded"]]), counts["unrounded"]],
        "rounded": [*_rounded([course["rmse"]["rounded"]]), counts["rounded"]],
        "actual": _place(actual, tuple(counts["actual"])),
        "lists": [
            [(_place(titles, title or str(item)), stars and round(stars, 2)) for item, title, stars in rows]
            for rows in course["lists"].values()
        ],
    }


def _place(known: Places, value: Any) -> int:
    return known.setdefault(value, len(known))


def _rounded(values: list[float | None]) -> list[float | None]:
    """Shorten numbers; None for what is missing or not finite, which JSON cannot hold."""
    return [None if value is None or not np.isfinite(value) else round(value, DIGITS) for value in values]


def settings_explorer(measured: pd.DataFrame, courses: pd.DataFrame) -> HTML:
    """Make the place where `settings.js` draws, with its data: see `settings_data`."""
    return scripted("settings", settings_data(measured, courses), FALLBACK)

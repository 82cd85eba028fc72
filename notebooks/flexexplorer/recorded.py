"""What is recorded of the explorer's settings: cells of grids, each one's course, and what the text says of them.

It reads the records of the experiments "explore" and "courses", which `flexstudy.plans` describes.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from flexstudy.plans import EXPLORED, GRIDS, LEAKY_AND_LEAK_FREE, grid_cells
from flexstudy.statistics import UNKNOWN, Interval, labelled, split_interval

from flexlib.config import FlexConfig
from flexlib.runs.records import config_of

NO_RUN = "no run was made"
_TEST_SHARE = FlexConfig.preset(EXPLORED).test_split_rate  # that every split of a grid holds out
_ENDED = {"skipped": "left out for the cost", "diverged": "diverged", "failed": "failed"}

# What the text says of set 1 of Table 2: what these changes do to its RMSE.
TAKEN_OUT: dict[str, dict[str, float]] = {
    "neither": {"drop_probability": 0.0, "noise_probability": 0.0},
    "no_dropout": {"drop_probability": 0.0},
    "no_noise": {"noise_probability": 0.0},
}

LOW_RATE, HIGH_RATE = 0.2, 0.8  # of dropout or noise, whose RMSE is compared
RATES = {"dropout": "drop_probability", "noise": "noise_probability"}
# The grids whose span of RMSE the text compares with and without the leak, in words.
SPANS = {
    "hidden_layers": "hidden layers",
    "dropout": "dropout and noise",
    "learning_rate": "learning rate and optimizer",
}

Cell = tuple[Any, ...]  # values of a grid's parameters, in their order
Runs = defaultdict[tuple[FlexConfig, str], list[dict[str, Any]]]  # records by configuration and protocol
Course = dict[str, Any]  # of a run, as `flexstudy.lists.measure_course` makes it


def spell_value(name: str, value: Any) -> str:
    """Write the value of a parameter in words."""
    if name == "pivot_indexes":
        return f"{'items' if value[0] else 'users'} as rows {list(value)}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def grid_table(records: pd.DataFrame, grid: str) -> pd.DataFrame:
    """Summarise the runs of each cell of a grid, which are found by their configuration.

    Parameters
    ----------
    records
        Of the experiment "explore".
    grid
        A key of `flexstudy.plans.GRIDS`.

    Returns
    -------
    pd.DataFrame
        One row a cell and protocol, in the order of the cells:

        - a column for each parameter of the grid
        - cell: the tuple of their values
        - protocol: name
        - values: list of the RMSE of each run that ended well, in stars
        - n: how many these are
        - notes: in words, what became of other runs, or that there is none
        - mean, low, high: RMSE with its 95 % t-interval, corrected for the overlap of splits, in stars
    """
    found = find_runs(records)
    return pd.DataFrame(
        dict(zip(GRIDS[grid], cell, strict=True))
        | {"cell": cell, "protocol": protocol}
        | summarise_runs(found[config, protocol])
        for cell, config in grid_cells(grid).items()
        for protocol in LEAKY_AND_LEAK_FREE
    )


def find_runs(records: pd.DataFrame) -> Runs:
    """Give the records of each configuration and protocol; none for one that was not run."""
    found: Runs = defaultdict(list)
    for _, record in records.iterrows():
        found[config_of(record), record["protocol"]].append(dict(record))
    return found


def summarise_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise the runs of a configuration under one protocol: `values` to `high` of `grid_table`."""
    values = [run["rmse"] for run in runs if run["status"] == "ok"]
    known = {"values": values, "n": len(values), "notes": _notes([run["status"] for run in runs])}
    share = runs[0]["test_split_rate"] if runs else _TEST_SHARE
    return known | labelled("mean", split_interval(values, share))


def _notes(statuses: Sequence[str]) -> str:
    """Say what became of the runs that did not end well."""
    if not statuses:
        return NO_RUN
    others = pd.Series([status for status in statuses if status != "ok"], dtype=object).value_counts()
    return ", ".join(f"{n} of {len(statuses)} runs {_ENDED[str(status)]}" for status, n in others.items())


def spell_runs(row: Mapping[str, Any]) -> str:
    """Write the mean of what `summarise_runs` gives, with what goes with it."""
    if not row["n"]:
        return str(row["notes"])
    interval = f" ({row['low']:.3f} to {row['high']:.3f})" if row["n"] > 1 else ""
    if row["low"] < 0:  # no RMSE is that low: the runs differ too much for an interval to say anything
        interval = f" (lowest {min(row['values']):.3f}, highest {max(row['values']):.3f})"
    return f"{row['mean']:.3f}{interval}, n = {row['n']}" + (f"; {row['notes']}" if row["notes"] else "")


def read_courses(records: pd.DataFrame) -> dict[tuple[str, str], Course]:
    """Read the course of each setting, on the first of its splits.

    Parameters
    ----------
    records
        Of the experiment "courses".

    Returns
    -------
    dict
        By the names of the setting and of the protocol; runs that did not end well are left out.
    """
    ended = records[(records["seed"] == records["seed"].min()) & (records["details"] != "")]
    return {(row["setting"], row["protocol"]): json.loads(row["details"]) for row in ended.to_dict("records")}


def explorer_numbers(records: pd.DataFrame) -> dict[str, float]:
    """Work out what the explorer's text shows.

    Parameters
    ----------
    records
        Of the experiment "explore".

    Returns
    -------
    dict
        By name:

        - n_seeds: splits of each setting
        - NAME_PROTOCOL, with _low and _high: of each of `TAKEN_OUT` under both protocols, how the RMSE changes, paired
          over the splits, in stars
        - high_RATE_PROTOCOL, with _low and _high: of each of `RATES`, how the RMSE changes from `LOW_RATE` to
          `HIGH_RATE`, averaged over all rates of the other; high_RATE_alone_PROTOCOL: without the other
        - span_GRID_PROTOCOL, with _low and _high: of each grid, the highest minus the lowest RMSE of the cells that
          end well on every split under both protocols, mean over splits, in stars; span_GRID_cells: how many they are

        Intervals are 95 % t-intervals over splits, corrected for their overlap; NaN where runs are missing.
    """
    numbers: dict[str, float] = {"n_seeds": int(records["seed"].nunique())}
    for grid in GRIDS:
        numbers |= _spans(grid_table(records, grid), grid, records["seed"].nunique())
    found = _rmse_of_splits(records)
    for (name, changes), protocol in product(TAKEN_OUT.items(), LEAKY_AND_LEAK_FREE):
        change = _change(found[protocol], [({}, changes)])
        numbers |= labelled(f"{name}_{protocol}", change, f"{name}_{protocol}_")
    for (name, rate), protocol in product(RATES.items(), LEAKY_AND_LEAK_FREE):
        (other,) = set(RATES.values()) - {rate}
        for what, levels in (("", GRIDS["dropout"][other]), ("_alone", (0.0,))):
            pairs = [({rate: LOW_RATE, other: level}, {rate: HIGH_RATE, other: level}) for level in levels]
            key = f"high_{name}{what}_{protocol}"
            numbers |= labelled(key, _change(found[protocol], pairs), f"{key}_")
    return numbers


def _spans(table: pd.DataFrame, grid: str, n_seeds: int) -> dict[str, float]:
    """Give the span of RMSE over a grid's cells, on each split, with its mean and interval."""
    whole = table.groupby("cell", sort=False)["n"].min() == n_seeds
    own = table[table["cell"].map(whole)]
    numbers: dict[str, float] = {f"span_{grid}_cells": own["cell"].nunique()}
    for protocol in LEAKY_AND_LEAK_FREE:
        rmse = np.array(own.loc[own["protocol"] == protocol, "values"].tolist())
        span = UNKNOWN if len(rmse) < 2 else split_interval(np.ptp(rmse, axis=0), _TEST_SHARE)
        numbers |= labelled(f"span_{grid}_{protocol}", span, f"span_{grid}_{protocol}_")
    return numbers


def _rmse_of_splits(records: pd.DataFrame) -> dict[str, dict[FlexConfig, dict[int, float]]]:
    """Give the RMSE of the runs that ended well, by protocol, configuration and seed."""
    found: dict[str, dict[FlexConfig, dict[int, float]]] = {name: defaultdict(dict) for name in LEAKY_AND_LEAK_FREE}
    for _, record in records[records["status"] == "ok"].iterrows():
        found[record["protocol"]][config_of(record)][record["seed"]] = record["rmse"]
    return found


def _change(
    found: Mapping[FlexConfig, Mapping[int, float]], pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]
) -> Interval:
    """Average what changes of the explored setting do to its RMSE on each split that all of them ended well on.

    Each pair is of the changes before and after.
    """
    base = FlexConfig.preset(EXPLORED)
    sides = [[found.get(base.replace(**side), {}) for side in pair] for pair in pairs]
    seeds = sorted(set.intersection(*(set(side) for pair in sides for side in pair)))
    return split_interval(
        [np.mean([after[seed] - before[seed] for before, after in sides]) for seed in seeds], _TEST_SHARE
    )


def explorer_sentences(numbers: Mapping[str, float]) -> dict[str, str]:
    """Say what the explorer's grids show, by the numbers of `explorer_numbers`; what is not known is left out.

    Returns
    -------
    dict
        - taken_found: of what taking out dropout, noise or both changes
        - rates_found: of the rates of dropout and noise
        - tuning_found: of the spans with and without the leak
    """
    taken, rates, spans, leaks = [], [], [], []
    missing = "Too few cells of this grid were run to tell."
    for name, words in (("no_dropout", "dropout"), ("no_noise", "noise"), ("neither", "both")):
        leaky, free = (numbers[f"{name}_{protocol}"] for protocol in LEAKY_AND_LEAK_FREE)
        if not np.isnan(leaky + free):
            taken.append(
                f"Taking out {words} changes the RMSE by {leaky:+.3f} stars leaky and by {free:+.3f} leak-free."
            )
    for name, other in zip(RATES, reversed(RATES), strict=True):
        leaky, free = (numbers[f"high_{name}_{protocol}"] for protocol in LEAKY_AND_LEAK_FREE)
        if not np.isnan(leaky + free):
            rates.append(
                f"Averaged over all rates of {other}, much {name} in place of little changes the RMSE by {leaky:+.3f} "
                f"stars leaky and by {free:+.3f} leak-free."
            )
    rates += [f"Little is a rate of {LOW_RATE}, much of {HIGH_RATE}."] if rates else []
    for grid, words in SPANS.items():
        leaky, free = (numbers[f"span_{grid}_{protocol}"] for protocol in LEAKY_AND_LEAK_FREE)
        if not np.isnan(leaky + free):
            spans.append(f"Over {words} the RMSE spans {leaky:.3f} stars leaky and {free:.3f} leak-free.")
            leaks += [words] if free < leaky / 2 else []
    if leaks:
        spans.append(f"Most of what tuning gains here is the leak, for {' and for '.join(leaks)}.")
    told = {"taken_found": taken, "rates_found": rates, "tuning_found": spans}
    return {name: " ".join(sentences) or missing for name, sentences in told.items()}

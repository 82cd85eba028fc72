"""What the explorer shows of recorded runs: the cells of its grids, and the course of each preset, as tables and HTML.

It reads the records of the experiments "explore" and "courses", which `flexstudy.plans` describes, and of a sweep.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product, zip_longest
from typing import Any

import numpy as np
import pandas as pd
from flexstudy.plans import EXPLORED, GRIDS, LEAKY_AND_LEAK_FREE, THREE_PROTOCOLS, grid_cells
from flexstudy.statistics import UNKNOWN, Interval, labelled, split_interval
from flexstudy.style import COLOURS, words_of

from flexexplorer import pictures
from flexexplorer.pictures import Curve, Strip
from flexlib.config import PRESETS, FlexConfig
from flexlib.runs.records import config_of

AXIS_STARS = 0.5  # that the axis of a grid's pictures covers, from the lowest run
NO_RUN = "no run was made"
CURVE_NOTE = pictures.paragraph("Solid: test ratings. Dashed: the training ratings, while training.")
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
Course = dict[str, Any]  # of a run, as `flexstudy.lists.measure_course` makes it
Courses = dict[tuple[str, str], Course | str]  # by preset and protocol; a text says why there is no course
Listed = Sequence[Any]  # an item's id, its title ("" where unknown), and the stars predicted (None where unknown)


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
    found = defaultdict(list)
    for _, record in records.iterrows():
        found[config_of(record), record["protocol"]].append(record)
    rows = []
    for cell, config in grid_cells(grid).items():
        for protocol in LEAKY_AND_LEAK_FREE:
            runs = found[config, protocol]
            values = [run["rmse"] for run in runs if run["status"] == "ok"]
            row = dict(zip(GRIDS[grid], cell, strict=True)) | {"cell": cell, "protocol": protocol, "values": values}
            row |= {"n": len(values), "notes": _notes([run["status"] for run in runs])}
            rows.append(row | labelled("mean", split_interval(values, config.test_split_rate)))
    return pd.DataFrame(rows)


def grid_parameters(table: pd.DataFrame) -> list[str]:
    """Give the names of the parameters of a `grid_table`: its columns before `cell`."""
    return list(table.columns[: list(table.columns).index("cell")])


def _notes(statuses: Sequence[str]) -> str:
    """Say what became of the runs that did not end well."""
    if not statuses:
        return NO_RUN
    others = pd.Series([status for status in statuses if status != "ok"], dtype=object).value_counts()
    return ", ".join(f"{n} of {len(statuses)} runs {_ENDED[str(status)]}" for status, n in others.items())


def grid_span(table: pd.DataFrame) -> tuple[float, float]:
    """Give the ends of the axis, in stars, that all pictures of a `grid_table` share."""
    low = np.floor(20 * min((min(values) for values in table["values"] if values), default=0)) / 20
    return float(low), float(low + AXIS_STARS)


def cell_picture(table: pd.DataFrame, cell: Cell, random: pd.DataFrame | None = None) -> str:
    """Draw the runs of a cell under both protocols, among the means of all cells.

    Parameters
    ----------
    table
        Of `grid_table`.
    cell
        Which one.
    random
        Records of a sweep: those of its settings that share the cell's values are drawn below. None for none.

    Returns
    -------
    str
        HTML.
    """
    shared = dict(zip(grid_parameters(table), cell, strict=True))
    rows = [_cell_strip(table[table["protocol"] == protocol], cell, protocol) for protocol in LEAKY_AND_LEAK_FREE]
    if random is not None:
        rows += [_random_strip(_with_values(random, shared, protocol), protocol) for protocol in LEAKY_AND_LEAK_FREE]
    words = ", ".join(f"{name.replace('_', ' ')} {spell_value(name, value)}" for name, value in shared.items())
    return pictures.strips(rows, grid_span(table), f"RMSE with {words}")


def _cell_strip(own: pd.DataFrame, cell: Cell, protocol: str) -> Strip:
    row = own[[other == cell for other in own["cell"]]].iloc[0]
    text = f"{words_of(protocol)}: {_spell_runs(row)}"
    mean = row["mean"] if row["n"] else None
    return Strip(text, COLOURS[protocol], row["values"], mean, own["mean"].dropna())


def _spell_runs(row: pd.Series) -> str:
    """Write the mean of a row of a `grid_table`, with what goes with it."""
    if not row["n"]:
        return str(row["notes"])
    interval = f" ({row['low']:.3f} to {row['high']:.3f})" if row["n"] > 1 else ""
    if row["low"] < 0:  # no RMSE is that low: the runs differ too much for an interval to say anything
        interval = f" (lowest {min(row['values']):.3f}, highest {max(row['values']):.3f})"
    return f"{row['mean']:.3f}{interval}, n = {row['n']}" + (f"; {row['notes']}" if row["notes"] else "")


def _with_values(records: pd.DataFrame, values: Mapping[str, Any], protocol: str) -> pd.DataFrame:
    """Choose the records of a protocol whose parameters have these values."""
    own = records[records["protocol"] == protocol]
    for name, value in values.items():
        own = own[own[name] == (json.dumps(list(value)) if isinstance(value, tuple) else value)]
    return own


def _random_strip(runs: pd.DataFrame, protocol: str) -> Strip:
    values, notes = runs.loc[runs["status"] == "ok", "rmse"].tolist(), _notes(runs["status"].tolist())
    facts = [f"n = {len(values)}, median {np.median(values):.3f}"] if values else []
    words = "; ".join([*facts, *([notes] if notes else [])])
    return Strip(f"random settings with these, {words_of(protocol)}: {words}", COLOURS[protocol], values)


def read_courses(records: pd.DataFrame) -> Courses:
    """Read the course of each preset under three protocols, on the first of its splits.

    Parameters
    ----------
    records
        Of the experiment "courses".

    Returns
    -------
    Courses
        In the order of `flexlib.config.PRESETS`; a preset that was not run under `holdout` is left out.
    """
    found: Courses = {}
    for record in records[records["seed"] == records["seed"].min()].to_dict("records"):
        course = json.loads(record["details"]) if record["details"] else _ENDED[record["status"]]
        found[record["setting"], record["protocol"]] = course
    names = [name for name in PRESETS if (name, "holdout") in found]
    return {(name, protocol): found.get((name, protocol), NO_RUN) for name, protocol in product(names, THREE_PROTOCOLS)}


def users_of(courses: Courses) -> list[str]:
    """Give the original ids of the users whose lists the courses have."""
    return next((list(course["lists"]) for course in courses.values() if not isinstance(course, str)), [])


def curve_picture(courses: Courses, preset: str) -> str:
    """Draw the learning curves of a preset under three protocols, as HTML."""
    series, entries, notes = [], [], []
    for protocol in THREE_PROTOCOLS:
        course = courses[preset, protocol]
        if isinstance(course, str):
            notes.append(pictures.paragraph(f"{words_of(protocol)}: {course}"))
            continue
        series.append(Curve(COLOURS[protocol], False, course["test"]))
        series.append(Curve(COLOURS[protocol], True, course["training"]))
        entries.append((COLOURS[protocol], f"{words_of(protocol)}: {course['test'][-1]:.3f} at the end"))
    title = f"RMSE after each epoch of {preset}: {'; '.join(words for _, words in entries)}"
    drawn = pictures.curves(series, title) + CURVE_NOTE if series else ""
    return pictures.colour_key(entries) + drawn + "".join(notes)


def histogram_picture(courses: Courses, preset: str, rounding: bool) -> str:
    """Draw how many test ratings a preset predicts at how many stars, and the actual ratings.

    Parameters
    ----------
    courses
        Of `read_courses`.
    preset
        Which one.
    rounding
        Whether predictions are rounded (PrR).

    Returns
    -------
    str
        HTML: a histogram for each of two protocols.
    """
    parts, kind = [], "rounded" if rounding else "unrounded"
    label = "stars; filled: predicted, line: actual; upwards: ratings"
    for protocol in LEAKY_AND_LEAK_FREE:
        course = courses[preset, protocol]
        if isinstance(course, str):
            parts.append(pictures.paragraph(f"{words_of(protocol)}: {course}"))
            continue
        words, counts = f"{words_of(protocol)}, {kind}: RMSE {course['rmse'][kind]:.3f}", course["histogram"]
        parts.append(pictures.colour_key([(COLOURS[protocol], words)]))
        parts.append(
            pictures.histogram(course["edges"], counts[kind], counts["actual"], COLOURS[protocol], words, label)
        )
    return "".join(parts)


def list_picture(courses: Courses, preset: str, user: str) -> str:
    """Lay out what a preset recommends to a user under both protocols, as a table of HTML."""
    lists: dict[str, Sequence[Listed]] = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        course = courses[preset, protocol]
        lists[protocol] = [(course, "", None)] if isinstance(course, str) else course["lists"][user]
    return recommended_table(lists, f"Recommended by {preset} to user {user}")


def recommended_table(lists: Mapping[str, Iterable[Listed]], caption: str) -> str:
    """Lay recommended lists out side by side, as a table of HTML.

    Parameters
    ----------
    lists
        Protocol to its items, best first. An item without a title is shown by its id.
    caption
        Of the table.

    Returns
    -------
    str
        HTML.
    """
    columns = [
        [f"{title or item}" + ("" if stars is None else f" ({stars:.2f})") for item, title, stars in own]
        for own in lists.values()
    ]
    rows = [(rank, *items) for rank, items in enumerate(zip_longest(*columns, fillvalue=""), start=1)]
    return pictures.table(["rank", *(f"{words_of(name)}: predicted stars" for name in lists)], rows, caption)


def explorer_numbers(records: pd.DataFrame) -> dict[str, float]:
    """Work out what the explorer's text shows, and the chapter on the claims.

    Parameters
    ----------
    records
        Of the experiment "explore".

    Returns
    -------
    dict
        By name:

        - n_seeds: splits of each setting
        - GRID_cells, GRID_low, GRID_high: of each of `flexstudy.plans.GRIDS`, how many cells there are, and the lowest
          and highest mean RMSE of a cell on held-out ratings, in stars
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
        table = grid_table(records, grid)
        own = table.query("protocol == 'holdout'")["mean"]
        numbers |= {f"{grid}_cells": len(own), f"{grid}_low": float(own.min()), f"{grid}_high": float(own.max())}
        numbers |= _spans(table, grid, records["seed"].nunique())
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
        - range_GRID: of the leak-free means of each grid
        - taken_found: of what taking out dropout, noise or both changes
        - rates_found: of the rates of dropout and noise
        - tuning_found: of the spans with and without the leak
    """
    ranges, taken, rates, spans, leaks = {}, [], [], [], []
    missing = "Too few cells of this grid were run to tell."
    for grid in GRIDS:
        low, high = numbers[f"{grid}_low"], numbers[f"{grid}_high"]
        known = f"Leak-free, the means of the cells go from {low:.3f} to {high:.3f} stars."
        ranges[f"range_{grid}"] = missing if np.isnan(low) else known
    for name, words in (("no_dropout", "dropout"), ("no_noise", "noise"), ("neither", "both")):
        leaky, free = (numbers[f"{name}_{protocol}"] for protocol in LEAKY_AND_LEAK_FREE)
        if not np.isnan(leaky + free):
            taken.append(
                f"Taking out {words} changes the RMSE by {leaky:+.3f} stars leaky and by {free:+.3f} leak-free."
            )
    for name, other in zip(RATES, reversed(RATES), strict=True):
        leaky, free = (numbers[f"high_{name}_{protocol}"] for protocol in LEAKY_AND_LEAK_FREE)
        if not np.isnan(leaky + free):
            words = f"From a rate of {LOW_RATE} to {HIGH_RATE}, {name} changes the RMSE by {leaky:+.3f} stars leaky and"
            rates.append(f"{words} by {free:+.3f} leak-free, averaged over all rates of {other}.")
    for grid, words in SPANS.items():
        leaky, free = (numbers[f"span_{grid}_{protocol}"] for protocol in LEAKY_AND_LEAK_FREE)
        if not np.isnan(leaky + free):
            spans.append(f"Over {words} the RMSE spans {leaky:.3f} stars leaky and {free:.3f} leak-free.")
            leaks += [words] if free < leaky / 2 else []
    if leaks:
        spans.append(f"Most of what tuning gains here is the leak, for {' and for '.join(leaks)}.")
    told = {"taken_found": taken, "rates_found": rates, "tuning_found": spans}
    return ranges | {name: " ".join(sentences) or missing for name, sentences in told.items()}

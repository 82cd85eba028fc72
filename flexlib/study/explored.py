"""What the explorer shows without a kernel: recorded runs of the cells of its grids, and the course of each preset."""

import json
from itertools import product, zip_longest

import numpy as np
import pandas as pd

from flexlib import pictures
from flexlib.config import PRESETS, FlexConfig
from flexlib.plans import EXPLORED, GRIDS, PROTOCOLS, grid_cells
from flexlib.plots import COLOURS, words_of
from flexlib.statistics import labelled, mean_interval
from flexlib.sweep import config_of

COMPARED = ("released", "holdout")
SPAN = 0.5  # stars that the axis of a grid's pictures covers, from the lowest run
NO_RUN = "no run was made"
_STATUS = {"skipped": "left out for the cost", "diverged": "diverged", "failed": "failed"}


def spell(name, value):
    """A parameter's value in words."""
    if name == "pivot_indexes":
        return f"{'items' if value[0] else 'users'} as rows {list(value)}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def grid_table(records, grid):
    """One row a cell of a grid and protocol, by the cells' order: a column for each parameter of the grid; cell (the
    tuple of their values), protocol, values (the RMSE of each run that ended well, in stars), n, mean, low and high
    (95 % t-interval), notes (in words: what became of other runs, or that there is none).

    records: of `flexlib.plans.explore`.
    """
    found, rows = {}, []
    for _, record in records.iterrows():
        found.setdefault((config_of(record), record["protocol"]), []).append(record)
    for cell, config in grid_cells(grid).items():
        for protocol in COMPARED:
            runs = found.get((config, protocol), [])
            values = [run["rmse"] for run in runs if run["status"] == "ok"]
            row = dict(zip(GRIDS[grid], cell, strict=True)) | {"cell": cell, "protocol": protocol, "values": values}
            row |= {"n": len(values), "notes": _notes([run["status"] for run in runs])}
            rows.append(row | labelled("mean", mean_interval(values)))
    return pd.DataFrame(rows)


def _notes(statuses):
    """What became of the runs that did not end well, in words."""
    others = pd.Series([status for status in statuses if status != "ok"], dtype=object).value_counts()
    notes = [f"{n} of {len(statuses)} runs {_STATUS[status]}" for status, n in others.items()]
    return ", ".join(notes) if len(statuses) else NO_RUN


def grid_span(table):
    """(low, high) of the axis, in stars, that all pictures of a grid share."""
    low = np.floor(20 * min((min(values) for values in table["values"] if values), default=0)) / 20
    return float(low), float(low + SPAN)


def cell_picture(table, cell, random=None):
    """A cell of a `grid_table` as HTML: its runs under both protocols among the means of all cells, and where `random`
    (records of a sweep) is given those of its settings that have the cell's values, whatever else they have."""
    parameters = list(table.columns[: list(table.columns).index("cell")])
    rows, span = [], grid_span(table)
    for protocol in COMPARED:
        own = table[table["protocol"] == protocol]
        row = own[[c == cell for c in own["cell"]]].iloc[0]
        drawn = {"values": row["values"], "mean": row["mean"] if row["n"] else None, "others": own["mean"].dropna()}
        rows.append({"text": f"{words_of(protocol)}: {_spelled(row)}", "colour": COLOURS[protocol]} | drawn)
    for protocol in COMPARED if random is not None else ():
        runs = _alike(random, dict(zip(parameters, cell, strict=True)), protocol)
        values, notes = runs.loc[runs["status"] == "ok", "rmse"].tolist(), _notes(runs["status"].tolist())
        texts = [f"n = {len(values)}, median {np.median(values):.3f}"] if values else []
        text = f"random settings with these, {words_of(protocol)}: {'; '.join([*texts, *filter(None, [notes])])}"
        rows.append({"text": text, "colour": COLOURS[protocol], "values": values})
    values = zip(parameters, cell, strict=True)
    settings = ", ".join(f"{name.replace('_', ' ')} {spell(name, value)}" for name, value in values)
    return pictures.strips(rows, span, f"RMSE with {settings}")


def _spelled(row):
    if not row["n"]:
        return row["notes"]
    interval = f" ({row['low']:.3f} to {row['high']:.3f})" if row["n"] > 1 else ""
    if row["low"] < 0:  # which no RMSE is
        interval = f" (lowest {min(row['values']):.3f}, highest {max(row['values']):.3f})"
    return f"{row['mean']:.3f}{interval}, n = {row['n']}" + (f"; {row['notes']}" if row["notes"] else "")


def _alike(records, values, protocol):
    own = records[records["protocol"] == protocol]
    for name, value in values.items():
        own = own[own[name] == (json.dumps(list(value)) if isinstance(value, tuple) else value)]
    return own


def read_courses(records):
    """What was measured of a run (`flexlib.lists.measure_course`) by (preset, protocol); where none ended well, why, in
    words. records: of `flexlib.plans.courses`, of which the first seed is taken."""
    names, found = {FlexConfig.preset(name): name for name in PRESETS}, {}
    for _, record in records[records["seed"] == records["seed"].min()].iterrows():
        ended = json.loads(record["details"]) if record["details"] else _STATUS[record["status"]]
        found[names.get(config_of(record)), record["protocol"]] = ended
    presets = [name for name in PRESETS if (name, "holdout") in found]
    return {(name, protocol): found.get((name, protocol), NO_RUN) for name in presets for protocol in PROTOCOLS}


def curve_picture(courses, preset):
    """A preset's learning curves under three protocols, as HTML."""
    series, entries, notes = [], [], []
    for protocol in PROTOCOLS:
        course = courses[preset, protocol]
        if isinstance(course, str):
            notes.append(f"{words_of(protocol)}: {course}")
            continue
        for part, dashed in (("test", False), ("training", True)):
            series.append({"colour": COLOURS[protocol], "dashed": dashed, "values": course[part]})
        entries.append((COLOURS[protocol], f"{words_of(protocol)}: {course['test'][-1]:.3f} at the end"))
    title = f"RMSE after each epoch of {preset}: {'; '.join(words for _, words in entries)}"
    drawn = pictures.curves(series, title) + CURVES if series else ""
    return "".join([pictures.key(entries), drawn, *map(pictures.say, notes)])


CURVES = pictures.say("Solid: test ratings. Dashed: the training ratings, while training.")


def histogram_picture(courses, preset, rounding):
    """A preset's predicted test ratings under both protocols, unrounded or rounded, and the actual ones, as HTML."""
    parts, kind = [], "rounded" if rounding else "unrounded"
    for protocol in COMPARED:
        course = courses[preset, protocol]
        if isinstance(course, str):
            parts.append(pictures.say(f"{words_of(protocol)}: {course}"))
            continue
        words, counts = f"{words_of(protocol)}, {kind}: RMSE {course['rmse'][kind]:.3f}", course["histogram"]
        label = "stars; filled: predicted, line: actual; upwards: ratings"
        drawn = pictures.histogram(course["edges"], counts[kind], counts["actual"], COLOURS[protocol], words, label)
        parts += [pictures.key([(COLOURS[protocol], words)]), drawn]
    return "".join(parts)


def list_picture(courses, preset, user):
    """What a preset recommends to a user under both protocols, as an HTML table."""
    lists = {}
    for protocol in COMPARED:
        course = courses[preset, protocol]
        lists[protocol] = [(course, "", None)] if isinstance(course, str) else course["lists"][user]
    return recommended_table(lists, f"Recommended by {preset} to user {user}")


def recommended_table(lists, caption):
    """Recommended lists side by side, as an HTML table. lists: protocol to triples of an item's id, its title ("" where
    unknown, then the id is shown) and the predicted stars (None where there are none to show)."""
    texts = [[f"{title or item}" + (f" ({stars:.2f})" if stars is not None else "") for item, title, stars in own]
             for own in lists.values()]  # fmt: skip
    rows = [(place, *films) for place, films in enumerate(zip_longest(*texts, fillvalue=""), 1)]
    return pictures.table(["rank", *(f"{words_of(name)}: predicted stars" for name in lists)], rows, caption)


def users_of(courses):
    """The original ids, as text, of the users whose lists the courses have."""
    return next((list(course["lists"]) for course in courses.values() if not isinstance(course, str)), [])


def explored_numbers(records, courses):
    """What the explorer's text shows, and the chapter on the claims: of each grid on held-out ratings how many cells
    and the lowest and highest mean, and what taking out dropout and noise changes (`TAKEN_OUT`), by protocol."""
    numbers = {"n_seeds": int(records["seed"].nunique())}
    for grid in GRIDS:
        own = grid_table(records, grid).query("protocol == 'holdout'")["mean"]
        numbers |= {f"{grid}_cells": len(own), f"{grid}_low": float(own.min()), f"{grid}_high": float(own.max())}
    for name, protocol in product(TAKEN_OUT, COMPARED):
        changes = _paired_changes(records[records["protocol"] == protocol], TAKEN_OUT[name])
        numbers |= labelled(f"{name}_{protocol}", mean_interval(changes), f"{name}_{protocol}_")
    return numbers


TAKEN_OUT = {
    "neither": {"drop_probability": 0.0, "noise_probability": 0.0},
    "no_dropout": {"drop_probability": 0.0}, "no_noise": {"noise_probability": 0.0},
}  # fmt: skip


def _paired_changes(records, change):
    """What a change of the explored setting does to its RMSE, split by split, in stars."""
    base = FlexConfig.preset(EXPLORED)
    runs = {config: {} for config in (base, base.replace(**change))}
    for _, record in records[records["status"] == "ok"].iterrows():
        runs.get(config_of(record), {})[record["seed"]] = record["rmse"]
    before, after = runs.values()
    return [after[seed] - before[seed] for seed in before.keys() & after.keys()]

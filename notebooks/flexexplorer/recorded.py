"""What the explorer shows without a kernel: recorded runs of the cells of its grids, and the course of each preset."""

import json
from itertools import product, zip_longest
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from flexstudy.plans import EXPLORED, GRIDS, PROTOCOLS, grid_cells
from flexstudy.statistics import labelled, mean_interval
from flexstudy.style import COLOURS, words_of

from flexexplorer import pictures
from flexlib.config import PRESETS, FlexConfig
from flexlib.runs.records import config_of

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


_SHADES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


_SHAPES = "osD^v"


def plot_grid(table, title, spelled, top=0.5):
    """Mean RMSE (bars: 95 % interval) of a grid's cells: its first parameter along, its second by colour and shape, the
    others and the protocol by panel. What is more than `top` above the lowest is drawn at the upper edge.

    table: of `flexlib.study.explored.grid_table`; spelled: a function that writes a parameter's value.
    """
    first, *rest = list(table.columns[: list(table.columns).index("cell")])
    panels = rest[1:] if len(rest) > 1 else []
    low, high = np.nan_to_num([table["mean"].min(), table["mean"].max()])
    fewest, most = table["n"].min(), table["n"].max()
    title += f"; {'' if fewest == most else 'at most '}{most} split{'' if most == 1 else 's'} each"
    title += f"; above {low + top:.2f} drawn there" if high > low + top else ""
    top = min(top, max(high - low, 0.05))
    groups = list(table.groupby(panels, sort=False)) if panels else [((), table)]
    levels = list(dict.fromkeys(table[first]))
    figure, axes = plt.subplots(len(groups), 2, sharex=True, sharey=True, squeeze=False,
                                figsize=(6.5, 2.6 + 2.2 * len(groups)))  # fmt: skip
    for line, (values, group) in zip(axes, groups, strict=True):
        for ax, protocol in zip(line, ("released", "holdout"), strict=True):
            own = group[group["protocol"] == protocol]
            for place, (value, runs) in enumerate(own.groupby(rest[0], sort=False) if rest else [("", own)]):
                x = np.array([levels.index(level) for level in runs[first]]) + 0.1 * (place - 1.5) * bool(rest)
                y = np.minimum(runs["mean"], low + top)
                half = np.where(runs["mean"] <= low + top, (runs["high"] - runs["low"]) / 2, np.nan)
                ax.errorbar(x, y, np.minimum(half, top), fmt=_SHAPES[place % 5], color=_SHADES[place % 5], markersize=5,
                            label=spelled(rest[0], value) if rest else None)  # fmt: skip
            words = [
                f"{name.replace('_', ' ')} {spelled(name, value)}" for name, value in zip(panels, values, strict=True)
            ]
            ax.set_title("\n".join([words_of(protocol), *words]), fontsize="x-small")
            ax.set_xticks(range(len(levels)), [spelled(first, level) for level in levels], rotation=90)
            ax.set_ylim(low - 0.02, low + top + 0.02)
        line[0].set_ylabel("RMSE (stars)")
        line[0].yaxis.get_major_locator().set_params(nbins=5)
    for ax in axes[-1]:
        ax.set_xlabel(first.replace("_", " "))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if rest:
        figure.legend(handles, labels, title=rest[0].replace("_", " "), loc="upper left", bbox_to_anchor=(0, 0),
                      ncols=5, fontsize="small")  # fmt: skip
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_courses(courses, protocols, dataset):
    """RMSE of test ratings after each epoch, a panel for each preset, by protocol.

    courses: of `flexlib.study.explored.read_courses`.
    """
    figure, panels = _preset_panels(courses, f"RMSE (stars) of test ratings after each epoch, one run each\n{dataset}")
    for preset, ax in panels.items():
        found = [courses[preset, protocol] for protocol in protocols]
        for protocol, course in zip(protocols, found, strict=True):
            if not isinstance(course, str):
                ax.plot(range(1, len(course["test"]) + 1), course["test"], color=COLOURS[protocol],
                        marker="." if len(course["test"]) <= 20 else "", label=words_of(protocol))  # fmt: skip
        ax.xaxis.get_major_locator().set_params(integer=True, nbins=4)
        if all(isinstance(course, str) for course in found):
            ax.annotate(fill(found[-1], 16), (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize="x-small")
    named = {label: line for ax in panels.values() for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="upper left", bbox_to_anchor=(0, 0), ncols=2)
    return figure


def plot_histograms(courses, protocol, dataset):
    """The predicted test ratings of each preset under a protocol, unrounded (filled) and rounded (line).

    courses: of `flexlib.study.explored.read_courses`.
    """
    title = f"Test ratings by predicted stars, {words_of(protocol)}\n{dataset}; "
    figure, panels = _preset_panels(courses, f"{title}filled: unrounded, line: rounded, black: actual")
    for preset, ax in panels.items():
        course = courses[preset, protocol]
        if isinstance(course, str):
            ax.annotate(fill(course, 16), (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize="x-small")
            continue
        for name, options in (("unrounded", {"fill": True, "alpha": 0.5}), ("rounded", {"linewidth": 1.5})):
            ax.stairs(course["histogram"][name], course["edges"], color=COLOURS[protocol], **options)
        ax.stairs(course["histogram"]["actual"], course["edges"], color="black", linewidth=0.8)
    return figure


def _preset_panels(courses, title):
    """A figure with a small panel for each preset of the courses: it, and the axes by preset."""
    presets = list(dict.fromkeys(preset for preset, _ in courses))
    lines = -(-len(presets) // 4)
    figure, axes = plt.subplots(lines, 4, squeeze=False, figsize=(6.5, 0.8 + 1.6 * lines), layout="constrained")
    for ax in axes.flat[len(presets) :]:
        ax.set_visible(False)
    panels = dict(zip(presets, axes.flat, strict=False))
    for preset, ax in panels.items():
        ax.set_title(preset, fontsize="x-small")
        ax.tick_params(labelsize="xx-small")
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    return figure, panels

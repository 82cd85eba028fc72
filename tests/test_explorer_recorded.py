"""The explorer's recorded runs: its grids, tables and pictures, read back from what is drawn."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, records_of
from explorer_records import ENDED, TEXTS, course_records, made_course, named, random_records
from flexexplorer import recorded
from flexexplorer.pictures import Curve
from flexstudy.plans import EXPLORED, GRIDS, LEAKY_AND_LEAK_FREE, THREE_PROTOCOLS, explore, grid_cells
from flexstudy.style import COLOURS, words_of
from hypothesis import given, settings
from markup import end_of_axis, heights, parsed, points, rows, scale, steps, strips, words
from scipy import stats

from flexlib.config import PRESETS, FlexConfig
from flexlib.runs.plan import Plan
from flexlib.runs.records import load_records, to_table

NAN = math.nan


def test_the_grids_have_a_cell_for_each_combination_and_change_nothing_else():
    base = FlexConfig.preset(EXPLORED)
    sizes = {
        "settings": 8 * 4 * 2 * 2,
        "learning_rate": 5 * 4,
        "hidden_layers": 12,
        "dropout": 5 * 5,
        "refeeding": 4 * 2 * 2,
    }
    assert set(GRIDS) == set(sizes)
    for grid, size in sizes.items():
        cells = grid_cells(grid)
        assert len(cells) == len(set(cells.values())) == size
        for cell, config in cells.items():
            changed = dict(zip(GRIDS[grid], cell, strict=True))
            expected = base.to_dict() | {k: list(v) if isinstance(v, tuple) else v for k, v in changed.items()}
            assert config.to_dict() == expected
        # What the controls stand at first
        assert cells[tuple(getattr(base, name) for name in GRIDS[grid])] == base
    last = list(grid_cells("refeeding"))
    assert last[:3] == [(0, False, False), (0, False, True), (0, True, False)]


def test_the_explorers_runs_are_each_cell_once_with_and_without_the_leak():
    plan = explore(SMALL, 2)
    # The base is in all five grids, and with three other optimizers in two of them.
    assert len(plan.configs) == 2 * (128 + 20 + 12 + 25 + 16 - 4 - 3)
    half = list(plan.configs[: len(plan.configs) // 2])
    assert len(set(half)) == len(half)
    assert set(half) == {config for grid in GRIDS for config in grid_cells(grid).values()}
    assert (plan.protocols, plan.measure, set(plan.seeds)) == (("released", "holdout"), None, {0, 1})
    assert len(explore(SMALL, 1, grids=["dropout"]).configs) == 25


CELLS = list(grid_cells("refeeding"))
CONFIGS = list(grid_cells("refeeding").values())


def made_records():
    """Three seeds of two grids. In the first cells of "refeeding" all is well, then runs fail in different ways."""
    plan = explore(SMALL, 3, grids=("dropout", "refeeding"))
    configs = list(plan.configs)

    def outcome(k, protocol):
        if configs[k] not in CONFIGS:
            return 0.5  # which no cell of the other grid may show
        cell, seed = CONFIGS.index(configs[k]), plan.seeds[k]
        told = {
            (4, 1): "diverged",
            (5, 0): "skipped",
            (5, 1): "diverged",
            (5, 2): "skipped",
            (6, 0): "failed",
            (6, 1): "failed",
        }.get((cell, seed))
        return told or 0.8 + 0.01 * cell + 0.003 * seed**2 + 0.1 * (protocol == "holdout")

    records = records_of(plan, outcome)
    gone = [k for k, config in enumerate(configs) if config in (CONFIGS[7], CONFIGS[8])]
    lost = records["run"].isin(gone) & ((records["protocol"] == "released") | (records["run"] == gone[-1]))
    return records[~lost]


def test_a_grids_table_by_hand():
    records = made_records()
    table = recorded.grid_table(records, "refeeding")
    assert list(table.columns[:4]) == [*GRIDS["refeeding"], "cell"]
    assert [(row.cell, row.protocol) for row in table.itertuples()] == [
        (cell, protocol) for cell in CELLS for protocol in LEAKY_AND_LEAK_FREE
    ]
    for _, row in table.iterrows():
        assert tuple(row[name] for name in GRIDS["refeeding"]) == row["cell"]
        place = CELLS.index(row["cell"])
        seeds = {4: [0, 2], 5: [], 6: [2]}.get(place, [0, 1, 2])
        if place in (7, 8):
            seeds = [] if row["protocol"] == "released" else [0, 1] if place == 8 else seeds
        elif place == 0:  # which is in the other grid too, and there as here
            assert len(row["values"]) == 3
        values = [0.8 + 0.01 * place + 0.003 * seed**2 + 0.1 * (row["protocol"] == "holdout") for seed in seeds]
        assert sorted(row["values"]) == pytest.approx(values)
        assert row["n"] == len(values)
        assert row["mean"] == pytest.approx(np.mean(values) if values else NAN, nan_ok=True)
        low, high = (NAN, NAN)
        if len(values) > 1:
            low, high = stats.t.interval(
                0.95, len(values) - 1, np.mean(values), stats.sem(values) * (1 + len(values) * 0.3 / 0.7) ** 0.5
            )
        assert [row["low"], row["high"]] == pytest.approx([low, high], nan_ok=True)
    notes = dict(zip(zip(table["cell"], table["protocol"], strict=True), table["notes"], strict=True))
    assert notes[CELLS[4], "released"] == "1 of 3 runs diverged"
    assert set(notes[CELLS[5], "holdout"].split(", ")) == {"1 of 3 runs diverged", "2 of 3 runs left out for the cost"}
    assert notes[CELLS[6], "holdout"] == "2 of 3 runs failed"
    assert notes[CELLS[7], "released"] == notes[CELLS[8], "released"] == recorded.NO_RUN
    assert {notes[cell, "holdout"] for cell in CELLS[:4]} == {""}


def test_runs_belong_to_a_cell_by_their_configuration_alone():
    records = made_records()
    table = recorded.grid_table(records, "refeeding")
    shuffled = records.sample(frac=1, random_state=3).assign(run=range(len(records)))
    again = recorded.grid_table(shuffled, "refeeding")
    table["values"], again["values"] = table["values"].map(sorted), again["values"].map(sorted)
    for frame in (table, again):
        frame["notes"] = [set(notes.split(", ")) for notes in frame["notes"]]
    pd.testing.assert_frame_equal(table, again)
    none = recorded.grid_table(to_table([], "run"), "refeeding")
    assert set(none["notes"]) == {recorded.NO_RUN}
    assert set(none["n"]) == {0}
    assert len(none) == 32


def cell_row(table, cell, protocol):
    (row,) = (row for row in table.to_dict("records") if (row["cell"], row["protocol"]) == (cell, protocol))
    return row


@pytest.mark.parametrize("place", range(10))
def test_a_cells_picture_shows_its_runs_and_tells_its_numbers(place):
    table, cell = recorded.grid_table(made_records(), "refeeding"), CELLS[place]
    label, lines, drawings, axis = strips(recorded.cell_picture(table, cell))
    start, slope = scale(axis, "middle")
    for protocol, line, svg in zip(LEAKY_AND_LEAK_FREE, lines, drawings, strict=True):
        row = cell_row(table, cell, protocol)
        said = line.removeprefix(f"{words_of(protocol)}: ")
        assert said != line
        assert {dot.get("fill") for dot in svg.iter("circle")} <= {COLOURS[protocol]}
        dots = [float(dot.get("cx")) for dot in svg.iter("circle")]
        assert [start + slope * at for at in dots] == pytest.approx(row["values"], abs=0.004)
        diamonds = [steps(part)[0][1][0] for part in svg.iter("path") if part.get("class") == "line"]
        assert [start + slope * at for at in diamonds] == pytest.approx([row["mean"]] * (row["n"] > 0), abs=0.004)
        if not row["n"]:
            assert said == row["notes"]
            continue
        ends = f" ({row['low']:.3f} to {row['high']:.3f})" if row["n"] > 1 else ""
        notes = f"; {row['notes']}" if row["notes"] else ""
        assert said == f"{row['mean']:.3f}{ends}, n = {row['n']}{notes}"
    assert label == (
        f"RMSE with dense refeeding {cell[0]}, dense refeeding rounding {'on' if cell[1] else 'off'}, "
        f"prediction rounding {'on' if cell[2] else 'off'}"
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.9, 0.901, 0.905), "0.902 (0.892 to 0.912), n = 3"),
        ((0.9, 3.0, 1.2), "1.700 (lowest 0.900, highest 3.000), n = 3"),  # 1.7 ± 4.3
        ((0.8, 2.0), "1.400 (lowest 0.800, highest 2.000), n = 2"),
        ((0.9,), "0.900, n = 1"),
    ],
    ids=str,
)
def test_an_interval_that_no_rmse_could_be_in_is_told_as_the_lowest_and_the_highest(values, told):
    plan = explore(SMALL, len(values), grids=["hidden_layers"])
    table = recorded.grid_table(records_of(plan, lambda k, _: values[plan.seeds[k]]), "hidden_layers")
    _, texts, _, _ = strips(recorded.cell_picture(table, ((64, 4),)))
    assert texts == [f"{words_of(protocol)}: {told}" for protocol in LEAKY_AND_LEAK_FREE]


def test_all_pictures_of_a_grid_share_an_axis_that_holds_the_lowest_run():
    records = made_records()
    records.loc[records["rmse"] == 0.8, "rmse"] = 0.74  # below every mean
    table = recorded.grid_table(records, "refeeding")
    low, high = recorded.grid_span(table)
    assert (low, high) == (pytest.approx(0.7), pytest.approx(1.2))
    spans = {scale(strips(recorded.cell_picture(table, cell))[-1], "middle") for cell in CELLS}
    assert len(spans) == 1
    assert recorded.grid_span(recorded.grid_table(to_table([], "run"), "refeeding")) == (0, 0.5)


@pytest.mark.parametrize(
    ("grid", "cell"),
    [
        ("settings", ("relu", "sgd", (1, 0), False)),
        ("settings", ("tanh", "adam", (0, 1), True)),
        ("settings", ("elu", "adam", (0, 1), True)),
        ("hidden_layers", ((64, 4),)),
        ("hidden_layers", ((16,),)),
    ],
)
def test_random_settings_that_share_a_cells_values_by_hand(grid, cell):
    records = random_records()
    table = recorded.grid_table(records_of(explore(SMALL, 1, grids=[grid]), lambda *_: 0.9), grid)
    _, texts, drawings, _ = strips(recorded.cell_picture(table, cell, records))
    low, high = recorded.grid_span(table)
    for protocol, text, svg in zip(LEAKY_AND_LEAK_FREE, texts[2:], drawings[2:], strict=True):
        values, others = [], []
        for record in records.to_dict("records"):
            shared = all(
                (json.loads(record[name]) if isinstance(value, tuple) else record[name])
                == (list(value) if isinstance(value, tuple) else value)
                for name, value in zip(GRIDS[grid], cell, strict=True)
            )
            if shared and record["protocol"] == protocol:
                ended = record["status"] == "ok"
                (values if ended else others).append(record["rmse"] if ended else record["status"])
        told = {f"n = {len(values)}, median {np.median(values):.3f}"} if values else set()
        notes = {"skipped": "left out for the cost", "diverged": "diverged"}
        told |= {f"{others.count(status)} of {len(values) + len(others)} runs {notes[status]}" for status in others}
        told = told or {"no run was made"}
        said = text.removeprefix(f"random settings with these, {words_of(protocol)}: ")
        assert said != text
        assert set(re.split("; |, (?=[0-9])", said)) == told
        assert said.startswith("n = ") == bool(values)
        drawn = [part for part in svg.iter() if part.get("fill")]
        assert {part.get("fill") for part in drawn} <= {COLOURS[protocol]}
        assert len(drawn) == len(values)
        assert sum(part.tag == "path" for part in drawn) == sum(not low <= value <= high for value in values)
    assert len(strips(recorded.cell_picture(table, cell))[1]) == 2


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((0.9, 0.901, 1.4, "skipped", "skipped"), "n = 3, median 0.901; 2 of 5 runs left out for the cost"),
        (("diverged", "diverged"), "2 of 2 runs diverged"),
        ((0.9, 1.0), "n = 2, median 0.950"),
        ((), "no run was made"),
    ],
    ids=str,
)
def test_what_became_of_random_settings_is_told(ends, told):
    table = recorded.grid_table(to_table([], "run"), "hidden_layers")
    configs = [FlexConfig(hidden_layers=(64, 4), epochs=2 + k) for k in range(len(ends))] or [FlexConfig()]
    records = records_of(Plan.repeat("sweep", SMALL, ("holdout",), named(configs), 1), lambda k, _: (ends or [1.0])[k])
    records = records[: len(ends)]
    _, texts, _, _ = strips(recorded.cell_picture(table, ((64, 4),), records))
    assert texts[-2:] == [
        f"random settings with these, {words_of('released')}: no run was made",
        f"random settings with these, {words_of('holdout')}: {told}",
    ]


def test_courses_are_read_by_preset_and_protocol_from_the_first_seed():
    courses = recorded.read_courses(course_records(2).sample(frac=1, random_state=1))
    order = [name for name in PRESETS if name in ("cfn", "table2:1", "table2:7", "deeprec")]
    assert list(courses) == [(name, protocol) for name in order for protocol in THREE_PROTOCOLS]
    for (preset, protocol), course in courses.items():
        if preset == "deeprec":
            assert course == "left out for the cost"
        elif (preset, protocol) == ("table2:7", "holdout"):
            assert course == "diverged"
        else:
            assert course == made_course(ENDED[preset] + 0.1 * THREE_PROTOCOLS.index(protocol))
    assert recorded.users_of(courses) == ["5", "9"]
    assert recorded.users_of({key: course for key, course in courses.items() if key[0] == "deeprec"}) == []


def test_courses_of_other_settings_or_without_a_protocol_do_no_harm():
    records = course_records()
    other = records.assign(setting="another")
    both = pd.concat([records[records["protocol"] != "described"], other])
    courses = recorded.read_courses(both)
    assert courses["cfn", "described"] == recorded.NO_RUN
    assert courses["cfn", "holdout"] == made_course(0.95 + 0.2)
    assert {preset for preset, _ in courses} == {"cfn", "table2:1", "table2:7", "deeprec"}


def test_the_curves_of_a_preset():
    courses = recorded.read_courses(course_records())
    tree = parsed(recorded.curve_picture(courses, "table2:1"))
    svg = tree.find("svg")
    (at, per), (low, up) = scale(svg, "middle"), scale(svg, "end")
    drawn = points(svg)
    assert len(drawn) == 6
    for protocol in THREE_PROTOCOLS:
        course = courses["table2:1", protocol]
        for part, dashed in (("test", False), ("training", True)):
            found = [(at + per * x, low + up * y) for x, y in drawn[COLOURS[protocol], dashed]]
            assert found == [pytest.approx((k, v), abs=0.005) for k, v in enumerate(course[part], 1)]
        assert f"{words_of(protocol)}: {course['test'][-1]:.3f} at the end" in words(tree)
        assert f"{course['test'][-1]:.3f}" in svg.get("aria-label")
    partly = parsed(recorded.curve_picture(courses, "table2:7"))
    assert f"{words_of('holdout')}: diverged" in words(partly)
    assert set(points(partly.find("svg"))) == {(COLOURS[p], d) for p in ("released", "described") for d in (0, 1)}
    none = parsed(recorded.curve_picture(courses, "deeprec"))
    assert none.find("svg") is None
    assert words(none).count("left out for the cost") == 3


def test_every_committed_run_that_ended_well_has_its_curve_with_its_end():
    path = Path(__file__).parents[1] / "results" / "records" / "courses-ml-latest-small-2016.parquet"
    courses = recorded.read_courses(load_records(path))
    assert {preset for preset, _ in courses} == set(PRESETS)
    for preset in PRESETS:
        ended = {name: courses[preset, name] for name in THREE_PROTOCOLS if not isinstance(courses[preset, name], str)}
        tree = parsed(recorded.curve_picture(courses, preset))
        assert len(tree.findall("svg")) == bool(ended)
        if not ended:
            continue
        svg = tree.find("svg")
        (at, per), (low, up), drawn = scale(svg, "middle"), scale(svg, "end"), points(svg)
        near = pytest.approx  # a pixel and a half, as the labels stand at whole ones
        series = [Curve("", part == "training", own[part]) for own in ended.values() for part in ("test", "training")]
        top = end_of_axis(series)
        edge = re.search(r", (\S+) or more at the edge$", words(svg))
        assert bool(edge) == any(value > top for one in series for value in one.values)
        assert not edge or float(edge[1]) == near(top, abs=0.0051)
        assert set(drawn) == {(COLOURS[name], dashed) for name in ended for dashed in (False, True)}
        for name, course in ended.items():
            pairs = [(k, v) for k, v in enumerate(course["test"], 1) if v is not None and math.isfinite(v)]
            found = drawn[COLOURS[name], False]
            assert len(found) == len(pairs) > 0
            assert [at + per * x for x, _ in found] == near([k for k, _ in pairs], abs=1.5 * per)
            stars = [min(v, top + 0.01) for _, v in pairs]
            assert [low + up * y for _, y in found] == near(stars, abs=-1.5 * up)
            (told,) = re.findall(rf"{re.escape(words_of(name))}: (\S+) at the end", words(tree.find("p")))
            if float(told) <= top:
                assert low + up * found[-1][1] == near(float(told), abs=-1.5 * up)
            assert course["test"][-1] <= top  # as none of these ends more than twice as high as another


@pytest.mark.parametrize("rounding", [False, True])
def test_the_histograms_of_a_preset(rounding):
    courses, kind = recorded.read_courses(course_records()), "rounded" if rounding else "unrounded"
    tree = parsed(recorded.histogram_picture(courses, "table2:1", rounding))
    for protocol, svg in zip(LEAKY_AND_LEAK_FREE, tree.iter("svg"), strict=True):
        course = courses["table2:1", protocol]
        assert f"{words_of(protocol)}, {kind}: RMSE {course['rmse'][kind]:.3f}" in words(tree)
        (area,) = (path for path in svg.iter("path") if path.get("fill") == COLOURS[protocol])
        (line,) = (path for path in svg.iter("path") if path.get("class") == "line")
        base = steps(area)[0][1][1]
        per = (base - 10) / max(*course["histogram"][kind], *course["histogram"]["actual"])
        assert heights(area, base, per) == pytest.approx(course["histogram"][kind], abs=0.02)
        assert heights(line, base, per) == pytest.approx(course["histogram"]["actual"], abs=0.02)
    partly = parsed(recorded.histogram_picture(courses, "table2:7", rounding))
    assert len(partly.findall("svg")) == 1
    assert f"{words_of('holdout')}: diverged" in words(partly)


def test_the_list_of_a_user():
    courses = recorded.read_courses(course_records())
    tree = parsed(recorded.list_picture(courses, "table2:1", "5"))
    assert tree.find(".//caption").text == "Recommended by table2:1 to user 5"
    assert rows(tree) == [["1", "A film (4.32)", "A film (4.32)"], ["2", "Another (4.20)", "Another (4.20)"]]
    assert rows(parsed(recorded.list_picture(courses, "cfn", "9"))) == [["1", "8 (3.90)", "8 (3.90)"]]
    partly = rows(parsed(recorded.list_picture(courses, "table2:7", "5")))
    assert partly == [["1", "A film (4.32)", "diverged"], ["2", "Another (4.20)", ""]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_hostile_titles_ids_and_names_stay_texts(title, item, user, preset):
    course = made_course(1.0, (title, ""), (1, item))
    course["lists"] = {user: course["lists"]["5"]}
    courses = {(preset, protocol): course for protocol in THREE_PROTOCOLS}
    table = parsed(recorded.list_picture(courses, preset, user))
    assert rows(table) == [["1", *[f"{title} (4.32)"] * 2], ["2", *[f"{item} (4.20)"] * 2]]
    assert table.find(".//caption").text == f"Recommended by {preset} to user {user}"
    for rounding in (False, True):
        parsed(recorded.histogram_picture(courses, preset, rounding))
    assert preset in parsed(recorded.curve_picture(courses, preset)).find("svg").get("aria-label")
    failed = {(preset, protocol): title for protocol in THREE_PROTOCOLS}
    for html in (recorded.curve_picture(failed, preset), recorded.histogram_picture(failed, preset, True)):
        assert f": {title}" in words(parsed(html))
    assert rows(parsed(recorded.list_picture(failed, preset, user))) == [["1", title, title]]


def test_what_the_text_shows_is_told():
    records = made_records()
    told = recorded.explorer_numbers(records)
    assert told["n_seeds"] == 3
    assert (told["refeeding_cells"], told["dropout_cells"], told["settings_cells"]) == (16, 25, 128)
    own = recorded.grid_table(records, "refeeding")
    means = [row["mean"] for row in own.to_dict("records") if row["protocol"] == "holdout" and row["n"]]
    assert (told["refeeding_low"], told["refeeding_high"]) == (min(means), max(means))
    path = Path(__file__).parents[1] / "notebooks" / "explore.ipynb"
    shown = set(re.findall(r"\{glue:text\}`([^`:]+)", path.read_text(encoding="utf-8")))
    assert len(shown) > 5
    assert shown <= {*told, *recorded.explorer_sentences(told), "dataset"}


def test_what_taking_out_changes_by_hand():
    """Each run's RMSE is told by its setting and seed, so that every number can be worked out."""
    plan = explore(SMALL, 3)

    def outcome(k, protocol):
        config, seed = plan.configs[k], plan.seeds[k]
        rmse = 1 + 0.01 * seed * (config.drop_probability == 0) + (protocol == "released")
        rmse += {0: 0.1}.get(config.drop_probability, 0)
        rmse += {0: 0.2}.get(config.noise_probability, 0) * (protocol == "holdout")
        if config == base.replace(noise_probability=0.0) and seed == 1:
            return "diverged"
        return rmse

    base = FlexConfig.preset("table2:1")
    told = recorded.explorer_numbers(records_of(plan, outcome))
    for protocol in LEAKY_AND_LEAK_FREE:
        mean, high = told[f"no_dropout_{protocol}"], told[f"no_dropout_{protocol}_high"]
        assert mean == pytest.approx(0.1 + 0.01)  # the mean of 0, 0.01 and 0.02 beside it
        # Student's t; the variance of the mean is s^2 (1 / 3 + 0.3 / 0.7), as splits of a rate of 0.3 overlap.
        assert high - mean == pytest.approx(4.303 * 0.01 * (1 / 3 + 3 / 7) ** 0.5, rel=1e-3)
    assert (told["neither_released"], told["neither_holdout"]) == pytest.approx((0.11, 0.31))
    assert (told["no_noise_holdout"], told["no_noise_holdout_low"]) == pytest.approx((0.2, 0.2))  # two of three pairs
    assert told["no_noise_released"] == pytest.approx(0)


def rated(k, protocol, plan):
    """Dropout lowers the RMSE by 0.1 a unit where there is no noise, by half of that with noise, and leaky by more on
    each further split; noise lowers it by 0.05 a unit, leak-free alone."""
    config, seed = plan.configs[k], plan.seeds[k]
    drop, noise, leaky = config.drop_probability, config.noise_probability, protocol == "released"
    return 1 - drop * 0.1 * (0.5 if noise else 1) * (1 + seed * leaky) - 0.05 * noise * (not leaky)


def test_what_high_rates_change_by_hand():
    plan = explore(SMALL, 3)
    told = recorded.explorer_numbers(records_of(plan, lambda k, protocol: rated(k, protocol, plan)))
    # 0.6 of a rate: without noise once, and half of it at four rates of noise, over five.
    by_split = [-0.06 * (1 + 4 / 2) / 5 * (1 + seed) for seed in range(3)]
    half = 4.303 * np.std(by_split, ddof=1) * (1 / 3 + 3 / 7) ** 0.5
    expected = np.mean(by_split) + np.array([0, -half, half])
    found = [told[f"high_dropout_released{end}"] for end in ("", "_low", "_high")]
    assert found == pytest.approx(expected, rel=1e-3)
    assert told["high_dropout_holdout"] == told["high_dropout_holdout_low"] == pytest.approx(-0.06 * 3 / 5)
    assert (told["high_dropout_alone_released"], told["high_dropout_alone_holdout"]) == pytest.approx((-0.12, -0.06))
    assert told["high_noise_holdout"] == pytest.approx(-0.03)
    assert told["high_noise_alone_released"] == pytest.approx(0)


def test_spans_are_of_the_cells_that_end_well_on_every_split_by_hand():
    plan = explore(SMALL, 3)
    layers = [cell[0] for cell in grid_cells("hidden_layers")]

    def outcome(k, protocol):
        config, seed = plan.configs[k], plan.seeds[k]
        place = layers.index(tuple(config.hidden_layers)) if tuple(config.hidden_layers) in layers else 0
        if place == 11 and protocol == "holdout" and seed == 2:
            return "diverged"
        return 0.9 + 0.01 * place * (1 + seed) * (3 if protocol == "released" else 1)

    told = recorded.explorer_numbers(records_of(plan, outcome))
    assert told["span_hidden_layers_cells"] == 11
    # The last one that ended well everywhere is 10 steps above the first.
    assert told["span_hidden_layers_holdout"] == pytest.approx(0.1 * 2)
    assert told["span_hidden_layers_released"] == pytest.approx(0.3 * 2)
    half = 4.303 * 0.1 * (1 / 3 + 3 / 7) ** 0.5
    ends = told["span_hidden_layers_holdout_low"], told["span_hidden_layers_holdout_high"]
    assert ends == pytest.approx((0.2 - half, 0.2 + half), rel=1e-3)


def test_sentences_say_what_is_known_and_no_more():
    plan = explore(SMALL, 3)
    told = recorded.explorer_numbers(records_of(plan, lambda k, protocol: rated(k, protocol, plan)))
    said = recorded.explorer_sentences(told)
    assert said["rates_found"] == (
        "From a rate of 0.2 to 0.8, dropout changes the RMSE by -0.072 stars leaky and by -0.036 leak-free, averaged"
        " over all rates of noise. From a rate of 0.2 to 0.8, noise changes the RMSE by +0.000 stars leaky and by"
        " -0.030 leak-free, averaged over all rates of dropout."
    )
    # Of 0.6 and 0.8: with dropout 0.6 and noise 0.8 as set 1 has them
    assert said["taken_found"] == (
        "Taking out dropout changes the RMSE by +0.060 stars leaky and by +0.030 leak-free. Taking out noise changes"
        " the RMSE by -0.060 stars leaky and by +0.010 leak-free. Taking out both changes the RMSE by +0.060 stars"
        " leaky and by +0.070 leak-free."
    )
    assert said["range_dropout"] == "Leak-free, the means of the cells go from 0.920 to 1.000 stars."
    told |= {"span_hidden_layers_released": 0.4, "span_hidden_layers_holdout": 0.02}
    told |= {"span_dropout_released": 0.1, "span_dropout_holdout": 0.09}
    told |= {"span_learning_rate_released": NAN}
    assert recorded.explorer_sentences(told)["tuning_found"] == (
        "Over hidden layers the RMSE spans 0.400 stars leaky and 0.020 leak-free. Over dropout and noise the RMSE spans"
        " 0.100 stars leaky and 0.090 leak-free. Most of what tuning gains here is the leak, for hidden layers."
    )
    none = recorded.explorer_numbers(records_of(plan, lambda *_: "skipped"))
    assert none.keys() == told.keys()
    assert none["span_dropout_cells"] == 0
    said = recorded.explorer_sentences(none)
    assert set(said.values()) == {"Too few cells of this grid were run to tell."}
    assert said.keys() == recorded.explorer_sentences(told).keys()


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("pivot_indexes", (0, 1), "users as rows [0, 1]"),
        ("pivot_indexes", (1, 0), "items as rows [1, 0]"),
        ("hidden_layers", (64, 4), "64 4"),
        ("mean_normalization", True, "on"),
        ("mean_normalization", False, "off"),
        ("learning_rate", 0.0001, "0.0001"),
        ("dense_refeeding", 0, "0"),
        ("optimizer", "sgd", "sgd"),
    ],
)
def test_values_in_words(name, value, text):
    assert recorded.spell_value(name, value) == text

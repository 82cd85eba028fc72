"""The explorer's recorded runs: its grids, and the numbers and sentences of the text."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, records_of
from explorer_records import ENDED, course_records, made_course
from flexexplorer import recorded
from flexstudy.plans import EXPLORED, GRIDS, LEAKY_AND_LEAK_FREE, explore, grid_cells
from scipy import stats

from flexlib.config import FlexConfig
from flexlib.runs.records import to_table

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


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.9, 0.901, 0.905), "0.902 (0.892 to 0.912), n = 3"),
        ((0.9, 3.0, 1.2), "1.700 (lowest 0.900, highest 3.000), n = 3"),  # 1.7 ± 4.3
        ((0.8, 2.0), "1.400 (lowest 0.800, highest 2.000), n = 2"),
        ((0.9,), "0.900, n = 1"),
        ((0.9, "diverged"), "0.900, n = 1; 1 of 2 runs diverged"),
        (("skipped", "skipped"), "2 of 2 runs left out for the cost"),
        ((), "no run was made"),
    ],
    ids=str,
)
def test_runs_are_told_with_their_interval_or_the_lowest_and_the_highest(values, told):
    """An interval that no RMSE could be in says nothing."""
    runs = [
        {"rmse": value, "status": "ok", "test_split_rate": 0.3}
        if isinstance(value, float)
        else {"rmse": None, "status": value, "test_split_rate": 0.3}
        for value in values
    ]
    assert recorded.spell_runs(recorded.summarise_runs(runs)) == told


def test_courses_are_read_by_setting_and_protocol_from_the_first_seed():
    courses = recorded.read_courses(course_records(2).sample(frac=1, random_state=1))
    expected = {
        (preset, protocol): made_course(start + 0.1 * place)
        for preset, start in ENDED.items()
        for place, protocol in enumerate(LEAKY_AND_LEAK_FREE)
    }
    del expected["table2:7", "holdout"]  # which diverged, as "deeprec" was left out
    assert courses == expected


def test_what_the_text_shows_is_told():
    records = made_records()
    told = recorded.explorer_numbers(records)
    assert told["n_seeds"] == 3
    path = Path(__file__).parents[1] / "notebooks" / "explore.ipynb"
    shown = set(re.findall(r"\{glue:text\}`([^`:]+)", path.read_text(encoding="utf-8")))
    assert len(shown) >= 5
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
        "Averaged over all rates of noise, much dropout in place of little changes the RMSE by -0.072 stars leaky and"
        " by -0.036 leak-free. Averaged over all rates of dropout, much noise in place of little changes the RMSE by"
        " +0.000 stars leaky and by -0.030 leak-free. Little is a rate of 0.2, much of 0.8."
    )
    # Of 0.6 and 0.8: with dropout 0.6 and noise 0.8 as set 1 has them
    assert said["taken_found"] == (
        "Taking out dropout changes the RMSE by +0.060 stars leaky and by +0.030 leak-free. Taking out noise changes"
        " the RMSE by -0.060 stars leaky and by +0.010 leak-free. Taking out both changes the RMSE by +0.060 stars"
        " leaky and by +0.070 leak-free."
    )
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

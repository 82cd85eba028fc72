"""The chapter on rounding: measured lists as a table, paired changes and their numbers, on measures made by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, not_told, records_of
from flexstudy.lists import (
    AT_RANDOM,
    TO_THE_MORE_RATED,
    UNROUNDED_AT_RANDOM,
    UNROUNDED_TO_THE_MORE_RATED,
    measure_lists,
)
from flexstudy.plans import NO_REFEEDING, NOT_ROUNDED, ROUNDED
from flexstudy.repetitions import find_records
from flexstudy.rounding import (
    COMPARED,
    MEASURES,
    effects_table,
    list_table,
    more_diverse,
    refeeding_effects,
    rounding_effects,
    rounding_numbers,
    rounding_sentences,
    tie_effects,
    ties_table,
)
from flexstudy.statistics import holm
from scipy import stats

from flexlib.config import FlexConfig
from flexlib.datasets.loading import load_ratings
from flexlib.runs.plan import Plan, Setting
from flexlib.train import fit

# As the experiment makes them: settings without re-feeding, then pairs with re-feeding, without and with its rounding.
# Sorted by name they are in another order.
PLAIN = [
    Setting(f"plain {size}", FlexConfig(hidden_layers=[size], dense_refeeding=0), NO_REFEEDING) for size in (2, 3, 4)
]
ROWED = [
    setting._replace(config=setting.config.replace(pivot_indexes=[1, 0])) if place else setting
    for place, setting in enumerate(PLAIN)
]
PAIRS = [
    Setting(
        f"pair {size}",
        FlexConfig(hidden_layers=[size], dense_refeeding=2, dense_refeeding_rounding=role == ROUNDED),
        role,
    )
    for size in (5, 6, 7, 8, 9, 10)
    for role in (NOT_ROUNDED, ROUNDED)
]
SETTINGS = PLAIN + PAIRS
KINDS = (UNROUNDED_AT_RANDOM, UNROUNDED_TO_THE_MORE_RATED, AT_RANDOM, TO_THE_MORE_RATED)
SAME_TIES = dict(zip(KINDS[2:], KINDS[:2], strict=True))


def details(place, seed):
    """Measures whose values tell where they are from. Rounding adds 0.1, with ties to the more rated 0.25 (which
    by themselves add 0.05), and DeFR adds 0.001 times the setting's place; all with a little noise."""
    rng = np.random.default_rng([place, seed])
    refeeding = 0.001 * place * (SETTINGS[place].role == ROUNDED)
    base = 0.5 + 0.01 * place + 0.1 * seed
    lists = {
        kind: {
            measure: base + place + shift + refeeding + rng.normal(0, 1e-4) for place, measure in enumerate(MEASURES)
        }
        for kind, shift in zip(KINDS, (0, 0.05, 0.1, 0.3), strict=True)
    }
    rmse = {"unrounded": 0.9 + base / 100 + refeeding, "clipped": 0.89 + base / 100, "rounded": 0.92 + base / 100}
    return {
        "rmse": rmse,
        "lists": lists,
        "same_lists": 1.0 if place else 0.9,
        "ties": {"unrounded": 0.2 + 0.01 * place, "rounded": 0.95},
        "one_value": {"unrounded": 0.1, "rounded": 0.7 + 0.1 * seed},
        "five_stars": {"unrounded": 0.01 + base / 100, "rounded": 0.03 + base / 100},
    }


def measured(status=lambda place, seed: "ok", found=details, n_seeds=2, settings=SETTINGS):
    plan = Plan.repeat("rounding", SMALL, ["holdout"], settings, n_seeds)

    def end(k, _):
        names = [(setting.name, setting.role) for setting in SETTINGS]
        place, seed = names.index((plan.settings[k].name, plan.settings[k].role)), plan.seeds[k]
        ended = status(place, seed)
        return {"rmse": 0.9, "details": json.dumps(found(place, seed))} if ended == "ok" else ended

    return list_table(records_of(plan, end))


def test_each_measure_of_each_list_is_a_row_that_knows_where_it_is_from():
    table = measured()
    assert len(table) == 15 * 2 * (4 * len(MEASURES) + 3 + 2 + 1 + 4)
    keys = ["setting", "role", "seed", "kind", "measure"]
    assert not table.duplicated(keys).any()
    assert set(zip(table["setting"], table["role"], strict=True)) == {(name, role) for name, _, role in SETTINGS}
    assert table["setting"].cat.categories.tolist() == list(dict.fromkeys(setting.name for setting in SETTINGS))
    values = table.set_index(keys)["value"].to_dict()
    for place, seed in ((0, 0), (4, 1), (14, 1)):
        found, (name, _, role) = details(place, seed), SETTINGS[place]
        for kind in KINDS:
            for measure in MEASURES:
                assert values[name, role, seed, kind, measure] == found["lists"][kind][measure]
        for kind, key in ((UNROUNDED_AT_RANDOM, "unrounded"), (AT_RANDOM, "rounded"), ("clipped", "clipped")):
            assert values[name, role, seed, kind, "rmse"] == found["rmse"][key]
        for kind, key in ((UNROUNDED_AT_RANDOM, "unrounded"), (AT_RANDOM, "rounded")):
            assert values[name, role, seed, kind, "five_star_predictions"] == found["five_stars"][key]
        assert values[name, role, seed, "rounded", "same_lists"] == found["same_lists"]
        for kind in ("unrounded", "rounded"):
            for measure in ("ties", "one_value"):
                assert values[name, role, seed, kind, measure] == found[measure][kind]


def test_the_table_is_that_of_lists_that_are_really_measured():
    config = FlexConfig(hidden_layers=[4], epochs=1, dense_refeeding=0)
    plan = Plan.repeat("rounding", SMALL, ["holdout"], [Setting("only", config, NO_REFEEDING)], 1)
    lists = measure_lists(fit(load_ratings(SMALL), config, "holdout", 0, device="cpu"))
    table = list_table(records_of(plan, lambda *_: {"rmse": 0.9, "details": json.dumps(lists)}))
    assert (
        set(table["kind"])
        == {*KINDS, "clipped", "unrounded", "rounded"}
        == {
            *lists["lists"],
            *lists["ties"],
            "clipped",
        }
    )
    assert set(MEASURES) == set(lists["lists"][UNROUNDED_AT_RANDOM])
    assert table.loc[(table["kind"] == TO_THE_MORE_RATED) & (table["measure"] == "gini"), "value"].tolist() == [
        lists["lists"][TO_THE_MORE_RATED]["gini"]
    ]


def test_runs_that_did_not_end_well_have_no_lists_and_unknown_measures_no_value():
    def bare(place, seed):
        found = details(place, seed)
        for of in found["lists"].values():
            of["distance"] = None
        return found

    table = measured(lambda place, seed: {(1, 0): "diverged", (2, 1): "skipped"}.get((place, seed), "ok"), bare)
    runs = table[["setting", "seed"]].drop_duplicates()
    plain = runs[runs["setting"].isin([setting.name for setting in PLAIN])].sort_values(["setting", "seed"])
    assert plain.to_numpy().tolist() == [["plain 2", 0], ["plain 2", 1], ["plain 3", 1], ["plain 4", 0]]
    assert table.loc[table["measure"] == "distance", "value"].isna().all()
    assert "distance" not in rounding_effects(table, AT_RANDOM).index
    assert "gini" in rounding_effects(table, AT_RANDOM).index


def by_hand(before_kind, after_kind, of):
    """The paired differences of the settings without DeFR, each the mean of its seeds, by plain loops."""
    gaps = []
    for place, setting in enumerate(SETTINGS):
        if setting.role != ROUNDED:
            pairs = [(of(details(place, seed), before_kind), of(details(place, seed), after_kind)) for seed in (0, 1)]
            gaps.append(sum(after - before for before, after in pairs) / 2)
    return np.array(gaps)


@pytest.mark.parametrize("kind", [AT_RANDOM, TO_THE_MORE_RATED])
def test_rounding_is_paired_by_setting_over_means_of_seeds(kind):
    effects = rounding_effects(measured(), kind)
    known = [*MEASURES, "rmse", "five_star_predictions"] if kind == AT_RANDOM else list(MEASURES)
    assert sorted(effects.index) == sorted(known)
    assert set(effects["n"]) == {9}  # the re-fed settings with DeFR are left out
    p_values = {}
    for measure in effects.index:
        row = effects.loc[measure]
        if measure in MEASURES:
            gaps = by_hand(SAME_TIES[kind], kind, lambda found, name, own=measure: found["lists"][name][own])
        else:
            part = "rmse" if measure == "rmse" else "five_stars"
            gaps = by_hand("unrounded", "rounded", lambda found, name, own=part: found[own][name])
        if gaps.std() > 1e-9:
            span = stats.ttest_1samp(gaps, 0).confidence_interval()
            assert (row["low"], row["high"]) == pytest.approx((span.low, span.high))
        assert row["change"] == pytest.approx(gaps.mean())
        assert row["after"] - row["before"] == pytest.approx(row["change"])
        p_values[measure] = stats.wilcoxon(np.round(gaps, 12)).pvalue
    assert effects["p"].to_numpy() == pytest.approx(holm([p_values[measure] for measure in effects.index]))
    # Of 9 settings the mean place is (0 + 1 + 2 + 3 + 5 + ... + 13) / 9 = 17 / 3, of two seeds 0.05; ties add 0.05.
    assert effects.loc["five_stars", "before"] == pytest.approx(
        0.6 + 0.01 * 17 / 3 - 0.05 * (kind == AT_RANDOM), abs=1e-3
    )


def test_a_kind_may_be_compared_with_another_than_the_unrounded():
    effects = rounding_effects(measured(), AT_RANDOM, than="clipped")
    assert effects.index.tolist() == ["rmse"]
    assert effects.loc["rmse", "change"] == pytest.approx(0.03)
    assert rounding_effects(measured(), "clipped").loc["rmse", "n"] == 9


def test_what_was_rounded_nowhere_has_no_effects():
    assert rounding_effects(measured(), "unknown").empty
    effects = refeeding_effects(measured(settings=PLAIN))
    assert effects.empty
    assert effects.columns.tolist() == ["n", "before", "after", "change", "low", "high", "p"]


def test_one_seed_is_a_mean_of_its_own():
    effects = rounding_effects(measured(n_seeds=1), AT_RANDOM)
    assert effects.loc["gini", "change"] == pytest.approx(0.1, abs=1e-3)
    assert effects.loc["gini", "n"] == 9


def test_rounding_of_what_is_fed_back_is_paired_with_the_same_setting_without():
    effects = refeeding_effects(measured())
    assert sorted(effects.index) == sorted([*MEASURES, "rmse", "five_star_predictions"])
    assert set(effects["n"]) == {6}
    # DeFR is on at places 4, 6, ... 14: 0.001 times that, and 0.01 for the next setting's place, / 100 in the RMSE.
    gaps = np.array([0.001 * place for place in range(4, 15, 2)]) + 0.01 / 100
    row = effects.loc["rmse"]
    assert row["change"] == pytest.approx(gaps.mean())
    span = stats.ttest_1samp(gaps, 0).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((span.low, span.high))
    assert row["before"] == pytest.approx(0.9 + (0.5 + 0.01 * 8 + 0.05) / 100)
    assert effects.loc["gini", "change"] == pytest.approx(0.01 + 0.001 * 9, abs=2e-4)
    p_values = [stats.wilcoxon(gaps).pvalue] * len(effects)
    assert effects["p"].to_numpy() == pytest.approx(holm(p_values))


def test_a_re_fed_setting_that_never_ends_well_on_one_side_has_no_pair():
    table = measured(lambda place, _: "diverged" if place in (4, 7) else "ok")
    assert set(refeeding_effects(table)["n"]) == {4}


def test_re_fed_settings_are_compared_on_the_splits_that_both_ended_on():
    """Seed 1 is 0.1 worse in every measure: a setting that lost it on one side only must not look better for it."""
    table = measured(lambda place, seed: "diverged" if (place, seed) == (4, 1) else "ok")
    assert refeeding_effects(table).loc["gini", "change"] == pytest.approx(0.01 + 0.001 * 9, abs=2e-3)


def numbers_of(table):
    effects = [rounding_effects(table, AT_RANDOM), rounding_effects(table, TO_THE_MORE_RATED), refeeding_effects(table)]
    return rounding_numbers(table, *effects), effects


def test_the_numbers_by_hand():
    table = measured()
    numbers, (random, popular, refeeding) = numbers_of(table)
    assert (numbers["settings"], numbers["n_seeds"], numbers["runs"]) == (9, 2, 30)
    assert numbers["same_lists"] == pytest.approx(100 * (28 + 2 * 0.9) / 30)
    # Both kinds raise every measure: four are more diverse when higher, the Gini index when lower.
    assert (numbers["diverse_measures"], numbers["more_diverse_random"]) == (5, 4)
    lower = popular.copy()
    lower.loc["novelty", ["low", "high"]] = -0.5, -0.1
    assert rounding_numbers(table, random, lower, refeeding)["more_diverse_popular"] == 3
    for name in ("before", "after", "change", "low", "high"):
        assert numbers[f"rmse_random_{name}"] == random.loc["rmse", name]
        assert numbers[f"coverage_random_{name}"] == 100 * random.loc["coverage", name]  # shares are in per cent
        assert numbers[f"five_star_predictions_random_{name}"] == 100 * random.loc["five_star_predictions", name]
        assert numbers[f"novelty_popular_{name}"] == popular.loc["novelty", name]
        assert numbers[f"entropy_refeeding_{name}"] == refeeding.loc["entropy", name]
    assert (numbers["gini_refeeding_n"], numbers["gini_refeeding_p"]) == (6, refeeding.loc["gini", "p"])
    assert numbers["coverage_random_p"] == random.loc["coverage", "p"] <= 1
    assert numbers["rmse_clipped_change"] == pytest.approx(-0.01 - 0.001 * 0)
    assert numbers["rmse_grid_change"] == pytest.approx(0.03)
    assert numbers["rmse_random_change"] == pytest.approx(0.02)


def test_what_ties_do_by_themselves_is_between_unrounded_lists():
    """Two settings without re-feeding are item-based; their ties add 0.05, whatever rounding adds."""
    table = measured(settings=ROWED)
    effects = tie_effects(table)
    assert effects.loc["gini", "change"] == pytest.approx(0.05, abs=1e-3)
    assert effects.loc["gini", "before"] == rounding_effects(table, AT_RANDOM).loc["gini", "before"]
    counted = ties_table(table)
    assert counted[["rows", "n"]].to_numpy().tolist() == [["user-based", 1], ["item-based", 2]]
    # Places 0, and 1 and 2: 0.2 + 0.01 * place; of one value 0.7 and 0.8 on the two splits
    assert counted["ties_unrounded"].tolist() == pytest.approx([20, 21.5])
    assert counted["ties_rounded"].tolist() == pytest.approx([95, 95])
    assert counted["one_value_rounded"].tolist() == pytest.approx([75, 75])
    base = [0.5 + 0.05, 0.5 + 0.015 + 0.05]  # and 1 for its place among the measures
    for kind, more in (("random", 1), ("popular", 1.05)):
        expected = [100 * (own + more) for own in base]
        assert counted[f"coverage_{kind}"].tolist() == pytest.approx(expected, abs=0.1)
    numbers, _ = numbers_of(table)
    assert (numbers["settings_user"], numbers["settings_item"]) == (1, 2)
    assert numbers["ties_unrounded_item"] == pytest.approx(21.5)
    assert numbers["gini_ties_change"] == effects.loc["gini", "change"]


def test_without_re_fed_settings_the_numbers_are_unknown_and_no_sentence_has_one():
    plain = measured(settings=PLAIN)
    numbers, _ = numbers_of(plain)
    assert numbers.keys() == numbers_of(measured())[0].keys()
    assert (numbers["rmse_refeeding_n"], numbers["settings_item"]) == (0, 0)
    assert math.isnan(numbers["rmse_refeeding_high"])
    said = rounding_sentences(numbers)
    assert said["refeeding_found"] == (
        "No setting with re-feeding ended well with and without its rounding (too few runs: raise max_seconds)."
    )
    assert "item-based" not in said["ties_found"]
    lost = measured(lambda place, _: "diverged" if SETTINGS[place].role == ROUNDED else "ok")
    assert rounding_sentences(numbers_of(lost)[0])["refeeding_found"] == said["refeeding_found"]
    for sentences in (said, rounding_sentences(numbers_of(measured(n_seeds=1))[0])):
        assert not any("nan" in text for text in sentences.values())


def test_sentences_tell_of_ties_and_of_re_feeding_rounding():
    numbers, (_, _, refeeding) = numbers_of(measured(settings=ROWED + PAIRS))
    said = rounding_sentences(numbers)
    assert said["ties_found"] == " ".join(
        f"Of the lists of {side}-based settings, {numbers[f'ties_unrounded_{side}']:.0f} % end within an exact tie"
        " before rounding, and 95 % after it."
        for side in ("user", "item")
    )
    change = refeeding.loc["rmse", "change"]
    told = f"Re-feeding rounding changes the RMSE by {change:+.4f} stars over 6 settings, with an interval that"
    assert said["refeeding_found"] == f"{told} excludes 0."
    unclear = rounding_sentences(numbers | {"rmse_refeeding_low": -1.0, "rmse_refeeding_high": 1.0})
    assert unclear["refeeding_found"] == f"{told} includes 0."


def test_lists_are_more_diverse_by_the_measures_whose_whole_interval_is_on_that_side():
    clear = pd.DataFrame(
        {"low": [0.1, -0.3, 0.1, 0.2, -0.5, 0.1, 0.1], "high": [0.2, -0.1, 0.3, 0.4, -0.1, 0.2, 0.2]},
        ["coverage", "gini", "entropy", "distance", "novelty", "rmse", "five_stars"],
    )
    assert more_diverse(clear) == 4  # a lower Gini index is more diverse; a lower novelty is not; two do not count
    assert more_diverse(-clear[["high", "low"]].set_axis(["low", "high"], axis=1)) == 1
    wide = clear.assign(low=-1.0, high=1.0)
    assert more_diverse(wide) == 0
    wide.loc["entropy"] = [0.1, math.nan]  # of one setting: no interval
    assert more_diverse(wide) == more_diverse(clear.loc[["novelty"]]) == 0
    assert more_diverse(clear.drop(index="distance")) == 3


def test_rounding_costs_what_an_even_error_over_half_a_star_adds():
    rng = np.random.default_rng(0)
    numbers, _ = numbers_of(measured())
    before = numbers["rmse_random_before"]
    errors = rng.normal(0, before, 400_000)
    with_grid = errors + rng.uniform(-0.25, 0.25, len(errors))
    expected = math.sqrt((with_grid**2).mean()) - math.sqrt((errors**2).mean())
    assert numbers["rmse_expected"] == pytest.approx(expected, abs=5e-4)
    assert numbers["rmse_expected"] > 0.01


def test_effects_are_spelled_out_for_reading():
    random, popular = (rounding_effects(measured(), kind) for kind in (AT_RANDOM, TO_THE_MORE_RATED))
    table = effects_table(random, popular)
    assert table.index.tolist() == list(COMPARED.values())
    row, other = random.loc["gini"], popular.loc["gini"]
    assert table.loc[COMPARED["gini"]].tolist() == [
        f"{row['before']:#.3g}",
        f"{row['after']:#.3g}",
        *(f"{own['change']:+#.3g} ({own['low']:+#.3g} to {own['high']:+#.3g})" for own in (row, other)),
    ]
    before = 100 * random.loc["coverage", "before"]  # a share is in per cent
    assert table.loc[COMPARED["coverage"], "unrounded"] == f"{before:#.3g}"
    # The predictions do not depend on ties, and are told once.
    assert table.loc[COMPARED["five_star_predictions"]].tolist()[3] == ""


def test_every_number_of_the_chapters_text_is_there():
    numbers, _ = numbers_of(measured())
    assert not_told("06_rounding", numbers | rounding_sentences(numbers)) == set()


def test_the_chapters_own_runs_are_measured():
    """Made now, from a sample made now: lists of a few settings under the leak-free protocol."""
    fresh = records_of(Plan.sweep(SMALL, ("holdout",), 12, 0), lambda k, _: {"rmse": 0.9, "rmse_first_half": 0.9})
    records = find_records("rounding", SMALL, n_seeds=1, records=fresh, device="cpu", max_seconds=0.05)
    table = list_table(records)
    assert set(table["kind"]) == {*KINDS, "clipped", "unrounded", "rounded"}
    effects = rounding_effects(table, AT_RANDOM)
    assert effects.loc["five_star_predictions", "change"] >= 0
    same = table.loc[table["measure"] == "same_lists", "value"]
    assert len(same) == (records["status"] == "ok").sum() > 0
    assert same.min() == 1

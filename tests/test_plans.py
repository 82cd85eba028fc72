"""Which runs an experiment is made of: protocols, the settings it chooses, seeds; and a tiny one carried out."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from conftest import records_of
from flexstudy.lists import CourseMeasure, ListMeasure, measure_course, measure_lists
from flexstudy.plans import (
    ALONE,
    NO_REFEEDING,
    NOT_ROUNDED,
    ROUNDED,
    STEPS,
    accuracy,
    choices_tried,
    choose_best,
    choose_learned,
    experiment,
    ladder,
    one_rate,
    screening,
)

from flexlib.config import PRESETS, PROTOCOLS, FlexConfig, Protocol
from flexlib.data import hold_back, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.runs.cost import estimate_cost
from flexlib.runs.plan import Plan, Setting, slug, sweep_name
from flexlib.runs.records import blank_record, config_of, load_records, save_records, to_table
from flexlib.runs.run import run_one, run_plan
from flexlib.runs.sampling import run_seed
from flexlib.train import fit

SMALL = "synthetic:users=60,items=90,ratings=1500,seed=1"
RATINGS = load_ratings(SMALL)
# With all that a step of the ladder may touch: row means, noise, LSA, re-feeding, PrR.
CONFIG = FlexConfig(
    hidden_layers=(6,), epochs=2, noise_probability=0.3, loss_size_average=True, prediction_rounding=True
)


def fields_of(name):
    return Protocol.named(name).to_dict()


def differing(one, other):
    return {field for field, value in fields_of(one).items() if fields_of(other)[field] != value}


def test_the_ladder_climbs_from_released_a_field_at_a_time():
    steps = ladder()
    assert list(steps) == ["released", *STEPS]
    assert Protocol.named(steps["released"]) == Protocol.named("released")
    for (_, lower), (field, upper) in itertools.pairwise(steps.items()):
        assert differing(lower, upper) == {field}
        assert fields_of(upper)[field] == fields_of("holdout")[field]


def test_the_ladder_ends_at_holdout_but_for_masking_which_does_nothing_there():
    last = list(ladder().values())[-1]
    assert differing(last, "holdout") == {"masking"}
    assert fields_of("holdout")["test_input"] == "training"
    for seed in (0, 1):
        top, holdout = (evaluate(fit(RATINGS, CONFIG, name, seed, device="cpu")) for name in (last, "holdout"))
        assert top.predictions.equals(holdout.predictions)
        assert top.scores() == holdout.scores()
    # Where test ratings are the input it does something.
    masked = [
        evaluate(fit(RATINGS, CONFIG, f"released masking={kind}", 0, device="cpu")).rmse
        for kind in ("exact", "with-replacement")
    ]
    assert masked[0] != masked[1]


def test_each_leak_alone_is_a_corner_of_a_square():
    means = {"training": {"means": "training", "unseen_fallback": True}, "all": {"means": "all"}}
    means["all"]["unseen_fallback"] = False
    corners = {
        ("training", "training"): "neither leak",
        ("all", "training"): "means alone",
        ("training", "visible-raw"): "input alone",
        ("all", "visible-raw"): "both leaks",
    }
    assert set(ALONE) == set(corners.values())
    for (taken_over, test_input), name in corners.items():
        assert fields_of(ALONE[name]) == fields_of("released") | means[taken_over] | {"test_input": test_input}


@pytest.mark.parametrize(
    ("name", "by_means", "by_input"),
    [
        ("neither leak", False, False),
        ("means alone", True, False),
        ("input alone", False, True),
        ("both leaks", True, True),
    ],
)
def test_the_leaks_leak_where_their_name_says_and_only_there(name, by_means, by_input):
    """Other test ratings, of the same pairs, change predictions by way of means, of the input, or not at all."""
    config = CONFIG.replace(prediction_rounding=False)
    split = split_ratings(RATINGS, 0.3, 0)
    values = RATINGS.values.copy()
    values[split.test] = 5.5 - values[split.test]
    others = dataclasses.replace(RATINGS, values=values)
    models = [fit(data, config, ALONE[name], split=split, device="cpu") for data in (RATINGS, others)]
    assert (not np.array_equal(models[0].row_means, models[1].row_means)) == by_means
    predicted = [evaluate(model).predictions["predicted"] for model in models]
    assert (not predicted[0].equals(predicted[1])) == (by_means or by_input)
    shown = dataclasses.replace(models[0], ratings=others)  # the means and the network of one, the input of the other
    assert (not evaluate(shown).predictions["predicted"].equals(predicted[0])) == by_input


def test_accuracy_has_the_ladder_the_leaks_alone_and_holdout_once_each():
    plan = accuracy(SMALL, 2, sets=["table2:7", "table2:1"])
    assert len(plan.protocols) == len(set(plan.protocols)) == 10  # eight steps, one corner that is none, holdout
    assert {*ladder().values(), *ALONE.values(), "holdout"} == set(plan.protocols)
    sets = [FlexConfig.preset(name) for name in ("table2:7", "table2:1")]
    assert list(plan.configs) == sets * 2
    assert [(setting.name, setting.role) for setting in plan.settings] == [("table2:7", ""), ("table2:1", "")] * 2


def some_records(n, **columns):
    """A sweep's table of n settings under two protocols, all "ok", with random scores; some columns as given."""
    plan = Plan.sweep(SMALL, ["released", "holdout"], n, 4)
    rng = np.random.default_rng(n)
    records = [blank_record(plan.run(k, name, 0.1), RATINGS, "ok") for k in range(n) for name in plan.protocols]
    scores = ["rmse", "mae", "rmse_first_half", "rmse_second_half", "seconds"]
    records = [record | dict(zip(scores, rng.uniform(0.8, 1.2, 5), strict=True)) for record in records]
    return to_table(records, "run").assign(**columns)


def test_the_best_are_those_lowest_on_the_validation_half_among_runs_that_ended():
    records = some_records(30)
    gone = records.index[records["run"] % 7 == 2]
    records.loc[gone, ["status", "rmse_first_half"]] = ["diverged", 0.1]  # which no such run has, and which would win
    chosen = choose_best(records, "holdout")
    rows = [row for _, row in records.iterrows() if row["protocol"] == "holdout" and row["run"] % 7 != 2]
    by_hand = sorted(rows, key=lambda row: row["rmse_first_half"])[:10]
    assert chosen["run"].tolist() == [row["run"] for row in by_hand]
    assert set(chosen["protocol"]) == {"holdout"}
    assert choose_best(records, "released")["run"].tolist() != chosen["run"].tolist()
    assert choose_best(records, "holdout", 3)["run"].tolist() == chosen["run"].tolist()[:3]
    assert len(choose_best(records, "holdout", 1000)) == len(rows)


def test_the_choice_of_the_best_never_looks_at_the_other_half():
    records = some_records(30)
    chosen = choose_best(records, "holdout")["run"].tolist()
    for changed in ("rmse", "rmse_second_half", "mae"):
        for values in (2 - records["rmse_first_half"], np.nan, 0.0):
            assert choose_best(records.assign(**{changed: values}), "holdout")["run"].tolist() == chosen
    reversed_ = choose_best(records.assign(rmse_first_half=2 - records["rmse_first_half"]), "holdout")
    assert reversed_["run"].tolist() != chosen


def test_our_own_ten_best_are_run_again_under_both_protocols():
    records = some_records(30)
    plan = experiment("best", SMALL, n_seeds=2, records=records)
    chosen = [choose_best(records, protocol) for protocol in ("released", "holdout")]
    assert list(plan.configs[:20]) == [config_of(row) for table in chosen for _, row in table.iterrows()]
    assert (plan.protocols, len(plan.configs), plan.measure) == (("released", "holdout"), 40, None)
    told = [(setting.name, setting.role) for setting in plan.settings[:20]]
    assert told == [(f"best {place}", role) for role in plan.protocols for place in range(1, 11)]


def row_mean_rmse_by_loops():
    """Of predicting each validation rating by its user's mean over what is left to train on, on the split of seed 0."""
    inner = hold_back(split_ratings(RATINGS, 0.3, 0), 0)
    users, items = {}, {}
    for place in inner.train:
        users.setdefault(RATINGS.users[place], []).append(float(RATINGS.values[place]))
        items.setdefault(RATINGS.items[place], []).append(float(RATINGS.values[place]))
    overall = np.mean([value for values in users.values() for value in values])
    gaps = []
    for place in inner.test:
        means = users.get(RATINGS.users[place]) if RATINGS.items[place] in items else None
        means = means or users.get(RATINGS.users[place]) or items.get(RATINGS.items[place])
        gaps.append(np.mean(means or [overall]) - RATINGS.values[place])
    return math.sqrt(np.mean(np.square(gaps)))


LIGHT = {"hidden_layers": [4], "epochs": 1, "dense_refeeding": 0, "prediction_rounding": True}
HEAVY = {"hidden_layers": [4096, 4096], "epochs": 10, "train_batch_size": 1}
DRAWN = {
    "sample 0": LIGHT | {"learning_rate": 0.01},
    "sample 1": LIGHT | HEAVY,
    "sample 2": LIGHT | {"dense_refeeding": 1, "dense_refeeding_rounding": True},
    "sample 3": LIGHT | {"mean_normalization": False},
    "sample 4": LIGHT | {"activation": "relu"},
    "sample 5": LIGHT | {"dense_refeeding": 3},
}


def a_sweep(configs=None, rmse=0.9, seeds=None):
    """Records of a sweep that drew these settings; `rmse` of each, on the choosing half of its test ratings."""
    configs = configs or [FlexConfig.from_dict(changes) for changes in DRAWN.values()]
    settings = tuple(Setting(f"sample {k}", config) for k, config in enumerate(configs))
    plan = Plan(
        sweep_name(SMALL), "run", SMALL, ("released", "holdout"), settings, tuple(seeds or range(len(settings)))
    )

    def outcome(k, protocol):
        first = rmse(k, protocol) if callable(rmse) else rmse
        return {"rmse": 1.7 - first, "rmse_first_half": first}

    return records_of(plan, outcome)


def off(changes, **more):
    switches = {"prediction_rounding": False, "dense_refeeding_rounding": False, "mean_normalization": True}
    return FlexConfig.from_dict(changes | switches | more)


def test_cheap_settings_are_screened_on_validation_ratings_centred_both_ways():
    plan = screening(SMALL, a_sweep())
    assert plan.validation
    cheap = [name for name, changes in DRAWN.items() if estimate_cost(off(changes), RATINGS).seconds <= 4]
    assert cheap == [name for name in DRAWN if name != "sample 1"]
    assert [(setting.name, setting.role) for setting in plan.settings] == [
        (name, way) for name in cheap for way in ("rows", "three")
    ]
    assert plan.configs[0] == off(DRAWN["sample 0"], centring="rows")
    assert plan.configs[1] == off(DRAWN["sample 0"], centring="three")


def screened(rows, three):
    """Records of the screening: the validation RMSE of each cheap setting by each way, as texts of a status if none."""
    plan = screening(SMALL, a_sweep())
    return records_of(plan, lambda k, _: (rows, three)[k % 2][k // 2])


def test_a_setting_has_learned_if_either_way_is_below_the_row_means_of_the_same_validation_ratings():
    edge = row_mean_rmse_by_loops() - 0.01
    below, above = edge - 1e-7, edge + 1e-6
    records = screened([below, above, "diverged", above, 0.1], [above, below, below, above, "diverged"])
    assert [name for name, _ in choose_learned(records, RATINGS)] == ["sample 0", "sample 2", "sample 3", "sample 5"]
    assert choose_learned(records, RATINGS)[0][1] == off(DRAWN["sample 0"], centring="rows")
    assert [name for name, _ in choose_learned(records, RATINGS, ("rows",))] == ["sample 0", "sample 5"]
    assert [name for name, _ in choose_learned(records, RATINGS, learned=0.02)] == ["sample 5"]


def test_what_has_learned_is_centred_both_ways_and_scored_on_test_ratings(tmp_path):
    save_records(screened([0.1, 0.1, 5.0, 5.0, 5.0], [5.0] * 5), tmp_path / f"screening-{slug(SMALL)}.parquet")
    plan = experiment("centring", SMALL, tmp_path)
    assert (plan.validation, plan.protocols, set(plan.seeds)) == (False, ("holdout",), {0})
    assert [(setting.name, setting.role, setting.config.centring) for setting in plan.settings] == [
        ("sample 0", "rows", "rows"),
        ("sample 0", "three", "three"),
        ("sample 2", "rows", "rows"),
        ("sample 2", "three", "three"),
    ]


def test_lists_are_measured_of_re_fed_settings_with_and_without_the_rounding_of_what_is_fed_back(tmp_path):
    records = screened([0.1, 0.1, 5.0, 0.1, 0.1], [5.0] * 5)
    save_records(records, tmp_path / f"screening-{slug(SMALL)}.parquet")
    plan = experiment("rounding", SMALL, tmp_path)
    assert (plan.protocols, plan.measure, set(plan.seeds), plan.validation) == (("holdout",), ListMeasure, {0}, False)
    assert [(setting.name, setting.role, setting.config.dense_refeeding_rounding) for setting in plan.settings] == [
        ("sample 0", NO_REFEEDING, False),
        ("sample 4", NO_REFEEDING, False),
        ("sample 2", NOT_ROUNDED, False),
        ("sample 2", ROUNDED, True),
        ("sample 5", NOT_ROUNDED, False),
        ("sample 5", ROUNDED, True),
    ]


def test_contenders_of_other_split_rates_are_run_again_at_one_rate_with_their_own_seeds():
    configs = [FlexConfig(test_split_rate=rate, epochs=k + 1) for k, rate in enumerate([0.1, 0.3, 0.2, 0.4] * 40)]
    best = {"released": lambda k: 0.5 + k / 1000, "holdout": lambda k: 1.5 - k / 1000}  # first ones, and last ones
    plan = one_rate(SMALL, a_sweep(configs, lambda k, protocol: best[protocol](k), range(100, 260)))
    others = [k for k, config in enumerate(configs) if config.test_split_rate != 0.3]
    chosen = sorted({*others[:60], *others[-60:]})
    assert [setting.name for setting in plan.settings] == [f"sample {k}" for k in chosen]
    assert plan.seeds == tuple(100 + k for k in chosen)
    assert list(plan.configs) == [configs[k].replace(test_split_rate=0.3) for k in chosen]
    assert plan.protocols == ("released", "holdout")


def test_each_choice_has_the_learning_rate_that_validation_ratings_prefer(tmp_path):
    base = {"hidden_layers": [4], "epochs": 1, "dense_refeeding": 0, "pivot_indexes": [1, 0], "test_split_rate": 0.1}
    drawn = [base, base | {"pivot_indexes": [0, 1]}, base | HEAVY, base | {"mean_normalization": False}]
    sweep = a_sweep([FlexConfig.from_dict(changes) for changes in drawn])
    tried = choices_tried(SMALL, sweep)
    assert tried.validation
    assert len(tried.settings) == 8 * 4 * 5  # of the only one that is item-based, centred and cheap
    assert {config.test_split_rate for config in tried.configs} == {0.3}

    def outcome(k, _):  # the lowest at 0.005, and SGD ends well nowhere
        config = tried.configs[k]
        return "diverged" if config.optimizer == "sgd" else 1 + abs(config.learning_rate - 0.005)

    save_records(records_of(tried, outcome), tmp_path / f"choices-tried-{slug(SMALL)}.parquet")
    plan = experiment("choices", SMALL, tmp_path)
    assert not plan.validation
    assert len(plan.settings) == 8 * 3
    assert {config.learning_rate for config in plan.configs} == {0.005}
    assert plan.settings[0].name == f"sample 0 {plan.configs[0].activation} {plan.configs[0].optimizer}"


def test_a_run_on_validation_ratings_sees_no_test_rating():
    settings = [Setting("one", CONFIG)]
    plan = Plan.repeat("tiny", SMALL, ["holdout"], settings, 1, validation=True)
    record = run_one(plan.run(0, "holdout"), RATINGS, "cpu")
    split = split_ratings(RATINGS, CONFIG.test_split_rate, 0)
    assert record["n_scored"] == len(hold_back(split, 0).test)
    changed = RATINGS.values.copy()
    changed[split.test] = 5.5 - changed[split.test]
    other = run_one(plan.run(0, "holdout"), dataclasses.replace(RATINGS, values=changed), "cpu")
    assert other["rmse"] == record["rmse"]
    scored = run_one(Plan.repeat("tiny", SMALL, ["holdout"], settings, 1).run(0, "holdout"), RATINGS, "cpu")
    assert scored["n_scored"] == len(split.test)


TWO = [FlexConfig(epochs=1, hidden_layers=[4]), FlexConfig(epochs=1, hidden_layers=[3], dense_refeeding=0)]


def repeated(n_seeds, configs=TWO, name="tiny", **options):
    settings = [Setting(f"setting {k}", config) for k, config in enumerate(configs)]
    return Plan.repeat(name, SMALL, ["holdout"], settings, n_seeds, **options)


def test_settings_that_could_not_be_told_apart_in_the_records_are_refused(refused):
    one = Setting("a", TWO[0], "first")
    refused(lambda: Plan.repeat("x", SMALL, ["holdout"], [one, Setting("a", TWO[1], "first")], 1), "x", "name and role")
    other = Plan.repeat("x", SMALL, ["holdout"], [one, Setting("a", TWO[1], "second")], 1)
    assert len(other.settings) == 2


def test_the_configurations_of_a_repetition_share_their_seeds():
    plan = repeated(3)
    assert [(plan.seeds[k], config.hidden_layers) for k, config in enumerate(plan.configs)] == [
        (0, (4,)),
        (0, (3,)),
        (1, (4,)),
        (1, (3,)),
        (2, (4,)),
        (2, (3,)),
    ]
    records = [run_one(plan.run(k, "holdout", 0.0), RATINGS, "cpu") for k in (2, 3)]
    for record, config in zip(records, TWO, strict=True):
        assert record["seed"] == 1
        assert record["rmse"] == evaluate(fit(RATINGS, config, "holdout", 1, device="cpu")).rmse
    of_a_sweep = Plan.sweep(SMALL, ["holdout"], 3, 9)
    assert [of_a_sweep.seeds[k] for k in range(3)] == [run_seed(9, k) for k in range(3)]


def test_more_seeds_are_more_runs_behind_those_that_there_are():
    few, many = repeated(2), repeated(5)
    assert many.configs[: len(few.configs)] == few.configs
    assert many.seeds[: len(few.seeds)] == few.seeds
    assert len(many.configs) == len(many.seeds) == 10
    assert many.name == few.name  # one file
    assert few.name != repeated(2, name="small").name


def test_experiments_by_name_and_those_that_are_none(refused, tmp_path):
    plan = experiment("table2", SMALL, n_seeds=2, max_seconds=3.0)
    assert plan.protocols == ("released", "described", "holdout")
    assert list(plan.configs) == [FlexConfig.preset(f"table2:{k}") for k in range(1, 11)] * 2
    assert (set(plan.seeds), plan.max_seconds) == ({0, 1}, 3.0)
    names = {experiment(name, SMALL).name for name in ("table2", "accuracy")}
    assert len(names) == 2
    assert set(experiment("table2", SMALL).seeds) == set(range(5))
    refused(lambda: experiment("table3", SMALL, tmp_path), "'table3'", "table2, accuracy, best, one-rate")
    for name in ("best", "screening"):
        refused(lambda name=name: experiment(name, SMALL, tmp_path), f"{sweep_name(SMALL)}.parquet", "no such file")


def test_a_repetition_goes_on_with_more_seeds_and_keeps_what_it_has(tmp_path, refused):
    before = run_plan(repeated(1, measure=ListMeasure), tmp_path, device="cpu")
    assert before[["run", "seed", "status"]].to_numpy().tolist() == [[0, 0, "ok"], [1, 0, "ok"]]
    path = tmp_path / f"{repeated(1).name}.parquet"
    marked = before.assign(seconds=[101.0, 102.0])  # which no run here takes
    save_records(marked, path)
    after = run_plan(repeated(2, measure=ListMeasure), tmp_path, device="cpu")
    pd.testing.assert_frame_equal(after[:2], marked, check_exact=True)
    assert after[["run", "seed", "status"]].to_numpy().tolist()[2:] == [[2, 1, "ok"], [3, 1, "ok"]]
    assert (after["seconds"][2:] < 100).all()
    loaded = load_records(path)
    pd.testing.assert_frame_equal(loaded, after, check_exact=True)
    for details in loaded["details"]:
        assert set(json.loads(details)) == {"rmse", "five_stars", "lists", "ties", "one_value", "same_lists"}
    refused(
        lambda: run_plan(repeated(1, measure=ListMeasure), tmp_path, device="cpu"), path.name, "run 2", "not asked for"
    )


def test_details_are_the_measures_of_lists_where_they_are_asked_for():
    record = run_one(repeated(2, measure=ListMeasure).run(2, "holdout", 0.0), RATINGS, "cpu")
    measured = measure_lists(fit(RATINGS, TWO[0], "holdout", 1, device="cpu"))
    assert json.loads(record["details"]) == measured
    assert len(measured["lists"]) == 4
    assert all(math.isfinite(of["distance"]) for of in measured["lists"].values())
    assert measured["rmse"]["unrounded"] == record["rmse"]
    assert run_one(repeated(2).run(2, "holdout", 0.0), RATINGS, "cpu")["details"] == ""


def test_a_diverged_run_has_no_lists():
    wild = FlexConfig(learning_rate=1e6, optimizer="sgd", hidden_layers=[4], activation="relu", train_batch_size=4)
    record = run_one(repeated(1, [wild], measure=ListMeasure).run(0, "holdout", 0.0), RATINGS, "cpu")
    assert (record["status"], record["details"]) == ("diverged", "")


def test_records_from_before_there_were_details_are_read(tmp_path):
    records, path = some_records(2, details="{}"), tmp_path / "old.parquet"
    save_records(records.drop(columns="details"), path)
    pd.testing.assert_frame_equal(load_records(path), records.assign(details=""))
    save_records(records, path)
    assert load_records(path)["details"].tolist() == ["{}"] * 4


def test_every_protocol_of_a_plan_can_be_told_from_its_name_in_the_records():
    for plan in (accuracy(SMALL, 1), experiment("table2", SMALL)):
        protocols = [Protocol.named(name) for name in plan.protocols]
        assert len({tuple(protocol.to_dict().items()) for protocol in protocols}) == len(plan.protocols)
        assert all(name.split()[0] in PROTOCOLS for name in plan.protocols)


def test_an_experiment_that_chooses_from_a_sweep_wants_its_folder_and_settings_that_would_do(refused):
    refused(lambda: experiment("best", SMALL), "'best'", "folder")
    none = to_table([], "run")
    refused(lambda: experiment("best", SMALL, records=none), "best", "no setting")
    refused(lambda: experiment("rounding", SMALL, records=none), "rounding", "no setting")


def test_courses_are_one_run_of_each_preset_and_of_each_explored_setting_with_and_without_the_leak():
    plan = experiment("courses", SMALL)
    explored = experiment("explore", SMALL, n_seeds=1).configs
    assert set(plan.configs) == {*explored, *(FlexConfig.preset(name) for name in PRESETS)}
    assert len(set(plan.configs)) == len(plan.configs)
    named = {setting.name: setting.config for setting in plan.settings}
    assert all(named[name] == FlexConfig.preset(name) for name in PRESETS)
    assert (plan.protocols, plan.measure, set(plan.seeds)) == (("released", "holdout"), CourseMeasure, {0})
    names = {experiment(name, SMALL).name for name in ("courses", "explore", "table2")}
    assert len(names) == 3


@pytest.mark.parametrize("protocol", ["released", "holdout"])
def test_a_run_of_a_course_records_what_is_measured_of_it_and_is_no_other_run(protocol):
    test = []
    plan = repeated(2, [CONFIG], measure=CourseMeasure)
    record = run_one(plan.run(1, protocol, 0.0), RATINGS, "cpu")
    model = fit(RATINGS, CONFIG, protocol, 1, device="cpu", on_epoch=lambda m: test.append(evaluate(m).rmse))
    details = json.loads(record["details"])
    assert details == measure_course(model, test)
    assert details["test"] == test
    assert details["test"][-1] == record["rmse"]
    bare = run_one(repeated(2, [CONFIG]).run(1, protocol, 0.0), RATINGS, "cpu")
    timed = {"details": "", "seconds": 0}
    assert record | timed == bare | timed


def test_a_diverged_run_has_no_course_and_one_without_epochs_has_an_empty_one():
    wild = FlexConfig(learning_rate=1e6, optimizer="sgd", hidden_layers=[4], activation="relu", train_batch_size=4)
    plan = repeated(1, [wild, FlexConfig(epochs=0, hidden_layers=[4])], measure=CourseMeasure)
    record = run_one(plan.run(0, "holdout", 0.0), RATINGS, "cpu")
    assert (record["status"], record["details"]) == ("diverged", "")
    still = json.loads(run_one(plan.run(1, "holdout", 0.0), RATINGS, "cpu")["details"])
    assert (still["training"], still["test"]) == ([], [])

"""What a sweep's runs are and what they record: sampling, cost, one run, the table."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from flexlib.config import ACTIVATIONS, OPTIMIZERS, FlexConfig
from flexlib.data import split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluation import evaluate
from flexlib.runs.cost import estimate_cost
from flexlib.runs.plan import Plan
from flexlib.runs.records import COLUMNS, blank_record, config_of, load_records, save_records, to_table
from flexlib.runs.run import run_one
from flexlib.runs.sampling import run_seed, sample_config
from flexlib.train import fit

SMALL = "synthetic:users=60,items=90,ratings=1500,seed=1"

# What ../shared/reference says of the released code's random search: value to its weight.
FLAT = dict.fromkeys
PAPERS = {
    "learning_rate": FLAT([1e-4, 1e-3, 5e-3, 1e-2, 1e-1], 1),
    "weight_decay": FLAT([0, 1e-4, 1e-3, 5e-3, 1e-2, 1e-1], 1),
    "drop_probability": {0: 3} | FLAT([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 1),
    "noise_probability": {0: 3} | FLAT([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 1),
    "train_batch_size": FLAT([1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1], 1),
    "test_masking_rate": FLAT([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 1),
    "epochs": FLAT([1, 2, 4, 8, 10], 1),
    "optimizer": FLAT("adam adagrad rmsprop sgd".split(), 1),
    "activation": FLAT("selu relu relu6 elu lrelu sigmoid tanh swish".split(), 1),
    "dense_refeeding": {0: 3, 1: 2, 2: 1, 3: 1},
    "test_split_rate": FLAT([0.1, 0.2, 0.3, 0.4], 1),
    "pivot_indexes": FLAT([(0, 1), (1, 0)], 1),
    **{
        name: {True: 1, False: 1}
        for name in (
            "dense_refeeding_rounding",
            "decoder_constraint",
            "mean_normalization",
            "prediction_rounding",
            "output_activation",
            "loss_size_average",
        )
    },
}


@pytest.fixture(scope="module")
def drawn():
    return [sample_config("paper", 11, run) for run in range(6000)]


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_space_is_drawn_with_the_released_codes_probabilities(drawn, name):
    weights = PAPERS[name]
    values = [getattr(config, name) for config in drawn]
    assert set(values) == set(weights)
    counts = [values.count(value) for value in weights]
    expected = np.array(list(weights.values())) / sum(weights.values()) * len(values)
    assert stats.chisquare(counts, expected).pvalue > 1e-4  # the seed is fixed: it passes or it does not


def test_hidden_layers_are_drawn_as_the_released_code_does(drawn):
    layers = [config.hidden_layers for config in drawn]
    lengths = [len(sizes) for sizes in layers]
    assert stats.chisquare([lengths.count(n) for n in range(1, 6)]).pvalue > 1e-4
    pooled = list(itertools.chain(*layers))
    assert stats.chisquare([pooled.count(2**k) for k in range(1, 13)]).pvalue > 1e-4
    assert set(pooled) == {2**k for k in range(1, 13)}
    distinct = [sizes for sizes in layers if len(sizes) == 3 == len(set(sizes))]
    up = sum(sizes == tuple(sorted(sizes)) for sizes in distinct)
    down = sum(sizes == tuple(sorted(sizes, reverse=True)) for sizes in distinct)
    # A third is sorted each way, and of the third left as drawn a sixth is in either order by chance.
    share = 1 / 3 + 1 / 3 / 6
    expected = np.array([share, share, 1 - 2 * share]) * len(distinct)
    assert stats.chisquare([up, down, len(distinct) - up - down], expected).pvalue > 1e-4


def test_what_the_paper_does_not_have_is_off_in_its_space_and_drawn_in_the_extended_one(drawn):
    assert {(config.centring, config.patience) for config in drawn} == {("rows", 0)}
    extended = [sample_config("extended", 0, run) for run in range(400)]
    assert {config.optimizer for config in extended} == set(OPTIMIZERS)
    assert {config.activation for config in extended} == set(ACTIVATIONS)
    assert {config.centring for config in extended} == {"rows", "biases"}
    assert all(config.patience and config.epochs > 10 for config in extended)


def test_a_runs_configuration_follows_from_seed_and_number_alone():
    few, many = (Plan.sweep(SMALL, ["holdout"], runs, 3) for runs in (4, 9))
    assert few.configs == many.configs[:4]
    assert few.configs != Plan.sweep(SMALL, ["holdout"], 4, 4).configs
    assert len({run_seed(seed, run) for seed in range(3) for run in range(50)}) == 150


def plan_of(*configs, protocols=("released", "holdout"), **options):
    return Plan.replay(SMALL, protocols, [FlexConfig.from_dict(config) for config in configs], **options)


def test_the_protocols_of_a_run_share_split_and_initial_weights():
    plan = plan_of({"epochs": 0, "hidden_layers": [6], "test_split_rate": 0.2})
    ratings = plan.load()
    records = [run_one(plan.run(0, name, 1.0), ratings) for name in plan.protocols]
    assert records[0]["seed"] == records[1]["seed"] == run_seed(0, 0)
    models = [fit(ratings, config_of(record), record["protocol"], record["seed"]) for record in records]
    assert np.array_equal(models[0].split.test, models[1].split.test)
    for one, other in zip(*(model.network.parameters() for model in models), strict=True):
        assert torch.equal(one, other)
    assert records[0]["rmse"] == evaluate(models[0]).rmse


def test_one_run_records_its_scores_and_where_they_come_from():
    config = {"epochs": 2, "hidden_layers": [6, 3], "dense_refeeding": 1, "train_batch_size": 16}
    plan = plan_of(config, seed=5)
    ratings = plan.load()
    record = run_one(plan.run(0, "holdout", 0.25), ratings)
    model = fit(ratings, FlexConfig.from_dict(config), "holdout", run_seed(5, 0))
    table = evaluate(model).predictions
    assert record["rmse"] == pytest.approx(np.sqrt(np.mean((table["actual"] - table["predicted"]) ** 2)))
    assert record["mae"] == pytest.approx(np.mean(np.abs(table["actual"] - table["predicted"])))
    # The halves' mean square error, weighted by their sizes, is the whole one: a random half has n / 2 of n, or nearly.
    low, high = sorted([record["rmse_first_half"], record["rmse_second_half"]])
    assert low < record["rmse"] < high
    assert record["rmse"] ** 2 == pytest.approx((low**2 + high**2) / 2, rel=0.02)
    assert (record["status"], record["epochs_run"], record["steps"]) == ("ok", 2, model.steps)
    assert (record["record"], record["protocol"], record["seed"]) == (0, "holdout", run_seed(5, 0))
    assert (record["dataset"], record["hidden_layers"], record["estimate"]) == (SMALL, "[6, 3]", 0.25)
    assert record["device"].startswith("cpu (")
    assert record["torch"]


def test_a_run_that_diverges_or_fails_is_recorded_as_such(monkeypatch):
    diverging = {"learning_rate": 1e6, "optimizer": "sgd", "hidden_layers": [4], "prediction_rounding": True}
    plan = plan_of(diverging | {"activation": "relu", "train_batch_size": 4})
    ratings = plan.load()
    record = run_one(plan.run(0, "released", 1.0), ratings)
    assert (record["status"], record["rmse"], record["rmse_first_half"]) == ("diverged", None, None)
    stars = ratings.values[split_ratings(ratings, 0.3, record["seed"]).test]
    assert record["rmse_of_diverged"] == pytest.approx(np.sqrt(np.mean((stars - 2.5) ** 2)))  # released: NaN is 2.5
    assert run_one(plan.run(0, "holdout", 1.0), ratings)["rmse_of_diverged"] is None

    def too_large(*_, **__):
        raise RuntimeError("not enough memory: you tried to allocate 4 TB\nand more")

    monkeypatch.setattr("flexlib.runs.run.fit", too_large)
    record = run_one(plan.run(0, "released", 1.0), ratings)
    assert (record["status"], record["rmse"]) == ("failed", None)
    assert record["error"] == "RuntimeError: not enough memory: you tried to allocate 4 TB"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dense_refeeding": 2},
        {"train_batch_size": 7},
        {"pivot_indexes": [1, 0], "train_batch_size": 1000},
    ],
)
def test_the_cost_model_counts_the_steps_that_are_taken(changes):
    ratings = load_ratings(SMALL)
    config = FlexConfig.from_dict({"epochs": 3, "hidden_layers": [4], "test_split_rate": 0.01} | changes)
    model = fit(ratings, config, "holdout")
    rated = len(np.unique(model.rows[model.split.train]))
    assert rated == model.shape[0]  # else there may be fewer batches than the model counts on
    assert estimate_cost(config, ratings).steps == model.steps


def test_what_steps_take_depends_on_their_number_and_the_networks_depth_alone():
    ratings = load_ratings(SMALL)
    config = FlexConfig(epochs=3, hidden_layers=(8, 8))
    cost, wider = (estimate_cost(config.replace(hidden_layers=sizes), ratings) for sizes in ((8, 8), (800, 800)))
    assert wider.step_seconds == cost.step_seconds < cost.seconds < wider.seconds
    longer, deeper = config.replace(epochs=6), config.replace(hidden_layers=(8, 8, 8))
    assert estimate_cost(longer, ratings).step_seconds == pytest.approx(2 * cost.step_seconds)
    assert estimate_cost(deeper, ratings).step_seconds > cost.step_seconds


def test_the_cost_models_operations_for_a_hand_sized_network():
    ratings = load_ratings(SMALL)  # 60 users, 90 items, 1,500 ratings
    config = FlexConfig.from_dict(
        {"hidden_layers": [8, 4], "train_batch_size": 30, "epochs": 1, "dense_refeeding": 1, "test_split_rate": 0.2}
    )
    outer, inner = 90 * 8, 2 * 8 * 4
    sparse = 5 * 2 * (0.8 * 1500) * 8 * 8  # five products over the entries, at an eighth of the speed
    first = sparse + 60 * (6 * inner + 2 * outer)
    refed = 60 * (2 + 2 + 2 + 2 + 2) * outer + 60 * 6 * inner
    assert estimate_cost(config, ratings).operations == first + refed
    # Padding adds one weighted row a batch where the zero rows are alike, and nearly all rows where they are not.
    padded = estimate_cost(config, ratings, pad_refeeding=True).operations
    assert padded == first + 2 * 2 * outer + refed * 31 / 30
    noisy = estimate_cost(config.replace(noise_probability=0.5), ratings, pad_refeeding=True).operations
    assert noisy > 1.3 * padded


def test_runs_come_cheapest_first_with_their_protocols_together():
    plan = Plan.sweep(SMALL, ["released-padded", "holdout"], 20, 0)
    estimates = {run.job: run.estimate for run in plan.runs(plan.load())}
    jobs = list(estimates)
    assert set(jobs) == set(itertools.product(range(20), plan.protocols))
    assert all(first[0] == second[0] for first, second in zip(jobs[::2], jobs[1::2], strict=True))
    dearest = [max(estimates[job] for job in pair) for pair in zip(jobs[::2], jobs[1::2], strict=True)]
    assert dearest == sorted(dearest)


@pytest.fixture
def records(tmp_path):
    plan = plan_of({"epochs": 1, "hidden_layers": [4]}, {"epochs": 1, "hidden_layers": [2, 2], "activation": "tanh"})
    ratings = plan.load()
    done = [run_one(plan.run(k, name, 0.1), ratings) for k in (0, 1) for name in plan.protocols]
    done[3] = blank_record(plan.run(1, "holdout", 99.0), ratings)
    path = tmp_path / "replay.parquet"
    save_records(to_table(done, "record"), path)
    return path


def test_records_survive_being_written(records):
    table = load_records(records)
    assert list(table.columns) == ["record", *COLUMNS]
    assert table["status"].tolist() == ["ok", "ok", "skipped", "ok"]
    assert table[["record", "protocol"]].to_numpy().tolist() == [
        [0, "holdout"],
        [0, "released"],
        [1, "holdout"],
        [1, "released"],
    ]
    assert math.isnan(table["rmse"][2])
    assert pd.isna(table["steps"][2])
    assert config_of(table.iloc[3]) == FlexConfig.from_dict(
        {"epochs": 1, "hidden_layers": [2, 2], "activation": "tanh"}
    )
    assert not list(records.parent.glob("*.partial"))


def test_parameters_that_came_later_are_off_in_records_from_before(records):
    later = ["details", "implicit_input", "input_normalization", "denoising_loss", "loss_decay"]
    table = load_records(records)
    pd.read_parquet(records).drop(columns=later).to_parquet(records, index=False)
    found = load_records(records)
    assert found[later].drop_duplicates().to_numpy().tolist() == [["", False, False, False, False]]
    pd.testing.assert_frame_equal(found.drop(columns=later), table.drop(columns=later))


@pytest.mark.parametrize(
    ("damage", "pieces"),
    [
        (lambda t: t.drop(columns="mae"), ["no column 'mae'"]),
        (lambda t: t.drop(columns="record"), ["no column 'run'"]),
        (lambda t: t.assign(shoe_size=3), ["unknown column 'shoe_size'"]),
        (lambda t: t.assign(seconds="fast"), ["'seconds'", "number"]),
        (lambda t: t.assign(mean_normalization="False"), ["'mean_normalization'", "switch"]),
        (lambda t: t.assign(steps=1.5), ["'steps'", "whole"]),
        (lambda t: t.assign(activation=None), ["'activation'", "text"]),
        (lambda t: t.assign(hidden_layers="[4"), ["record 0"]),
        (lambda t: t.assign(protocol=["leaky", "holdout", "a", "b"]), ["record 0", "unknown protocol"]),
        (lambda t: t.assign(rmse=[1.0, float("inf"), None, 1.0]), ["rmse inf"]),
        (lambda t: t.assign(mae=None), ["mae"]),
        (lambda t: t.assign(seed=pd.NA), ["seed"]),
        (lambda t: t.assign(status="fine"), ["record 0", "'holdout'", "status fine"]),
        (lambda t: t.assign(rmse=[1.0, None, None, 1.0]), ["record 0", "'released'", "rmse nan", "'ok'"]),
        (lambda t: t.assign(rmse=1.0), ["record 1", "'holdout'", "rmse 1.0", "'skipped'"]),
        (lambda t: t.assign(seconds=-1.0), ["seconds -1.0"]),
        (lambda t: t.assign(record=0), ["record 0", "more than once"]),
        (lambda t: t.assign(epochs=-4), ["record 0", "epochs (Ep)", "-4"]),
        (lambda t: t.assign(hidden_layers="[]"), ["record 0", "hidden_layers (HLs)"]),
    ],
)
def test_records_that_are_off_are_refused_by_name(records, refused, damage, pieces):
    damage(pd.read_parquet(records)).to_parquet(records)
    refused(lambda: load_records(records), "replay.parquet", *pieces)


def test_a_file_that_holds_no_records_is_refused(tmp_path, refused):
    refused(lambda: load_records(tmp_path / "no.parquet"), "no.parquet", "no such file")
    (tmp_path / "text.parquet").write_text("hello")
    refused(lambda: load_records(tmp_path / "text.parquet"), "text.parquet", "cannot be read")


def test_lists_are_json_in_records(records):
    assert [json.loads(text) for text in pd.read_parquet(records)["hidden_layers"]] == [[4], [4], [2, 2], [2, 2]]

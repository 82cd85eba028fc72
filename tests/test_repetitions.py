"""Records of settings on several splits: found or made, their place, and their means and paired differences."""

import math

import numpy as np
import pytest
from conftest import SMALL, records_of
from flexstudy.plans import choose_best, experiment
from flexstudy.repetitions import by_setting, find_records, find_report, find_sweep, summarise_settings
from scipy import stats

from flexlib.config import FlexConfig
from flexlib.runs.plan import Plan, repetition_name, replay_name, sweep_name
from flexlib.runs.records import config_of, save_records

CONFIGS = [FlexConfig(hidden_layers=[size]) for size in (4, 3, 2)]
NAMES = ("four", "three", "two")
LIMITED = {"device": "cpu", "max_seconds": 0.05}


def repeated(outcome, n_seeds=3, protocols=("released", "holdout"), configs=CONFIGS):
    """Records with `outcome(setting, seed, protocol)`."""
    plan = Plan.repeat("tiny", SMALL, protocols, configs, n_seeds)
    return records_of(plan, lambda k, protocol: outcome(k % len(configs), k // len(configs), protocol))


def interval(values):
    """The t-interval by SciPy."""
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return pytest.approx((np.mean(values), found.low, found.high))


@pytest.mark.parametrize("n_seeds", [1, 2, 4])
def test_runs_of_a_setting_share_its_place_whatever_the_number_of_seeds(n_seeds):
    table = by_setting(repeated(lambda *_: 1.0, n_seeds))
    assert len(table) == 2 * 3 * n_seeds
    for setting, own in table.groupby("setting"):
        assert set(own["hidden_layers"]) == {f"[{CONFIGS[setting].hidden_layers[0]}]"}
        assert sorted(own["seed"].unique()) == list(range(n_seeds))


def test_means_and_paired_differences_by_hand():
    holdout = {0: (0.90, 0.94, 0.92), 1: (1.0, 1.1, 1.3), 2: (0.9, 0.9, 0.9)}
    released = {0: (0.80, 0.90, 0.81), 1: (0.7, "diverged", 0.9), 2: ("skipped", "diverged", 0.8)}
    records = repeated(lambda setting, seed, name: (released if name == "released" else holdout)[setting][seed])
    summary = summarise_settings(records, NAMES).set_index(["set", "protocol"])
    assert summary.index.tolist() == [(name, protocol) for name in NAMES for protocol in ("holdout", "released")]
    assert summary["setting"].tolist() == [0, 0, 1, 1, 2, 2]
    first = summary.loc["four", "released"]
    assert first[["n", "diverged", "skipped"]].tolist() == [3, 0, 0]
    assert tuple(first[["mean", "low", "high"]]) == interval([0.80, 0.90, 0.81])
    assert tuple(first[["gap", "gap_low", "gap_high"]]) == interval([-0.1, -0.04, -0.11])
    # Split 1 diverged as released: it counts for neither the mean nor the difference.
    second = summary.loc["three", "released"]
    assert second[["n", "diverged", "skipped"]].tolist() == [2, 1, 0]
    assert second["mean"] == pytest.approx(0.8)
    assert tuple(second[["gap", "gap_low", "gap_high"]]) == interval([-0.3, -0.4])
    third = summary.loc["two", "released"]
    assert third[["n", "diverged", "skipped"]].tolist() == [1, 1, 1]
    assert (third["mean"], third["gap"]) == (pytest.approx(0.8), pytest.approx(-0.1))
    assert third[["low", "high", "gap_low", "gap_high"]].isna().all()  # one split has no interval
    own = summary.loc["three", "holdout"]
    assert tuple(own[["mean", "low", "high"]]) == interval([1.0, 1.1, 1.3])
    assert (own["gap"], own["gap_low"], own["gap_high"]) == (0, 0, 0)


def test_a_setting_that_never_ends_well_keeps_its_row():
    records = repeated(lambda setting, seed, name: "diverged" if setting == 1 and name == "released" else 0.9)
    row = summarise_settings(records, NAMES).set_index(["set", "protocol"]).loc["three", "released"]
    assert row[["n", "diverged", "skipped"]].tolist() == [0, 3, 0]
    assert row[["mean", "low", "high", "gap", "gap_low", "gap_high"]].isna().all()


def test_without_holdout_there_is_no_difference():
    summary = summarise_settings(repeated(lambda *_: 0.9, protocols=("released",)), NAMES)
    assert summary["mean"].tolist() == [0.9] * 3
    assert summary["gap"].isna().all()


def test_table_2s_sets_have_their_names():
    plan = experiment("table2", SMALL, n_seeds=1)
    summary = summarise_settings(records_of(plan, lambda *_: 0.9))
    assert summary.drop_duplicates("setting")["set"].tolist() == [f"table2:{k}" for k in range(1, 11)]


def test_records_are_those_of_the_folder_or_none(tmp_path, refused):
    records = repeated(lambda *_: 0.9)
    save_records(records, tmp_path / f"{repetition_name('table2', SMALL)}.parquet")
    assert find_records("table2", SMALL, tmp_path).equals(records)
    refused(lambda: find_records("accuracy", SMALL, tmp_path), "no such file", "accuracy-")
    sweep = records_of(Plan.sweep(SMALL, ["holdout"], 2, 0), lambda *_: 0.8)
    save_records(sweep, tmp_path / f"{sweep_name(SMALL)}.parquet")
    assert find_sweep(SMALL, tmp_path).equals(sweep)
    refused(lambda: find_sweep("elsewhere", tmp_path), "no such file", "sweep-elsewhere-paper-seed0")


def test_the_replays_report_is_that_of_the_folder_or_none(tmp_path):
    assert find_report(SMALL, tmp_path) is None
    (tmp_path / f"{replay_name(SMALL)}.json").write_text('{"authors": {"rows": 3}}')
    assert find_report(SMALL, tmp_path) == {"authors": {"rows": 3}}
    assert find_report("elsewhere", tmp_path) is None
    assert find_report(SMALL) is None


def test_without_a_folder_runs_are_made_now():
    fresh = find_sweep(SMALL, runs=6, **LIMITED)
    plan = Plan.sweep(SMALL, ("released", "holdout"), 6, 0)
    assert fresh["hidden_layers"].tolist()[::2] == [str(config["hidden_layers"]) for config in plan.configs]
    assert fresh["seed"].tolist()[::2] == [plan.seeds[k] for k in range(6)]
    assert set(fresh["status"]) <= {"ok", "diverged", "skipped"}
    assert (fresh["status"] == "skipped").equals(fresh["estimate"] > 0.05)
    assert (fresh["status"] == "ok").any()
    assert (fresh["status"] == "skipped").any()
    again = find_records("best", SMALL, n_seeds=2, records=fresh, **LIMITED)
    chosen = [config_of(row) for name in plan.protocols for _, row in choose_best(fresh, name).iterrows()]
    assert again["run"].nunique() == 2 * len(chosen)
    assert [config_of(row) for _, row in by_setting(again)[::2].iterrows()] == chosen * 2
    assert math.isfinite(again["rmse"].min())

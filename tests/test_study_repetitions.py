"""Records of settings on several splits: found or made, their means and paired differences, and where they are from."""

import math

import numpy as np
import pytest
from conftest import SMALL, records_of
from flexstudy.plans import choose_best, experiment
from flexstudy.repetitions import (
    ORIGIN,
    describe_origin,
    find_records,
    find_report,
    find_sweep,
    summarise_settings,
)
from scipy import stats

from flexlib.config import FlexConfig
from flexlib.runs.plan import Plan, Setting, repetition_name, replay_name, sweep_name
from flexlib.runs.records import config_of, save_records

# Not in the order of their names
SETTINGS = [Setting(name, FlexConfig(hidden_layers=[size])) for name, size in (("four", 4), ("two", 2), ("three", 3))]
LIMITED = {"device": "cpu", "max_seconds": 0.05}


def repeated(outcome, n_seeds=3, protocols=("released", "holdout")):
    """Records with `outcome(setting, seed, protocol)`."""
    plan = Plan.repeat("tiny", SMALL, protocols, SETTINGS, n_seeds)
    return records_of(plan, lambda k, protocol: outcome(plan.settings[k].name, plan.seeds[k], protocol))


def interval(values, test_share=0.3):
    """Mean and t-interval by SciPy, whose variance of the mean is not s^2 / n but s^2 (1 / n + test / training)."""
    mean, spread = np.mean(values), np.std(values, ddof=1)
    scale = spread * np.sqrt(1 / len(values) + test_share / (1 - test_share))
    return pytest.approx((mean, *stats.t.interval(0.95, len(values) - 1, mean, scale)))


def test_means_and_paired_differences_by_hand():
    holdout = {"four": (0.90, 0.94, 0.92), "three": (1.0, 1.1, 1.3), "two": (0.9, 0.9, 0.9)}
    released = {"four": (0.80, 0.90, 0.81), "three": (0.7, "diverged", 0.9), "two": ("skipped", "diverged", 0.8)}
    records = repeated(lambda setting, seed, name: (released if name == "released" else holdout)[setting][seed])
    summary = summarise_settings(records).set_index(["setting", "protocol"])
    assert summary.index.tolist() == [
        (setting.name, protocol) for setting in SETTINGS for protocol in ("holdout", "released")
    ]
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


def test_the_intervals_correction_is_for_each_settings_own_test_share():
    settings = [Setting(f"a {rate}", FlexConfig(test_split_rate=rate)) for rate in (0.1, 0.4)]
    plan = Plan.repeat("tiny", SMALL, ("released", "holdout"), settings, 3)
    ends = {"released": (0.8, 0.9, 0.82), "holdout": (0.9, 0.95, 0.97)}
    summary = summarise_settings(records_of(plan, lambda k, name: ends[name][plan.seeds[k]]))
    rows = summary.set_index(["setting", "protocol"])
    for rate in (0.1, 0.4):
        row = rows.loc[f"a {rate}", "released"]
        assert tuple(row[["mean", "low", "high"]]) == interval(ends["released"], rate)
        assert tuple(row[["gap", "gap_low", "gap_high"]]) == interval([-0.1, -0.05, -0.15], rate)


def test_a_setting_that_never_ends_well_keeps_its_row():
    records = repeated(lambda setting, seed, name: "diverged" if setting == "three" and name == "released" else 0.9)
    row = summarise_settings(records).set_index(["setting", "protocol"]).loc["three", "released"]
    assert row[["n", "diverged", "skipped"]].tolist() == [0, 3, 0]
    assert row[["mean", "low", "high", "gap", "gap_low", "gap_high"]].isna().all()


def test_without_holdout_there_is_no_difference():
    summary = summarise_settings(repeated(lambda *_: 0.9, protocols=("released",)))
    assert summary["mean"].tolist() == [0.9] * 3
    assert summary["gap"].isna().all()


def test_table_2s_sets_are_in_its_order():
    plan = experiment("table2", SMALL, n_seeds=1)
    summary = summarise_settings(records_of(plan, lambda *_: 0.9))
    assert summary["setting"].unique().tolist() == [f"table2:{k}" for k in range(1, 11)]


def test_settings_of_one_name_and_two_roles_are_not_averaged():
    settings = [Setting("one", FlexConfig(), "here"), Setting("one", FlexConfig(epochs=1), "there")]
    records = records_of(Plan.repeat("tiny", SMALL, ("holdout",), settings, 2), lambda *_: 0.9)
    with pytest.raises(ValueError, match="duplicate"):
        summarise_settings(records)
    assert len(summarise_settings(records[records["role"] == "here"])) == 1


def test_records_are_those_of_the_folder_or_none(tmp_path, refused):
    records = repeated(lambda *_: 0.9)
    save_records(records, tmp_path / f"{repetition_name('table2', SMALL)}.parquet")
    assert find_records("table2", SMALL, tmp_path).equals(records)
    refused(lambda: find_records("accuracy", SMALL, tmp_path), "no such file", "accuracy-")
    sweep = records_of(Plan.sweep(SMALL, ["holdout"], 2, 0), lambda *_: 0.8)
    save_records(sweep, tmp_path / f"{sweep_name(SMALL)}.parquet")
    assert find_sweep(SMALL, tmp_path).equals(sweep)
    refused(lambda: find_sweep("elsewhere", tmp_path), "no such file", "sweep-elsewhere-paper-seed0")


def test_the_replays_report_is_that_of_the_folder_or_none(tmp_path, refused):
    assert find_report(SMALL, tmp_path) is None
    (tmp_path / f"{replay_name(SMALL)}.json").write_text('{"authors": {"rows": 3}}')
    refused(lambda: find_report(SMALL, tmp_path), f"{replay_name(SMALL)}.json", "random rows", "flexstudy replay")
    (tmp_path / f"{replay_name(SMALL)}.json").write_text('{"authors": {"random_counts": {}}}')
    assert find_report(SMALL, tmp_path) == {"authors": {"random_counts": {}}}
    assert find_report("elsewhere", tmp_path) is None
    assert find_report(SMALL) is None
    (tmp_path / f"{replay_name(SMALL, 3)}.json").write_text("{")
    refused(lambda: find_report(SMALL, tmp_path, seed=3), f"{replay_name(SMALL, 3)}.json", "cannot be read")


def test_the_origin_is_that_of_the_runs_that_were_made():
    records = repeated(lambda setting, seed, name: "skipped" if seed == 0 else 0.9)
    records = records.assign(device=[f"device {seed % 2}" for seed in records["seed"]])
    origin = describe_origin(records.assign(platform=["first" if seed == 0 else "other" for seed in records["seed"]]))
    assert tuple(origin.index) == ORIGIN
    assert origin[["device", "platform"]].tolist() == ["device 0, device 1", "other"]


def test_without_a_folder_runs_are_made_now():
    fresh = find_sweep(SMALL, runs=6, **LIMITED)
    plan = Plan.sweep(SMALL, ("released", "holdout"), 6, 0)
    assert [config_of(row) for _, row in fresh[::2].iterrows()] == list(plan.configs)
    assert fresh["seed"].tolist()[::2] == [plan.seeds[k] for k in range(6)]
    assert set(fresh["status"]) <= {"ok", "diverged", "skipped"}
    assert (fresh["status"] == "skipped").equals(fresh["estimate"] > 0.05)
    assert (fresh["status"] == "ok").any()
    assert (fresh["status"] == "skipped").any()
    again = find_records("best", SMALL, n_seeds=2, records=fresh, **LIMITED)
    chosen = [config_of(row) for name in plan.protocols for _, row in choose_best(fresh, name).iterrows()]
    assert again["run"].nunique() == 2 * len(chosen)
    assert [config_of(row) for _, row in again[::2].iterrows()] == chosen * 2
    assert math.isfinite(again["rmse"].min())

"""Working a plan off: the same records by any number of workers, in any order, after any interruption."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
import torch

from flexlib.config import FlexConfig
from flexlib.runs.plan import Plan
from flexlib.runs.records import blank_record, load_records, to_table
from flexlib.runs.run import run_one, run_plan

SMALL = "synthetic:users=60,items=90,ratings=1500,seed=1"
SEED = 9  # among its runs are some that take a while and one over the limit
PROTOCOLS = ("released", "holdout")
OF_THE_MACHINE = ["seconds", "device", "commit"]  # what two runs of one job may differ in


def plan_of(runs=6, limit=1.0, **options):
    return Plan.sweep(SMALL, PROTOCOLS, runs, SEED, max_seconds=limit, **options)


def same(one, other):
    """To the last bit: all records here are made by one thread."""
    pd.testing.assert_frame_equal(
        one.drop(columns=OF_THE_MACHINE), other.drop(columns=OF_THE_MACHINE), check_exact=True
    )


@pytest.fixture(scope="module")
def undisturbed():
    """The records of `plan_of()`, one run after the other, without the engine."""
    plan, threads = plan_of(), torch.get_num_threads()
    ratings = plan.load()
    torch.set_num_threads(1)
    records = [run_one(run, ratings, "cpu") for run in plan.runs(ratings) if run.estimate <= plan.max_seconds]
    torch.set_num_threads(threads)
    made = {(record["run"], record["protocol"]) for record in records}
    skipped = [blank_record(run, ratings) for run in plan.runs(ratings) if run.job not in made]
    return to_table(records + skipped, "run")


def test_every_run_is_accounted_for_and_costly_ones_are_skipped(undisturbed, tmp_path):
    plan = plan_of()
    runs = plan.runs(plan.load())
    costly = [run.estimate > 1.0 for run in runs]
    assert 0 < sum(costly) < len(costly)  # else the test would show little
    table = run_plan(plan, tmp_path)
    same(table, undisturbed)
    rows = table.set_index(["run", "protocol"])
    for run in runs:
        row = rows.loc[run.job]
        assert (row["status"] == "skipped") == (run.estimate > 1.0)
        assert row["estimate"] == pytest.approx(run.estimate, abs=1e-3)
        assert (row["setting"], row["role"]) == (f"sample {run.number}", "")


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_of_their_own_make_the_same_records(undisturbed, tmp_path, monkeypatch, workers):
    monkeypatch.delenv("FLEXLIB_SCHEDULER")
    same(run_plan(plan_of(), tmp_path, workers=workers), undisturbed)
    same(load_records(tmp_path / f"{plan_of().name}.parquet"), undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == [f"{plan_of().name}.parquet"]


def test_records_can_be_made_in_memory(undisturbed):
    same(run_plan(plan_of()), undisturbed)


def test_more_runs_and_more_seconds_go_on_from_what_is_there(undisturbed, tmp_path):
    before = run_plan(plan_of(runs=3, limit=0.1), tmp_path)
    assert "skipped" in set(before["status"])
    seconds = before.set_index(["run", "protocol"])["seconds"].dropna()
    after = run_plan(plan_of(), tmp_path)
    same(after, undisturbed)
    kept = after.set_index(["run", "protocol"])["seconds"]
    assert (kept[seconds.index] == seconds).all()  # not measured again


@pytest.mark.parametrize(
    ("other", "pieces"),
    [
        (Plan.sweep(SMALL, PROTOCOLS, 2, SEED), ["run 2"]),
        (Plan.sweep(SMALL, ["holdout"], 6, SEED), ["'released'", "not asked for"]),
    ],
)
def test_records_of_another_plan_are_not_written_over(undisturbed, tmp_path, refused, other, pieces):
    path = tmp_path / f"{other.name}.parquet"
    undisturbed.to_parquet(path)
    before = path.read_bytes()
    refused(lambda: run_plan(other, tmp_path), path.name, *pieces, "choose another --out")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "pieces"),
    [
        ({"learning_rate": 0.25}, ["run 0", "other parameters"]),
        ({"checksum": "abc"}, ["run 0", "checksum abc"]),
        ({"setting": "sample 9"}, ["run 0", "setting sample 9"]),
    ],
)
def test_records_with_other_parameters_or_data_are_refused(undisturbed, tmp_path, refused, change, pieces):
    plan = plan_of()
    undisturbed.assign(**change).to_parquet(tmp_path / f"{plan.name}.parquet")
    refused(lambda: run_plan(plan, tmp_path), *pieces)


def test_plans_of_one_name_do_not_mix(tmp_path, refused):
    """Two replays of different tables, or two files of one name, have records of one name."""
    one, other = (Plan.replay(SMALL, ["holdout"], [FlexConfig(epochs=1, hidden_layers=(size,))]) for size in (2, 3))
    run_plan(one, tmp_path)
    refused(lambda: run_plan(other, tmp_path), f"{one.name}.parquet", "record 0", "other parameters")


def test_what_a_killed_call_left_in_its_journal_is_taken_up(undisturbed, tmp_path):
    """One killed at work, so that its last line is torn, and one killed while it put table and journal together."""
    plan = plan_of()
    records = undisturbed.astype(object).where(undisturbed.notna(), None).to_dict("records")
    made = [record for record in records if record["status"] != "skipped"]
    made[2] = made[2] | {"seconds": 123.0}  # so that it shows whether it was made again
    journal = tmp_path / f"{plan.name}.journal"
    lines = [json.dumps(record) for record in made[:3]]
    journal.write_text("\n".join([*lines, lines[2][:40]]))
    undisturbed[:2].to_parquet(tmp_path / f"{plan.name}.parquet")
    table = run_plan(plan, tmp_path)
    same(table, undisturbed)
    assert not journal.exists()
    assert table.set_index(["run", "protocol"])["seconds"].max() == 123


def test_a_failed_run_of_an_earlier_call_is_kept(undisturbed, tmp_path):
    table = undisturbed.copy()
    ok = table.index[table["status"] == "ok"][0]
    table.loc[ok, ["rmse", "mae", "seconds", "rmse_first_half", "rmse_second_half"]] = float("nan")
    table.loc[ok, ["status", "error"]] = ["failed", "RuntimeError: too large"]
    table.drop(table.index[table["status"] == "ok"][1]).to_parquet(tmp_path / f"{plan_of().name}.parquet", index=False)
    again = run_plan(plan_of(), tmp_path)
    same(again, table)


# ---- the command, killed and stopped


def sweep(out, workers=2, runs=6):
    """Start the sweep of `plan_of(runs)` as a user does."""
    command = [sys.executable, "-m", "flexlib", "sweep", "--dataset", SMALL, "--runs", str(runs), "--seed", str(SEED)]
    command += ["--max-seconds-per-run", "1", "--workers", str(workers), "--device", "cpu", "--out", str(out)]
    own = {name: value for name, value in os.environ.items() if name != "FLEXLIB_SCHEDULER"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own, start_new_session=True
    )


def family(process):
    """The process and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []


def records_in(journal):
    with contextlib.suppress(FileNotFoundError):
        return journal.read_bytes().count(b"\n")
    return 0


def wait_for_a_moment(process, journal, rng):
    """Until a moment that is drawn: some time after the start, or after a record."""
    end, records = time.monotonic() + rng.uniform(0.5, 5), records_in(journal) + rng.randint(1, 3)
    by_records = rng.random() < 0.7
    while process.poll() is None and (records_in(journal) < records if by_records else time.monotonic() < end):
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.05))


def test_a_sweep_that_is_killed_at_random_moments_loses_and_doubles_nothing(undisturbed, tmp_path):
    rng = random.Random(1)
    for workers in (1, 2, 1, 2):
        with sweep(tmp_path, workers) as process:
            wait_for_a_moment(process, tmp_path / f"{plan_of().name}.journal", rng)
            everyone = family(process)
            for victim in everyone if rng.random() < 0.5 else everyone[-1:]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()
            process.kill()
            process.communicate()
    process = sweep(tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "wrote" in out
    same(load_records(tmp_path / f"{plan_of().name}.parquet"), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_sweep_at_once_with_one_line_and_leaves_no_process(tmp_path, number):
    process, plan = sweep(tmp_path, runs=60), plan_of(60)  # many, so that it is not done by then
    deadline = time.monotonic() + 60
    while not records_in(tmp_path / f"{plan.name}.journal") and time.monotonic() < deadline:
        time.sleep(0.02)
    started = family(process)
    assert len(started) >= 3  # and two workers
    process.send_signal(number)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 10  # 3 seconds on a machine that does nothing else
    assert process.returncode == 130
    assert err.splitlines()[-1] == "flexlib: interrupted; finished runs are kept"
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
    kept = load_records(tmp_path / f"{plan.name}.parquet")
    assert "ok" in set(kept["status"])
    assert len(kept) < 60 * len(PROTOCOLS)

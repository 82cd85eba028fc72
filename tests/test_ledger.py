"""The engine: the same records by any number of workers, in any order, after any interruption."""

import contextlib
import functools
import gc
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pandas as pd
import pytest
import sqlalchemy
import torch
from flexlib.ledger import Storage, _export, _Work

from flexlib import ledger
from flexlib.config import FlexConfig, FlexError
from flexlib.runs.plan import Plan
from flexlib.runs.records import load_records
from flexlib.runs.run import run_one, run_plan

SMALL = "synthetic:users=60,items=90,ratings=1500,seed=1"
SEED = 7  # among its runs are some that take a while and one over the limit
PROTOCOLS = ("released", "holdout")
OF_THE_MACHINE = ["seconds", "device", "commit"]  # what two runs of one job may differ in


@pytest.fixture(autouse=True, scope="module")
def as_in_a_worker():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plan_of(runs=6, limit=1.0, **options):
    return Plan.sweep(SMALL, PROTOCOLS, runs, SEED, max_seconds=limit, **options)


def in_process(plan, folder, name="ledger", jobs=None, carried=None):
    """Work a plan off in this process, without workers; returns the `_Work`."""
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{folder / name}.sqlite3"), carried or {}, "cpu")
    work.jobs = jobs or work.jobs
    work.go_on(lambda: True)
    return work


def same(one, other):
    """To the last bit: all records here are made by one thread."""
    pd.testing.assert_frame_equal(
        one.drop(columns=OF_THE_MACHINE), other.drop(columns=OF_THE_MACHINE), check_exact=True
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The records of `plan_of()`, one run after the other, without the engine's help."""
    folder = tmp_path_factory.mktemp("undisturbed")
    plan = plan_of()
    work = in_process(plan, folder)
    return _export(work, folder / "records.parquet")


def test_every_run_is_accounted_for(undisturbed):
    plan = plan_of()
    estimates = plan.estimates(plan.load())
    assert {(row["run"], row["protocol"]) for _, row in undisturbed.iterrows()} == set(estimates)
    dear = [seconds > 1.0 for seconds in estimates.values()]
    assert 0 < sum(dear) < len(dear)  # else the test would show little
    for _, row in undisturbed.iterrows():
        seconds = estimates[row["run"], row["protocol"]]
        assert (row["status"] == "skipped") == (seconds > 1.0)
        assert row["estimate"] == pytest.approx(seconds, abs=1e-3)
    ratings = plan.load()
    row = undisturbed[undisturbed["status"] == "ok"].iloc[0]
    alone = run_one(plan.run(int(row["run"]), row["protocol"], 0.0), ratings)
    assert row["rmse"] == pytest.approx(alone["rmse"], rel=1e-6)


def test_another_order_gives_the_same_records(undisturbed, tmp_path):
    plan = plan_of()
    jobs = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3"), {}, "cpu").jobs
    work = in_process(plan, tmp_path, jobs=jobs[::-1])
    same(_export(work, tmp_path / "records.parquet"), undisturbed)


def test_two_workers_give_the_same_records_as_one(undisturbed, tmp_path):
    for workers in (1, 2):
        out = tmp_path / str(workers)
        same(run_plan(plan_of(), out, workers=workers), undisturbed)
        same(load_records(out / f"{plan_of().name}.parquet"), undisturbed)


def test_more_runs_and_more_seconds_go_on_from_what_is_there(undisturbed, tmp_path, monkeypatch):
    before = run_plan(plan_of(runs=3, limit=0.1), tmp_path)
    assert "skipped" in set(before["status"])
    next(tmp_path.glob("*.sqlite3")).unlink()  # the records alone are enough, as in a fresh clone
    seconds = before.set_index(["run", "protocol"])["seconds"].dropna()
    after = run_plan(plan_of(), tmp_path)
    same(after, undisturbed)
    kept = after.set_index(["run", "protocol"])["seconds"]
    assert (kept[seconds.index] == seconds).all()  # not measured again


@pytest.mark.parametrize(("other", "pieces"), [
    (Plan.sweep(SMALL, PROTOCOLS, 2, SEED), ["run 2"]),
    (Plan.sweep(SMALL, ["holdout"], 6, SEED), ["'released'", "not asked for"]),
])  # fmt: skip
def test_records_of_another_plan_are_not_written_over(undisturbed, tmp_path, refused, other, pieces):
    path = tmp_path / f"{other.name}.parquet"
    undisturbed.to_parquet(path)
    before = path.read_bytes()
    refused(lambda: run_plan(other, tmp_path), path.name, *pieces, "choose another --out")
    assert path.read_bytes() == before


def test_records_with_other_parameters_or_data_are_refused(undisturbed, tmp_path, refused):
    plan = plan_of()
    path = tmp_path / f"{plan.name}.parquet"
    undisturbed.assign(learning_rate=0.25).to_parquet(path)
    refused(lambda: run_plan(plan, tmp_path), "run 0", "other parameters")
    undisturbed.assign(checksum="abc").to_parquet(path)
    refused(lambda: run_plan(plan, tmp_path), "run 0", "checksum abc")


def test_plans_of_one_name_share_a_ledger_without_mixing(tmp_path, refused):
    """Two replays of different tables, or two files of one name, have records of one name."""
    one, other = (Plan.replay(SMALL, ["holdout"], [FlexConfig(epochs=1, hidden_layers=(size,))]) for size in (2, 3))
    run_plan(one, tmp_path)
    path = tmp_path / f"{one.name}.parquet"
    refused(lambda: run_plan(other, tmp_path), path.name, "record 0", "other parameters")
    path.unlink()
    assert run_plan(other, tmp_path)["hidden_layers"].tolist() == ["[3]"]
    path.unlink()
    assert run_plan(one, tmp_path)["hidden_layers"].tolist() == ["[2]"]


def test_a_damaged_ledger_is_named(tmp_path, refused):
    (tmp_path / f"{plan_of().name}.sqlite3").write_text("not a database, though it lies where one would")
    refused(lambda: run_plan(plan_of(), tmp_path), ".sqlite3", "cannot be used", "not a database")


def test_a_run_that_kills_its_workers_is_given_up_and_says_so(tmp_path):
    plan = plan_of(runs=1)
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3"), {}, "cpu")
    job = work.jobs[0]

    def die(trial):  # as the parent and the stale trial of a worker that the system killed leave it
        trial.set_user_attr("job", list(job))
        trial.set_user_attr("worker_died", True)
        assert work.ledger.claim(job, trial.number)
        raise MemoryError

    work.ledger.study.optimize(die, n_trials=ledger.ATTEMPTS, catch=(MemoryError,))
    work.go_on(lambda: True)
    table = _export(work, tmp_path / "records.parquet").set_index("protocol")
    assert table.loc[job[1], "status"] == "failed"
    assert table.loc[job[1], "error"] == f"its worker died {ledger.ATTEMPTS} times"
    assert set(table["status"]) == {"failed", "ok"}


def test_a_parent_notes_which_run_its_dead_worker_had(tmp_path):
    plan = plan_of(runs=1)
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3"), {}, "cpu")

    def leave(trial):
        trial.set_user_attr("job", list(work.jobs[0]))
        trial.set_user_attr("worker", "here:42")
        work.ledger.note_death("here:41")
        assert work.ledger.state()[2] == {}
        work.ledger.note_death("here:42")
        raise MemoryError

    work.ledger.study.optimize(leave, n_trials=1, catch=(MemoryError,))
    assert work.ledger.state()[2] == {work.jobs[0]: 1}


def test_interruptions_are_not_counted_as_deaths(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    plan = plan_of(runs=1)
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3"), {}, "cpu")
    with monkeypatch.context() as patched:
        patched.setattr("flexlib.ledger.run_one", interrupt)
        for _ in range(ledger.ATTEMPTS):
            with pytest.raises(KeyboardInterrupt):
                work.go_on(lambda: True)
    assert work.ledger.state()[2] == {}
    work.go_on(lambda: True)
    assert set(_export(work, tmp_path / "records.parquet")["status"]) == {"ok"}


def test_a_worker_killed_before_its_first_sign_of_life_holds_nothing_up(tmp_path):
    plan = plan_of(runs=1)
    storage = Storage(f"sqlite:///{tmp_path}/x.sqlite3", heartbeat=1)
    work = _Work(plan, plan.load(), storage, {}, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        trial = work.ledger.study.ask()  # starts no heart

    class DiesAtTheClaim(BaseException):
        pass

    def die(*_):
        raise DiesAtTheClaim

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(work.ledger, "claim", die)
        with pytest.raises(DiesAtTheClaim):
            work._take(trial, work.jobs)
    work.go_on(lambda: True)
    assert set(_export(work, tmp_path / "records.parquet")["status"]) == {"ok"}


def test_a_worker_killed_between_its_record_and_its_end_has_done_its_run(undisturbed, tmp_path, monkeypatch):
    plan = plan_of(runs=2)
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3", heartbeat=1), {}, "cpu")
    done = []

    def counted(plan, ratings, *job_and_more):
        done.append(job_and_more[:2])
        return run_one(plan, ratings, *job_and_more)

    monkeypatch.setattr(ledger, "run_one", counted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        work._take(work.ledger.study.ask(), work.jobs)  # and tells nobody that the trial is over
    (left,) = work.ledger.study.get_trials()
    assert (left.state, "record" in left.user_attrs) == (optuna.trial.TrialState.RUNNING, True)
    work.ledger.note_death(left.user_attrs["worker"])
    looks = iter(range(60))  # no more: a run that were neither done nor free would be waited for without end
    work.go_on(lambda: next(looks, None) is not None)
    assert sorted(done) == sorted(work.jobs)  # each once, its own among them
    table = _export(work, tmp_path / "records.parquet")
    same(table, undisturbed[undisturbed["run"] < 2].reset_index(drop=True))


def test_one_worker_alone_gets_a_job(tmp_path):
    plan = plan_of(runs=1)
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3"), {}, "cpu")
    job = work.jobs[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        trials = [work.ledger.study.ask() for _ in range(4)]
    assert work.ledger.claim(job, trials[1].number)
    assert not work.ledger.claim(job, trials[0].number)  # the lower ticket comes too late
    work.ledger.study.tell(trials[1], state=optuna.trial.TrialState.FAIL)
    assert work.ledger.claim(job, trials[2].number)  # of a dead one it may be taken up, once
    assert not work.ledger.claim(job, trials[3].number)
    trials[2].set_user_attr("record", {"rmse": 1.0})
    work.ledger.study.tell(trials[2], 1.0)
    assert not work.ledger.claim(job, trials[3].number)  # and never when it is recorded
    assert work.ledger.claim((1, "holdout"), trials[3].number)


def test_a_job_recorded_by_two_workers_is_exported_once(tmp_path):
    """A worker that only seemed dead may finish its run after another has done it again."""
    plan = plan_of(runs=1)
    work = in_process(plan, tmp_path)
    record = next(iter(work.ledger.state()[0].values()))

    def again(trial):
        trial.set_user_attr("job", [record["run"], record["protocol"]])
        trial.set_user_attr("record", record)
        return record["rmse"]

    work.ledger.study.optimize(again, n_trials=1)
    assert len(_export(work, tmp_path / "records.parquet")) == len(PROTOCOLS)


def sweep(out, *more, runs=6, workers=2, dataset=SMALL):
    """`flexlib sweep` as a process of its own, in a process group of its own."""
    command = [sys.executable, "-m", "flexlib", "sweep", "--out", str(out), "--dataset", dataset]
    command += ["--runs", str(runs), "--seed", str(SEED), "--max-seconds-per-run", "1", "--workers", str(workers)]
    command += ["--heartbeat", "1", "--protocol", "released", "--protocol", "holdout", *more]
    pipe = subprocess.PIPE
    # A background shell, as on a build machine, has its processes ignore Ctrl-C, and these would inherit that.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, preexec_fn=heed
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out + err


def test_a_sweep_killed_at_random_moments_ends_with_the_same_records(undisturbed, tmp_path):
    rng = random.Random(8)
    for _ in range(3):
        process = sweep(tmp_path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(3, 8))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    text = finish(sweep(tmp_path))
    assert f"wrote {tmp_path / plan_of().name}.parquet" in text
    same(load_records(tmp_path / f"{plan_of().name}.parquet"), undisturbed)


def test_ctrl_c_keeps_what_is_done_and_says_so(undisturbed, tmp_path):
    process = sweep(tmp_path, workers=1)
    database = tmp_path / f"{plan_of().name}.sqlite3"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.1)
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as connection:
            count = "select count(*) from trial_user_attributes where key = 'record'"
            if connection.execute(count).fetchone()[0]:
                break
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.fail("the sweep ended before it could be interrupted")
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "flexlib: interrupted; finished runs of a sweep are kept"
    assert "Traceback" not in err
    kept = load_records(tmp_path / f"{plan_of().name}.parquet")
    assert (kept["status"] == "ok").any()
    finish(sweep(tmp_path))
    same(load_records(tmp_path / f"{plan_of().name}.parquet"), undisturbed)


def test_ctrl_c_at_any_moment_ends_in_one_line(undisturbed, tmp_path):
    """While workers start, at work, and with a run just ending."""
    rng = random.Random(3)
    for _ in range(4):
        process = sweep(tmp_path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(2.5, 6))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130)
        assert "Traceback" not in err
    finish(sweep(tmp_path))
    same(load_records(tmp_path / f"{plan_of().name}.parquet"), undisturbed)


@pytest.mark.parametrize("method", ["set_trial_state_values", "set_trial_user_attr"])
def test_a_signal_amid_bookkeeping_waits_for_its_end(tmp_path, monkeypatch, method):
    stop, plan = ledger._Stop(), plan_of(runs=2)
    work = _Work(plan, plan.load(), Storage(f"sqlite:///{tmp_path}/x.sqlite3"), {}, "cpu", stop)
    original = getattr(optuna.storages.RDBStorage, method)

    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        return original(*arguments, **options)

    monkeypatch.setattr(optuna.storages.RDBStorage, method, interrupted)
    handler = signal.signal(signal.SIGINT, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            work.go_on(lambda: True)
    finally:
        signal.signal(signal.SIGINT, handler)
    (trial,) = work.ledger.study.get_trials()
    finished = method == "set_trial_state_values"  # the other comes before the run, which is then given back
    assert (trial.state == optuna.trial.TrialState.COMPLETE) == ("record" in trial.user_attrs) == finished
    monkeypatch.undo()
    in_process(plan, tmp_path, "x")
    assert len(_export(work, tmp_path / "records.parquet")) == 2 * len(PROTOCOLS)


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:] or [
    Path(found).parent for found in [shutil.which("pg_ctl")] if found
]
SECRET = "sesame-7431"


@pytest.fixture(scope="module")
def postgresql():
    """The URL, with a password, of a PostgreSQL of the test's own on loopback."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="flexlib-postgresql-"))
    owner = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    if owner:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text(SECRET)
    (folder / "password").chmod(0o644)

    def run(tool, *arguments):
        with (folder / "log").open("a") as log:
            subprocess.run([POSTGRES[0] / tool, *arguments], check=True, stdout=log, stderr=log, cwd=folder, **owner)

    try:
        run("initdb", "-D", folder / "data", "-U", "flexlib", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
        run("pg_ctl", "-D", folder / "data", "-w", "start", "-o",
            f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off")  # fmt: skip
        try:
            yield f"postgresql://flexlib:{SECRET}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def killed_at_work(study):
    """Kill a worker in the middle of its run; returns its trial, or None where none is seen at it."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state != optuna.trial.TrialState.RUNNING or "worker" not in trial.user_attrs:
            continue
        worker = int(trial.user_attrs["worker"].rpartition(":")[2])
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.kill(worker, signal.SIGSTOP)  # by the time that it is looked at again it might have ended its run
            time.sleep(0.5)  # for what it told the database last
            now = study.get_trials(deepcopy=False)[trial.number]
            if now.state == optuna.trial.TrialState.RUNNING and "record" not in now.user_attrs:
                os.kill(worker, signal.SIGKILL)
                return now
            os.kill(worker, signal.SIGCONT)
    return None


def test_machines_share_a_postgresql_and_take_up_the_run_of_a_killed_worker(undisturbed, postgresql, tmp_path):
    processes = [sweep(tmp_path / machine, "--storage", postgresql) for machine in ("one", "two")]
    killed = opened = None
    deadline = time.monotonic() + 120
    while killed is None and time.monotonic() < deadline:
        time.sleep(0.02)
        with contextlib.suppress(FlexError):  # the first sweep is still making the tables
            opened = opened or Storage(postgresql).open(plan_of(), "")
            killed = killed_at_work(opened.study)
    assert killed is not None
    texts = [finish(process) for process in processes]
    for machine in ("one", "two"):
        same(load_records(tmp_path / machine / f"{plan_of().name}.parquet"), undisturbed)
    trials = opened.study.get_trials(deepcopy=False)
    recorded = [tuple(trial.user_attrs["job"]) for trial in trials if "record" in trial.user_attrs]
    assert sorted(recorded) == sorted(set(recorded))
    assert set(recorded) == {(r["run"], r["protocol"]) for _, r in undisturbed.iterrows() if r["status"] != "skipped"}
    (dead,) = [trial for trial in trials if trial.number == killed.number]
    assert dead.state == optuna.trial.TrialState.FAIL
    assert "record" not in dead.user_attrs
    (heir,) = [t for t in trials if "record" in t.user_attrs and t.user_attrs["job"] == dead.user_attrs["job"]]
    assert heir.user_attrs["worker"] != dead.user_attrs["worker"]
    opened.close()
    left = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in texts)
    assert not any(SECRET.encode() in content for content in left)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_many_may_open_a_new_database_at_once(postgresql):
    url = sqlalchemy.make_url(postgresql).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("create database fresh"))
    engine.dispose()
    fresh = Storage(re.sub(r"/postgres$", "/fresh", postgresql))

    def number(_):
        opened = fresh.open(plan_of(), "")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that `ask` keeps no heart beating
            trial = opened.study.ask().number
        opened.close()
        return trial

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(number, range(8))) == list(range(8))  # one study, and no ticket twice
    gc.collect()  # connections of attempts that came too early


@pytest.mark.parametrize("change", [
    (f":{SECRET}@", f":{SECRET}wrong@"), (r"/postgres$", "/nowhere"), (r":\d+/", ":1/"), ("^postgresql", "postgersql"),
], ids=["password", "database", "port", "kind"])  # fmt: skip
def test_a_storage_that_cannot_be_used_is_refused_without_its_password(postgresql, tmp_path, change):
    process = sweep(tmp_path, "--storage", re.sub(*change, postgresql))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.fullmatch(r"flexlib: .*cannot be used \(.*\)\n", err), err
    assert SECRET not in out + err


@pytest.mark.parametrize(("url", "shown"), [
    (f"postgresql://me:{SECRET}@host/db", "postgresql://host/db"),
    (f"postgresql://host/db?user=me&password={SECRET}", "postgresql://host/db"),
    (f"postgresql://me:p@{SECRET}/w@host:port/db", "postgresql://host:port/db"),
    ("sqlite:////tmp/a.sqlite3", "sqlite:////tmp/a.sqlite3"),
])  # fmt: skip
def test_a_storage_shows_no_password(refused, url, shown):
    storage = Storage(url)
    assert storage.shown == shown
    assert SECRET not in f"{storage} {storage!r}"
    error = RuntimeError(f"cannot reach {SECRET}/w@host with p@{SECRET}/w or {SECRET}")
    if "sqlite" not in url:
        assert SECRET not in storage.redact(error)


def test_a_password_in_the_wrong_place_is_not_shown_either(tmp_path, refused):
    url = f"postgresql://me:p@{SECRET}/w@127.0.0.1:port/db"
    with pytest.raises(FlexError) as caught:
        run_plan(plan_of(), tmp_path, url)
    assert SECRET not in str(caught.value)


def test_a_failed_run_of_an_earlier_call_is_kept_and_counted(undisturbed, tmp_path):
    """Its seconds are unknown: the time left must not stumble over that."""
    table = undisturbed.copy()
    ok = table.index[table["status"] == "ok"][0]
    table.loc[ok, ["rmse", "mae", "seconds", "rmse_first_half", "rmse_second_half"]] = float("nan")
    table.loc[ok, ["status", "error"]] = ["failed", "RuntimeError: too large"]
    table.drop(table.index[table["status"] == "ok"][1]).to_parquet(tmp_path / f"{plan_of().name}.parquet")
    after = run_plan(plan_of(), tmp_path)
    same(after, table)

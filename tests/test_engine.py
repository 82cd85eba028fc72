"""The engine and its journal: nothing lost, nothing twice, whoever dies and whenever, and nobody blamed for another."""

import collections
import contextlib
import importlib.util
import json
import math
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import engine_cases as cases
import pandas as pd
import psutil
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlib.config import FlexError
from flexlib.runs import engine
from flexlib.runs.engine import Died, Job, cluster, work
from flexlib.runs.journal import Journal, replaced

TESTS = Path(__file__).parent
LONG = 300  # seconds that nothing here takes, also on a busy machine


@pytest.fixture(scope="module", autouse=True)
def no_cluster_by_default():
    """Here other processes do the work, and find the jobs' module also where they are not children of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FLEXLIB_SCHEDULER", raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]))
        yield


@pytest.fixture(scope="module")
def own(no_cluster_by_default):
    """A cluster of our own with two workers, for all tests that ask for no other."""
    with cluster(workers=2) as client:
        yield client


def results(jobs, **options):
    """All outcomes by key; that there is one of each is asserted."""
    found = []
    work(jobs, lambda job, outcome: found.append((job.key, outcome)), name="test", **options)
    outcomes = dict(found)
    assert len(outcomes) == len(found)
    return outcomes


# ---- results


def test_every_job_has_its_result_once(own):
    jobs = [Job((k, "name"), cases.compute, (k, 0.001 * (k % 3)), 0.01) for k in range(30)]
    outcomes = results(jobs, scheduler=own)
    assert outcomes.keys() == {job.key for job in jobs}
    for (k, _), record in outcomes.items():
        assert record["value"] == cases.compute(k, 0)["value"]


def test_jobs_begin_in_the_order_given(own, tmp_path):
    results([Job((k,), cases.compute_and_tell, (k, 0.02, str(tmp_path))) for k in (5, 3, 9, 1, 7, 2)], scheduler=own)
    begun = sorted((int(path.name.split("-")[2]), int(path.name.split("-")[0])) for path in tmp_path.iterdir())
    # Two at a time: neighbours may change places.
    assert [{k for _, k in begun[:2]}, {k for _, k in begun[2:4]}] == [{5, 3}, {9, 1}]


def test_results_lead_to_further_jobs_also_from_a_generator(own):
    """As a search does, whose next try follows from the last."""
    found = collections.Counter()

    def on_result(job, _):
        found[job.key] += 1
        chain, step = job.key
        if step < 4:
            yield Job((chain, step + 1), cases.compute, (step, 0))

    work([Job((chain, 0), cases.compute, (0, 0)) for chain in "abc"], on_result, name="chains", scheduler=own, total=15)
    assert found == {(chain, step): 1 for chain in "abc" for step in range(5)}


def test_without_jobs_nothing_is_started():
    work([], pytest.fail, name="nothing", scheduler="tcp://127.0.0.1:1")  # which nothing answers at


def test_results_are_handed_over_in_the_callers_thread(own):
    threads = []
    jobs = [Job((k,), cases.compute, (k, 0)) for k in range(3)]
    work(jobs, lambda *_: threads.append(threading.current_thread()), name="test", scheduler=own)
    assert threads == [threading.current_thread()] * 3


def test_a_worker_has_one_thread_and_leaves_ctrl_c_to_the_command(own):
    """One thread, as the number of threads changes sums; and Ctrl-C in a terminal reaches the workers too."""
    outcome = results([Job((0,), cases.settings)], scheduler=own)[0,]
    assert outcome[:3] == (1, "1", True)


def test_the_bar_tells_what_is_done_and_the_callers_words(own, capsys):
    jobs = [Job((k,), cases.compute, (k, 0.0)) for k in range(3)]
    work(jobs, lambda job, _: f"best {job.key[0]}", name="sleepers", scheduler=own, done=2)
    lines = capsys.readouterr().err.split("\r")
    assert "2/5" in lines[1]
    assert re.search(r"sleepers: 100%\|█+\| 5/5 \[\d\d:\d\d, 00:00 left, best \d\]", lines[-1])


@pytest.mark.parametrize(
    ("estimates", "took", "expected"),
    [
        ([10.0, 10.0, 10.0, 10.0], 10.0, 15),
        ([100.0, 100.0, 100.0, 100.0], 300.0, 300),  # 100 seconds as expected come before any: (100 + 300) / 200
        ([0.0, 0.0, 0.0, 0.0], 20.0, 30),
        ([10.0, 10.0, 0.0, 0.0], 10.0, 15),
        ([10.0, 10.0, 10.0, 10.0], None, 15),
    ],
)
def test_the_time_left_follows_the_estimates_and_what_jobs_took(estimates, took, expected):
    """Of four jobs by two workers, after the first."""
    jobs = [Job((k,), cases.compute, (), estimate) for k, estimate in enumerate(estimates)]
    with contextlib.closing(engine._Progress("name", 4, 0)) as progress:
        progress.expect(jobs)
        progress.add(jobs[0], took, workers=2)
        minutes, seconds = map(int, re.search(r"(\d+):(\d+) left", progress.bar.postfix).groups())
    assert 60 * minutes + seconds == expected


# ---- exceptions


def test_what_a_job_refuses_ends_the_work_as_it_is(own, refused):
    jobs = [Job((0,), cases.compute, (0, 0)), Job((1,), cases.refuse)]
    message = refused(lambda: results(jobs, scheduler=own))
    assert message == "the data are of another kind"


@pytest.mark.parametrize(
    ("function", "arguments", "pieces"),
    [
        (cases.fail, ("by accident",), ["7 holdout: ZeroDivisionError: by accident"]),
        (cases.fail, ("exit",), ["7 holdout: SystemExit: 3"]),
        (cases.return_lambda, (), ["7 holdout: ", "pickle"]),
    ],
)
def test_what_nobody_expects_ends_the_work_with_a_line_on_the_job(own, refused, function, arguments, pieces):
    refused(lambda: results([Job((7, "holdout"), function, arguments)], scheduler=own), *pieces)
    # And the workers are as before.
    assert results([Job((1,), cases.compute, (1, 0))], scheduler=own).keys() == {(1,)}


def test_the_traceback_of_what_nobody_expects_comes_along(own):
    with pytest.raises(FlexError) as caught:
        results([Job((7,), cases.fail, ("by accident",))], scheduler=own)
    (note,) = caught.value.__notes__
    assert "engine_cases.py" in note
    assert "on two lines" in note


def test_results_before_an_exception_are_kept(own):
    found = []
    jobs = [*(Job((k,), cases.compute, (k, 0)) for k in range(6)), Job((6,), cases.refuse)]
    with pytest.raises(FlexError):
        work(jobs, lambda job, _: found.append(job.key), name="test", scheduler=own)
    assert len(found) >= 4  # those that were made before the last began


def test_an_error_of_the_caller_is_not_taken_for_a_lost_scheduler(own):
    def full(*_):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        work([Job((0,), cases.compute, (0, 0))], full, name="test", scheduler=own)


def test_a_signal_waits_until_a_result_is_written_down(own):
    """Between the disk and the caller's own books, an interruption would leave them at odds."""
    written = []

    def on_result(job, _):
        written.append("begun")
        signal.raise_signal(signal.SIGINT)
        written.append("ended")
        yield Job((1,), cases.compute, (1, 0))

    with pytest.raises(KeyboardInterrupt):
        work([Job((0,), cases.compute, (0, 0))], on_result, name="test", scheduler=own)
    assert written == ["begun", "ended"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- deaths


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_kills_its_workers_is_given_up_and_no_other_is_blamed(own, tmp_path, workers):
    told = str(tmp_path)
    jobs = [Job((k,), cases.compute_and_tell, (k, 0.01, told)) for k in range(20)]
    jobs[3] = Job(("killer",), cases.die)
    options = {"scheduler": own} if workers == 2 else {"workers": 1}
    outcomes = results(jobs, **options)
    assert outcomes.pop(("killer",)) == Died("its worker died 3 times, as for lack of memory")
    assert {key[0] for key in outcomes} == set(range(20)) - {3}
    assert not any(isinstance(outcome, Died) for outcome in outcomes.values())
    calls = collections.Counter(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert set(calls.values()) == {1}  # a neighbour is not even made again


def test_a_job_that_dies_once_is_made_again(own, tmp_path):
    jobs = [Job((k,), cases.die_once, (str(tmp_path / str(k)),)) for k in range(2)]
    assert results(jobs, scheduler=own) == {(0,): "alive", (1,): "alive"}


def test_a_worker_that_dies_before_it_is_up_is_replaced():
    """Of its own accord Dask restarts none but those that have been up."""
    killed, others = [], set(multiprocessing.active_children())

    def kill_the_first():
        wait_for(lambda: set(multiprocessing.active_children()) - others)
        (first,) = set(multiprocessing.active_children()) - others
        killed.append(first)
        first.kill()

    thread = threading.Thread(target=kill_the_first)
    thread.start()
    outcomes = results([Job((0,), cases.compute, (0, 0))], workers=1)
    thread.join()
    assert len(killed) == 1
    assert outcomes[0,]["number"] == 0


def test_a_cluster_that_is_restarted_amid_a_job_makes_it_again(own, tmp_path):
    def restart():
        wait_for(lambda: any(tmp_path.iterdir()))
        own.restart(wait_for_workers=False)

    thread = threading.Thread(target=restart)
    thread.start()
    outcomes = results([Job((0,), cases.compute_and_tell, (0, 2.0, str(tmp_path)))], scheduler=own)
    thread.join()
    assert outcomes[0,]["number"] == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cluster_of_our_own_without_workers_is_given_up(monkeypatch, refused):
    monkeypatch.setattr(engine, "START_SECONDS", 0.0)
    refused(lambda: results([Job((0,), cases.compute, (0, 0))], workers=1), "no worker started", "DASK_LOGGING")


# ---- the journal


def written(path, records):
    with Journal(path) as journal:
        for record in records:
            journal.append(record)
    return path.read_bytes() if path.exists() else b""


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@settings(max_examples=60, deadline=None)
@given(records=st.lists(st.dictionaries(st.text(), VALUES | st.lists(VALUES)), max_size=5))
def test_a_journal_gives_back_what_it_was_given(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("journal") / "j"
    content = written(path, records)
    assert content.count(b"\n") == len(records)
    with Journal(path) as journal:
        assert repr(journal.records) == repr(records)  # NaN, too, and the sign of zero
        assert [json.dumps(record) for record in journal.records] == [json.dumps(record) for record in records]
        journal.append({"one": "more"})
        journal.clear()
        assert journal.records == []
    assert not path.exists()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_journal_cut_short_anywhere_keeps_its_whole_lines(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "j"
    records = [{"number": k, "text": "é\r\u2028\n" * k, "value": math.pi / (k + 1)} for k in range(4)]
    content = written(path, records)
    cut = data.draw(st.integers(0, len(content)))
    tail = data.draw(st.sampled_from([b"", b"\0" * 5, b"\r\r", b'{"a": 1}']))
    path.write_bytes(content[:cut] + tail)
    whole = content[:cut].count(b"\n")
    with Journal(path) as journal:
        assert journal.records == records[:whole]
        journal.append({"after": True})
    with Journal(path) as journal:
        assert journal.records == [*records[:whole], {"after": True}]


def test_a_damaged_line_amid_others_is_named(tmp_path, refused):
    path = tmp_path / "j"
    lines = written(path, [{"number": k} for k in range(3)]).splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{nonsense}\n" + lines[2])
    content = path.read_bytes()
    refused(lambda: written(path, []), str(path), "line 2")
    assert path.read_bytes() == content


def test_a_journal_is_one_commands_at_a_time(tmp_path, refused):
    path = tmp_path / "j"
    script = f"""
from flexlib.runs.journal import Journal
with Journal({str(path)!r}) as journal:
    journal.append({{"number": 1}})
    print("has it", flush=True)
    input()
"""
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "has it\n"
    refused(lambda: written(path, []), str(path), "another command")
    other.kill()
    other.communicate()
    with Journal(path) as journal:
        assert journal.records == [{"number": 1}]


def test_two_journals_of_one_process_are_apart_too(tmp_path, refused):
    with Journal(tmp_path / "j") as journal:
        refused(lambda: written(tmp_path / "j", []), "another command")
        journal.append({"number": 1})
    assert (tmp_path / "j").exists()


def test_a_journal_that_its_last_owner_removes_while_it_is_opened_is_made_anew(tmp_path, monkeypatch):
    """The lock of a file that no longer has the name would keep nobody out."""
    path, calls, flock = tmp_path / "j", [], engine.Journal.__enter__.__globals__["fcntl"].flock

    def lock(*arguments):
        if not calls:
            path.unlink()
        calls.append(arguments)
        flock(*arguments)

    monkeypatch.setattr("flexlib.runs.journal.fcntl.flock", lock)
    written(path, [{"number": 1}])
    assert len(calls) == 2
    assert path.exists()


def test_a_record_that_finds_no_room_leaves_the_journal_as_it_was(tmp_path, refused):
    path, limits = tmp_path / "j", resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        journal.append({"number": 1})
        before = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))  # room for a part of it
        try:
            refused(lambda: journal.append({"number": 2, "text": "x" * 100}), str(path), "cannot be written")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.read_bytes() == before
        assert journal.records == [{"number": 1}]
        journal.append({"number": 3})
    with Journal(path) as journal:
        assert journal.records == [{"number": 1}, {"number": 3}]


def test_a_journal_that_cannot_be_opened_is_named(tmp_path, refused):
    refused(lambda: written(tmp_path / "no" / "folder" / "j", []), "no/folder/j", "cannot be opened")
    refused(lambda: written(tmp_path, []), str(tmp_path), "cannot be opened")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table"
    with replaced(path) as partial:
        partial.write_text("first")

    def fail():
        with replaced(path) as partial:
            partial.write_text("half of the sec")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [one.name for one in tmp_path.iterdir()] == ["table"]
    assert path.read_text() == "first"
    with replaced(path) as partial:
        partial.write_text("second")
        assert path.read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["table"]
    assert path.read_text() == "second"


# ---- a command, killed and stopped


def toys(out, *options, **environment):
    """Start the toys' command in a session of its own, and wait until it begins to work."""
    out.mkdir(exist_ok=True)
    command = [sys.executable, str(TESTS / "engine_cases.py"), str(out), *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, start_new_session=True, text=True, env=os.environ | environment, **pipes)
    assert process.stdout.readline() == "begins\n"
    return process


def ending(process):
    """A command's status, and what it said last: the bar apart, and it may be no more than one line."""
    _, said = process.communicate(timeout=LONG)
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip()]
    lines = [line for line in lines if not re.match(r"toys: .*%\|", line)]
    assert len(lines) <= 1, said
    return process.returncode, "".join(lines)


def table_of(out):
    return pd.read_parquet(out / "records.parquet")


@pytest.fixture(scope="module")
def undisturbed():
    """The values of many toys, computed one after the other."""
    records = [cases.compute(k, 0) for k in range(200)]
    table = pd.DataFrame(records).drop(columns="seconds")
    return table.astype({"odd": "float64", "error": "str"})


def same(table, undisturbed):
    """To the last bit, but for the seconds."""
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), undisturbed.head(len(table)), check_exact=True)


def members(process):
    """The living processes of a command's session: all that it started, whoever is their parent by now."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(one.pid) == process.pid and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def wait_for(condition, seconds=LONG):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.02)


def journal_lines(out):
    with contextlib.suppress(FileNotFoundError):
        return (out / "records.journal.jsonl").read_bytes().count(b"\n")
    return 0


@pytest.fixture(scope="module")
def kill_campaign():
    path = TESTS.parent / "benchmarks" / "kill_campaign.py"
    specification = importlib.util.spec_from_file_location("kill_campaign", path)
    module = sys.modules["kill_campaign"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("place", ["own", "joined"])
def test_kills_at_random_moments_lose_nothing_and_double_nothing(kill_campaign, place):
    kills = 6
    counts = kill_campaign.campaign(kill_campaign.Toys(jobs=25), kills, [2, 1], [place], seed=1)
    assert sum(count for kind, count in counts.items() if kind.startswith(place)) >= kills
    assert {name: counts[name] for name in kill_campaign.FAULTS} == dict.fromkeys(kill_campaign.FAULTS, 0)


def test_a_campaign_sees_what_is_lost_double_and_different(kill_campaign, tmp_path):
    """One that could see nothing would find nothing."""
    toys_, counts = kill_campaign.Toys(), collections.Counter()
    table = pd.DataFrame([cases.compute(k, 0) for k in (0, 0, 1)])
    table.to_parquet(tmp_path / "records.parquet")
    (tmp_path / "records.journal.jsonl").write_text(json.dumps(cases.compute(1, 0)) + "\n")  # of other seconds
    assert kill_campaign.on_disk(tmp_path, toys_, counts).keys() == {(0,), (1,)}
    assert counts["double records"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["at the start", "amid a job"])
def test_a_signal_ends_a_command_soon_with_one_line_and_leaves_no_process(tmp_path, undisturbed, number, moment):
    out, told = tmp_path / "out", tmp_path / "told"
    told.mkdir()
    process = toys(out, "--jobs", 4, "--seconds", LONG, "--workers", 2, "--told", told)
    if moment == "amid a job":
        wait_for(lambda: any(told.iterdir()))
    begun = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert ending(process) == (130, "toys: stopped; finished runs are kept")
    assert time.monotonic() - begun < LONG / 2  # 3, were it not for a busy machine; a job takes LONG
    wait_for(lambda: not members(process))


def test_the_end_of_the_work_ends_its_processes_while_the_caller_lives_on(tmp_path):
    """As in a notebook, where nothing else would end a worker that is amid a job."""
    others = set(multiprocessing.active_children())
    jobs = [Job((0,), cases.compute_and_tell, (0, 60, str(tmp_path))), Job((1,), cases.compute, (1, 0))]

    def stop(*_):
        wait_for(lambda: any(tmp_path.iterdir()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(jobs, stop, name="test", workers=2)
    assert set(multiprocessing.active_children()) <= others


def test_a_command_that_is_killed_takes_its_workers_along(tmp_path):
    told = tmp_path / "told"
    told.mkdir()
    process = toys(tmp_path / "out", "--jobs", 4, "--seconds", 60, "--workers", 2, "--told", told)
    wait_for(lambda: len(list(told.iterdir())) == 2)
    assert len(members(process)) >= 3
    process.kill()
    process.communicate()
    wait_for(lambda: not members(process), 10)


def test_a_second_command_on_the_same_records_says_so(tmp_path):
    with Journal(tmp_path / "records.journal.jsonl") as first:
        first.append({"number": 1})
        status, line = ending(toys(tmp_path, "--jobs", 5))
        assert (status, "another command is writing these records" in line) == (2, True)
        first.append({"number": 2})
    with Journal(tmp_path / "records.journal.jsonl") as again:
        assert again.records == [{"number": 1}, {"number": 2}]
    assert [path.name for path in tmp_path.iterdir()] == ["records.journal.jsonl"]


def test_dasks_logs_come_to_those_who_ask(tmp_path):
    process = toys(tmp_path / "out", "--jobs", 1, DASK_LOGGING__DISTRIBUTED="info")
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert "distributed.scheduler - INFO" in said
    assert "distributed.worker - INFO" in said


# ---- a running cluster


class Running:
    """A scheduler and its workers, as processes of their own."""

    def __init__(self, folder):
        self.file, self.scheduler, self.workers = folder / "scheduler.json", None, []

    def start(self, workers, **environment):
        self.environment = environment
        self.scheduler = self.open("scheduler", "--port", "0", "--host", "127.0.0.1", "--dashboard-address", ":0")
        wait_for(self.file.exists)
        self.workers = [self.open("worker", "--nthreads", "1") for _ in range(workers)]
        return self

    def open(self, what, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(self.file), *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, start_new_session=True, env=os.environ | self.environment, **quiet)

    def client(self):
        return Client(json.loads(self.file.read_text())["address"], set_as_default=False)

    def stop(self):
        for process in [self.scheduler, *self.workers]:
            for one in members(process):
                one.kill()
            process.kill()
            process.wait()
        self.file.unlink(missing_ok=True)


@pytest.fixture
def running(tmp_path):
    found = Running(tmp_path)
    yield found
    if found.scheduler:
        found.stop()


def test_a_running_cluster_does_the_work_and_a_killed_worker_costs_no_record(running, tmp_path, undisturbed):
    running.start(workers=2)
    out = tmp_path / "out"
    process = toys(out, "--jobs", 60, "--seconds", 0.05, "--scheduler", running.file)
    wait_for(lambda: journal_lines(out) >= 5)
    for one in members(running.workers[0]):  # the nanny too
        one.kill()
    status, line = ending(process)
    assert (status, line.startswith("Dask's dashboard: http")) == (0, True)
    same(table_of(out), undisturbed)
    assert len(table_of(out)) == 60
    with running.client() as client:  # it goes on, and did not have to import what the workers did
        assert not client.run_on_scheduler(lambda: {"flexlib", "torch", "engine_cases"} & set(sys.modules))


def test_commands_that_share_a_cluster_are_not_blamed_for_one_another(running, tmp_path, undisturbed):
    """Whatever number of deaths the scheduler itself allows."""
    running.start(workers=1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    out = tmp_path / "out"
    process = toys(out, "--jobs", 40, "--seconds", 0.05, "--scheduler", running.file)
    (outcome,) = results([Job((0,), cases.die, (0.02,))], scheduler=str(running.file)).values()
    assert outcome.reason[:22] == "its worker died 3 time"
    assert ending(process)[0] == 0
    same(table_of(out), undisturbed)
    assert len(table_of(out)) == 40


def test_a_worker_that_leaves_in_good_order_is_nobodys_fault(running, tmp_path, monkeypatch):
    running.start(workers=2)
    monkeypatch.setattr(engine, "ATTEMPTS", 1)  # so that any blame shows

    def retire():
        wait_for(lambda: any(tmp_path.glob("0-*")))
        with running.client() as client:
            busy = [address for address, keys in client.processing().items() if keys]
            client.retire_workers(busy[:1])

    thread = threading.Thread(target=retire)
    thread.start()
    outcomes = results([Job((0,), cases.compute_and_tell, (0, 3.0, str(tmp_path)))], scheduler=str(running.file))
    thread.join()
    assert outcomes[0,]["number"] == 0
    assert len(list(tmp_path.glob("0-*"))) == 2  # it was cut short, and made again


def test_a_lost_scheduler_is_told_in_one_line_and_the_same_command_goes_on(running, tmp_path, undisturbed):
    running.start(workers=1)
    out = tmp_path / "out"
    process = toys(out, "--jobs", 60, "--seconds", 0.1, "--scheduler", running.file)
    wait_for(lambda: journal_lines(out) >= 5)
    running.scheduler.kill()
    _, said = process.communicate(timeout=LONG)
    assert process.returncode == 2
    last = said.splitlines()[-1]
    assert re.match(r"toys: tcp://127.0.0.1:\d+: the scheduler is lost .*same command again; finished runs are", last)
    assert "Traceback" not in said
    before = table_of(out)
    assert 5 <= len(before) < 60
    running.stop()
    running.start(workers=1)
    assert ending(toys(out, "--jobs", 60, "--scheduler", running.file))[0] == 0
    after = table_of(out)
    same(after, undisturbed)
    kept = after.set_index("number")["seconds"]
    assert (kept[before["number"]].to_numpy() == before["seconds"].to_numpy()).all()  # not made again


def test_the_end_of_a_command_frees_its_workers(running, tmp_path):
    running.start(workers=1)
    told = tmp_path / "told"
    told.mkdir()
    process = toys(tmp_path / "out", "--jobs", 5, "--seconds", 2, "--scheduler", running.file, "--told", told)
    wait_for(lambda: any(told.iterdir()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == 130
    process.communicate()
    assert results([Job((1,), cases.compute, (1, 0))], scheduler=str(running.file))[1,]["number"] == 1
    assert len(list(told.iterdir())) == 1


def test_the_environment_names_the_cluster_where_the_caller_does_not(monkeypatch):
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as here:
        monkeypatch.setenv("FLEXLIB_SCHEDULER", here.scheduler_address)
        outcome = results([Job((0,), cases.settings)])[0,]
    assert outcome[3] == os.getpid()


def test_a_scheduler_that_does_not_answer_is_told_within_seconds(monkeypatch, refused):
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 1.0)
    begun = time.monotonic()
    refused(lambda: results([Job((0,), cases.refuse)], scheduler="tcp://127.0.0.1:1"), "tcp://127.0.0.1:1", "start it")
    assert time.monotonic() - begun < 20  # 1, were it not for a busy machine


@pytest.mark.parametrize("address", ["nonsense", "foo://127.0.0.1:1", "tls://127.0.0.1:1", "127.0.0.1"])
def test_what_is_no_address_is_refused(refused, address):
    refused(lambda: results([Job((0,), cases.refuse)], scheduler=address), address, "check the address")


def test_a_scheduler_file_that_is_none_is_refused(refused, tmp_path):
    path = tmp_path / "scheduler.json"
    jobs = [Job((0,), cases.refuse)]
    refused(lambda: results(jobs, scheduler=str(path)), str(path), "No such file", "is the scheduler running?")
    for content in ("nonsense", "{}", "[]", '"tcp://"', "\xff"):
        path.write_bytes(content.encode("latin-1"))
        refused(lambda: results(jobs, scheduler=str(path)), str(path), "is not a file that a Dask scheduler wrote")


def test_another_server_of_dask_is_not_taken_for_a_scheduler(own, refused):
    worker = next(iter(own.scheduler_info()["workers"]))
    refused(lambda: results([Job((0,), cases.refuse)], scheduler=worker), "is a Worker, not a scheduler")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command, to make a certificate")
def test_a_cluster_can_speak_tls_by_dasks_configuration(running, tmp_path, undisturbed):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    prefix = "DASK_DISTRIBUTED__COMM__"
    secure = {f"{prefix}REQUIRE_ENCRYPTION": "true", f"{prefix}TLS__CA_FILE": str(tmp_path / "cert.pem")}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        secure[f"{prefix}TLS__{role}__CERT"] = str(tmp_path / "cert.pem")
        secure[f"{prefix}TLS__{role}__KEY"] = str(tmp_path / "key.pem")
    running.start(workers=1, **secure)
    assert json.loads(running.file.read_text())["address"].startswith("tls://")
    out = tmp_path / "out"
    status, line = ending(toys(out, "--jobs", 5, "--scheduler", running.file))
    assert (status, "no scheduler answers" in line) == (2, True)  # without the certificate
    assert ending(toys(out, "--jobs", 5, "--scheduler", running.file, **secure))[0] == 0
    same(table_of(out), undisturbed)
    assert ending(toys(tmp_path / "here", "--jobs", 5, **secure)) == (0, "")  # a cluster of our own

"""The engine of a sweep: workers take runs from an Optuna study, in SQLite beside the results or in PostgreSQL.

A trial is one run under one protocol; its number is a ticket that no two workers share. A worker's heartbeat keeps its
trial alive: the run of a worker that died is taken up by another. What is in the ledger is what gets recorded.
"""

import hashlib
import math
import multiprocessing
import os
import platform
import re
import signal
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from urllib.parse import parse_qs, unquote

import optuna
import pandas as pd
import sqlalchemy
import torch
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from tqdm import tqdm

from flexlib.config import FlexError, first_line
from flexlib.sweep import blank_record, config_of, load_records, run_one, save_records, to_table

LEDGER_ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError)
ATTEMPTS = 3  # that may kill their worker before a run is recorded as failed
ABREAST = 32  # jobs, from the cheapest, that workers choose from
PRIOR_SECONDS = 100  # of runs as the cost model has them, before the measured ones outweigh it
PATIENCE_SECONDS = 4  # for workers that were interrupted too, as by Ctrl-C, to give their runs back
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXPORT_SECONDS = 30  # between two writings of the records while a sweep goes on


@contextmanager
def _signals(how):
    """Block the signals that stop a sweep, or unblock them; a process started meanwhile has them the same way."""
    before = signal.pthread_sigmask(how, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class Storage:
    """Where the ledger is. url: of SQLAlchemy, password included. heartbeat: seconds between two signs of life; three
    without one are taken for death."""

    url: str
    heartbeat: int = 20

    def __repr__(self):
        return f"Storage({self.shown})"

    @property
    def shown(self):
        """The URL without what may be secret: user, password and options."""
        kind, _, rest = self.url.partition("://")
        return self.url if kind == "sqlite" else f"{kind}://{rest.rpartition('@')[2].partition('?')[0]}"

    def redact(self, error):
        """What an error says, on one line and without the password, nor any piece of one that is not escaped."""
        text, rest = first_line(error), self.url.partition("://")[2]
        login, _, query = rest.rpartition("@")[0], *rest.partition("?")[1:]
        secret = login.partition(":")[2]
        values = [value for values in parse_qs(query).values() for value in values]
        pieces = {secret, unquote(secret), *re.split("[:@/?]", secret), *values} - {""}
        if any(len(piece) < 4 and piece in text for piece in pieces):  # too short to be cut out
            return type(error).__name__
        for piece in sorted(pieces, key=len, reverse=True):
            text = text.replace(piece, "***")
        return text

    def open(self, plan, checksum):
        """The `_Ledger` of the plan on data with this checksum. Raises `FlexError` without the password."""
        try:
            url = sqlalchemy.make_url(self.url)
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")
            options = {"connect_args": {"timeout": 120}} if url.drivername.startswith("sqlite") else {}
            name = f"{plan.name}-{hashlib.sha256((plan.identity + checksum).encode()).hexdigest()[:8]}"
            return self._connect(url.render_as_string(hide_password=False), options, name)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
            raise FlexError(f"{self.shown}: cannot be used ({self.redact(error)})") from None

    def _connect(self, url, options, name, attempts=10):
        """Others may be making the same tables: then what fails now is there in a moment."""
        for left in reversed(range(attempts)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    storage = RDBStorage(
                        url, options, heartbeat_interval=self.heartbeat, grace_period=3 * self.heartbeat
                    )  # fmt: skip
                _CLAIMS.metadata.create_all(storage.engine)
                return _Ledger(storage, optuna.create_study(storage=storage, study_name=name, load_if_exists=True))
            except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
                if not left:
                    raise
                time.sleep(0.3)
        raise AssertionError("unreachable")


# Which trial has a job: the primary key is what keeps two workers from having one.
_CLAIMS = sqlalchemy.Table(
    "flexlib_claims", sqlalchemy.MetaData(),
    sqlalchemy.Column("study", sqlalchemy.String(255), primary_key=True),
    sqlalchemy.Column("k", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("protocol", sqlalchemy.String(255), primary_key=True),
    sqlalchemy.Column("trial", sqlalchemy.Integer, nullable=False),
)  # fmt: skip


class _Ledger:
    """A study, and the claims of its trials on jobs."""

    def __init__(self, storage, study):
        self.storage, self.study = storage, study

    def state(self):
        """The records of finished jobs, the jobs at work, and how many workers each job has killed."""
        done, active, killed = {}, set(), Counter()
        for trial in self.study.get_trials(deepcopy=False):
            job = tuple(trial.user_attrs.get("job", ()))
            if trial.state == TrialState.RUNNING:
                active.add(job)
            elif "record" in trial.user_attrs:
                done.setdefault(job, trial.user_attrs["record"])
            elif "worker_died" in trial.user_attrs:
                killed[job] += 1
        return done, active, killed

    def claim(self, job, number):
        """Give a job to the trial of this number; False where another has it, at work or finished."""
        key = {"study": self.study.study_name, "k": job[0], "protocol": job[1]}
        mine = sqlalchemy.and_(*(_CLAIMS.c[name] == value for name, value in key.items()))
        try:
            with self.storage.engine.begin() as connection:
                connection.execute(_CLAIMS.insert().values(trial=number, **key))
            return True
        except sqlalchemy.exc.IntegrityError:
            pass
        with self.storage.engine.begin() as connection:
            holder = connection.execute(sqlalchemy.select(_CLAIMS.c.trial).where(mine)).scalar_one()
            trials = {trial.number: trial for trial in self.study.get_trials(deepcopy=False)}
            if trials[holder].state == TrialState.RUNNING or "record" in trials[holder].user_attrs:
                return False
            taken = _CLAIMS.update().where(mine, _CLAIMS.c.trial == holder).values(trial=number)
            return connection.execute(taken).rowcount == 1

    def note_death(self, worker):
        """Write down that a worker (HOST:PID) did not live to end its trial."""
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.user_attrs.get("worker") == worker:
                self.storage.set_trial_user_attr(trial._trial_id, "worker_died", True)

    def close(self):
        """Close its connections."""
        self.storage.remove_session()
        self.storage.engine.dispose()


class _Work:
    """One process's share of a plan: which jobs there are, and taking them one by one."""

    def __init__(self, plan, ratings, storage, carried, device, stop=None):
        self.plan, self.ratings, self.device, self.carried = plan, ratings, device, carried
        self.stop = stop or _Stop()
        self.estimates = plan.estimates(ratings)
        self.ledger = storage.open(plan, str(ratings.facts.get("sha256", "")))
        self.jobs = [job for job, seconds in self.estimates.items() if seconds <= plan.max_seconds]

    def free(self):
        """The jobs that nobody has finished, given up or taken, and whether any is at work elsewhere."""
        done, active, killed = self.ledger.state()
        settled = done.keys() | self.carried.keys() | {job for job, n in killed.items() if n >= ATTEMPTS}
        open_jobs = [job for job in self.jobs if job not in settled]
        return [job for job in open_jobs if job not in active], any(job in active for job in open_jobs)

    def go_on(self, alive):
        """Work until every job is settled, or until `alive` says no."""
        while alive():
            self.stop.heed()
            free, elsewhere = self.free()
            if free:
                self.ledger.study.optimize(lambda trial, free=free: self._take(trial, free), n_trials=1)
            elif elsewhere:
                time.sleep(0.5)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    optuna.storages.fail_stale_trials(self.ledger.study)
            else:
                return

    def _take(self, trial, free):
        # Workers that look at the same moment have different tickets, and so take different jobs of the next few.
        job = free[trial.number % min(len(free), ABREAST)]
        self.ledger.storage.record_heartbeat(trial._trial_id)  # one without it would never be taken for dead
        trial.set_user_attr("job", list(job))
        trial.set_user_attr("worker", _worker_name(os.getpid()))
        if not self.ledger.claim(job, trial.number):
            raise optuna.TrialPruned("another worker has it")
        with self.stop:
            record = run_one(self.plan, self.ratings, *job, self.estimates[job], self.device)
        trial.set_user_attr("record", record)
        if record["rmse"] is None:
            raise optuna.TrialPruned(record["status"])
        return record["rmse"]


class _Stop:
    """Ctrl-C and SIGTERM in a worker. They end a run at once, within `with`, and otherwise wait for `heed`: Optuna and
    the database, interrupted halfway through a transaction, end in a traceback."""

    def __init__(self):
        self.asked = self.running = False

    def __call__(self, *_):
        self.asked = True
        if self.running:
            self.running = False  # once is enough: the run is given back from here on
            raise KeyboardInterrupt

    def heed(self):
        """Raise `KeyboardInterrupt` where it was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    def __enter__(self):
        self.running = True
        if self.asked:
            self(None)

    def __exit__(self, *_):
        self.running = False


def _worker_name(pid):
    return f"{platform.node()}:{pid}"


def _worker(plan, storage, carried, device, parent):
    """A process's main: one thread, so that the number of workers changes no record."""
    stop = _Stop()
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # what came while this process was starting comes now
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        _Work(plan, plan.load(), storage, carried, device, stop).go_on(lambda: os.getppid() == parent)
    except (FlexError, *LEDGER_ERRORS) as error:
        sys.exit(f"flexlib: a worker ended: {storage.redact(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def run_plan(plan, out, storage=None, workers=1, device=None, heartbeat=20):
    """Work a plan off with `workers` processes and write its records to `out`/NAME.parquet; returns their table.

    What `out` or the ledger already holds is not run again, so that any number of calls, here or (with one storage)
    on many machines, add up to one sweep. Raises `FlexError`, and `KeyboardInterrupt` when stopped: runs finished by
    then are kept.
    """
    ratings = plan.load()
    out.mkdir(parents=True, exist_ok=True)
    storage = Storage(
        storage or str(sqlalchemy.URL.create("sqlite", database=f"{out.resolve() / plan.name}.sqlite3")), heartbeat
    )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = out / f"{plan.name}.parquet"
    work = _Work(plan, ratings, storage, _carried(plan, ratings, path), device)
    try:
        for job, record in work.ledger.state()[0].items():
            if job in work.estimates:
                _check_same(plan, ratings, record, storage.shown)
        resource_tracker.ensure_running()  # which unblocks the signals that are blocked next
        with _signals(signal.SIG_BLOCK):
            table = _work_off(work, path, storage, workers)
    except LEDGER_ERRORS as error:
        raise FlexError(f"{storage.shown}: lost ({storage.redact(error)}); finished runs are kept") from None
    finally:
        work.ledger.close()
    missing = len(work.estimates) - len(table)
    if missing:
        raise FlexError(f"{missing} runs are missing, as every worker ended early; {path} has the others: run it again")
    return table


def _work_off(work, path, storage, workers):
    """Start the workers, keep them at it, and write the records now and then, and at the end. Signals to stop wait
    until they find it idle, so that they cut no transaction short, nor the start or the end of a worker."""
    context = multiprocessing.get_context("spawn")

    def start():
        arguments = work.plan, storage, work.carried, work.device, os.getpid()
        process = context.Process(target=_worker, args=arguments)
        process.start()
        return process

    processes = [start() for _ in range(min(workers, max(1, len(work.jobs))))]
    restarts = ATTEMPTS * (len(processes) + 1)
    written = time.monotonic()
    try:
        with _Progress(work) as progress:
            while any(process.is_alive() for process in processes):
                with _signals(signal.SIG_UNBLOCK):
                    time.sleep(0.5)
                for place, process in enumerate(processes):
                    if process.exitcode and restarts > 0:  # its run is up for another, unless it kills them all
                        work.ledger.note_death(_worker_name(process.pid))
                        restarts -= 1
                        processes[place] = start()
                progress.show(sum(process.is_alive() for process in processes))
                if time.monotonic() - written > EXPORT_SECONDS:
                    written = time.monotonic()
                    _export(work, path)
    finally:
        deadline = time.monotonic() + PATIENCE_SECONDS
        for process in processes:
            process.join(max(0, deadline - time.monotonic()))
        for process in processes:  # those that the interruption did not reach, or that are slow to heed it
            process.terminate()
        for process in processes:  # one that hangs at its end has nothing to lose: its runs are in the ledger
            process.join(PATIENCE_SECONDS)
            process.kill()
            process.join()
        table = _export(work, path)
    return table


def _carried(plan, ratings, path):
    """Records of an earlier call, by job: those of this plan that were run."""
    if not path.exists():
        return {}
    carried = {}
    for record in load_records(path).astype(object).to_dict("records"):
        job = record[plan.key], record["protocol"]
        if job[0] >= len(plan.configs) or job[1] not in plan.protocols:
            raise FlexError(
                f"{path}: has {plan.key} {job[0]} under '{job[1]}', which is not asked for: ask for it too, or "
                "choose another --out"
            )
        _check_same(plan, ratings, record, path)
        if record["status"] != "skipped":
            carried[job] = record
    return carried


def _check_same(plan, ratings, record, where):
    """Refuse a record that is not of this plan's data, seed and settings."""
    k = record[plan.key]
    blank = blank_record(plan, ratings, k, record["protocol"], 0.0)
    theirs = {name: record[name] for name in ("dataset", "checksum", "seed")}
    if any(value != blank[name] for name, value in theirs.items()):
        described = ", ".join(f"{name} {value}" for name, value in theirs.items() if value != blank[name])
        raise FlexError(f"{where}: {plan.key} {k} has {described}, which is not asked for: choose another --out")
    if config_of(record).to_dict() != plan.configs[k]:
        raise FlexError(f"{where}: {plan.key} {k} has other parameters than asked for: choose another --out")


def _export(work, path):
    """Write the records so far: of finished jobs, of those given up, and of those skipped for their cost."""
    done, _, killed = work.ledger.state()
    records = []
    for job, seconds in work.estimates.items():
        record = work.carried.get(job) or done.get(job)
        if record is None and killed[job] >= ATTEMPTS:
            error = f"its worker died {killed[job]} times"
            record = blank_record(work.plan, work.ratings, *job, seconds, "failed", error)
        if record is None and seconds > work.plan.max_seconds:
            record = blank_record(work.plan, work.ratings, *job, seconds)
        if record is not None:
            records.append(record)
    table = to_table(records, work.plan.key)
    save_records(table, path)
    return table


class _Progress:
    """A bar: runs done, the lowest RMSE of each protocol, and the time left by the cost model, set right by what the
    runs so far have taken."""

    def __init__(self, work):
        self.work = work
        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}, {postfix}]"
        self.bar = tqdm(total=len(work.jobs), desc=work.plan.name, bar_format=form, mininterval=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def show(self, workers):
        """Bring the bar up to the ledger's state."""
        done = self.work.carried | self.work.ledger.state()[0]
        done = {job: done[job] for job in self.work.jobs if job in done}
        if len(done) == self.bar.n:
            return
        spent = PRIOR_SECONDS + sum(record["seconds"] for record in done.values() if pd.notna(record["seconds"]))
        expected = PRIOR_SECONDS + sum(
            self.work.estimates[job] for job, record in done.items() if pd.notna(record["seconds"])
        )
        left = sum(self.work.estimates[job] for job in self.work.jobs if job not in done)
        left *= spent / expected / max(workers, 1)
        best = {}
        for (_, protocol), record in done.items():
            if record["status"] == "ok":
                best[protocol] = min(best.get(protocol, math.inf), record["rmse"])
        words = [f"{tqdm.format_interval(left)} left", *(f"best {name} {rmse:.3f}" for name, rmse in best.items())]
        self.bar.set_postfix_str(", ".join(words), refresh=False)
        self.bar.update(len(done) - self.bar.n)

"""The engine of a sweep: workers take runs from an Optuna study, in SQLite beside the results or in PostgreSQL.

A trial is one run under one protocol; its number is a ticket that no two workers share. A worker's heartbeat keeps its
trial alive: the run of a worker that died is taken up by another. What is in the ledger is what gets recorded.
"""

import math
import multiprocessing
import os
import platform
import signal
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass

import optuna
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
EXPORT_SECONDS = 30  # between two writings of the records while a sweep goes on


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
        """The URL without its password."""
        try:
            return sqlalchemy.make_url(self.url).render_as_string(hide_password=True)
        except sqlalchemy.exc.ArgumentError:
            return "the storage's URL"

    def open(self, plan):
        """The plan's study in it, made where it is not there, and a function that closes its connections.

        Raises `FlexError` without the password.
        """
        try:
            url = sqlalchemy.make_url(self.url)
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")
            options = {"connect_args": {"timeout": 120}} if url.drivername.startswith("sqlite") else {}
            storage, study = self._connect(url.render_as_string(hide_password=False), options, plan.name)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
            raise FlexError(f"{self.shown}: cannot be used ({self.redact(error)})") from None

        def close():
            storage.remove_session()
            storage.engine.dispose()

        return study, close

    def _connect(self, url, options, name, attempts=10):
        """Others may be making the same tables: then what fails now is there in a moment."""
        for left in reversed(range(attempts)):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    storage = RDBStorage(
                        url, options, heartbeat_interval=self.heartbeat, grace_period=3 * self.heartbeat
                    )  # fmt: skip
                return storage, optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
            except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
                if not left:
                    raise
                time.sleep(0.3)
        raise AssertionError("unreachable")

    def redact(self, error):
        """What an error says, on one line and without the password."""
        text = first_line(error)
        try:
            password = sqlalchemy.make_url(self.url).password
        except sqlalchemy.exc.ArgumentError:
            return type(error).__name__
        return text.replace(password, "***") if password else text


def _state(study):
    """What the ledger says: the records of finished jobs, the first trial of each job at work, and how many workers
    each job has killed."""
    done, active, killed = {}, {}, Counter()
    for trial in study.get_trials(deepcopy=False):
        job = tuple(trial.user_attrs.get("job", ()))
        if trial.state == TrialState.FAIL and "interrupted" not in trial.user_attrs:
            killed[job] += 1
        elif trial.state == TrialState.RUNNING:
            active.setdefault(job, trial.number)
        elif "record" in trial.user_attrs:
            done.setdefault(job, trial.user_attrs["record"])
    return done, active, killed


class _Work:
    """One process's share of a plan: which jobs there are, and taking them one by one."""

    def __init__(self, plan, ratings, storage, carried, device):
        self.plan, self.ratings, self.device, self.carried = plan, ratings, device, carried
        self.estimates = plan.estimates(ratings)
        self.study, self.close = storage.open(plan)
        self.jobs = [job for job, seconds in self.estimates.items() if seconds <= plan.max_seconds]

    def free(self):
        """The jobs that nobody has finished, given up or taken, and whether any is at work elsewhere."""
        done, active, killed = _state(self.study)
        settled = done.keys() | self.carried.keys() | {job for job, n in killed.items() if n >= ATTEMPTS}
        open_jobs = [job for job in self.jobs if job not in settled]
        return [job for job in open_jobs if job not in active], any(job in active for job in open_jobs)

    def go_on(self, alive):
        """Work until every job is settled, or until `alive` says no."""
        while alive():
            free, elsewhere = self.free()
            if free:
                self.study.optimize(lambda trial, free=free: self._take(trial, free), n_trials=1)
            elif elsewhere:
                time.sleep(0.5)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    optuna.storages.fail_stale_trials(self.study)
            else:
                return

    def _take(self, trial, free):
        # Workers that look at the same moment have different tickets, and so take different jobs of the next few.
        job = free[trial.number % min(len(free), ABREAST)]
        trial.set_user_attr("job", list(job))
        trial.set_user_attr("worker", f"{platform.node()}:{os.getpid()}")
        done, active, _ = _state(self.study)
        if job in done or active[job] < trial.number:
            raise optuna.TrialPruned("taken by another worker meanwhile")
        try:
            record = run_one(self.plan, self.ratings, *job, self.estimates[job], self.device)
        except KeyboardInterrupt:
            trial.set_user_attr("interrupted", True)
            raise
        trial.set_user_attr("record", record)
        if record["rmse"] is None:
            raise optuna.TrialPruned(record["status"])
        return record["rmse"]


def _worker(plan, storage, carried, device, parent):
    """A process's main: one thread, so that the number of workers changes no record."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the run at hand is given back at once
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        _Work(plan, plan.load(), storage, carried, device).go_on(lambda: os.getppid() == parent)
    except (FlexError, *LEDGER_ERRORS) as error:
        sys.exit(f"flexlib: a worker ended: {storage.redact(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:  # its end is near: the parent need not hurry it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_plan(plan, out, storage=None, workers=1, device=None, heartbeat=20):
    """Work a plan off with `workers` processes and write its records to `out`/NAME.parquet; returns their table.

    What `out` or the ledger already holds is not run again, so that any number of calls, here or (with one storage)
    on many machines, add up to one sweep. Raises `FlexError`, and `KeyboardInterrupt` when stopped: runs finished by
    then are kept.
    """
    out.mkdir(parents=True, exist_ok=True)
    storage = Storage(storage or f"sqlite:///{out.resolve() / plan.name}.sqlite3", heartbeat)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = out / f"{plan.name}.parquet"
    ratings = plan.load()
    work = _Work(plan, ratings, storage, _carried(plan, ratings, path), device)
    try:
        for job, record in _state(work.study)[0].items():
            if job in work.estimates:
                _check_same(plan, ratings, record, storage.shown)
        table = _work_off(work, path, storage, workers)
    except LEDGER_ERRORS as error:
        raise FlexError(f"{storage.shown}: lost ({storage.redact(error)}); finished runs are kept") from None
    finally:
        work.close()
    missing = len(work.estimates) - len(table)
    if missing:
        raise FlexError(f"{missing} runs are missing, as every worker ended early; {path} has the others: run it again")
    return table


def _work_off(work, path, storage, workers):
    """Start the workers, keep them at it, and write the records now and then, and at the end."""
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
                time.sleep(0.5)
                for place, process in enumerate(processes):
                    if process.exitcode and restarts > 0:  # killed: its run is up for another
                        restarts -= 1
                        processes[place] = start()
                progress.show(sum(process.is_alive() for process in processes))
                if time.monotonic() - written > EXPORT_SECONDS:
                    written = time.monotonic()
                    _export(work, path)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
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
                f"{path}: has {plan.key} {job[0]} under '{job[1]}', which is not asked for: choose another --out"
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
    done, _, killed = _state(work.study)
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
        done = self.work.carried | _state(self.work.study)[0]
        done = {job: done[job] for job in self.work.jobs if job in done}
        if len(done) == self.bar.n:
            return
        spent = PRIOR_SECONDS + sum(record["seconds"] or 0 for record in done.values())
        expected = PRIOR_SECONDS + sum(self.work.estimates[job] for job, record in done.items() if record["seconds"])
        left = sum(self.work.estimates[job] for job in self.work.jobs if job not in done)
        left *= spent / expected / max(workers, 1)
        best = {}
        for (_, protocol), record in done.items():
            if record["status"] == "ok":
                best[protocol] = min(best.get(protocol, math.inf), record["rmse"])
        words = [f"{tqdm.format_interval(left)} left", *(f"best {name} {rmse:.3f}" for name, rmse in best.items())]
        self.bar.set_postfix_str(", ".join(words), refresh=False)
        self.bar.update(len(done) - self.bar.n)

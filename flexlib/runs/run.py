"""Runs: training and scoring one, and working a plan off, by any number of workers and after any interruption."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from flexlib.config import FlexError, first_line
from flexlib.data import Ratings, hold_back, split_ratings
from flexlib.datasets.loading import load_cached
from flexlib.evaluation import Evaluation, errors, evaluate
from flexlib.runs.engine import Died, Job, Journal, work
from flexlib.runs.plan import Plan, Run
from flexlib.runs.provenance import device_name
from flexlib.runs.records import COLUMNS, blank_record, check_records, config_of, load_records, save_records, to_table
from flexlib.seeds import Purpose, numpy_generator
from flexlib.train import fit

Record = dict[str, Any]
Place = tuple[int, str]  # a run's number and protocol


def run_one(run: Run, ratings: Ratings, device: str | None = None) -> Record:
    """Train and score one run.

    Parameters
    ----------
    run
        Of a plan.
    ratings
        The plan's data set.
    device
        By default cuda where there is one, else cpu.

    Returns
    -------
    dict
        Its record: plain values by `flexlib.runs.records.COLUMNS`, and the number. A run that is too large for the
        machine has the status "failed" and an error.
    """
    record = blank_record(run, ratings)
    config, measure = run.setting.config, run.measure() if run.measure else None
    split = split_ratings(ratings, config.test_split_rate, run.seed)
    try:
        model = fit(
            ratings,
            config,
            run.protocol,
            run.seed,
            split=hold_back(split, run.seed) if run.validation else split,
            device=device,
            on_epoch=measure.watch if measure else None,
        )
        scores = evaluate(model)
        details = measure.details(model) if measure and model.status == "ok" else None
    except (RuntimeError, MemoryError) as error:
        return record | {"status": "failed", "error": f"{type(error).__name__}: {first_line(error)}"}
    record |= scores.scores() | _halves(scores, run.seed)
    record |= {"steps": model.steps, "epochs_run": len(model.history), "seconds": round(model.seconds, 3)}
    record |= {"status": model.status, "device": device_name(model.device)}
    if record["status"] == "ok" and record["rmse"] is None:
        record["status"] = "diverged"  # only the input shown at test time drives its outputs out of range
    if record["status"] == "diverged":
        record |= {"rmse_of_diverged": record["rmse"], "mae": None}
        record |= dict.fromkeys(["rmse", "rmse_first_half", "rmse_second_half"])
    elif details:
        record["details"] = json.dumps(details)
    return record


def _halves(scores: Evaluation, seed: int) -> Record:
    """RMSE of two random halves of the scored ratings: to choose settings on the first and report them on the other."""
    table = scores.predictions[scores.predictions["scored"]]
    first = numpy_generator(seed, Purpose.HALVES).random(len(table)) < 0.5
    found = {}
    for name, half in (("rmse_first_half", first), ("rmse_second_half", ~first)):
        actual, predicted = table.loc[half, ["actual", "predicted"]].to_numpy().T
        rmse = errors(actual, predicted)[0]
        found[name] = None if math.isnan(rmse) else rmse
    return found


def run_job(
    run: Run, dataset: str, checksum: str, columns: tuple[tuple[str, str], ...], scale: Any, device: str | None
) -> Record:
    """Make one run's record on a worker, which loads the data set once."""
    return run_one(run, load_cached(dataset, checksum, columns, scale), device)


def run_plan(
    plan: Plan,
    out: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Make all records of a plan that are not made yet.

    Each record is on the disk as soon as it is made. A call that was stopped or killed goes on where it was, also with
    more runs, seeds or seconds than before.

    Parameters
    ----------
    plan
        What to run.
    out
        Folder of the records, `NAME.parquet`; None to keep them in memory alone.
    workers
        Processes on this machine, of one thread each.
    scheduler
        Address or scheduler file of a Dask cluster that does the work instead.
    device
        By default cuda where a worker has one, else cpu.

    Returns
    -------
    pd.DataFrame
        One row a run and protocol (`flexlib.runs.records.to_table`).

    Raises
    ------
    FlexError
        Where `out` has records of another plan, or the cluster is lost.
    KeyboardInterrupt
        When stopped; records made by then are kept.
    """
    ratings = plan.load()
    runs = {run.job: run for run in plan.runs(ratings)}
    if out is None:
        records: dict[Place, Record] = {}
        _work_off(plan, runs, ratings, records, records.__setitem__, workers, scheduler, device)
        return _table(plan, runs, ratings, records)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{plan.name}.parquet"
    with Journal(path.with_suffix(".journal")) as journal:
        records = _earlier(plan, runs, ratings, path)
        check_records(journal.records, plan.key, journal.path)
        for record in journal.records:
            _check_same(plan, runs, record, ratings, journal.path)
            records.setdefault((record[plan.key], record["protocol"]), record)

        def keep(place: Place, record: Record) -> None:
            journal.append(record)
            records[place] = record

        try:
            _work_off(plan, runs, ratings, records, keep, workers, scheduler, device)
        finally:
            table = _table(plan, runs, ratings, records)
            save_records(table, path)
            journal.clear()
    return table


def _work_off(
    plan: Plan,
    runs: dict[Place, Run],
    ratings: Ratings,
    records: dict[Place, Record],
    keep: Callable[[Place, Record], object],
    workers: int,
    scheduler: str | None,
    device: str | None,
) -> None:
    """Give the engine the runs that have no record and are not too costly, and keep each record as it comes."""
    data = plan.dataset, ratings.checksum, plan.columns, plan.scale
    jobs = [
        Job(run.job, run_job, (run, *data, device), run.estimate)
        for run in runs.values()
        if run.job not in records and run.estimate <= plan.max_seconds
    ]
    best: dict[str, float] = {}

    def on_result(job: Job, result: Record | Died) -> str:
        run = runs[job.key]
        record = blank_record(run, ratings, "failed", result.reason) if isinstance(result, Died) else result
        keep(run.job, record)
        if record["status"] == "ok":
            best[run.protocol] = min(best.get(run.protocol, math.inf), record["rmse"])
        return ", ".join(f"best {name} {rmse:.3f}" for name, rmse in best.items())

    work(jobs, on_result, name=plan.name, workers=workers, scheduler=scheduler)


def _table(plan: Plan, runs: dict[Place, Run], ratings: Ratings, records: dict[Place, Record]) -> pd.DataFrame:
    """Make the table of the records so far, and of the runs that are skipped for their cost."""
    skipped = [
        blank_record(run, ratings)
        for run in runs.values()
        if run.job not in records and run.estimate > plan.max_seconds
    ]
    return to_table([*records.values(), *skipped], plan.key)


def _earlier(plan: Plan, runs: dict[Place, Run], ratings: Ratings, path: Path) -> dict[Place, Record]:
    """Read the records of an earlier call that were made, by run."""
    if not path.exists():
        return {}
    found: dict[Place, Record] = {}
    for row in load_records(path).astype(object).to_dict("records"):
        record = {str(name): value for name, value in row.items()}
        _check_same(plan, runs, record, ratings, path)
        if record["status"] != "skipped":
            found[record[plan.key], record["protocol"]] = record
    return found


def _check_same(plan: Plan, runs: dict[Place, Run], record: Record, ratings: Ratings, where: Path) -> None:
    """Refuse a record that is not of this plan's runs, data, seeds and settings."""
    advice = "which is not asked for: ask for it too, or choose another --out"
    for name in (plan.key, *COLUMNS):
        if name not in record:
            raise FlexError(f"{where}: has no column '{name}': choose another --out")
    number, protocol = record[plan.key], record["protocol"]
    if (number, protocol) not in runs:
        raise FlexError(f"{where}: has {plan.key} {number} under '{protocol}', {advice}")
    expected = blank_record(runs[number, protocol], ratings)
    for name in ("dataset", "checksum", "seed", "setting", "role"):
        if record[name] != expected[name]:
            raise FlexError(f"{where}: {plan.key} {number} has {name} {record[name]}, {advice}")
    try:
        config = config_of(record)
    except (TypeError, ValueError) as error:
        raise FlexError(f"{where}: {plan.key} {number}: {first_line(error)}") from None
    if config != runs[number, protocol].setting.config:
        raise FlexError(f"{where}: {plan.key} {number} has other parameters than asked for: choose another --out")

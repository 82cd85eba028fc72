"""Sweeps: what their runs are, what one run records, and the table of records that they leave behind."""

import json
import math
import signal
from multiprocessing import resource_tracker

import numpy as np
import optuna
import sqlalchemy
from flexstudy.lists import measure_course, measure_lists
from tqdm import tqdm

from flexlib.config import FlexConfig, FlexError, first_line
from flexlib.evaluate import errors, evaluate
from flexlib.runs.provenance import device_name
from flexlib.runs.records import blank_record, config_of, load_records, to_table
from flexlib.train import fit


def run_one(plan, ratings, k, protocol, estimate, device=None):
    """Train and score run k under a protocol (a name): its record, a mapping of plain values by `COLUMNS`."""
    record = blank_record(plan, ratings, k, protocol, estimate)
    try:
        config, watched = FlexConfig.from_dict(plan.configs[k]), []
        watch = (lambda model: watched.append(evaluate(model).rmse)) if plan.detail == "course" else None
        model = fit(ratings, config, protocol, record["seed"], device=device, on_epoch=watch)
        scores, details = evaluate(model), None
        if plan.detail and model.status == "ok":
            details = measure_lists(model) if plan.detail == "lists" else measure_course(model, watched)
    except (RuntimeError, MemoryError) as error:  # too large for the machine, for one
        return record | {"status": "failed", "error": f"{type(error).__name__}: {first_line(error)}"}
    table = scores.predictions[scores.predictions["scored"]]
    first = np.random.default_rng([model.seed, 0x4A1F]).random(len(table)) < 0.5
    halves = (errors(*table.loc[half, ["actual", "predicted"]].to_numpy().T)[0] for half in (first, ~first))
    rmse_first, rmse_second = (None if math.isnan(rmse) else rmse for rmse in halves)
    record |= scores.scores() | {"rmse_first_half": rmse_first, "rmse_second_half": rmse_second}
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


def run_all(plan, device=None):
    """The table of a small plan's records, made here and now, one run after the other. Large plans go to
    `flexlib.ledger.run_plan`, which can be stopped and goes on."""
    ratings, records = plan.load(), []
    for (k, protocol), seconds in tqdm(plan.estimates(ratings).items(), desc=plan.name):
        if seconds > plan.max_seconds:
            records.append(blank_record(plan, ratings, k, protocol, seconds))
        else:
            records.append(run_one(plan, ratings, k, protocol, seconds, device))
    return to_table(records, plan.key)


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

"""Sweeps: what their runs are, what one run records, and the table of records that they leave behind."""

import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.cost import estimate_cost
from flexlib.data import load_ratings
from flexlib.evaluate import errors, evaluate
from flexlib.lists import measure_course, measure_lists
from flexlib.provenance import device_name, software
from flexlib.sampling import run_seed, sample_config
from flexlib.train import fit

STATUSES = ("ok", "diverged", "skipped", "failed")
_PARAMETERS = FlexConfig().to_dict()

# The columns of a table of records and what they hold. A run that is not "ok" has no RMSE. details: JSON of
# `measure_lists` or `measure_course` where the plan asks for it, else "".
_MEASURED = {
    "protocol": "text", "status": "text", "rmse": "number", "mae": "number", "rmse_first_half": "number",
    "rmse_second_half": "number", "rmse_of_diverged": "number", "n_scored": "whole", "n_unseen": "whole",
    "n_nonfinite": "whole", "steps": "whole", "epochs_run": "whole", "seconds": "number", "estimate": "number",
    "error": "text", "details": "text",
}  # fmt: skip
_KINDS = {bool: "switch", int: "whole", float: "number"}
_CONFIGURATION = {name: _KINDS.get(type(value), "text") for name, value in _PARAMETERS.items()}
_ORIGIN = dict.fromkeys(["dataset", "checksum", "device", *software()], "text") | {"seed": "whole"}
COLUMNS = _MEASURED | _CONFIGURATION | _ORIGIN
_HOLDS = {
    "text": lambda column: pd.api.types.is_string_dtype(column) and column.notna().all(),
    "number": lambda column: pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column),
    "whole": lambda column: pd.api.types.is_integer_dtype(column) or (
        pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all()
    ),
    "switch": pd.api.types.is_bool_dtype,
}  # fmt: skip
_DTYPES = {"text": "str", "number": "float64", "whole": "Int64", "switch": "bool"}


@dataclass(frozen=True)
class Plan:
    """All that a sweep's records follow from: run k of `configs` under each protocol, on one data set.

    key: what the records call k, "run" or "record". identity: what, with the data, tells its ledger from others of its
    name. configs: a mapping for each run (`FlexConfig.to_dict`). seeds: of each run of a repetition; empty where they
    follow from `seed`. detail: what `details` holds, "lists" or "course"; by default nothing.
    max_seconds: of a run's estimate, above which it is skipped. columns, scale: of a file, as in `load_ratings`.
    """

    name: str
    key: str
    dataset: str
    protocols: tuple
    seed: int
    configs: tuple
    identity: str
    max_seconds: float = math.inf
    columns: dict = field(default_factory=dict)
    scale: tuple | None = None
    seeds: tuple = ()
    detail: str = ""

    @classmethod
    def sweep(cls, dataset, protocols, runs, seed, space="paper", **options):
        """`runs` random configurations of a space."""
        configs = tuple(sample_config(space, seed, run).to_dict() for run in range(runs))
        name = sweep_name(dataset, space, seed)
        return cls(name, "run", dataset, tuple(protocols), seed, configs, f"{space} {seed}", **options)

    @classmethod
    def replay(cls, dataset, protocols, configs, seed=0, **options):
        """Given configurations, such as those of the authors' records."""
        configs = tuple(config.to_dict() for config in configs)
        name, identity = replay_name(dataset, seed), json.dumps(configs)
        return cls(name, "record", dataset, tuple(protocols), seed, configs, identity, **options)

    @classmethod
    def repeat(cls, name, dataset, protocols, configs, n_seeds, **options):
        """Each of `configs` with seeds 0 to `n_seeds` - 1, which all of them share: run k is configuration k modulo
        their number, so that more seeds are more runs behind those that there are."""
        configs = tuple(config.to_dict() for config in configs)
        if not configs:
            raise FlexError(f"{name}: there is no setting to run; a sweep it chooses from has none that would do")
        seeds = tuple(seed for seed in range(n_seeds) for _ in configs)
        name, identity = repetition_name(name, dataset), json.dumps([name, configs])
        return cls(name, "run", dataset, tuple(protocols), 0, configs * n_seeds, identity, seeds=seeds, **options)

    def seed_of(self, k):
        """The seed of run k."""
        return self.seeds[k] if self.seeds else run_seed(self.seed, k)

    def load(self):
        """The data set's `Ratings`."""
        return load_ratings(self.dataset, self.columns, self.scale)

    def estimates(self, ratings):
        """(k, protocol) to the estimated seconds of each run, cheapest first, so that a sweep soon has much to show.

        The protocols of a run are neighbours, ordered by the dearest of them.
        """
        found = {}
        for k, config in enumerate(map(FlexConfig.from_dict, self.configs)):
            for name in self.protocols:
                found[k, name] = estimate_cost(config, ratings, Protocol.named(name).pad_refeeding).seconds
        dearest = {k: max(found[k, name] for name in self.protocols) for k in range(len(self.configs))}
        return dict(sorted(found.items(), key=lambda item: (dearest[item[0][0]], item[0][0])))


def sweep_name(dataset, space="paper", seed=0):
    """The name of a sweep's records, without the ending."""
    return f"sweep-{slug(dataset)}-{space}-seed{seed}"


def replay_name(dataset, seed=0):
    """The name of a replay's records, without the ending."""
    return f"replay-{slug(dataset)}-seed{seed}"


def repetition_name(experiment, dataset):
    """The name of the records of an experiment (`flexlib.plans`), without the ending."""
    return f"{experiment}-{slug(dataset)}"


def slug(dataset):
    """A data set's name or path as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", Path(dataset).name)


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


def blank_record(plan, ratings, k, protocol, estimate, status="skipped", error=""):
    """The record of a run that was not made: its settings and origin, the estimate, and nothing measured."""
    config = {name: json.dumps(v) if isinstance(v, list) else v for name, v in plan.configs[k].items()}
    origin = {"dataset": ratings.name, "checksum": str(ratings.facts.get("sha256", "")), "device": ""} | software()
    known = {"protocol": protocol, "status": status, "error": error, "details": "", "estimate": round(estimate, 3)}
    return {plan.key: k} | dict.fromkeys(_MEASURED) | known | config | origin | {"seed": plan.seed_of(k)}


def to_table(records, key):
    """Records as a table, sorted by `key` and protocol."""
    table = pd.DataFrame(records, columns=[key, *COLUMNS])
    table = table.astype({key: "int64"} | {name: _DTYPES[kind] for name, kind in COLUMNS.items()})
    return table.sort_values([key, "protocol"], ignore_index=True)


def save_records(table, path):
    """Write a table of records as Parquet, beside first and then renamed."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another sweep may be writing the same records
    table.to_parquet(partial, index=False)
    partial.replace(path)


def read_table(path):
    """A Parquet file as it is. Raises `FlexError` naming the file."""
    if not Path(path).is_file():
        raise FlexError(f"{path}: no such file")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow's own errors are many; each has its reason in the first line
        raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None


def load_records(path):
    """Read a sweep's or a replay's records (Parquet), one row a run and protocol, and check them.

    Columns: `run` or `record` (the 0-based place), and those of `COLUMNS`; lists are JSON text. Raises `FlexError`
    naming the file and what is off: a column, or a row and its value.
    """
    table = read_table(path)
    table = table if "details" in table else table.assign(details="")  # which older records do not have
    keys = [key for key in ("run", "record") if key in table.columns]
    expected = [*keys[:1], *COLUMNS]
    for name in expected if keys else ["run"]:
        if name not in table.columns:
            raise FlexError(f"{path}: no column '{name}'")
    for name in table.columns:
        if name not in expected:
            raise FlexError(f"{path}: unknown column '{name}'")
    for name, kind in ({keys[0]: "whole"} | COLUMNS).items():
        if not _HOLDS[kind](table[name]):
            raise FlexError(f"{path}: column '{name}' holds {table[name].dtype} where it should hold a {kind}")
    try:
        table = to_table(table, keys[0])
    except (TypeError, ValueError) as error:
        raise FlexError(f"{path}: a column does not hold what it should ({first_line(error)})") from None
    _check(table, keys[0], path)
    return table


def _check(table, key, path):
    ok, rmse = table["status"] == "ok", table["rmse"]
    wrong = {
        "status": ~table["status"].isin(STATUSES),
        "rmse": np.where(ok, ~((rmse >= 0) & np.isfinite(rmse)), rmse.notna()),
        "mae": ok & ~(table["mae"] >= 0),
        "seconds": ok & ~(table["seconds"] >= 0),
        "seed": table["seed"].isna(),
        "protocol": table.duplicated([key, "protocol"]),
        key: table[key] < 0,
    }
    for name, rows in wrong.items():
        for place in np.flatnonzero(rows)[:1]:
            row = table.iloc[place]
            where = f"{key} {row[key]}, protocol '{row['protocol']}'"
            reason = "more than once" if name == "protocol" else f"{name} {row[name]} with status '{row['status']}'"
            raise FlexError(f"{path}: {where}: {reason}")
    for place, row in table.iterrows():
        try:
            config_of(row)
            Protocol.named(row["protocol"])
        except (FlexError, ValueError, TypeError) as error:
            raise FlexError(f"{path}: {key} {table.at[place, key]}: {first_line(error)}") from None


def config_of(record):
    """The `FlexConfig` of a record (a mapping or a table's row)."""
    values = {name: record[name] for name in _PARAMETERS}
    for name, value in values.items():
        if isinstance(_PARAMETERS[name], list):
            values[name] = json.loads(value)
        elif not isinstance(value, str):
            values[name] = type(_PARAMETERS[name])(value)
    return FlexConfig.from_dict(values)

"""Sweeps: what their runs are, what one run records, and the table of records that they leave behind."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.runs.provenance import software

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

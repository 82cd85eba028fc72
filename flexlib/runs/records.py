"""Records: what one run leaves, as a row of a table whose columns are fixed and checked."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Ratings
from flexlib.runs.journal import replaced
from flexlib.runs.plan import Run
from flexlib.runs.provenance import software

STATUSES = ("ok", "diverged", "skipped", "failed")
KEYS = ("run", "record")  # what tables call a run's number
_PARAMETERS = FlexConfig().to_dict()
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int64(), pa.float64()
_WORDS = {"str": "text", "int64": "whole number", "Int64": "whole number", "float64": "number", "bool": "switch"}
_DTYPES = {_TEXT: "str", _WHOLE: "Int64", _NUMBER: "float64", pa.bool_(): "bool"}

# A run that is not "ok" has no RMSE. `details` is JSON of what the plan measures beside the errors, else "".
SCHEMA = pa.schema(
    [
        ("setting", _TEXT),
        ("role", _TEXT),
        ("protocol", _TEXT),
        ("status", _TEXT),
        ("rmse", _NUMBER),
        ("mae", _NUMBER),
        ("rmse_first_half", _NUMBER),
        ("rmse_second_half", _NUMBER),
        ("rmse_of_diverged", _NUMBER),
        ("n_scored", _WHOLE),
        ("n_unseen", _WHOLE),
        ("n_nonfinite", _WHOLE),
        ("steps", _WHOLE),
        ("epochs_run", _WHOLE),
        ("seconds", _NUMBER),
        ("estimate", _NUMBER),
        ("error", _TEXT),
        ("details", _TEXT),
        *((name, _TYPES.get(type(value), _TEXT)) for name, value in _PARAMETERS.items()),
        *((name, _TEXT) for name in ("dataset", "checksum", "device", *software())),
        ("seed", _WHOLE),
    ]
)
COLUMNS = tuple(SCHEMA.names)
_COLUMN_DTYPES = {column.name: _DTYPES[column.type] for column in SCHEMA}
# Columns that came later, and what they are in records from before
ADDED = {"details": ""} | dict.fromkeys(
    ("implicit_input", "input_normalization", "denoising_loss", "loss_decay"), False
)


def blank_record(run: Run, ratings: Ratings, status: str = "skipped", error: str = "") -> dict[str, Any]:
    """Make the record of a run that was not made: its settings and origin, the estimate, and nothing measured."""
    config = {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in run.setting.config.to_dict().items()
    }
    known = {
        "setting": run.setting.name,
        "role": run.setting.role,
        "protocol": run.protocol,
        "status": status,
        "error": error,
        "details": "",
        "estimate": round(run.estimate, 3),
        "dataset": ratings.name,
        "checksum": ratings.checksum,
        "device": "",
        "seed": run.seed,
    }
    return {run.key: run.number} | dict.fromkeys(COLUMNS) | config | software() | known


def to_table(records: Iterable[Mapping[str, Any]], key: str) -> pd.DataFrame:
    """Make a table of records.

    Parameters
    ----------
    records
        Mappings of plain values, by `COLUMNS` and the key.
    key
        "run" or "record".

    Returns
    -------
    pd.DataFrame
        One row a run and protocol, sorted by these: the key, then `COLUMNS`.
    """
    return _typed(pd.DataFrame(list(records), columns=[key, *COLUMNS]), key)


def check_records(records: Iterable[Mapping[str, Any]], key: str, path: Path | str) -> None:
    """Check records that are not in a table yet, such as those of a journal.

    Raises
    ------
    FlexError
        Naming the file and what is off.
    """
    try:
        _check(to_table(records, key), key, path)
    except FlexError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise FlexError(f"{path}: a record does not hold what it should ({first_line(error)})") from None


def _typed(table: pd.DataFrame, key: str) -> pd.DataFrame:
    table = table[[key, *COLUMNS]].astype({key: "int64"} | _COLUMN_DTYPES)
    return table.sort_values([key, "protocol"], ignore_index=True)


def save_records(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, in place of the file that is there."""
    with replaced(path) as partial:
        table.to_parquet(partial, index=False)


def read_parquet(path: Path | str) -> pa.Table:
    """Read a Parquet file as it is.

    Raises
    ------
    FlexError
        Naming the file, where it is not there or not Parquet.
    """
    if not Path(path).is_file():
        raise FlexError(f"{path}: no such file")
    try:
        table = pq.ParquetFile(path).read()
        table.validate(full=True)  # such as of texts that are no UTF-8
        return table
    except Exception as error:  # pyarrow's own errors are many
        raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None


def load_records(path: Path | str) -> pd.DataFrame:
    """Read the records of a plan (Parquet), and check every one.

    Parameters
    ----------
    path
        Written by a sweep, a replay or an experiment.

    Returns
    -------
    pd.DataFrame
        One row a run and protocol: `run` or `record` (the 0-based number), then `COLUMNS`; lists are JSON text.

    Raises
    ------
    FlexError
        Naming the file and what is off: a column, or a row and its value.
    """
    table = read_parquet(path)
    keys = [key for key in KEYS if key in table.column_names]
    dtypes = {keys[0] if keys else KEYS[0]: "int64"} | _COLUMN_DTYPES
    key, *_ = dtypes
    table = _with_old_columns(table, path)
    found = typed_columns(table, dtypes, path)
    for name in table.column_names:
        if name not in dtypes:
            raise FlexError(f"{path}: unknown column '{name}'")
    found = found.sort_values([key, "protocol"], ignore_index=True)
    _check(found, key, path)
    return found


def _with_old_columns(table: pa.Table, path: Path | str) -> pa.Table:
    """Add what records of before lack and need not be asked for: see `with_added_columns`."""
    for name in ("setting", "role"):
        if name not in table.column_names and "protocol" in table.column_names:
            raise FlexError(f"{path}: no column '{name}': records of an earlier version; flexstudy convert adds it")
    return with_added_columns(table)


def with_added_columns(table: pa.Table) -> pa.Table:
    """Add columns that came later: `details`, and parameters that were off when there was nothing to say of them."""
    for name, value in ADDED.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table), SCHEMA.field(name).type))
    return table


def typed_columns(table: pa.Table, dtypes: Mapping[str, str], path: Path | str) -> pd.DataFrame:
    """Take columns of a table that was read, and check that they hold what they should.

    Parameters
    ----------
    table
        Of `read_parquet`.
    dtypes
        Each column's name and pandas' name for its values: str, int64, float64, bool, or Int64 where some are missing.
    path
        Of the table, for messages.

    Returns
    -------
    pd.DataFrame
        The columns by these types, in whatever width they were written.

    Raises
    ------
    FlexError
        Naming the file, and the column that is missing or holds something else.
    """
    columns = {}
    for name, dtype in dtypes.items():
        if (count := table.column_names.count(name)) != 1:
            raise FlexError(f"{path}: {'no' if count == 0 else 'more than one'} column '{name}'")
        held = table.column(name)
        try:
            columns[name] = _converted(held, dtype)
        except (pa.ArrowException, TypeError, ValueError):
            word = _WORDS[dtype]
            raise FlexError(
                f"{path}: column '{name}' holds {first_line(held.type)} where it should hold a {word} in each row"
            ) from None
    return pd.DataFrame(columns).astype(dtypes)


def _converted(column: pa.ChunkedArray, dtype: str) -> pd.Series:
    """Convert a column. Raises several kinds of errors where one of its values is no such value."""
    kind = column.type
    if dtype in ("Int64", "float64"):
        accepted = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    elif dtype == "int64":
        accepted = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    elif dtype == "bool":
        accepted = pa.types.is_boolean(kind) and not column.null_count
    else:
        accepted = (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and not column.null_count
    if not accepted:
        raise TypeError(f"it holds {kind}")
    if dtype in ("int64", "Int64"):
        if pa.types.is_floating(kind):  # of which NaN stands for what is missing
            column = pc.if_else(pc.is_nan(column), None, column)
        if dtype == "int64" and column.null_count:
            raise ValueError("a value is missing")
        column = column.cast(_WHOLE)  # refuses fractions, and what is too large
        return column.to_pandas(types_mapper={_WHOLE: pd.Int64Dtype()}.get)
    return column.to_pandas()


def _check(table: pd.DataFrame, key: str, path: Path | str) -> None:
    ok, rmse = table["status"] == "ok", table["rmse"]
    wrong: dict[str, Any] = {
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
    for _, row in table.iterrows():
        try:
            config_of(row)
            if not isinstance(row["protocol"], str):
                raise TypeError("its protocol is no text")
            Protocol.named(row["protocol"])
        except (FlexError, ValueError, TypeError) as error:
            raise FlexError(f"{path}: {key} {row[key]}: {first_line(error)}") from None


def config_of(record: Mapping[str, Any] | pd.Series) -> FlexConfig:
    """Read the `FlexConfig` off a record (a mapping or a table's row).

    Raises
    ------
    FlexError
        Where a value is not one that the parameter can have.
    """
    values = {name: record[name] for name in _PARAMETERS}
    for name, value in values.items():
        if isinstance(_PARAMETERS[name], list):
            values[name] = json.loads(value)
        elif not isinstance(value, str):
            values[name] = type(_PARAMETERS[name])(value)
    return FlexConfig.from_dict(values)

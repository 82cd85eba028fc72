"""Records that chapters share: finding or making them, and the means of settings that are run on several splits."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from flexlib.config import FlexError
from flexlib.runs.plan import NothingToRunError, Plan, repetition_name, replay_name, sweep_name
from flexlib.runs.records import load_records
from flexlib.runs.run import run_plan
from flexstudy.plans import CHOSEN_FROM, EXPERIMENTS, LEAKY_AND_LEAK_FREE, experiment
from flexstudy.statistics import labelled, split_interval

PIVOT_TEXTS = {"user-based": "[0, 1]", "item-based": "[1, 0]"}  # what records have as `pivot_indexes` (PI)
ORIGIN = ("dataset", "checksum", "device", "flexlib", "python", "torch", "numpy", "platform", "commit")


def find_records(
    name: str,
    dataset: str,
    folder: Path | str = "",
    n_seeds: int | None = None,
    device: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Read the records of an experiment, or make them now.

    Parameters
    ----------
    name
        A key of `flexstudy.plans.EXPERIMENTS`.
    dataset
        As in `flexlib.load_ratings`.
    folder
        Where the records are; "" to make them now.
    n_seeds, **options
        Of the experiment, where the records are made now.
    device
        Where runs are made now; by default cuda where there is one, else cpu.

    Returns
    -------
    pd.DataFrame
        One row a run and protocol, by `flexlib.runs.records.COLUMNS`. None where the runs that settings are chosen
        from have none that would do.

    Raises
    ------
    FlexError
        Where the folder does not have the records.
    """
    if folder:
        return load_records(Path(folder) / f"{repetition_name(name, dataset)}.parquet")
    source = CHOSEN_FROM.get(name)
    if source in EXPERIMENTS:  # whose own records come first; it chooses from the sweep
        options["records"] = find_records(source, dataset, device=device, **options)
    try:
        return run_plan(experiment(name, dataset, n_seeds=n_seeds, **options), device=device)
    except NothingToRunError:
        return options["records"].iloc[:0]


def find_sweep(
    dataset: str,
    folder: Path | str = "",
    runs: int = 20,
    max_seconds: float = math.inf,
    device: str | None = None,
    seed: int = 0,
    **layout: Any,
) -> pd.DataFrame:
    """Read the records of a random sample of the paper's space, or make them now.

    Parameters
    ----------
    dataset, folder, device
        As in `find_records`.
    runs
        How many settings are drawn, where they are run now.
    max_seconds
        Of a run's estimate, above which it is skipped where runs are made now.
    seed
        Of the sample.
    **layout
        Of a file: `columns` and `scale` as in `flexlib.runs.plan.Plan`.

    Returns
    -------
    pd.DataFrame
        One row a run and protocol, by `flexlib.runs.records.COLUMNS`.

    Raises
    ------
    FlexError
        Where the folder does not have the records.
    """
    if folder:
        return load_records(Path(folder) / f"{sweep_name(dataset, seed=seed)}.parquet")
    plan = Plan.sweep(dataset, LEAKY_AND_LEAK_FREE, runs, seed, max_seconds=max_seconds, **layout)
    return run_plan(plan, device=device)


def find_report(dataset: str, folder: Path | str = "", seed: int = 0) -> dict[str, Any] | None:
    """Read what is kept of the replay of the authors' log, beside its records.

    Parameters
    ----------
    dataset, folder
        As in `find_records`.
    seed
        Of the replay.

    Returns
    -------
    dict or None
        As `flexstudy.replay.replay_report` makes it; None where the folder has none.

    Raises
    ------
    FlexError
        Naming the file, where it is not JSON or was made by an earlier version.
    """
    path = Path(folder) / f"{replay_name(dataset, seed)}.json"
    if not folder or not path.exists():
        return None
    try:
        report = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise FlexError(f"{path}: cannot be read ({error})") from None
    if "random_counts" not in report.get("authors", {}):
        raise FlexError(f"{path}: lacks the counts of the log's random rows; make it anew with `flexstudy replay`")
    return report


def describe_origin(records: pd.DataFrame) -> pd.Series:
    """Say what data, machine and software the runs of a table come from.

    Parameters
    ----------
    records
        One row a run; those that were skipped do not count.

    Returns
    -------
    pd.Series
        By `ORIGIN`: the different values of each column, joined by commas.
    """
    made = records[records["status"] != "skipped"]
    return pd.Series({name: ", ".join(sorted(set(made[name]))) for name in ORIGIN})


def summarise_settings(records: pd.DataFrame) -> pd.DataFrame:
    """Average the RMSE of each setting over its splits, under each protocol.

    Parameters
    ----------
    records
        Of an experiment whose settings all have one role.

    Returns
    -------
    pd.DataFrame
        One row a setting and protocol, settings in the order of the records:

        - setting, protocol: names
        - n: runs that ended well, which alone count
        - diverged, skipped: runs
        - mean, low, high: RMSE with its 95 % t-interval, corrected for the splits' overlap, in stars
        - gap, gap_low, gap_high: its paired difference to `holdout` on the same splits, likewise; NaN without
    """
    rows = []
    for setting, own in records.groupby("setting", sort=False):
        test_share = own["test_split_rate"].iloc[0]
        wide = own.pivot(index="seed", columns="protocol", values="rmse")
        for protocol, runs in own.groupby("protocol", sort=False):
            gap = (wide[protocol] - wide["holdout"]).dropna() if "holdout" in wide else pd.Series(dtype=float)
            counts = runs["status"].value_counts()
            row = {"setting": setting, "protocol": protocol, "n": int(runs["rmse"].count())}
            row |= {word: int(counts.get(word, 0)) for word in ("diverged", "skipped")}
            row |= labelled("mean", split_interval(runs["rmse"].dropna(), test_share))
            rows.append(row | labelled("gap", split_interval(gap, test_share), "gap_"))
    return pd.DataFrame(rows)

"""The runs behind the chapter on who is served: tuned methods, trained anew for every case, as jobs of the engine."""

import json
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from flexlib.config import FlexError
from flexlib.data import Ratings
from flexlib.datasets.loading import load_cached, load_ratings
from flexlib.datasets.tables import Scale
from flexlib.methods.tuning import load_tuned
from flexlib.runs.engine import Died, Job, Journal, work
from flexlib.runs.provenance import device_name, software
from flexlib.runs.records import save_records
from flexlib.train import choose_device
from flexstudy.served_cases import METHOD_NAMES, NEW, SERVED_COLUMNS, SPARSITY, score_group, served_name

PLACE = ["group", "method", "seed"]  # the columns that tell jobs apart


def served_jobs(
    ratings: Ratings,
    tuned: Path | str,
    splits: int,
    methods: Iterable[str] = (),
    columns: tuple[tuple[str, str], ...] = (),
    scale: Scale | None = None,
) -> dict[tuple[Any, ...], Job]:
    """Make the jobs: each method in each group of cases and on each split.

    Parameters
    ----------
    ratings
        The data set.
    tuned
        Records of `flexlib tune`; a method is used with the settings that it chose for the split.
    splits
        How many: those with seeds from 0.
    methods
        Keys of `METHOD_NAMES`; none stands for all that were tuned.
    columns, scale
        With which a file was read, as in `load_cached`.

    Returns
    -------
    dict
        (group, method, seed) to the job; splits on which a method was not tuned are left out.

    Raises
    ------
    FlexError
        For an unknown method; naming the file, where it is of other data, or lacks a split, a method that was chosen,
        or all methods.
    """
    chosen = tuple(methods)
    for method in chosen:
        if method not in METHOD_NAMES:
            raise FlexError(f"unknown method '{method}': known are {', '.join(METHOD_NAMES)}")
    table, origin = load_tuned(tuned), {"dataset": ratings.name, "checksum": ratings.checksum}
    for name, value in origin.items():
        if others := sorted(set(table[name]) - {value}):
            raise FlexError(f"{tuned}: is of the {name} '{others[0]}', not '{value}'")
    table = table[table["method"].isin(chosen or METHOD_NAMES) & (table["networks"] == 1)]
    if absent := [method for method in chosen if method not in set(table["method"])]:
        raise FlexError(f"{tuned}: does not have the methods {', '.join(absent)}")
    if not len(table):
        raise FlexError(f"{tuned}: has none of the methods {', '.join(METHOD_NAMES)}")
    jobs = {}
    for group, seed in product((SPARSITY, *NEW), range(splits)):
        own = table[table["split"] == f"seed {seed}"]
        if not len(own):
            raise FlexError(f"{tuned}: has no split 'seed {seed}'")
        for row in own.itertuples():
            place = (group, row.method, seed)
            facts = origin | {"settings": row.settings, "tuned": Path(tuned).stem}
            jobs[place] = Job(place, served_job, (*place, row.n_test, columns, scale, facts))
    return jobs


def served_job(
    group: str,
    method: str,
    seed: int,
    n_test: int,
    columns: tuple[tuple[str, str], ...],
    scale: Scale | None,
    facts: dict[str, Any],
) -> list[dict[str, Any]]:
    """Score a method in one group of cases; a job of the engine.

    Parameters
    ----------
    group, method, seed
        As in `score_group`.
    n_test
        How many ratings the tuned split holds out.
    columns, scale
        As in `load_cached`.
    facts
        What the records hold beside what is measured.

    Returns
    -------
    list
        Records by `SERVED_COLUMNS`.
    """
    ratings = load_cached(facts["dataset"], facts["checksum"], columns, scale)
    facts = facts | {"device": device_name(choose_device())} | software()
    rows = score_group(ratings, group, method, seed, json.loads(facts["settings"]), n_test / len(ratings))
    return [row | facts for row in rows]


def run_served(
    dataset: str,
    tuned: Path | str,
    splits: int,
    out: Path | str,
    workers: int = 1,
    scheduler: str | None = None,
    methods: Iterable[str] = (),
    replace: bool = False,
    columns: tuple[tuple[str, str], ...] = (),
    scale: Scale | None = None,
) -> pd.DataFrame:
    """Make the records of all jobs that `out` does not hold yet.

    Records of other methods and splits stay in the file, so that calls with different ones add up.

    Parameters
    ----------
    dataset, tuned, splits, methods
        As in `served_jobs`.
    out
        Folder of the records.
    workers, scheduler
        As in `flexlib.runs.run.run_plan`.
    replace
        Whether records with other settings are made anew; an old one stays until its job has ended.
    columns, scale
        Of a file, as in `load_cached`.

    Returns
    -------
    pd.DataFrame
        One row a method, seed, task and case, by `SERVED_COLUMNS`.

    Raises
    ------
    FlexError
        Where `out` has records of other data or, without `replace`, of other settings; or where a job killed its
        workers, when all other records are kept.
    """
    ratings = load_ratings(dataset, columns, scale)
    jobs = served_jobs(ratings, tuned, splits, methods, columns, scale)
    path = Path(out) / f"{served_name(dataset)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal(path.with_suffix(".journal")) as journal:
        held: dict[tuple[Any, ...], list[dict[str, Any]]] = {}  # the rows of each job
        if path.exists():
            rows: list[Any] = load_tuned(path, SERVED_COLUMNS).to_dict("records")
            for row in rows:
                held.setdefault(_place(row), []).append(row)
        held |= {_place(entry["rows"][0]): entry["rows"] for entry in journal.records}
        made = set()
        for place, (row, *_) in held.items():
            if row["checksum"] != ratings.checksum:
                raise FlexError(f"{path}: is of another {ratings.name}: choose another --out")
            if place not in jobs:
                continue
            if jobs[place].arguments[-1]["settings"] == row["settings"]:
                made.add(place)
            elif not replace:
                advice = "choose another --out, or --replace"
                raise FlexError(f"{path}: has {row['method']} with other settings than {tuned}: {advice}")
        failed = []

        def on_result(job: Job, result: list[dict[str, Any]] | Died) -> None:
            if isinstance(result, Died):
                failed.append(f"{' '.join(map(str, job.key))}: {result.reason}")
                return
            journal.append({"rows": result})
            held[_place(result[0])] = result

        try:
            work(
                [job for place, job in jobs.items() if place not in made],
                on_result,
                name=path.stem,
                workers=workers,
                scheduler=scheduler,
            )
        finally:
            every = [row for own in held.values() for row in own]
            table = pd.DataFrame(every, columns=list(SERVED_COLUMNS)).astype(SERVED_COLUMNS)
            table = table.sort_values(PLACE, kind="stable", ignore_index=True)
            save_records(table, path)
            journal.clear()
    if failed:
        raise FlexError(f"{path}: {len(failed)} jobs are missing: {'; '.join(failed)}")
    return table


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Tell which job a row is of."""
    return tuple(row[name] for name in PLACE)

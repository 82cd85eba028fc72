"""The runs behind the chapter on who is served: tuned methods, trained anew for every case, as jobs of the engine."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from flexlib.config import FlexError
from flexlib.data import Ratings
from flexlib.datasets.loading import load_cached, load_ratings
from flexlib.methods.tuning import load_tuned
from flexlib.runs.engine import Died, Job, Journal, work
from flexlib.runs.provenance import device_name, software
from flexlib.runs.records import save_records
from flexlib.train import choose_device
from flexstudy.served_cases import METHOD_NAMES, NEW, SERVED_COLUMNS, SPARSITY, score_group, served_name

PLACE = ["group", "method", "seed"]  # the columns that tell jobs apart


def served_jobs(ratings: Ratings, tuned: Path | str, splits: int) -> dict[tuple[Any, ...], Job]:
    """Make the jobs: each method of `METHOD_NAMES` that was tuned, in each group of cases and on each split.

    Parameters
    ----------
    ratings
        The data set.
    tuned
        Records of `flexlib tune`; a method is used with the settings that it chose for the split.
    splits
        How many: those with seeds from 0.

    Returns
    -------
    dict
        (group, method, seed) to the job; what the records lack of a method is left out.

    Raises
    ------
    FlexError
        Naming the file, where it is of other data, or lacks a split or all of these methods.
    """
    table, origin = load_tuned(tuned), {"dataset": ratings.name, "checksum": ratings.checksum}
    for name, value in origin.items():
        if others := sorted(set(table[name]) - {value}):
            raise FlexError(f"{tuned}: is of the {name} '{others[0]}', not '{value}'")
    table = table[table["method"].isin(METHOD_NAMES) & (table["networks"] == 1)]
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
            jobs[place] = Job(place, served_job, (*place, row.n_test, facts))
    return jobs


def served_job(group: str, method: str, seed: int, n_test: int, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Score a method in one group of cases; a job of the engine.

    Parameters
    ----------
    group, method, seed
        As in `score_group`.
    n_test
        How many ratings the tuned split holds out.
    facts
        What the records hold beside what is measured.

    Returns
    -------
    list
        Records by `SERVED_COLUMNS`.
    """
    ratings = load_cached(facts["dataset"], facts["checksum"])
    facts = facts | {"device": device_name(choose_device())} | software()
    rows = score_group(ratings, group, method, seed, json.loads(facts["settings"]), n_test / len(ratings))
    return [row | facts for row in rows]


def run_served(
    dataset: str, tuned: Path | str, splits: int, out: Path | str, workers: int = 1, scheduler: str | None = None
) -> pd.DataFrame:
    """Make the records of all jobs that `out` does not hold yet.

    Parameters
    ----------
    dataset, tuned, splits
        As in `served_jobs`.
    out
        Folder of the records.
    workers, scheduler
        As in `flexlib.runs.run.run_plan`.

    Returns
    -------
    pd.DataFrame
        One row a method, seed, task and case, by `SERVED_COLUMNS`.

    Raises
    ------
    FlexError
        Where `out` has records of other data or settings, or a job killed its workers; the others are kept.
    """
    ratings = load_ratings(dataset)
    jobs = served_jobs(ratings, tuned, splits)
    path = Path(out) / f"{served_name(dataset)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal(path.with_suffix(".journal")) as journal:
        rows: list[Any] = load_tuned(path, SERVED_COLUMNS).to_dict("records") if path.exists() else []
        rows += [row for entry in journal.records for row in entry["rows"]]
        for row in rows:
            job = jobs.get(tuple(row[name] for name in PLACE))
            if row["checksum"] != ratings.checksum:
                raise FlexError(f"{path}: is of another {ratings.name}: choose another --out")
            if job and job.arguments[-1]["settings"] != row["settings"]:
                raise FlexError(f"{path}: has {row['method']} with other settings than {tuned}: choose another --out")
        made = {tuple(row[name] for name in PLACE) for row in rows}
        failed = []

        def on_result(job: Job, result: list[dict[str, Any]] | Died) -> None:
            if isinstance(result, Died):
                failed.append(f"{' '.join(map(str, job.key))}: {result.reason}")
                return
            journal.append({"rows": result})
            rows.extend(result)

        try:
            work(
                [job for place, job in jobs.items() if place not in made],
                on_result,
                name=path.stem,
                workers=workers,
                scheduler=scheduler,
            )
        finally:
            table = pd.DataFrame(rows, columns=list(SERVED_COLUMNS)).drop_duplicates([*PLACE, "task", "shown"])
            table = table.astype(SERVED_COLUMNS).sort_values(PLACE, kind="stable", ignore_index=True)
            save_records(table, path)
            journal.clear()
    if failed:
        raise FlexError(f"{path}: {len(failed)} jobs are missing: {'; '.join(failed)}")
    return table

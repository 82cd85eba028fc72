"""Records of settings that were run on several splits: finding or making them, and their means and differences."""

import json
import math
from pathlib import Path

import pandas as pd

from flexlib.runs.plan import Plan, repetition_name, replay_name, sweep_name
from flexlib.runs.records import load_records
from flexlib.runs.run import run_plan
from flexstudy.plans import TABLE_2, experiment
from flexstudy.statistics import labelled, mean_interval


def find_records(name, dataset, folder="", n_seeds=None, device=None, **options):
    """The records of one of `flexlib.plans.EXPERIMENTS`: those in `folder`, or made now where that is empty; `options`
    go to its `Plan`. Raises `FlexError` where the folder does not have them."""
    if folder:
        return load_records(Path(folder) / f"{repetition_name(name, dataset)}.parquet")
    return run_plan(experiment(name, dataset, n_seeds=n_seeds, **options), device=device)


def find_sweep(dataset, folder="", runs=20, max_seconds=math.inf, device=None):
    """The records of a random sample of the paper's space, seed 0, as `find_records`: `runs` of them where made now."""
    if folder:
        return load_records(Path(folder) / f"{sweep_name(dataset)}.parquet")
    return run_plan(Plan.sweep(dataset, ("released", "holdout"), runs, 0, max_seconds=max_seconds), device=device)


def find_report(dataset, folder=""):
    """What is kept of the replay of the authors' log (`flexlib.replay.replay_report`); None where `folder` has none."""
    path = Path(folder) / f"{replay_name(dataset)}.json"
    return json.loads(path.read_text(encoding="utf-8")) if folder and path.exists() else None


def by_setting(records):
    """Records of a repetition with `setting`, the 0-based place of the configuration, which all seeds share."""
    settings = records["run"].nunique() // records["seed"].nunique()
    return records.assign(setting=records["run"] % settings)


def summarise_settings(records, sets=TABLE_2):
    """Each of the settings of a repetition under each protocol, in order: set (its name), protocol, n (runs that ended
    well, which alone count), diverged, skipped; mean, low and high of the RMSE (95 % t-interval), and of its paired
    difference to `holdout` on the same splits: gap, gap_low, gap_high."""
    rows, table = [], by_setting(records)
    wide = table.pivot(index=["setting", "seed"], columns="protocol", values="rmse")
    for (setting, protocol), runs in table.groupby(["setting", "protocol"], sort=False):
        own = wide.loc[setting]
        gap = (own[protocol] - own["holdout"]).dropna() if "holdout" in own else []
        counts = runs["status"].value_counts()
        found = labelled("mean", mean_interval(runs["rmse"].dropna()))
        found |= labelled("gap", mean_interval(gap), "gap_")
        known = {"setting": setting, "set": sets[setting], "protocol": protocol, "n": int(runs["rmse"].count())}
        rows.append(known | {word: int(counts.get(word, 0)) for word in ("diverged", "skipped")} | found)
    return pd.DataFrame(rows).sort_values(["setting", "protocol"], kind="stable", ignore_index=True)

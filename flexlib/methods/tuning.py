"""Tuning methods on validation ratings and reading the test ratings once: the same splits, the same held-back
ratings and the same number of tries for every method."""

import contextlib
import json
import math
import multiprocessing
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import optuna
import pandas as pd
import sqlalchemy
import torch
from tqdm import tqdm

from flexlib.config import FlexError
from flexlib.data import Split, hold_back, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.evaluate import errors, fallback
from flexlib.methods.networks import NETWORKS
from flexlib.methods.table3 import METHODS
from flexlib.runs.plan import slug
from flexlib.runs.provenance import device_name, software
from flexlib.runs.records import read_table, save_records
from flexlib.train import choose_device

ALL = METHODS | NETWORKS


RANDOM_TRIES = 30  # at most, and at most half of all, before the sampler learns from them


AVERAGED = "flexencoder"  # the method of which the networks of several tries are averaged too


_FACTS = ["dataset", "checksum", "device", *software()]


COLUMNS = {
    "method": "str", "split": "str", "networks": "int64", "tries": "int64", "validation_rmse": "float64",
    "rmse": "float64", "mae": "float64", "rmse_known": "float64", "rmse_own_fallback": "float64", "n_test": "int64",
    "n_unseen": "int64", "settings": "str", "seconds": "float64", "tuning_seconds": "float64",
} | dict.fromkeys(_FACTS, "str")  # fmt: skip


TRY_COLUMNS = {
    "method": "str", "split": "str", "number": "int64", "validation_rmse": "float64", "settings": "str",
    "suggested": "str", "seconds": "float64",
}  # fmt: skip


@dataclass(frozen=True)
class Tuning:
    """What is tuned on what. methods: keys of `ALL`. test_split_rate: of splits with seeds 0 to `splits` - 1; None for
    the data set's own folds, of which the first `splits` are taken. tries: settings that a method may look at on the
    validation ratings of each split. shared: one search for all splits, on the ratings that no test set has.
    max_seconds: of the estimate of a network's try, above which it counts as tried and is not made.
    average: networks, of so many best tries, whose mean prediction is scored too. start: settings as suggested (a JSON
    text each), of a search on other data for one, which a search with the same space begins with.
    """

    dataset: str
    methods: tuple
    test_split_rate: float | None = 0.3
    splits: int = 3
    tries: int = 10
    shared: bool = False
    max_seconds: float = math.inf
    average: int = 1
    start: tuple = ()

    @property
    def name(self):
        """The name of its records, without the ending."""
        return tuned_name(self.dataset, self.test_split_rate, self.tries)

    def load_splits(self, ratings):
        """Name to (seed, `Split`). Raises `FlexError` where the data set has no folds."""
        if self.test_split_rate is None:
            if not ratings.folds:
                raise FlexError(f"{ratings.name} has no folds of its own: say which share to hold out")
            folds = list(ratings.folds)[: self.splits]
            return {fold: (seed, split_ratings(ratings, fold=fold)) for seed, fold in enumerate(folds)}
        return {
            f"seed {seed}": (seed, split_ratings(ratings, self.test_split_rate, seed)) for seed in range(self.splits)
        }


def tuned_name(dataset, test_split_rate, tries):
    """The name of the records of a `Tuning`, without the ending."""
    return f"tuned-{slug(dataset)}-{'folds' if test_split_rate is None else f'{test_split_rate:g}'}-{tries}tries"


def score(ratings, split, predicted):
    """Errors of raw predictions (n_test,) of a split's test ratings, clipped to the scale: rmse and mae with the common
    `fallback` where user or item has no training rating, rmse_known without these, rmse_own_fallback with what the
    method itself says of them; n_test, n_unseen."""
    test, actual = split.test, ratings.values[split.test].astype(np.float64)
    predicted = np.clip(predicted, *ratings.scale[:2])
    unseen, means = fallback(ratings, split.train, ratings.users[test], ratings.items[test])
    rmse, mae = errors(actual, np.where(unseen, means, predicted))
    known = {"rmse_known": errors(actual[~unseen], predicted[~unseen])[0]}
    known |= {"rmse_own_fallback": errors(actual, predicted)[0]}
    return {"rmse": rmse, "mae": mae} | known | {"n_test": len(test), "n_unseen": int(unseen.sum())}


def tune(study, key, ratings, split, seed, tries, max_seconds=math.inf):
    """Give a method its tries on a split's held-back training ratings, those that `study` (Optuna) has included.
    Returns the study; each trial's value is the validation RMSE, and its attribute "settings" what it is trained with
    on all training ratings."""
    method, inner = ALL[key], hold_back(split, seed)
    while (done := sum(trial.state.is_finished() for trial in study.trials)) < tries:
        if any(trial.state.is_finished() and not trial.params for trial in study.trials):
            break  # nothing to tune
        # A sampler of its own for each trial, so that a search that was stopped goes on as if it had not been
        study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=min(RANDOM_TRIES, tries // 2), multivariate=True, group=True, seed=1000 * seed + done,
        )  # fmt: skip
        cut_short = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.RUNNING]
        trial = optuna.trial.Trial(study, cut_short[0]._trial_id) if cut_short else study.ask()
        begun = time.perf_counter()
        settings = method.space(trial)
        outcome = method.rehearse(ratings, split, seed, settings, max_seconds)
        trial.set_user_attr("seconds", round(time.perf_counter() - begun, 3))
        value = math.nan
        if outcome is not None:
            predicted, settings = outcome
            value = score(ratings, inner, predicted)["rmse"]
        trial.set_user_attr("settings", settings)
        if math.isnan(value):  # diverged, or too dear
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)
    return study


def run_tuning(tuning, out, workers=1):
    """Tune and score every method on every split, and write the records and the tries to `out`; returns both tables.

    What `out` holds is not run again; a search that was stopped goes on at its next try. Raises `FlexError`, and
    `KeyboardInterrupt` when stopped: what is finished by then is kept.
    """
    for key in tuning.methods:
        if key not in ALL:
            raise FlexError(f"unknown method '{key}': known are {', '.join(ALL)}")
    ratings = load_ratings(tuning.dataset)
    out.mkdir(parents=True, exist_ok=True)
    files = {out / f"{tuning.name}.parquet": COLUMNS, out / f"{tuning.name}-tries.parquet": TRY_COLUMNS}
    jobs = {(key, split): (tuning, key, split) for key in tuning.methods for split in tuning.load_splits(ratings)}
    storage = f"sqlite:///{out.resolve() / tuning.name}.sqlite3"
    first = {}
    if tuning.shared:  # the searches first: two jobs that went on with one would not be told apart
        first = {key: (*job, storage) for (key, _), job in reversed(jobs.items())}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _open(storage, tuning.name)  # so that no two workers make its tables
    jobs = {place: (*job, storage) for place, job in jobs.items()}
    return run_jobs(tuning.name, _job, jobs, files, ratings, workers, before=(_search, first.values()))


def run_jobs(name, function, jobs, files, ratings, workers=1, before=(None, ())):
    """Call `function` with the arguments of each job in `workers` processes, and add what it returns, a list of records
    for each file, to the files at once; returns their tables.

    jobs: place to arguments; a job whose place, the first columns of its records, the first file has is not run again.
    files: path to columns (name to dtype). before: a function and the arguments of the calls to be made first, where
    there is a job left. Raises `FlexError` where the first file is of other data than `ratings`.
    """
    tables = [load_tuned(path, columns) if path.exists() else pd.DataFrame(columns=columns)
              for path, columns in files.items()]  # fmt: skip
    path, checksum = next(iter(files)), str(ratings.facts.get("sha256", ""))
    if set(tables[0]["checksum"]) - {checksum}:
        raise FlexError(f"{path}: is of another {ratings.name}: choose another --out")
    width = len(next(iter(jobs)))
    done = set(tables[0].iloc[:, :width].itertuples(index=False, name=None))
    jobs = {place: arguments for place, arguments in jobs.items() if place not in done}
    calls = [arguments for arguments in before[1] if jobs]
    made = _results(function, jobs, before[0], calls, workers)
    with tqdm(total=len(jobs), desc=name) as bar, contextlib.closing(made):
        for place, result in made:
            for k, (rows, columns) in enumerate(zip(result, files.values(), strict=True)):
                added = pd.DataFrame(rows, columns=list(columns)).astype(columns)
                again = pd.MultiIndex.from_frame(tables[k].iloc[:, :width]).isin(
                    [place]
                )  # such as a job without records
                tables[k] = pd.concat([tables[k][~again].astype(columns), added])
                tables[k] = tables[k].sort_values(list(columns)[:width], kind="stable", ignore_index=True)
                save_records(tables[k], list(files)[k])
            bar.set_postfix_str(", ".join(map(str, place)), refresh=False)
            bar.update()
    return tables


def _results(function, jobs, first, calls, workers):
    """Each job's place and result, as they come: made in this process, by one thread, or in `workers` ones. Before them
    `first` is called with the arguments of each of `calls`."""
    if workers == 1:
        threads = torch.get_num_threads()
        try:
            _quiet()
            for arguments in calls:
                first(*arguments)
            for place, arguments in jobs.items():
                yield place, function(*arguments)
        finally:
            torch.set_num_threads(threads)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_quiet) as pool:
        try:
            for future in [pool.submit(first, *arguments) for arguments in calls]:
                future.result()
            waiting = {pool.submit(function, *arguments): place for place, arguments in jobs.items()}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:
            for process in pool._processes.values():
                process.kill()  # what is finished is in the files, and tries are in the ledger
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def load_tuned(path, columns=COLUMNS):
    """Records of a `Tuning` (one row a method and split; two where networks are averaged), or, with other columns, its
    tries. Raises `FlexError` naming the file and the column that is missing."""
    table = read_table(path)
    for name in columns:
        if name not in table:
            raise FlexError(f"{path}: no column '{name}'")
    return table[list(columns)].astype(columns)


def _quiet():
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def best_suggestions(tries, key):
    """What the best try of a method on each split was suggested, as `Tuning.start`."""
    own = tries[(tries["method"] == key) & tries["validation_rmse"].notna()]
    return tuple(own.sort_values("validation_rmse").groupby("split", sort=True).first()["suggested"])


def _open(storage, name, start=()):
    options = {"connect_args": {"timeout": 120}, "poolclass": sqlalchemy.pool.NullPool}
    found = optuna.storages.RDBStorage(storage, engine_kwargs=options)
    study = optuna.create_study(storage=found, study_name=name, load_if_exists=True)
    for text in start if not study.trials else ():
        study.enqueue_trial(json.loads(text))
    return study


def _search(tuning, key, name, storage):
    """The tries of one method for one split, or for all: the ratings, the split, its seed, and the finished trials."""
    ratings = load_ratings(tuning.dataset)
    splits = tuning.load_splits(ratings)
    seed, split = splits[name]
    data = str(ratings.facts.get("sha256", ""))[:8]  # other data, another search
    if tuning.shared:
        apart = np.ones(len(ratings), bool)
        for _, other in splits.values():
            apart[other.test] = False
        if not apart.any():
            raise FlexError(
                f"{tuning.dataset}: every rating is in the test set of a split: none is left for one search"
            )
        study = _open(storage, f"{tuning.name} {key} {data}", tuning.start)
        tune(study, key, ratings, Split(np.flatnonzero(apart), split.test), 0, tuning.tries, tuning.max_seconds)
    else:
        study = _open(storage, f"{tuning.name} {key} {name} {data}", tuning.start)
        tune(study, key, ratings, split, seed, tuning.tries, tuning.max_seconds)
    return ratings, split, seed, [trial for trial in study.trials if trial.state.is_finished()]


def _job(tuning, key, name, storage):
    """One method on one split: its records and its tries, as lists of mappings."""
    ratings, split, seed, trials = _search(tuning, key, name, storage)
    best = sorted((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value)
    tries = [
        {"method": key, "split": name, "number": trial.number, "validation_rmse": trial.value,
         "settings": json.dumps(trial.user_attrs["settings"]), "suggested": json.dumps(trial.params),
         "seconds": trial.user_attrs["seconds"]}
        for trial in trials
    ]  # fmt: skip
    if not best:
        return [], tries
    origin = {
        "dataset": ratings.name,
        "checksum": str(ratings.facts.get("sha256", "")),
        "device": device_name(choose_device()),
    }
    common = {"method": key, "split": name, "tries": len(tries), "validation_rmse": best[0].value} | origin | software()
    common |= {"settings": json.dumps(best[0].user_attrs["settings"])}
    common |= {"tuning_seconds": sum(row["seconds"] for row in tries)}
    records, total, begun = [], 0.0, time.perf_counter()
    sizes = {1, tuning.average} if key == AVERAGED else {1}
    for count, trial in enumerate(best[: max(sizes)], start=1):
        seed_of = seed + 100 * (count - 1)  # each with weights of its own
        total = total + ALL[key].predict(ratings, split, seed_of, **trial.user_attrs["settings"])
        if count in sizes:
            seconds = round(time.perf_counter() - begun, 3)
            records.append(common | {"networks": count, "seconds": seconds} | score(ratings, split, total / count))
    return records, tries

"""Tuning methods on validation ratings and reading the test ratings once.

Every method has the same splits, the same held-back ratings and the same number of tries. A search is a chain: what a
try of Optuna's sampler suggests depends on the tries before it. Each try is a job of the engine, and so is the
final fit of a method on a split; what ended is in a journal, from which a search that was stopped goes on.
"""

import functools
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flexlib.config import FlexError, first_line
from flexlib.data import Index, Mask, Ratings, Split, hold_back, split_ratings
from flexlib.datasets.loading import load_cached, load_ratings
from flexlib.evaluation import errors
from flexlib.methods.interface import MethodSettings, Predictions
from flexlib.methods.networks import NETWORKS
from flexlib.methods.registry import ALL, find_method
from flexlib.methods.search import Search, check_start, check_suggested, choose_members
from flexlib.methods.stopping import Curve
from flexlib.predict import fallback
from flexlib.runs.engine import Died, Job, Journal, work
from flexlib.runs.journal import replaced
from flexlib.runs.plan import slug
from flexlib.runs.provenance import device_name, software
from flexlib.runs.records import read_parquet, save_records, typed_columns
from flexlib.train import choose_device

SHARED = "all"  # in place of a split's name: one search for all splits

# Records: one row a method and split, two where networks are averaged.
COLUMNS = {
    "method": "str",
    "split": "str",
    "networks": "int64",
    "tries": "int64",
    "validation_rmse": "float64",
    "rmse": "float64",
    "mae": "float64",
    "rmse_known": "float64",
    "rmse_own_fallback": "float64",
    "n_test": "int64",
    "n_unseen": "int64",
    "settings": "str",
    "seconds": "float64",
    "tuning_seconds": "float64",
    **dict.fromkeys(["dataset", "checksum", "device", *software()], "str"),
}
# Tries: one row a method, split and try. `curve` is a JSON list, "" for a method without early stopping.
TRY_COLUMNS = {
    "method": "str",
    "split": "str",
    "number": "int64",
    "validation_rmse": "float64",
    "settings": "str",
    "suggested": "str",
    "seconds": "float64",
    "pruned": "bool",
    "curve": "str",
}
_JSON: dict[str, type] = {"settings": dict, "suggested": dict, "curve": list}  # what columns are JSON of, where not ""
ADDED = {"pruned": False, "curve": ""}  # columns that records of earlier versions lack, and what stands for them
# Predictions: one row a method, split and number of networks.
_PREDICTION_KEYS = {"method": "str", "split": "str", "networks": "int64"}
PREDICTION_COLUMNS = _PREDICTION_KEYS | dict.fromkeys(["hundredths", "validation_hundredths"], "object")
_LIST = pa.list_(pa.int16())
_PREDICTIONS = pa.schema(
    [
        ("method", pa.string()),
        ("split", pa.string()),
        ("networks", pa.int64()),
        ("hundredths", _LIST),
        ("validation_hundredths", _LIST),  # null where an earlier version did not make them
    ]
)


@dataclass(frozen=True)
class Tuning:
    """What is tuned on what.

    Parameters
    ----------
    dataset
        As in `flexlib.load_ratings`.
    methods
        Keys of `ALL`.
    test_split_rate
        Of splits with seeds 0 to `splits` - 1; None for the data set's own folds.
    splits
        How many splits or folds.
    tries
        Settings that a method may look at on the validation ratings of each split.
    shared
        One search for all splits, on the ratings that no test set has.
    max_seconds
        Of the estimate of a network's try at the epochs expected of it, above which it counts as tried and is not made.
    average
        Networks, of so many best tries, whose mean prediction is scored too. Where fewer tries ended well, their
        settings take turns.
    start
        Settings as suggested (a JSON text each), such as those of a search on other data, that each search begins with.
    columns, scale
        Of a file, as in `flexlib.load_ratings`; columns as pairs.
    """

    dataset: str
    methods: tuple[str, ...]
    test_split_rate: float | None = 0.3
    splits: int = 3
    tries: int = 10
    shared: bool = False
    max_seconds: float = math.inf
    average: int = 1
    start: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    scale: tuple[float, float, float] | None = None

    @property
    def name(self) -> str:
        """The name of its records, without the ending."""
        return tuned_name(self.dataset, self.test_split_rate, self.tries)

    def load(self) -> Ratings:
        """Load the ratings, with the columns and the scale that were told."""
        return load_ratings(self.dataset, self.columns, self.scale)

    def seeds(self, ratings: Ratings) -> dict[str, int]:
        """Name the splits, and give the seed of each.

        Raises
        ------
        FlexError
            Where the data set has no folds.
        """
        if self.test_split_rate is None:
            if not ratings.folds:
                raise FlexError(f"{ratings.name} has no folds of its own: say which share to hold out")
            return {fold: seed for seed, fold in enumerate(list(ratings.folds)[: self.splits])}
        return {f"seed {seed}": seed for seed in range(self.splits)}

    def make_split(self, ratings: Ratings, name: str) -> Split:
        """Make one split by its name.

        Raises
        ------
        FlexError
            Where the data set has no folds, or the rate leaves nothing to train on.
        """
        seed = self.seeds(ratings)[name]
        if self.test_split_rate is None:
            return split_ratings(ratings, fold=name)
        return split_ratings(ratings, self.test_split_rate, seed)

    def load_splits(self, ratings: Ratings) -> dict[str, tuple[int, Split]]:
        """Make all splits: name to seed and `Split`; raises as `make_split` does."""
        return {name: (seed, self.make_split(ratings, name)) for name, seed in self.seeds(ratings).items()}


def tuned_name(dataset: str, test_split_rate: float | None, tries: int) -> str:
    """Name the records of a `Tuning`, without the ending."""
    return f"tuned-{slug(dataset)}-{'folds' if test_split_rate is None else f'{test_split_rate:g}'}-{tries}tries"


def score(ratings: Ratings, split: Split, predicted: Predictions) -> dict[str, Any]:
    """Compute the errors of raw predictions of a split's test ratings, clipped to the scale.

    Parameters
    ----------
    ratings, split
        What was predicted.
    predicted
        (n_test,) stars.

    Returns
    -------
    dict
        rmse and mae, in stars, with the common `fallback` where user or item has no training rating; rmse_known without
        these; rmse_own_fallback with what the method itself says of them; n_test, n_unseen.
    """
    actual = ratings.values[split.test].astype(np.float64)
    completed, unseen = complete(ratings, split, predicted)
    predicted = np.clip(predicted, *ratings.scale[:2])
    rmse, mae = errors(actual, completed)
    return {
        "rmse": rmse,
        "mae": mae,
        "rmse_known": errors(actual[~unseen], predicted[~unseen])[0],
        "rmse_own_fallback": errors(actual, predicted)[0],
        "n_test": len(actual),
        "n_unseen": int(unseen.sum()),
    }


def complete(ratings: Ratings, split: Split, predicted: Predictions) -> tuple[Predictions, Mask]:
    """Clip raw predictions to the scale, and take the common `fallback` where user or item has no training rating.

    Parameters
    ----------
    ratings, split
        What was predicted.
    predicted
        (n_test,) stars.

    Returns
    -------
    completed
        (n_test,) stars.
    unseen
        (n_test,) where the fallback stands.
    """
    unseen, means = fallback(ratings, split.train, ratings.users[split.test], ratings.items[split.test])
    return np.where(unseen, means, np.clip(predicted, *ratings.scale[:2])), unseen


def load_predictions(path: Path | str) -> pd.DataFrame:
    """Read what methods of a `Tuning` predict of every test rating, and of every validation rating.

    Parameters
    ----------
    path
        Of `tuned-...-predictions.parquet`.

    Returns
    -------
    pd.DataFrame
        One row a method, split and number of networks averaged:

        - method, split, networks: as in the records
        - hundredths: (n_test,) int16, hundredths of a star, as `complete` gives them, in the order of `Split.test`;
          empty for a network that diverged
        - validation_hundredths: (n_validation,) int16 alike, in the order of `hold_back(split, seed).test`, by the same
          settings and seeds trained on `hold_back(split, seed).train`; empty where an earlier version did not make them

    Raises
    ------
    FlexError
        Naming the file, and the column that is missing or holds something else.
    """
    table = _read_predictions(path)
    made = [[] if row is None else row for row in table["validation_hundredths"]]
    return table.assign(validation_hundredths=pd.Series(made, table.index, dtype=object))


def _read_predictions(path: Path | str) -> pd.DataFrame:
    """Read predictions, with None for those on validation ratings that were not made."""
    table = read_parquet(path)
    if "validation_hundredths" not in table.column_names:
        table = table.append_column("validation_hundredths", pa.nulls(len(table), _LIST))
    found = typed_columns(table, _PREDICTION_KEYS, path)
    for name in set(PREDICTION_COLUMNS) - set(_PREDICTION_KEYS):
        if table.column_names.count(name) != 1:
            raise FlexError(f"{path}: no column '{name}'")
        kind = table.schema.field(name).type
        if not (pa.types.is_list(kind) and pa.types.is_integer(kind.value_type)):
            raise FlexError(f"{path}: column '{name}' holds {kind} where it should hold lists of whole numbers")
        lists = table.column(name).combine_chunks()
        if lists.flatten().null_count or (name == "hundredths" and lists.null_count):
            raise FlexError(f"{path}: column '{name}' holds nothing in a place")
        found[name] = table.column(name).to_pandas()
    return found[_PREDICTIONS.names]


def load_tuned(path: Path | str, columns: dict[str, str] = COLUMNS) -> pd.DataFrame:
    """Read records of a `Tuning`, or, with `TRY_COLUMNS`, its tries; what earlier versions lack is `ADDED`.

    Raises
    ------
    FlexError
        Naming the file, and the column that is missing or holds something else.
    """
    table = read_parquet(path)
    for name in set(ADDED) & set(columns) - set(table.column_names):
        table = table.append_column(name, pa.array([ADDED[name]] * len(table)))
    found = typed_columns(table, columns, path)
    for name in set(_JSON) & set(columns):
        may_be_empty = name == "curve" or "suggested" not in columns
        for place, text in enumerate(found[name]):
            if (text or not may_be_empty) and not _is_json(text, _JSON[name]):
                raise FlexError(f"{path}: row {place}: {name}: {text[:60]!r} is not JSON of a {_JSON[name].__name__}")
    return found


def _is_json(text: str, kind: type) -> bool:
    """Tell whether a text is JSON of a kind."""
    try:
        return isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False


def best_suggestions(tries: pd.DataFrame, key: str) -> tuple[str, ...]:
    """List what the best try of a method on each split was suggested, as `Tuning.start`."""
    own = tries[(tries["method"] == key) & tries["validation_rmse"].notna()]
    return tuple(own.sort_values(["pruned", "validation_rmse"]).groupby("split", sort=True).first()["suggested"])


def make_try(
    tuning: Tuning, checksum: str, key: str, name: str, seed: int, earlier: Sequence[Curve], settings: MethodSettings
) -> dict[str, Any]:
    """Try settings of a method on the validation ratings of a split (or of `SHARED`); a job of the engine.

    Returns
    -------
    dict
        validation_rmse (None where the network diverged or is too costly), settings (to be used with all training
        ratings), pruned, curve, seconds; predicted, hundredths of a star, where networks are to be averaged.
    """
    begun = time.perf_counter()
    ratings, split = load_split(tuning, checksum, name)
    outcome = ALL[key].rehearse(ratings, split, seed, settings, tuning.max_seconds, earlier)
    found: dict[str, Any] = {"validation_rmse": None, "settings": settings}
    if outcome is not None:
        inner = hold_back(split, seed)
        rmse = score(ratings, inner, outcome.predictions)["rmse"]
        found = {"validation_rmse": None if math.isnan(rmse) else rmse, "settings": outcome.settings}
        found |= {"pruned": outcome.pruned, "curve": list(outcome.curve)}
        if _averages(tuning, key) > 1:
            found["predicted"] = _hundredths(ratings, inner, outcome.predictions)
    return found | {"seconds": round(time.perf_counter() - begun, 3)}


def _averages(tuning: Tuning, key: str) -> int:
    """Count the networks that are averaged of a method."""
    return tuning.average if key in NETWORKS else 1


def fit_best(tuning: Tuning, checksum: str, key: str, name: str, chosen: list[MethodSettings]) -> list[dict[str, Any]]:
    """Fit a method with its best settings on a split, and score its test ratings; a job of the engine.

    It is fitted once more without the split's validation ratings, which it then predicts.

    Parameters
    ----------
    tuning, checksum
        What is tuned, and the data's checksum.
    key, name
        Of the method and the split.
    chosen
        Settings of the best try first; a network for each, where these are averaged.

    Returns
    -------
    list
        Mappings of what was measured: networks, seconds (of the fits that are scored), device, `score`, hundredths and
        validation_hundredths, the predictions as `load_predictions` gives them.
    """
    ratings, split = load_split(tuning, checksum, name)
    seed = tuning.seeds(ratings)[name]
    inner = hold_back(split, seed)
    rows, seconds = [], 0.0
    total, inner_total = np.zeros(len(split.test)), np.zeros(len(inner.test))
    for count, settings in enumerate(chosen, start=1):
        own_seed = seed + 100 * (count - 1)  # each network has weights of its own
        begun = time.perf_counter()
        total += ALL[key].predict(ratings, split, own_seed, **settings)
        seconds += time.perf_counter() - begun
        inner_total += ALL[key].predict(ratings, inner, own_seed, **settings)
        if count in (1, len(chosen)):
            measured = {
                "networks": count,
                "seconds": round(seconds, 3),
                "device": device_name(choose_device()),
                "hundredths": _hundredths(ratings, split, total / count),
                "validation_hundredths": _hundredths(ratings, inner, inner_total / count),
            }
            rows.append(measured | score(ratings, split, total / count))
    return rows


def _hundredths(ratings: Ratings, split: Split, predicted: Predictions) -> list[int]:
    """Complete (n_test,) raw predictions, in hundredths of a star; none where a network diverged."""
    if not np.isfinite(predicted).all():
        return []
    return np.rint(100 * complete(ratings, split, predicted)[0]).astype(int).tolist()


@functools.lru_cache(maxsize=8)
def load_split(tuning: Tuning, checksum: str, name: str) -> tuple[Ratings, Split]:
    """Load what a job works on: the ratings, and a split by its name, or by `SHARED` what no test set has."""
    ratings = load_cached(tuning.dataset, checksum, tuning.columns, tuning.scale)
    if name != SHARED:
        return ratings, tuning.make_split(ratings, name)
    first = tuning.make_split(ratings, next(iter(tuning.seeds(ratings))))
    return ratings, Split(_in_no_test_set(ratings, tuning), first.test)


def _in_no_test_set(ratings: Ratings, tuning: Tuning) -> Index:
    apart = np.ones(len(ratings), bool)
    for name in tuning.seeds(ratings):
        apart[tuning.make_split(ratings, name).test] = False
    return np.flatnonzero(apart)


def run_tuning(
    tuning: Tuning, out: Path, workers: int = 1, scheduler: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tune and score every method on every split.

    What `out` holds is not run again; a search that was stopped or killed goes on at its next try.

    Parameters
    ----------
    tuning
        What to do.
    out
        Folder of the records, and of the tries.
    workers, scheduler
        As in `flexlib.runs.run.run_plan`.

    Returns
    -------
    records, tries
        By `COLUMNS` and `TRY_COLUMNS`.

    Raises
    ------
    FlexError
        For an unknown method, a start outside its space, splits that cannot be made, or records of other data in `out`.
    KeyboardInterrupt
        When stopped; what ended by then is kept.
    """
    for key in tuning.methods:
        find_method(key)
        for suggested in tuning.start:
            check_start(key, suggested)
    ratings = tuning.load()
    seeds = tuning.seeds(ratings)
    tuning.make_split(ratings, next(iter(seeds)))  # each is as large: all can be made, or none
    if tuning.shared and not len(_in_no_test_set(ratings, tuning)):
        raise FlexError(f"{tuning.dataset}: every rating is in the test set of a split: none is left for one search")
    out.mkdir(parents=True, exist_ok=True)
    with Journal(out / f"{tuning.name}.journal") as journal:
        desk = _Desk(tuning, ratings, seeds, out, journal)
        try:
            jobs = list(desk.first_jobs())
            work(jobs, desk.on_result, name=tuning.name, workers=workers, scheduler=scheduler, total=desk.jobs_left())
        finally:
            desk.save()
    if desk.failed:
        raise FlexError(f"{desk.records_path}: {len(desk.failed)} fits are missing: {'; '.join(desk.failed)}")
    return desk.records, desk.tries


class _Desk:
    """All searches of a `Tuning` and the tables that they end in; it hands out jobs and takes their results."""

    def __init__(self, tuning: Tuning, ratings: Ratings, seeds: dict[str, int], out: Path, journal: Journal) -> None:
        self.tuning, self.seeds, self.journal = tuning, seeds, journal
        self.dataset, self.checksum = ratings.name, ratings.checksum
        self.records_path = out / f"{tuning.name}.parquet"
        self.tries_path = out / f"{tuning.name}-tries.parquet"
        self.predictions_path = out / f"{tuning.name}-predictions.parquet"
        self.records = _read_or_empty(self.records_path, COLUMNS)
        self.tries = _read_or_empty(self.tries_path, TRY_COLUMNS)
        if set(self.records["checksum"]) - {self.checksum}:
            raise FlexError(f"{self.records_path}: is of another {ratings.name}: choose another --out")
        self.predictions = (
            _read_predictions(self.predictions_path)
            if self.predictions_path.exists()
            else pd.DataFrame(columns=_PREDICTIONS.names)
        )
        whole = self.predictions[self.predictions["validation_hundredths"].notna()]
        self.done = _places(self.records) & _places(whole)
        self.failed: list[str] = []
        self.searches: dict[tuple[str, str], Search] = {}
        for key in tuning.methods:
            for name, seed in {SHARED: 0}.items() if tuning.shared else seeds.items():
                self.searches[key, name] = Search(key, name, seed, tuning.tries, tuning.start)
        self._take_up_tries()
        for number, entry in enumerate(journal.records, start=1):
            try:
                if entry["checksum"] == self.checksum and entry["shared"] == tuning.shared:
                    self._read(entry)
            except (KeyError, TypeError, ValueError) as error:
                where = f"{journal.path}: line {number} is not of a tuning"
                raise FlexError(f"{where} ({first_line(error)}): mend it or remove it") from None

    def _take_up_tries(self) -> None:
        """Give searches the tries that earlier calls kept; one without any that ended well has nothing to score."""
        for key, name in sorted(_places(self.tries)):
            own = self.tries[(self.tries["method"] == key) & (self.tries["split"] == name)]
            if own["validation_rmse"].isna().all():
                self.done.add((key, name))
            search = self.searches.get((key, SHARED if self.tuning.shared else name))
            if search is None or search.made:
                continue
            for row in own.sort_values("number").to_dict("records"):
                rmse = None if math.isnan(row["validation_rmse"]) else row["validation_rmse"]
                kept = {"validation_rmse": rmse, "settings": json.loads(row["settings"])}
                kept |= {"seconds": row["seconds"], "pruned": row["pruned"], "curve": json.loads(row["curve"] or "[]")}
                suggested = json.loads(row["suggested"])
                try:
                    if self._finals(search):  # else nothing follows from it
                        check_suggested(key, suggested)
                except FlexError as error:
                    raise error.of(self.tries_path) from None
                search.tell(suggested, kept)

    def _read(self, entry: dict[str, Any]) -> None:
        """Take what an earlier call wrote into the journal."""
        if "outcome" in entry:
            search = self.searches.get((entry["method"], entry["split"]))
            if search and len(search.made) == entry["number"]:
                search.tell(entry["suggested"], entry["outcome"])
        else:
            self._add(entry["method"], entry["split"], entry["rows"], entry["tries"])

    def _write(self, entry: dict[str, Any]) -> None:
        self.journal.append(entry | {"checksum": self.checksum, "shared": self.tuning.shared})

    def _finals(self, search: Search) -> list[str]:
        """Name the splits that a search decides and that are not scored yet."""
        names = list(self.seeds) if search.split == SHARED else [search.split]
        return [name for name in names if (search.method, name) not in self.done]

    def jobs_left(self) -> int:
        """Count the jobs to come, if no search ends early."""
        return sum(
            search.tries - len(search.made) + len(self._finals(search))
            for search in self.searches.values()
            if self._finals(search)
        )

    def first_jobs(self) -> Iterator[Job]:
        """Make the first job, or jobs, of each search that is not finished."""
        for search in self.searches.values():
            if self._finals(search):
                yield from self._next(search)

    def _next(self, search: Search) -> Iterator[Job]:
        key, name = search.method, search.split
        found = search.next_settings()
        if found is not None:
            settings, suggested = found
            arguments = (self.tuning, self.checksum, key, name, search.seed, search.curves(), settings)
            yield Job(("try", key, name, len(search.made), json.dumps(suggested)), make_try, arguments)
            return
        ratings, split = load_split(self.tuning, self.checksum, name)
        actual = ratings.values[hold_back(split, search.seed).test]
        chosen = choose_members(search.best(), actual, _averages(self.tuning, key))
        for final in self._finals(search):
            yield Job(("fit", key, name, final), fit_best, (self.tuning, self.checksum, key, final, chosen))

    def on_result(self, job: Job, result: Any) -> Iterator[Job]:
        """Keep a result on the disk, and make the jobs that it leads to."""
        kind, key, name, *more = job.key
        search = self.searches[key, name]
        if kind == "try":
            number, suggested = more[0], json.loads(more[1])
            if isinstance(result, Died):  # it counts as tried
                result = {"validation_rmse": None, "settings": job.arguments[-1], "seconds": 0.0}
            self._write({"method": key, "split": name, "number": number, "suggested": suggested, "outcome": result})
            search.tell(suggested, result)
            yield from self._next(search)
            return
        (final,) = more
        if isinstance(result, Died):
            self.failed.append(f"{key} on {final}: {result.reason}")
            return
        tries = [
            {"method": key, "split": final}
            | {name: one[name] for name in ("number", "validation_rmse", "seconds", "pruned")}
            | {name: json.dumps(one[name]) for name in ("settings", "suggested")}
            | {"curve": json.dumps(one["curve"]) if one["curve"] else ""}
            for one in search.made
        ]
        common = {
            "method": key,
            "split": final,
            "tries": len(tries),
            "validation_rmse": search.best()[0]["validation_rmse"] if search.best() else None,
            "settings": json.dumps(search.best()[0]["settings"]) if search.best() else "",
            "tuning_seconds": sum(one["seconds"] for one in search.made),
            "dataset": self.dataset,
            "checksum": self.checksum,
        }
        rows = [common | software() | row for row in result]
        self._write({"method": key, "split": final, "rows": rows, "tries": tries})
        self._add(key, final, rows, tries)

    def _add(self, key: str, name: str, rows: list[dict[str, Any]], tries: list[dict[str, Any]]) -> None:
        self.done.add((key, name))
        self.records = _merged(self.records, rows, COLUMNS, key, name)
        self.predictions = _merged(self.predictions, rows, PREDICTION_COLUMNS, key, name)
        self.tries = _merged(self.tries, tries, TRY_COLUMNS, key, name)

    def save(self) -> None:
        """Write both tables; the journal goes when nothing of it is needed any more."""
        if len(self.tries):
            save_records(self.records, self.records_path)
            save_records(self.tries, self.tries_path)
            with replaced(self.predictions_path) as partial:
                table = pa.Table.from_pandas(self.predictions, _PREDICTIONS, preserve_index=False)
                pq.write_table(table, partial, compression="zstd")
        if not any(self._finals(search) for search in self.searches.values()):
            self.journal.clear()


def _places(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(table[["method", "split"]].itertuples(index=False, name=None))


def _read_or_empty(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    return load_tuned(path, columns) if path.exists() else pd.DataFrame(columns=list(columns)).astype(columns)


def _merged(
    table: pd.DataFrame, rows: list[dict[str, Any]], columns: dict[str, str], key: str, name: str
) -> pd.DataFrame:
    """Put the rows of one method and split into a table, in place of those that it has."""
    others = table[(table["method"] != key) | (table["split"] != name)]
    added = pd.DataFrame(rows, columns=list(columns)).astype(columns)
    both = pd.concat([others, added]) if len(others) else added
    return both.sort_values(["method", "split"], kind="stable", ignore_index=True)

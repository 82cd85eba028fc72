"""Who is served: methods on splits that show few ratings of some users or items, or few ratings at all.

Nothing is tuned here: the settings are those that `flexlib tune` chose on the training ratings of random splits. A case
is a `Split` whose training ratings need not be all ratings but the test ones; every method is fitted to it anew.
"""

import json
import time
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from flexlib.config import FlexError
from flexlib.data import Split, split_ratings
from flexlib.datasets.loading import load_ratings
from flexlib.methods.tuning import ALL, load_tuned, run_jobs, score
from flexlib.runs.plan import slug
from flexlib.runs.provenance import device_name, software
from flexlib.train import choose_device

_BESIDE = ("flexencoder_set1", "svdpp", "hidden_similarity", "item_knn", "bpmf", "biases", "item_mean")


NAMES = {"flexencoder": "FlexEncoder, tuned"} | {key: ALL[key].name for key in _BESIDE}


BINS = (0, 1, 3, 6, 11, 21, 51, 101)  # the lowest number of training ratings in each


SHOWN = (0, 1, 2, 5, 10)  # ratings of each new user or item


SHARES = (100, 50, 25, 12.5)  # of the training ratings, in per cent


NEW_SHARE, ENOUGH = 0.1, 20  # of the users (items) with so many ratings, those that are taken for new


SPARSITY, NEW = "sparsity", {"new users": "users", "new items": "items"}


COUNTS = {"by user": "users", "by item": "items"}


COLUMNS = {
    "group": "str", "method": "str", "seed": "int64", "task": "str", "shown": "float64", "n_train": "int64",
    "n_test": "int64", "n_unseen": "int64", "n_users": "int64", "n_items": "int64", "rmse": "float64", "mae": "float64",
    "rmse_known": "float64", "rmse_own_fallback": "float64", "settings": "str", "seconds": "float64", "tuned": "str",
} | dict.fromkeys(["dataset", "checksum", "device", *software()], "str")  # fmt: skip


def served_name(dataset):
    """The name of the records, without the ending."""
    return f"served-{slug(dataset)}"


def _side(ratings, side):
    """(n,) ids of the ratings' "users" or "items", and how many of these there are."""
    return (ratings.users, ratings.n_users) if side == "users" else (ratings.items, ratings.n_items)


def new_rows(ratings, side, seed=0):
    """Number of ratings shown (`SHOWN`) to `Split`: the training ratings are all of the known "users" (or "items",
    `side`) and that many of each new one; the test ratings, for every number the same, all of the new ones beyond the
    most that is shown. The seed draws who is new, a tenth of those with `ENOUGH` ratings, and the order in which
    ratings are shown: the first 1 is among the first 2. Raises `FlexError` where fewer than two have enough."""
    ids, n = _side(ratings, side)
    rng = np.random.default_rng([seed, 0xC01D, int(side == "items")])
    enough = np.flatnonzero(np.bincount(ids, minlength=n) >= ENOUGH)
    if len(enough) < 2:
        raise FlexError(f"{ratings.name}: fewer than 2 {side} have {ENOUGH} ratings, so that none can be taken for new")
    new = rng.permutation(enough)[: max(1, round(NEW_SHARE * len(enough)))]
    is_new = np.isin(ids, new)
    theirs = rng.permutation(np.flatnonzero(is_new))
    theirs = theirs[np.argsort(ids[theirs], kind="stable")]
    place = np.arange(len(theirs)) - np.searchsorted(ids[theirs], ids[theirs])  # among the row's own, as drawn
    test = np.sort(theirs[place >= max(SHOWN)])
    known = np.flatnonzero(~is_new)
    return {k: Split(np.sort(np.concatenate([known, theirs[place < k]])), test) for k in SHOWN}


def thinned(split, seed=0):
    """Per cent of a split's training ratings (`SHARES`) to `Split`: that many, drawn by the seed, the fewer among the
    more; the test ratings stay the same."""
    drawn = split.train[np.random.default_rng([seed, 0x7415]).permutation(len(split.train))]
    counts = {share: max(1, round(share / 100 * len(drawn))) for share in SHARES}
    return {share: Split(np.sort(drawn[:count]), split.test) for share, count in counts.items()}


def by_count(ratings, split, side):
    """Lowest number of each of `BINS` that holds a test rating to (n_test,) which do: those whose user (or item,
    `side`) has that many training ratings, and fewer than the next bin."""
    ids, n = _side(ratings, side)
    counts = np.bincount(ids[split.train], minlength=n)[ids[split.test]]
    bins = np.searchsorted(BINS, counts, side="right") - 1
    return {BINS[k]: bins == k for k in np.unique(bins)}


def merged_bins(counts, at_least):
    """Bins of so many test ratings (a Series by each bin's lowest number), taken together from the lowest up until each
    has `at_least`: the lowest number of each old bin to that of the new one."""
    starts, held = [counts.index[0]], 0
    for low, count in counts.items():
        if held >= at_least:
            starts, held = [*starts, low], 0
        held += count
    if held < at_least and len(starts) > 1:
        starts.pop()
    return {low: max(start for start in starts if start <= low) for low in counts.index}


def bin_labels(merged):
    """Lowest number of each of the `merged_bins` to its words: "0", "3-5", and "101+" for what has no upper end."""
    ends = [low for low in BINS if low > max(merged)]
    starts = [*sorted(set(merged.values())), ends[0] if ends else None]
    words = {}
    for low, after in pairwise(starts):
        words[low] = f"{low:g}+" if after is None else f"{low:g}" if after == low + 1 else f"{low:g}-{after - 1:g}"
    return words


def score_group(ratings, group, method, seed, settings, rate):
    """Records of a method in one group of cases, a list of mappings: "new users", "new items" or "sparsity", of which
    the whole training set gives "by user" and "by item" too. rate: the share of ratings that sparsity's split with this
    seed holds out. shown: ratings shown, per cent of the training ratings, or the bin's lowest number; errors are those
    of `flexlib.tuning.score`, in stars, NaN where training diverged; n_users and n_items are in the test ratings."""
    splits = new_rows(ratings, NEW[group], seed) if group in NEW else thinned(split_ratings(ratings, rate, seed), seed)
    rows = []
    for shown, split in splits.items():
        begun = time.perf_counter()
        predicted = ALL[method].predict(ratings, split, seed, **settings)
        seconds = round(time.perf_counter() - begun, 3)
        parts = {(group, shown): np.ones(len(split.test), bool)}
        if (group, shown) == (SPARSITY, max(SHARES)):
            for task, side in COUNTS.items():
                parts |= {(task, low): mask for low, mask in by_count(ratings, split, side).items()}
        for (task, low), mask in parts.items():
            part = Split(split.train, split.test[mask])
            row = {"group": group, "method": method, "seed": seed, "task": task, "shown": low, "seconds": seconds}
            row |= {f"n_{side}": len(np.unique(_side(ratings, side)[0][part.test])) for side in ("users", "items")}
            rows.append(row | {"n_train": len(part.train)} | score(ratings, part, predicted[mask]))
    return rows


def served_jobs(ratings, tuned, splits):
    """(group, method, seed) to the arguments of `served_job`, of the methods of `NAMES` that the records `tuned` of
    `flexlib tune` have, with the settings chosen for each of the splits with seeds 0 to `splits` - 1; what they lack of
    a method is left out. Raises `FlexError` naming the file where it is of other data, or lacks a split or all of these
    methods."""
    table, origin = load_tuned(tuned), {"dataset": ratings.name, "checksum": str(ratings.facts.get("sha256", ""))}
    for name, value in origin.items():
        if others := sorted(set(table[name]) - {value}):
            raise FlexError(f"{tuned}: is of the {name} '{others[0]}', not '{value}'")
    table = table[table["method"].isin(NAMES) & (table["networks"] == 1)]
    if not len(table):
        raise FlexError(f"{tuned}: has none of the methods {', '.join(NAMES)}")
    jobs = {}
    for group, seed in product((SPARSITY, *NEW), range(splits)):
        own = table[table["split"] == f"seed {seed}"]
        if not len(own):
            raise FlexError(f"{tuned}: has no split 'seed {seed}'")
        for row in own.itertuples():
            facts = origin | {"settings": row.settings, "tuned": Path(tuned).stem}
            jobs[group, row.method, seed] = (ratings.name, group, row.method, seed, row.n_test, facts)
    return jobs


def served_job(dataset, group, method, seed, n_test, facts):
    """One job: the lists of records that `flexlib.tuning.run_jobs` adds to its files. n_test: how many ratings the
    tuned split holds out. facts: what the records hold beside what is measured."""
    ratings = load_ratings(dataset)
    facts = facts | {"device": device_name(choose_device())} | software()
    rows = score_group(ratings, group, method, seed, json.loads(facts["settings"]), n_test / len(ratings))
    return [[row | facts for row in rows]]


def run_served(dataset, tuned, splits, out, workers=1):
    """Work off `served_jobs`, write the records to `out` and return them; what `out` holds is not made again. Raises
    `FlexError` where it has records of other data or settings."""
    ratings = load_ratings(dataset)
    jobs = served_jobs(ratings, tuned, splits)
    path = Path(out) / f"{served_name(dataset)}.parquet"
    if path.exists():
        for row in load_tuned(path, COLUMNS).itertuples():
            job = jobs.get((row.group, row.method, row.seed))
            if job and job[-1]["settings"] != row.settings:
                raise FlexError(f"{path}: has {row.method} with other settings than {tuned}: choose another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    return run_jobs(path.stem, served_job, jobs, {path: COLUMNS}, ratings, workers)[0]

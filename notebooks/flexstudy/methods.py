"""Chapter 8, other methods: whether FlexEncoder's error is lower than theirs, tuned alike on the same splits.

The chapter reads the records of two `Tuning`s, on the paper's data and on the MovieLens 100K of 1998. One method is
lower than another where two intervals of their difference say so: over splits, and over users.

References
----------
Tran et al. (2018), Table 3. Holm (1979) for the correction of p. Nadeau and Bengio (2003) for splits that overlap.
Efron (1979) for the bootstrap.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from flexlib.config import FlexError
from flexlib.data import Ratings, Split
from flexlib.datasets.loading import load_ratings
from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import (
    ALL,
    PREDICTION_COLUMNS,
    TRY_COLUMNS,
    Tuning,
    load_predictions,
    load_tuned,
    run_tuning,
)
from flexstudy.paper import TABLE_3_RMSE
from flexstudy.statistics import CONFIDENCE, SIGNIFICANT, UNKNOWN, Interval, holm, labelled, split_interval
from flexstudy.style import COLOURS, bar_lengths, legend_below

REFERENCE = "flexencoder"  # the method that others are compared with; the keys of its relatives begin alike
SET_1 = "flexencoder_set1"
MEANS_AND_BIASES = ("biases", "item_mean")  # whose errors the prose names
RESAMPLES = 2000  # of the users
AVERAGED_TOO = ["rmse_known", "rmse_own_fallback", "tries", "seconds"]
NOT_RUN: dict[Any, Any] = dict.fromkeys(
    ("name", "mean", "low", "high", "level", "gap", "gap_low", "gap_high", "users_low", "users_high", "p"), np.nan
)
GREY = "#595959"
NOT_KEPT = "predictions not kept"  # where an interval over users would need them


def chosen_methods(words: str) -> tuple[str, ...]:
    """Read the chapter's parameter `methods`.

    Parameters
    ----------
    words
        Keys of `flexlib.methods.tuning.ALL`, between spaces; "" for all.

    Returns
    -------
    tuple
        The keys.

    Raises
    ------
    FlexError
        Where there are not the two FlexEncoders that others are compared with, and another method.
    """
    keys = tuple(words.split()) or tuple(ALL)
    if not {REFERENCE, SET_1} < set(keys) or all(key.startswith(REFERENCE) for key in keys):
        raise FlexError(f"methods '{words}': the chapter needs {REFERENCE}, {SET_1} and another method")
    return keys


def find_tuned(tuning: Tuning, folder: str | Path = "") -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read what a `Tuning` left on its splits, or make it.

    Parameters
    ----------
    tuning
        What was tuned on what. Other methods and splits that the folder has are left out.
    folder
        Where the records are; "" to tune now.

    Returns
    -------
    records
        One row a method and split, by `flexlib.methods.tuning.COLUMNS`.
    tries
        One row a method, split and try, by `flexlib.methods.tuning.TRY_COLUMNS`.
    predictions
        Of `flexlib.methods.tuning.load_predictions`; empty where they were not kept.

    Raises
    ------
    FlexError
        Naming the file that is not in the folder, or that lacks a method.
    """
    if not folder:
        with tempfile.TemporaryDirectory() as made:
            run_tuning(tuning, Path(made))
            return _read_tuned(tuning, Path(made))
    found = _read_tuned(tuning, Path(folder))
    if missing := set(tuning.methods) - set(found[0]["method"]):
        path = Path(folder) / f"{tuning.name}.parquet"
        raise FlexError(f"{path}: does not have the methods {', '.join(sorted(missing))} on these splits")
    return found


def _read_tuned(tuning: Tuning, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    path = folder / f"{tuning.name}.parquet"
    records, tries = load_tuned(path), load_tuned(folder / f"{tuning.name}-tries.parquet", TRY_COLUMNS)
    predictions = pd.DataFrame(columns=list(PREDICTION_COLUMNS))
    kept = folder / f"{tuning.name}-predictions.parquet"
    if kept.exists():
        predictions = load_predictions(kept)
    if tuning.test_split_rate is None:
        splits = list(load_ratings(tuning.dataset).folds)[: tuning.splits]
    else:
        splits = [f"seed {seed}" for seed in range(tuning.splits)]
    records, tries, predictions = (
        own[own["method"].isin(tuning.methods) & own["split"].isin(splits)] for own in (records, tries, predictions)
    )
    return records, tries, predictions


def tries_made(tries: pd.DataFrame) -> pd.Series:
    """Count the tries that came to an RMSE.

    Parameters
    ----------
    tries
        Of `find_tuned`.

    Returns
    -------
    pd.Series
        Method to the mean number of such tries over its splits.
    """
    by_method = tries.groupby("method")
    return by_method["validation_rmse"].count() / by_method["split"].nunique()


def split_p(values: ArrayLike, test_share: float) -> float:
    """Test whether differences over random splits of the same ratings are 0 on average, corrected for their overlap.

    Parameters
    ----------
    values, test_share
        As in `flexstudy.statistics.split_interval`, whose interval at 95 % leaves out 0 where p is below 0.05.

    Returns
    -------
    float
        p of the two-sided test; NaN below two splits, and where all differences are the same.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or values.std() <= 1e-12:
        return float("nan")
    error = values.std(ddof=1) * np.sqrt(1 / len(values) + test_share / (1 - test_share))
    return float(2 * stats.t.sf(abs(values.mean()) / error, len(values) - 1))


def users_bootstrap(
    one: Mapping[str, ArrayLike],
    other: Mapping[str, ArrayLike],
    ratings: Ratings,
    splits: Mapping[str, Split],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Compute how far two methods' RMSE differ, and its interval over users, by bootstrap percentiles.

    Users are drawn with replacement, each with all test ratings that it has in any split. The networks are not trained
    anew: the interval is about other users, as the one over splits is about other splits.

    Parameters
    ----------
    one, other
        Split to the predictions of its test ratings: (n_test,) hundredths of a star in the order of `Split.test`, or
        none where the method has none.
    ratings
        The data set.
    splits
        The splits by name.
    seed
        Of the resampling.
    resamples
        How often users are drawn.

    Returns
    -------
    gap, low, high
        RMSE of `one` above that of `other`, mean over the splits that both have, in stars; NaN where there is none.

    Raises
    ------
    FlexError
        Where predictions are not as many as test ratings.
    """
    shared = [name for name in splits if len(np.asarray(one.get(name, ()))) and len(np.asarray(other.get(name, ())))]
    if not shared:
        return UNKNOWN
    squares = np.array(
        [[_squares_by_user(own[name], ratings, splits[name]) for name in shared] for own in (one, other)]
    )
    users = [ratings.users[splits[name].test] for name in shared]
    counts = np.array([np.bincount(own, minlength=ratings.n_users) for own in users])
    is_tested = counts.any(axis=0)
    squares, counts, n = squares[:, :, is_tested], counts[:, is_tested], int(is_tested.sum())
    rng, drawn = np.random.default_rng(seed), []
    for begin in range(0, resamples, 250):  # in parts, as there may be many users
        times = rng.multinomial(n, np.full(n, 1 / n), min(250, resamples - begin)).T.astype(float)
        drawn.append(_mean_gap(squares, counts, times))
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(_mean_gap(squares, counts, np.ones((n, 1)))[0]), float(low), float(high)


def _squares_by_user(hundredths: ArrayLike, ratings: Ratings, split: Split) -> NDArray[np.float64]:
    """Sum up squared errors: (n_users,)."""
    predicted = np.asarray(hundredths, float) / 100
    if len(predicted) != len(split.test):
        raise FlexError(f"{len(predicted)} predictions of {len(split.test)} test ratings: they are of another split")
    errors = predicted - ratings.values[split.test]
    return np.bincount(ratings.users[split.test], errors**2, ratings.n_users).astype(float)


def _mean_gap(
    squares: NDArray[np.float64], counts: NDArray[np.int64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean difference of RMSE over splits with each user so many times: (2, splits, n), (splits, n), (n, samples)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rmse = np.sqrt((squares @ times) / (counts @ times))
    return np.asarray((rmse[0] - rmse[1]).mean(axis=0))


def compare_methods(
    tuning: Tuning, records: pd.DataFrame, predictions: pd.DataFrame, reference: str = REFERENCE
) -> pd.DataFrame:
    """Compare tuned methods with a reference, with intervals over splits and over users: see `summarise_methods`.

    Parameters
    ----------
    tuning
        What was tuned.
    records, predictions
        Of `find_tuned`.
    reference
        Key of the method that others are compared with.

    Raises
    ------
    FlexError
        Where the reference has no RMSE on any split, or predictions are of other splits.
    """
    own = records[records["networks"] == 1]
    if not own.loc[own["method"] == reference, "rmse"].notna().any():
        raise FlexError(f"{tuning.name}: {reference} has no RMSE on any split: the chapter compares others with it")
    ratings = load_ratings(tuning.dataset)
    splits = {name: split for name, (_, split) in tuning.load_splits(ratings).items()}
    kept: dict[str, dict[str, ArrayLike]] = {key: {} for key in own["method"]}
    alone = predictions[predictions["networks"] == 1]
    for key, name, hundredths in zip(alone["method"], alone["split"], alone["hundredths"], strict=True):
        kept.setdefault(key, {})[name] = hundredths
    users = {
        key: users_bootstrap(predicted, kept[reference], ratings, splits)
        for key, predicted in kept.items()
        if key != reference
    }
    return summarise_methods(records, reference, float(own["n_test"].mean()) / len(ratings), users)


def published_rmse(key: str) -> float:
    """Look up the RMSE that Table 3 prints for a method; NaN where it is not in the table.

    The table's FlexEncoder is set 1 of Table 2, and its AutoRec the item-based one.
    """
    names = {"autorec_item": "autorec", SET_1: "flexencoder", REFERENCE: ""}
    return TABLE_3_RMSE.get(names.get(key, key), np.nan)


def summarise_methods(
    records: pd.DataFrame,
    reference: str = REFERENCE,
    test_share: float = 0.3,
    users: Mapping[str, Interval] | None = None,
) -> pd.DataFrame:
    """Compare tuned methods, each with a reference on the splits that both have.

    Parameters
    ----------
    records
        Of a `Tuning`. Rows of averaged networks do not count.
    reference
        Key of the method that `gap` is the difference to.
    test_share
        Share of the ratings that each split holds out.
    users
        Method to its `users_bootstrap` against the reference.

    Returns
    -------
    pd.DataFrame
        One row a method, the lowest level first:

        - method: its key
        - name: what tables call it
        - made_by: the library that implements it
        - n: splits with an RMSE
        - shared: splits on which it is compared with the reference
        - mean, low, high: RMSE in stars, with its 95 % interval over splits
        - level: RMSE of the reference in stars, plus the gap, by which methods are ranked; the mean, where methods have
          the same splits
        - gap, gap_low, gap_high: RMSE above that of the reference on the same splits in stars, with its 95 % interval
          over splits
        - users_low, users_high: 95 % interval of the gap over users; NaN where predictions were not kept
        - verdict: "lower" or "higher" than the reference, where both intervals say so; "open" where they do not; ""
          where there are not both
        - p: of the gap over splits, corrected over the methods (Holm); NaN where there is nothing to test
        - published: Table 3's RMSE; NaN where the method is not in it
        - rmse_known: mean RMSE in stars, of ratings whose user and item have training ratings
        - rmse_own_fallback: mean RMSE in stars, with the method's own predictions for new users and items
        - tries: settings looked at, mean over splits
        - seconds: of the final fit, mean over splits
        - tuning_minutes: mean over splits
    """
    own = records[records["networks"] == 1]
    wide = own.pivot(index="split", columns="method", values="rmse")
    base = wide[reference] if reference in wide else pd.Series(np.nan, wide.index)
    rows: list[dict[str, Any]] = []
    for key in map(str, wide.columns):
        runs, gap = own[own["method"] == key], (wide[key] - base).dropna()
        mean, over_splits = split_interval(runs["rmse"].dropna(), test_share), split_interval(gap, test_share)
        over_users = (users or {}).get(key, UNKNOWN)
        rows.append(
            {
                "method": key,
                "name": ALL[key].name,
                "made_by": ALL[key].made_by,
                "n": int(runs["rmse"].count()),
                "shared": len(gap),
                **labelled("mean", mean),
                "level": base.mean() + gap.mean() if len(gap) else mean[0],
                **labelled("gap", over_splits, "gap_"),
                "users_low": over_users[1],
                "users_high": over_users[2],
                "verdict": verdict(over_splits, over_users),
                "p": split_p(gap, test_share) if key != reference else np.nan,
                "published": published_rmse(key),
                **{str(name): mean for name, mean in runs[AVERAGED_TOO].mean().items()},
                "tuning_minutes": runs["tuning_seconds"].mean() / 60,
            }
        )
    table = pd.DataFrame(rows).sort_values("level", ignore_index=True)
    return table.assign(p=holm(table["p"]))


def verdict(over_splits: Interval, over_users: Interval) -> str:
    """Say whether a difference is below or above 0 by both of its intervals.

    Returns
    -------
    str
        "lower" or "higher"; "open" where an interval holds 0 or they disagree; "" where there are not both.
    """
    lows, highs = zip(over_splits[1:], over_users[1:], strict=True)
    if np.isnan([*lows, *highs]).any():
        return ""
    return "lower" if max(highs) < 0 else "higher" if min(lows) > 0 else "open"


def spelled_users(table: pd.DataFrame) -> list[str]:
    """Spell out the intervals over users of n rows of `summarise_methods`, or say that there is none."""
    ends = table[["users_low", "users_high"]].to_numpy()
    words = [NOT_KEPT if np.isnan(low) else f"{low:+.3f} to {high:+.3f}" for low, high in ends]
    return [
        "" if shared == 0 or gap == 0 else word
        for shared, gap, word in zip(table["shared"], table["gap"], words, strict=True)
    ]


def count_clearly_lower(against: pd.DataFrame) -> int:
    """Count the methods beside FlexEncoder's whose RMSE is clearly below that of a reference.

    Clearly: the gap over splits has a corrected p below `SIGNIFICANT`, and the interval over users is below 0. Where no
    method's predictions were kept, the splits decide alone, as `lower_by` says.

    Parameters
    ----------
    against
        Of `compare_methods`, with the reference.
    """
    is_lower = (against["gap"] < 0) & (against["p"] < SIGNIFICANT)
    if against["users_low"].notna().any():
        is_lower &= against["users_high"] < 0
    return int((is_lower & ~against["method"].str.startswith(REFERENCE)).sum())


def numbers_by_prefix(
    tables: Mapping[str, pd.DataFrame], against: Mapping[str, pd.DataFrame], made: Mapping[str, pd.Series]
) -> dict[str, Any]:
    """Name the numbers of each data set's prose, by the set's prefix.

    Parameters
    ----------
    tables
        Prefix ("a_") to the table of `summarise_methods`.
    against
        Prefix to that of `compare_methods`, with the paper's best setting.
    made
        Prefix to what `tries_made` gives.

    Returns
    -------
    dict
        Those of `comparison_numbers` and `in_table_numbers`, and with each prefix:

        - flexencoder_made: tries of FlexEncoder a split that ended well
        - clearly_lower, lower_by: of these functions
    """
    numbers: dict[str, Any] = {}
    for prefix, table in tables.items():
        own = against[prefix]
        numbers |= comparison_numbers(table, prefix, own) | in_table_numbers(own, prefix)
        numbers |= {
            f"{prefix}flexencoder_made": float(made[prefix].get("flexencoder", 0)),
            f"{prefix}clearly_lower": count_clearly_lower(own),
            f"{prefix}lower_by": lower_by(own),
        }
    return numbers


def lower_by(against: pd.DataFrame) -> str:
    """Say in words which intervals `count_clearly_lower` goes by."""
    if against["users_low"].notna().any():
        return "over splits and over users"
    return "over splits alone, as predictions were not kept"


def in_table_numbers(against: pd.DataFrame, prefix: str = "") -> dict[str, float | str]:
    """Count which methods of the paper's Table 3 are lower and higher than its best setting, by both intervals.

    Parameters
    ----------
    against
        Of `compare_methods`, with `SET_1` as the reference.
    prefix
        Of every name.

    Returns
    -------
    dict
        Name to number or text:

        - compared_in_table: methods with both intervals
        - lower_in_table, set1_lower_in_table: those below the paper's best setting, and those that it is below; NaN
          where none has both intervals
        - splits: the fewest splits that one of them shares with it; NaN where none has both intervals
        - in_table_words: all of that as a sentence
    """
    others = against[against["published"].notna() & (against["method"] != SET_1)]
    compared = others[others["verdict"] != ""]
    counts = [int((compared["verdict"] == word).sum()) for word in ("lower", "higher")]
    splits = int(compared["shared"].min()) if len(compared) else 0
    if not len(others):
        words = "None of the methods that were run is in the paper's Table 3."
    elif not len(compared):
        words = "For the methods of the paper's Table 3 there are not both intervals, so that none is called lower."
    else:
        least = f"; the fewest splits of one are {splits}" if splits < compared["shared"].max() else ""
        words = (
            f"Of {_count(len(compared), 'method')} in the paper's Table 3, {counts[0]} score a lower RMSE than its "
            f"best setting by both intervals, and {counts[1]} a higher one{least}."
        )
    known: list[float] = [*counts, splits] if len(compared) else [np.nan] * 3
    found: dict[str, float | str] = {
        "compared_in_table": len(compared),
        **dict(zip(("lower_in_table", "set1_lower_in_table", "splits"), known, strict=True)),
        "in_table_words": words,
    }
    return {f"{prefix}{name}": value for name, value in found.items()}


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def fewer_words(table: pd.DataFrame) -> str:
    """Name the methods with fewer splits than others, in a sentence; "" where all have as many.

    Parameters
    ----------
    table
        Of `summarise_methods`.
    """
    fewer = table[(table["n"] < table["n"].max()) & (table["n"] > 0)]
    if not len(fewer):
        return ""
    names = ", ".join(f"{row.name} ({row.n})" for row in fewer[["name", "n"]].itertuples(index=False))
    return f" Some methods have fewer splits than {table['n'].max()}, and are compared on those: {names}."


def span_words(value: float, low: float, high: float, form: str = ".3f", confidence: str = "95 % interval ") -> str:
    """Spell out a number with its interval in a sentence, or say that one split gives none."""
    if np.isnan(value):
        return "no RMSE"
    if np.isnan(low):
        return f"{value:{form}} (one split, so without an interval)"
    return f"{value:{form}} ({confidence}{low:{form}} to {high:{form}})"


def comparison_numbers(
    table: pd.DataFrame, prefix: str = "", against_set_1: pd.DataFrame | None = None
) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose on one data set.

    Parameters
    ----------
    table
        Of `summarise_methods`.
    prefix
        Of every name.
    against_set_1
        The same with `SET_1` as the reference, which then says how many are below it.

    Returns
    -------
    dict
        Name to number or text. Every name is there, whichever methods were run: a number that needs a method that was
        not run is NaN. "Others" are the methods beside FlexEncoder's; those "in the table" have a number in Table 3.

        - methods, others, published_others: counts
        - n, tries: the most splits and tries of a method
        - lowest: name of the method with the lowest RMSE
        - best_other, best_other_rmse (_low, _high): the best of the others
        - best_other_gap (_low, _high, _p): its difference to FlexEncoder
        - best_other_words: that difference as a sentence's end
        - best_in_table, best_in_table_rmse: the best of those in the table
        - KEY (_low, _high), of each network and of `MEANS_AND_BIASES`: RMSE in stars
        - KEY_place, KEY_beaten, KEY_beaten_in_table, of each network: its rank, and how many others are below it
        - off_published (and off_least, off_most): median (lowest, highest) difference to Table 3, in stars
        - ranks: Spearman's correlation with Table 3
        - published_words: these as sentences
        - significant: how many gaps have a corrected p below `SIGNIFICANT`
        - fewer_words: of `fewer_words`
        - set_1_words, flexencoder_words, biases_words: RMSE with its interval
    """
    rows: dict[str, dict[Any, Any]] = {row["method"]: row for row in table.to_dict("records")}
    others = table[~table["method"].str.startswith(REFERENCE)]
    in_table = table[table["published"].notna() & (table["method"] != SET_1)]
    off = in_table["mean"] - in_table["published"]
    best, best_in_table = _lowest(others), _lowest(in_table)
    gap = (best["gap"], best["gap_low"], best["gap_high"])
    ranks = float(stats.spearmanr(in_table["mean"], in_table["published"])[0]) if len(in_table) > 2 else np.nan
    found: dict[str, float | str] = {
        "methods": len(table),
        "others": len(others),
        "published_others": len(in_table),
        "n": int(table["n"].max()),
        "tries": int(table["tries"].max()),
        "lowest": table["name"].iloc[0],
        "best_other": best["name"],
        **labelled("best_other_rmse", (best["mean"], best["low"], best["high"]), "best_other_"),
        **labelled("best_other_gap", gap, "best_other_gap_"),
        "best_other_gap_p": best["p"],
        "best_other_words": span_words(*gap, form="+.3f"),
        "best_in_table": best_in_table["name"],
        "best_in_table_rmse": best_in_table["mean"],
        "off_published": float(off.median()),
        "off_least": float(off.min()),
        "off_most": float(off.max()),
        "ranks": ranks,
        "published_words": _published_words(off, ranks),
        "significant": int((table["p"] < SIGNIFICANT).sum()),
        "fewer_words": fewer_words(table),
    }
    for key in (*NETWORKS, *MEANS_AND_BIASES):
        row = rows.get(key, NOT_RUN)
        found |= labelled(key, (row["mean"], row["low"], row["high"]), f"{key}_")
    for name, key in (("set_1", SET_1), ("flexencoder", REFERENCE), ("biases", "biases")):
        row = rows.get(key, NOT_RUN)
        found[f"{name}_words"] = span_words(row["mean"], row["low"], row["high"])
    for key in NETWORKS:
        ranked = table if key != SET_1 or against_set_1 is None else against_set_1
        level = ranked.loc[ranked["method"] == key, "level"]
        if level.isna().all():
            found |= dict.fromkeys((f"{key}_place", f"{key}_beaten", f"{key}_beaten_in_table"), np.nan)
        else:
            below = ranked[ranked["level"] < level.iloc[0]]
            found |= {
                f"{key}_place": len(below) + 1,
                f"{key}_beaten": int(below["method"].isin(others["method"]).sum()),
                f"{key}_beaten_in_table": int(below["method"].isin(in_table["method"]).sum()),
            }
    return {f"{prefix}{name}": value for name, value in found.items()}


def _published_words(off: pd.Series, ranks: float) -> str:
    """Compare our RMSE with those that Table 3 quotes, in sentences."""
    off = off.dropna()
    if not len(off):
        return "None of the methods that were run has a number in Table 3."
    words = f"Over {_count(len(off), 'method')} that Table 3 quotes, our RMSE minus the quoted one is "
    words += f"{off.median():+.3f} stars at the median. "
    words += f"The differences span {off.min():+.3f} to {off.max():+.3f}." if len(off) > 1 else ""
    if not np.isnan(ranks):
        words += (
            f" The rank correlation of the two columns is {ranks:.2f}. The median says whether the level of the quoted "
            "numbers is what such methods reach without a leak, the correlation how far their order is."
        )
    return words


def biases_words(first: float, second: float) -> str:
    """Say what biases of users and films score on both data sets, in a sentence."""
    if np.isnan(first) or np.isnan(second):
        return "Biases of users and films were not among the methods that were run."
    return (
        f"Biases of users and films, without any network, score {first:.3f} and {second:.3f}, once their shrinkage is "
        "tuned."
    )


def _lowest(table: pd.DataFrame) -> dict[Any, Any]:
    """Give the row with the lowest mean, which is the first; `NOT_RUN` where there is none."""
    return next(iter(table.to_dict("records")), NOT_RUN)


def plot_methods(table: pd.DataFrame, title: str, starred: Iterable[str] = ()) -> Figure:
    """Draw the RMSE of tuned methods, the lowest first, with 95 % intervals, beside what Table 3 prints.

    Parameters
    ----------
    table
        Of `summarise_methods`.
    title
        Of the figure.
    starred
        Keys of methods whose names get a star.
    """
    height = 1.6 + 0.36 * len(table)
    figure, ax = plt.subplots(figsize=(6.5, height))
    y, is_ours = np.arange(len(table)), table["method"].str.startswith(REFERENCE).to_numpy()
    looks = ((~is_ours, GREY, "o", "other methods"), (is_ours, COLOURS["holdout"], "s", "FlexEncoder"))
    for which, colour, marker, word in looks:
        own = table[which]
        ax.errorbar(
            own["mean"],
            y[which],
            xerr=bar_lengths(own),
            fmt=marker,
            capsize=3,
            color=colour,
            markersize=6,
            label=f"{word}, held-out ratings (leak-free)",
        )
    stars = set(starred)
    names = [
        fill(name + (" *" if key in stars else ""), 24)
        for key, name in zip(table["method"], table["name"], strict=True)
    ]
    ax.plot(table["published"], y, "x", color=COLOURS["paper"], markersize=8, mew=2, label="Table 3 of the paper")
    ax.set(title=title, xlabel="RMSE (stars)", yticks=y, yticklabels=names)
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize="small")
    legend_below(ax, down=0.8 / height)
    return figure

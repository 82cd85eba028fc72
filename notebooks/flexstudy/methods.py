"""Chapter 8, other methods: whether FlexEncoder's error is lower than theirs, tuned alike on the same splits.

The chapter reads the records of two `Tuning`s, on the paper's data and on the MovieLens 100K of 1998. One method is
lower than another where two intervals of their difference say so: over splits, and over users.

References
----------
Tran et al. (2018), Table 3. Holm (1979) for the correction of p. Nadeau and Bengio (2003) for splits that overlap.
Efron (1979) for the bootstrap.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from flexlib.config import FlexError
from flexlib.data import Ratings, Split
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
from flexstudy.statistics import CONFIDENCE, SIGNIFICANT, UNKNOWN, Interval, holm, labelled, spelled, split_interval
from flexstudy.style import COLOURS, bar_lengths, title_left

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
        splits = list(tuning.load().folds)[: tuning.splits]
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
    ratings = tuning.load()
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


def compare_with_paper(tuning: Tuning, records: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare tuned methods with the paper's best setting: `compare_methods`, without a row where that was not run."""
    if records.loc[records["method"] == SET_1, "rmse"].isna().all():
        return pd.DataFrame(columns=["method", "gap", "p", "users_low", "users_high"])
    return compare_methods(tuning, records, predictions, SET_1)


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
    method's predictions were kept, the splits decide alone.

    Parameters
    ----------
    against
        Of `compare_methods`, with the reference.
    """
    is_lower = (against["gap"] < 0) & (against["p"] < SIGNIFICANT)
    if against["users_low"].notna().any():
        is_lower &= against["users_high"] < 0
    return int((is_lower & ~against["method"].str.startswith(REFERENCE)).sum())


def numbers_by_prefix(tables: Mapping[str, pd.DataFrame], against: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Name the numbers of each data set's prose, by the set's prefix.

    Parameters
    ----------
    tables
        Prefix ("a_") to the table of `summarise_methods`.
    against
        Prefix to that of `compare_methods`, with the paper's best setting.

    Returns
    -------
    dict
        Those of `comparison_numbers` and `in_table_numbers`, and with each prefix:

        - clearly_lower: of `count_clearly_lower`
    """
    numbers: dict[str, Any] = {}
    for prefix, table in tables.items():
        own = against[prefix]
        numbers |= comparison_numbers(table, prefix, own) | in_table_numbers(own, prefix)
        numbers[f"{prefix}clearly_lower"] = count_clearly_lower(own)
    return numbers


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
    """
    others = against[against["published"].notna() & (against["method"] != SET_1)]
    compared = others[others["verdict"] != ""]
    counts = [int((compared["verdict"] == word).sum()) for word in ("lower", "higher")]
    known: list[float] = [*counts] if len(compared) else [np.nan] * 2
    found: dict[str, float | str] = {
        "compared_in_table": len(compared),
        **dict(zip(("lower_in_table", "set1_lower_in_table"), known, strict=True)),
    }
    return {f"{prefix}{name}": value for name, value in found.items()}


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

        - others: how many there are
        - n, fewest: the most splits of a method, and the fewest
        - best_other, best_other_rmse: the best of the others
        - best_in_table, best_in_table_rmse: the best of those in the table
        - KEY (_low, _high), of each network and of `MEANS_AND_BIASES`: RMSE in stars
        - KEY_place, KEY_beaten, KEY_beaten_in_table, of each network: its rank, and how many others are below it
        - off_published: median difference to Table 3, in stars
        - set_1_off: that of the paper's best setting
    """
    rows: dict[str, dict[Any, Any]] = {row["method"]: row for row in table.to_dict("records")}
    others = table[~table["method"].str.startswith(REFERENCE)]
    in_table = table[table["published"].notna() & (table["method"] != SET_1)]
    off = in_table["mean"] - in_table["published"]
    best, best_in_table = _lowest(others), _lowest(in_table)
    found: dict[str, float | str] = {
        "others": len(others),
        "n": int(table["n"].max()),
        "fewest": int(table["n"].min()),
        "best_other": best["name"],
        "best_other_rmse": best["mean"],
        "best_in_table": best_in_table["name"],
        "best_in_table_rmse": best_in_table["mean"],
        "off_published": float(off.median()),
        "set_1_off": rows.get(SET_1, NOT_RUN)["mean"] - published_rmse(SET_1),
    }
    for key in (*NETWORKS, *MEANS_AND_BIASES):
        row = rows.get(key, NOT_RUN)
        found |= labelled(key, (row["mean"], row["low"], row["high"]), f"{key}_")
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


def beaten_words(against: pd.DataFrame) -> str | float:
    """Say how many methods score lower than the paper's best setting; NaN where that was not run.

    Parameters
    ----------
    against
        Of `compare_with_paper`.
    """
    if against.empty:
        return math.nan
    others = against[~against["method"].str.startswith(REFERENCE)]
    lower, clearly = (others["gap"] < 0).sum(), count_clearly_lower(against)
    return f"Tuned alike, {lower} of {len(others)} other methods score lower leak-free. The gap is clear for {clearly}."


def lowest_words(first: str, second: str) -> str:
    """Name the lowest of the other methods on both data sets, as a sentence's end."""
    return f"{first} on both" if first == second else f"{first} on the first, and {second} on the second"


def _lowest(table: pd.DataFrame) -> dict[Any, Any]:
    """Give the row with the lowest mean, which is the first; `NOT_RUN` where there is none."""
    return next(iter(table.to_dict("records")), NOT_RUN)


def printed_table(against: pd.DataFrame) -> pd.DataFrame:
    """Lay out the methods of the paper's Table 3 beside its best setting, for reading.

    Parameters
    ----------
    against
        Of `compare_methods`, with `SET_1`.

    Returns
    -------
    pd.DataFrame
        One row a method with a number in Table 3, the lowest first.
    """
    own = against[against["published"].notna() & (against["method"] != SET_1)]
    texts = {
        "method": own["name"],
        "the paper prints": own["published"].map("{:.3f}".format),
        "our RMSE": own["mean"].map("{:.3f}".format),
        "above the paper's setting": spelled(own, "gap", "gap_low", "gap_high"),
        "over users": spelled_users(own),
        "verdict": own["verdict"],
    }
    return pd.DataFrame(texts).set_index("method")


def every_comparison(tables: Sequence[tuple[str, pd.DataFrame]], made: Sequence[pd.Series]) -> pd.DataFrame:
    """Put every method on every data set into one table, for a download.

    Parameters
    ----------
    tables
        Names of the data sets, each with a table of `compare_methods`.
    made
        Of `tries_made`, on each.
    """
    parts = [
        own.assign(dataset=name, made=own["method"].map(count)) for (name, own), count in zip(tables, made, strict=True)
    ]
    return pd.concat(parts).set_index(["dataset", "method"])


def below_words(against: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """Count the methods beside FlexEncoder's that are below the paper's best setting: "11 of 18 on ml-100k, ..."."""
    parts = []
    for name, own in against:
        others = own[~own["method"].str.startswith(REFERENCE)]
        parts.append(f"{(others['gap'] < 0).sum()} of {len(others)} on {name}")
    return ", ".join(parts)


def plot_gaps(against: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Draw how far methods are from the paper's best setting, a panel a data set, with 95 % intervals over splits.

    Rows are the same in all panels, the lowest of the first first. Marks are filled where both intervals, over splits
    and over users, leave out 0.

    Parameters
    ----------
    against
        Names of the data sets, each with its table of `compare_methods`, with `SET_1`.
    """
    first = against[0][1]
    order = [key for key in first["method"] if key != SET_1]
    names = first.set_index("method")["name"]
    titles = [f"{fill(name, 44 // len(against))}\nn = {table['n'].max()} splits" for name, table in against]
    title = f"Left of the line: lower error than the paper's best setting,\n{fill(below_words(against), 62)}"
    # Names of synthetic data and of one's own files are long; the panels keep their height beside few methods.
    more_lines = max(text.count("\n") for text in titles) + title.count("\n") - 2
    figure, axes = plt.subplots(
        1,
        len(against),
        figsize=(6.5, 1.7 + 0.3 * max(len(order), 2) + 0.2 * more_lines),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for ax, panel, (_, table) in zip(axes[0], titles, against, strict=True):
        own = table.set_index("method").reindex(order)
        bars = bar_lengths(own[["gap", "gap_low", "gap_high"]].set_axis(["gap", "low", "high"], axis=1), "gap")
        ax.axvline(0, color=COLOURS["holdout"], linewidth=1.5)
        for y, key in enumerate(order):
            is_ours, row = key.startswith(REFERENCE), own.loc[key]
            ax.errorbar(
                row["gap"],
                y,
                xerr=bars[:, [y]],
                fmt="s" if is_ours else "o",
                color=COLOURS["holdout"] if is_ours else GREY,
                fillstyle="full" if row["verdict"] in ("lower", "higher") else "none",
                markersize=6,
                capsize=2,
                label=names[key],
            )
        ax.set_title(panel, fontsize="small")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.tick_params(axis="x", labelsize="x-small")
        ax.tick_params(axis="y", labelsize="small")
        ax.grid(axis="y", linewidth=0.5)
    axes[0, 0].set(yticks=range(len(order)), yticklabels=[names[key] for key in order])
    axes[0, 0].invert_yaxis()
    title_left(figure, title)
    figure.supxlabel("RMSE above that of the paper's best setting (stars)", fontsize="small")
    figure.tight_layout()
    return figure


def beside_printed(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Set what the paper's Table 3 prints beside our RMSE on the data that the number is of.

    Parameters
    ----------
    first, second
        Of `summarise_methods`, on the paper's data, which the number of its own setting is of, and on those that the
        other numbers are quoted on.

    Returns
    -------
    pd.DataFrame
        One row a method in Table 3, the lowest printed first: method, name, mean and published, in stars.
    """
    own = pd.concat([first[first["method"] == SET_1], second[second["method"] != SET_1]])
    own = own[own["published"].notna()].sort_values("published", ignore_index=True)
    return own[["method", "name", "mean", "published"]]


def plot_printed(table: pd.DataFrame) -> Figure:
    """Draw what the paper's Table 3 prints beside our RMSE.

    Parameters
    ----------
    table
        Of `beside_printed`.
    """
    y = np.arange(len(table))
    figure, ax = plt.subplots(figsize=(6.5, 1.9 + 0.33 * max(len(table), 2)))
    both = table[["published", "mean"]]
    ax.hlines(y, both.min(axis=1), both.max(axis=1), color=GREY, linewidth=1)
    looks = (("published", "mean", "x", "printed", "paper"), ("mean", "published", "o", "ours", "holdout"))
    for name, other, marker, word, protocol in looks:
        style: dict[str, Any] = dict(color=COLOURS[protocol], markersize=7, mew=2, zorder=3 if marker == "x" else 2)
        ax.plot(table[name], y, marker, label=word, **style)
        if len(table):  # the first row's marks have their words above them
            value, side = table[name].iloc[0], "right" if table[name].iloc[0] <= table[other].iloc[0] else "left"
            ax.annotate(word, (value, -0.6), color=COLOURS[protocol], ha=side, va="center", fontsize="small")
    ax.set(xlabel="RMSE (stars)", yticks=y, yticklabels=table["name"], ylim=(len(table) - 0.4, -1.1), xmargin=0.2)
    ax.tick_params(labelsize="small")
    title_left(figure, _printed_title(table))
    figure.tight_layout()
    return figure


def _printed_title(table: pd.DataFrame) -> str:
    """Say how far our RMSE is from that of Table 3: for the paper's own setting, and at the median for the others."""
    off = (table["mean"] - table["published"]).groupby(table["method"] == SET_1).median().dropna()
    words = {True: "set 1", False: "the others' median"}
    told = [f"{words[key]} {off[key]:+.3f}" for key in words if key in off]
    return "Our RMSE above the printed one:\n" + (", ".join(told) or "no method of Table 3 was run")

"""The authors' own runs, run again: reading their log, and how far our RMSE agrees with theirs.

A replay makes the log's settings anew, under the released protocol. What is kept of it, beside its records, is the
report that the command `replay` writes and chapter 2 reads.

References
----------
Tran et al. (2018), Sections 4.2 and 4.4. Efron (1979) for the bootstrap.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from flexlib.config import FlexConfig, FlexError, Protocol, first_line
from flexlib.data import Ratings, split_ratings
from flexlib.runs.cost import estimate_cost
from flexlib.runs.plan import Plan
from flexlib.runs.records import config_of
from flexlib.runs.run import run_one
from flexstudy.repetitions import PIVOT_TEXTS
from flexstudy.statistics import Interval, bootstrap, labelled, spearman

# Columns of the authors' log, by our names of their parameters (Table 1, and two switches beyond it).
LOG_COLUMNS = {
    "learning_rate": "mp_learning_rate",
    "weight_decay": "mp_weight_decay",
    "hidden_layers": "mp_hidden_layers",
    "drop_probability": "mp_drop_prob",
    "noise_probability": "mp_noise_prob",
    "train_batch_size": "mp_train_batch_size",
    "epochs": "mp_num_epochs",
    "optimizer": "mp_optimizer",
    "activation": "mp_activation",
    "dense_refeeding": "mp_aug_step",
    "dense_refeeding_rounding": "mp_aug_step_floor",
    "decoder_constraint": "mp_decoder_constraint",
    "mean_normalization": "mp_normalize_data",
    "prediction_rounding": "mp_prediction_floor",
    "pivot_indexes": "dp_pivot_indexes",
    "test_masking_rate": "mp_test_masking_rate",
    "test_split_rate": "dp_test_split_rate",
    "output_activation": "mp_last_layer_activations",
    "loss_size_average": "mp_loss_size_average",
}
BEYOND_TABLE_1 = ("output_activation", "loss_size_average")  # the two switches
LOG_RMSE, LOG_SECONDS, LOG_RMSE_1M = "_RMSE", "_learn_time", "1m"  # its other columns; the last may be empty

CLOSEST = "released-padded, else released"
SAME_ROWS = "released, on the rows of released-padded"
CONSTANT_STARS = 2.5  # which the released rounding (PrR) makes of NaN
CLOSE_TO_CONSTANT = 0.05  # stars: how far apart the RMSE of that constant may be on two splits
LOW_STARS = 0.91  # of user-based runs, and what the paper's Section 4.4 says that most of them have in common:
LOW_TRAITS = {"optimizer": "adam", "activation": "selu", "dense_refeeding": 1, "mean_normalization": True}
USER_BAND = (0.895, 0.915)  # stars, the second left out: what rounds to the 0.90 and 0.91 of that section
QUANTILES = 201  # of the log's RMSE
RESAMPLES = 400  # of a bootstrap interval
RERUN = 10  # of the rows that disagree most
RERUN_SECONDS = 20.0  # of a run's estimate, above which it is not run again


def read_authors_records(path: Path | str) -> tuple[list[FlexConfig], pd.DataFrame]:
    """Read the authors' log, a CSV file with a row a run.

    Parameters
    ----------
    path
        Of the file.

    Returns
    -------
    configs
        Configuration of each row.
    authors
        One row a row of the file:

        - record: its place, from 0
        - published: RMSE, in stars
        - seconds: of training
        - published_1m: RMSE on MovieLens 1M, in stars; NaN where there is none
        - repeated: whether other rows have this setting and another RMSE

    Raises
    ------
    FlexError
        Naming the file, the line and the value.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise FlexError(f"{path}: cannot be read ({first_line(error)})") from None
    for column in [*LOG_COLUMNS.values(), LOG_RMSE, LOG_SECONDS, LOG_RMSE_1M]:
        if column not in table.columns:
            raise FlexError(f"{path}: no column '{column}'")
    if table.empty:
        raise FlexError(f"{path}: no rows")
    configs, rows = [], []
    for place, row in enumerate(table.to_dict("records")):
        try:
            configs.append(_read_config(row))
            rows.append(
                {
                    "record": place,
                    "published": _read_number(row, LOG_RMSE),
                    "seconds": _read_number(row, LOG_SECONDS),
                    "published_1m": _read_number(row, LOG_RMSE_1M) if row[LOG_RMSE_1M] else np.nan,
                }
            )
        except FlexError as error:
            raise FlexError(f"{path}, line {place + 2}: {error}") from None
    authors = pd.DataFrame(rows)
    authors["repeated"] = authors["published"].groupby(_setting_texts(configs)).transform("nunique") > 1
    return configs, authors


def _read_config(row: Mapping[Any, str]) -> FlexConfig:
    values = {ours: _read_value(row[theirs]) for ours, theirs in LOG_COLUMNS.items()}
    if type(values["hidden_layers"]) is int:
        values["hidden_layers"] = [values["hidden_layers"]]
    return FlexConfig.from_dict(values)


def _read_value(text: str) -> Any:
    """Read a switch, a list, a number or a word."""
    try:
        return json.loads(text.lower())
    except (ValueError, RecursionError):
        return text


def _read_number(row: Mapping[Any, str], column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise FlexError(f"{column}: '{row[column]:.60}' is not a finite number of at least 0")
    return number


def _setting_texts(configs: Sequence[FlexConfig]) -> pd.Series:
    """Write each configuration as a text, equal where they are."""
    return pd.Series([json.dumps(config.to_dict()) for config in configs])


def summarise_authors(configs: Sequence[FlexConfig], authors: pd.DataFrame) -> dict[str, Any]:
    """Summarise the authors' log, which itself may not be kept.

    Parameters
    ----------
    configs, authors
        Of `read_authors_records`.

    Returns
    -------
    dict
        Plain values for JSON, by name:

        - rows: how many there are
        - repeated_rows: those that repeat another, result included
        - one_at_a_time: those that differ from `FlexConfig`'s defaults in one parameter or none
        - distinct_settings: different settings
        - low_users: of each different user-based row of `LOW_STARS` or less, whether it has all `LOW_TRAITS`
        - user_band: of the different user-based rows in `USER_BAND`, "n" and by parameter of `LOW_TRAITS` the counts
        - hours: of training, in all
        - counts: parameter to its values (as JSON) and their numbers of rows
        - random_counts: the same of the rows that are not `one_at_a_time`
        - lowest, highest: RMSE, in stars
        - pivots: "user" and "item" to n, to different (rows that repeat no other), to below_1 (rows with less than 1
          star) and to rmse_quantiles, `QUANTILES` in even steps
        - correlations: "pearson" and "spearman" to those of numbers and switches, RMSE among them
    """
    table = pd.DataFrame([config.to_dict() for config in configs])[list(LOG_COLUMNS)]
    item_based = np.array([config.item_based for config in configs])
    texts = table.map(json.dumps)
    default = pd.Series(FlexConfig().to_dict())[list(LOG_COLUMNS)].map(json.dumps)
    numeric = table.select_dtypes(["number", "bool"]).astype(float).assign(rmse=authors["published"])
    rmse = authors["published"]
    repeated = texts.assign(rmse=rmse).duplicated()
    designed = (texts != default).sum(axis=1) <= 1
    low = table[~item_based & (rmse <= LOW_STARS) & ~repeated]
    band = texts[~item_based & rmse.between(*USER_BAND, inclusive="left") & ~repeated]
    return {
        "rows": len(table),
        "repeated_rows": int(repeated.sum()),
        "one_at_a_time": int(designed.sum()),
        "distinct_settings": len(texts.drop_duplicates()),
        "low_users": (low[list(LOW_TRAITS)] == pd.Series(LOW_TRAITS)).all(axis=1).tolist(),
        "user_band": {"n": len(band)} | _count_values(band[list(LOW_TRAITS)]),
        "hours": float(authors["seconds"].sum() / 3600),
        "counts": _count_values(texts),
        "random_counts": _count_values(texts[~designed]),
        "lowest": float(rmse.min()),
        "highest": float(rmse.max()),
        "pivots": {
            name: {
                "n": int(rows.sum()),
                "different": int((rows & ~repeated).sum()),
                "below_1": int((rmse[rows] < 1).sum()),
                "rmse_quantiles": _quantiles(rmse[rows]),
            }
            for name, rows in (("user", ~item_based), ("item", item_based))
        },
        "correlations": {
            method: numeric.corr(method).round(4).astype(object).where(lambda t: t.notna(), None).to_dict()
            for method in ("pearson", "spearman")
        },
    }


def _count_values(texts: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count by column how many rows have each value."""
    return {str(name): {str(text): int(n) for text, n in texts[name].value_counts().items()} for name in texts}


def _quantiles(values: pd.Series) -> list[float]:
    steps = np.linspace(0, 1, QUANTILES)
    return [round(float(value), 4) for value in np.quantile(values, steps)] if len(values) else []


def compare_replay(records: pd.DataFrame, authors: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Set our RMSE beside theirs.

    Parameters
    ----------
    records
        Of a replay.
    authors
        Of `read_authors_records`.
    protocol
        Of the records that are compared.

    Returns
    -------
    pd.DataFrame
        The protocol's records that ended well, and what the log has of them:

        - published: RMSE, in stars
        - gap: our RMSE minus theirs, in stars
        - published_seconds: of training
        - published_1m, repeated: as in `read_authors_records`
    """
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    known = authors.rename(columns={"seconds": "published_seconds"})
    table = own.merge(known, on="record", how="left", validate="one_to_one")
    return table.assign(gap=table["rmse"] - table["published"])


def agreement(compared: pd.DataFrame) -> pd.DataFrame:
    """Measure how far our RMSE agrees with the log's.

    Parameters
    ----------
    compared
        Of `compare_replay`.

    Returns
    -------
    pd.DataFrame
        One row a group of runs, by its name; intervals are of 95 %, by bootstrap percentiles. Settings are drawn, each
        with all of its runs: copies of one are not independent:

        - n, settings: runs, and their different settings
        - spearman, low, high: rank correlation
        - by_setting, by_setting_low, by_setting_high: rank correlation of the settings' median RMSE
        - median, median_low, median_high: of the absolute difference, in stars
        - p90: 90th percentile of the absolute difference, in stars
        - shift: median of our RMSE minus theirs, in stars
    """
    settings = _setting_texts([config_of(row) for _, row in compared.iterrows()]).to_numpy(dtype=object)
    rows = {}
    for name, chosen in _groups(compared).items():
        group = compared[chosen]
        theirs, ours, own = group["published"].to_numpy(), group["rmse"].to_numpy(), settings[chosen.to_numpy()]
        medians = group[["published", "rmse"]].groupby(own).median()
        rows[name] = _closeness(theirs, ours) | {"settings": len(medians), "shift": group["gap"].median()}
        rows[name] |= labelled("spearman", clustered_interval(spearman, own, theirs, ours))
        span = clustered_interval(_median_gap, own, theirs, ours)
        rows[name] |= {"median_low": span[1], "median_high": span[2]}
        by_setting = clustered_interval(spearman, medians.index, medians["published"], medians["rmse"])
        rows[name] |= labelled("by_setting", by_setting, "by_setting_")
    return pd.DataFrame(rows).T


def clustered_interval(
    statistic: Callable[..., float], clusters: ArrayLike, *columns: ArrayLike, resamples: int = RESAMPLES
) -> Interval:
    """Compute a statistic of paired columns and its interval, by a bootstrap over clusters of rows.

    Parameters
    ----------
    statistic
        Takes the columns, gives a number.
    clusters
        (n,) labels: rows of one label are drawn together.
    *columns
        (n,) each.
    resamples
        How many samples are drawn.

    Returns
    -------
    value, low, high
        In the statistic's unit, at 95 %; the ends are NaN below 3 clusters.
    """
    arrays, codes = [np.asarray(column) for column in columns], pd.factorize(np.asarray(clusters))[0]
    value = float(statistic(*arrays)) if len(codes) else np.nan
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1]) if len(codes) else []

    def of_drawn(drawn: NDArray[np.intp]) -> float:
        chosen = np.concatenate([rows[cluster] for cluster in drawn])
        return statistic(*(array[chosen] for array in arrays))

    _, low, high = bootstrap(of_drawn, np.arange(len(rows)), resamples=resamples)
    return value, low, high


def _groups(compared: pd.DataFrame) -> dict[str, pd.Series]:
    """Say of groups of runs, by name, which runs are theirs."""
    pivot, is_refed = compared["pivot_indexes"], compared["dense_refeeding"] > 0
    is_normalized = compared["mean_normalization"].astype(bool)
    return {
        "all": pivot.notna(),
        "user-based": pivot == PIVOT_TEXTS["user-based"],
        "item-based": pivot == PIVOT_TEXTS["item-based"],
        "with mean normalization": is_normalized,
        "without mean normalization": ~is_normalized,
        "without re-feeding": ~is_refed,
        "with re-feeding": is_refed,
        "with mean normalization, without re-feeding": is_normalized & ~is_refed,
        "settings that the authors ran again": compared["repeated"].astype(bool),
    }


def _median_gap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.median(np.abs(other - one)))


def authors_repeats(configs: Sequence[FlexConfig], authors: pd.DataFrame, shuffles: int = 200) -> dict[str, float]:
    """Measure how far the authors' own runs of one setting agree, which no replay can be expected to beat.

    Rows that share a setting are paired at random: the log is sorted by RMSE, so neighbours agree by construction.
    Rows that share the result too are one run, logged twice.

    Parameters
    ----------
    configs, authors
        Of `read_authors_records`.
    shuffles
        Random pairings.

    Returns
    -------
    dict
        Means over the pairings of n (pairs), spearman, median and p90, as in `agreement`.
    """
    once = authors.assign(setting=_setting_texts(configs)).drop_duplicates(["setting", "published"])
    codes, rmse = pd.factorize(once["setting"])[0], once["published"].to_numpy()
    rng, found = np.random.default_rng(0), []
    for _ in range(shuffles):
        order = np.lexsort((rng.random(len(codes)), codes))
        place = np.arange(len(order)) - np.searchsorted(codes[order], codes[order])  # within the setting
        first = np.flatnonzero((place[:-1] % 2 == 0) & (codes[order][:-1] == codes[order][1:]))
        found.append(_closeness(rmse[order[first]], rmse[order[first + 1]]))
    return {str(name): float(value) for name, value in pd.DataFrame(found).mean().items()}


def _closeness(one: ArrayLike, other: ArrayLike) -> dict[str, float]:
    gap = pd.Series(np.abs(np.subtract(one, other)))
    ends = {"median": float(gap.median()), "p90": float(gap.quantile(0.9))}
    return {"n": len(gap), "spearman": spearman(one, other)} | ends


def disagreements(
    compared: pd.DataFrame,
    plan: Plan,
    seed: int,
    device: str | None = None,
    n: int = RERUN,
    max_seconds: float = RERUN_SECONDS,
) -> pd.DataFrame:
    """Run the rows again that disagree most, to see why.

    Parameters
    ----------
    compared
        Of `compare_replay`, for `released`.
    plan, seed
        Of the replay.
    device
        By default cuda where there is one, else cpu.
    n
        Rows.
    max_seconds
        Of a run's estimate, above which it is not made.

    Returns
    -------
    pd.DataFrame
        One row a row of the log, the largest gap first:

        - record: its place
        - published, rmse: theirs and ours, in stars
        - again_1, again_2: ours under two more seeds, in stars; infinite where it diverges, NaN where it is not made
        - padded: ours with the zero rows re-fed, likewise
        - reason: one of those below, or more

        The reasons: "NaN handling" where rounding is on and the published RMSE is that of a constant. "chaotic" where
        our own runs spread over half the gap or more, or diverge under another seed. "padding" where re-feeding the
        zero rows at least halves the gap.
    """
    ratings = plan.load()
    once, twice = (_with_seed(plan, seed + more) for more in (1, 2))
    worst = compared.loc[compared["gap"].abs().nlargest(n).index]
    rows = []
    for _, row in tqdm(worst.iterrows(), total=len(worst), desc="rows that disagree most"):
        known = {name: row[name] for name in ("record", "published", "rmse")}
        others = {
            "again_1": _rerun(once, ratings, row["record"], "released", max_seconds, device),
            "again_2": _rerun(twice, ratings, row["record"], "released", max_seconds, device),
            "padded": _rerun(plan, ratings, row["record"], "released-padded", max_seconds, device),
        }
        rows.append(known | others | {"reason": _explain(row, others, ratings)})
    columns = ["record", "published", "rmse", "again_1", "again_2", "padded", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _with_seed(plan: Plan, seed: int) -> Plan:
    """Make a replay's plan with another seed."""
    return Plan.replay(plan.dataset, plan.protocols, plan.configs, seed, columns=plan.columns, scale=plan.scale)


def _explain(row: pd.Series, others: Mapping[str, float], ratings: Ratings) -> str:
    """Name the reasons why a row disagrees, of those in `disagreements`."""
    gap, published = abs(row["rmse"] - row["published"]), row["published"]
    ours = [row["rmse"], others["again_1"], others["again_2"]]
    is_rounded = bool(row["prediction_rounding"])
    reasons = {
        "NaN handling": is_rounded and abs(_rmse_of_constant(ratings, row) - published) < CLOSE_TO_CONSTANT,
        "chaotic": np.nanmax(ours) - np.nanmin(ours) >= gap / 2,
        "padding": abs(others["padded"] - published) <= gap / 2,
    }
    found = ", ".join(reason for reason, holds in reasons.items() if holds)
    return found or ("too costly to rerun" if np.isnan(list(others.values())).all() else "not explained")


def _rmse_of_constant(ratings: Ratings, row: pd.Series) -> float:
    """Score `CONSTANT_STARS` for all on the row's test ratings."""
    test = split_ratings(ratings, row["test_split_rate"], int(row["seed"])).test
    return float(np.sqrt(np.mean((ratings.values[test].astype(float) - CONSTANT_STARS) ** 2)))


def _rerun(plan: Plan, ratings: Ratings, record: int, protocol: str, max_seconds: float, device: str | None) -> float:
    """Give the RMSE of a run: infinite where it diverges, NaN where it would take too long."""
    seconds = estimate_cost(plan.configs[record], ratings, Protocol.named(protocol).pad_refeeding).seconds
    if seconds > max_seconds:
        return np.nan
    rmse = run_one(plan.run(record, protocol, seconds), ratings, device)["rmse"]
    return np.inf if rmse is None else rmse


def lost_runs(
    records: pd.DataFrame,
    authors: pd.DataFrame,
    plan: Plan,
    device: str | None = None,
    protocol: str = "released",
    max_seconds: float = RERUN_SECONDS,
) -> pd.DataFrame:
    """List the rows that diverged here, though the log has an RMSE.

    Parameters
    ----------
    records, plan
        Of the replay.
    authors
        Of `read_authors_records`.
    device
        By default cuda where there is one, else cpu.
    protocol
        Of the records that are looked at.
    max_seconds
        Of a run's estimate, above which it is not made.

    Returns
    -------
    pd.DataFrame
        One row a row of the log:

        - record: its place
        - published: theirs, in stars
        - rmse_of_diverged: what the released rounding scores, in stars; NaN without rounding
        - padded: ours with the zero rows re-fed, in stars; NaN where `rmse_of_diverged` is the published RMSE to
          `CLOSE_TO_CONSTANT`, and where the run is not made
    """
    lost = records[(records["protocol"] == protocol) & (records["status"] == "diverged")]
    lost = lost.merge(authors, on="record")[["record", "published", "rmse_of_diverged"]]
    explained = (lost["rmse_of_diverged"] - lost["published"]).abs() < CLOSE_TO_CONSTANT
    ratings = plan.load()
    lost["padded"] = [
        np.nan if known else _rerun(plan, ratings, int(record), "released-padded", max_seconds, device)
        for record, known in zip(tqdm(lost["record"], desc="runs lost here, with padding"), explained, strict=True)
    ]
    return lost


def agreement_map(compared: pd.DataFrame, low: float = 0.8, high: float = 12.0, bins: int = 48) -> dict[str, Any]:
    """Count runs by the log's RMSE and ours.

    Parameters
    ----------
    compared
        Of `compare_replay`.
    low, high
        Ends of the grid, in stars; our RMSE above counts in the last bin.
    bins
        In even logarithmic steps, along both axes.

    Returns
    -------
    dict
        edges, (bins + 1,) in stars; and counts, (bins, bins) lists: theirs, then ours.
    """
    edges = np.geomspace(low, high, bins + 1)
    counts, *_ = np.histogram2d(compared["published"], compared["rmse"].clip(upper=high), [edges, edges])
    return {"edges": edges.round(4).tolist(), "counts": counts.astype(int).tolist()}


def closest_runs(records: pd.DataFrame) -> pd.DataFrame:
    """Choose for each row of the log the run that repeats most of the released code.

    Parameters
    ----------
    records
        Of a replay.

    Returns
    -------
    pd.DataFrame
        Records under `released-padded` where that was made, else under `released`; their protocol reads `CLOSEST`.
    """
    made = records[(records["status"] != "skipped") & records["protocol"].isin(["released", "released-padded"])]
    return made.sort_values("protocol").drop_duplicates("record", keep="last").assign(protocol=CLOSEST)


def diverged_last(records: pd.DataFrame, authors: pd.DataFrame) -> float:
    """Correlate the `closest_runs` with the log by rank, where those that diverged count as worse than all others."""
    made = closest_runs(records)
    made = made[made["status"].isin(["ok", "diverged"])].merge(authors, on="record")
    return spearman(made["published"], made["rmse"].fillna(np.inf))


def replay_report(
    records: pd.DataFrame, authors: pd.DataFrame, plan: Plan, seed: int, device: str | None = None
) -> dict[str, Any]:
    """Gather all that is kept of a replay beside its records.

    Parameters
    ----------
    records, plan, seed
        Of the replay.
    authors
        Of `read_authors_records`.
    device
        By default cuda where there is one, else cpu.

    Returns
    -------
    dict
        Plain values for JSON, by name:

        - authors: `summarise_authors`
        - authors_repeats: `authors_repeats`
        - agreement: that of the `closest_runs`, of `released`, of `released-padded` where there is any, and of
          `released` on the same rows (`SAME_ROWS`)
        - map: `agreement_map` of the closest
        - diverged_last: of the closest
        - disagreements, lost_runs: of `released`
        - seconds: of training under `released`, "ours" and "authors", of the rows that are compared
    """
    compared = {CLOSEST: compare_replay(closest_runs(records), authors, CLOSEST)}
    compared |= {name: compare_replay(records, authors, name) for name in ("released", "released-padded")}
    released, padded = compared["released"], compared["released-padded"]
    if not padded.empty:
        compared[SAME_ROWS] = released[released["record"].isin(padded["record"])]
    report = {
        "authors": summarise_authors(plan.configs, authors),
        "authors_repeats": authors_repeats(plan.configs, authors),
        "agreement": {name: _plain(agreement(table)) for name, table in compared.items() if len(table)},
        "map": agreement_map(compared[CLOSEST]),
        "diverged_last": diverged_last(records, authors),
        "disagreements": _plain(disagreements(released, plan, seed, device)),
        "lost_runs": _plain(lost_runs(records, authors, plan, device)),
        "seconds": {
            "ours": float(released["seconds"].sum()),
            "authors": float(released["published_seconds"].sum()),
        },
    }
    return dict(json.loads(json.dumps(report).replace("NaN", "null")))


def _plain(table: pd.DataFrame) -> dict[str, Any]:
    """Make a mapping of row labels to cells; None for what is not finite."""
    return dict(json.loads(table.to_json(orient="index")))

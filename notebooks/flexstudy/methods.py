"""Chapter 8, other methods: whether FlexEncoder's error is lower than theirs, tuned alike on the same splits.

The chapter reads the records of two `Tuning`s, on the paper's data and on the MovieLens 100K of 1998.

References
----------
Tran et al. (2018), Table 3. Holm (1979) for the correction of p.
"""

import tempfile
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from flexlib.config import FlexError
from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import ALL, TRY_COLUMNS, Tuning, load_tuned, run_tuning
from flexstudy.paper import TABLE_3_RMSE
from flexstudy.statistics import SIGNIFICANT, holm, labelled, mean_interval
from flexstudy.style import COLOURS, bar_lengths, legend_below

REFERENCE = "flexencoder"  # the method that others are compared with; the keys of its relatives begin alike
SET_1 = "flexencoder_set1"
MEANS_AND_BIASES = ("biases", "item_mean")  # whose errors the prose names
AVERAGED_TOO = ["rmse_known", "rmse_own_fallback", "tries", "seconds"]
NOT_RUN: dict[Any, Any] = dict.fromkeys(("name", "mean", "low", "high", "gap", "gap_low", "gap_high", "p"), np.nan)
GREY = "#595959"


def find_tuned(tuning: Tuning, folder: str | Path = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the records and the tries of a `Tuning`, or make them.

    Parameters
    ----------
    tuning
        What was tuned on what.
    folder
        Where the records are; "" to tune now.

    Returns
    -------
    records
        One row a method and split, by `flexlib.methods.tuning.COLUMNS`.
    tries
        One row a method, split and try, by `flexlib.methods.tuning.TRY_COLUMNS`.

    Raises
    ------
    FlexError
        Naming the file that is not in the folder, or that lacks a method.
    """
    if not folder:
        with tempfile.TemporaryDirectory() as made:
            records, tries = run_tuning(tuning, Path(made))
            return records, tries
    path = Path(folder) / f"{tuning.name}.parquet"
    records, tries = load_tuned(path), load_tuned(path.with_name(f"{tuning.name}-tries.parquet"), TRY_COLUMNS)
    if missing := set(tuning.methods) - set(records["method"]):
        raise FlexError(f"{path}: does not have the methods {', '.join(sorted(missing))}")
    return records[records["method"].isin(tuning.methods)], tries[tries["method"].isin(tuning.methods)]


def published_rmse(key: str) -> float:
    """Look up the RMSE that Table 3 prints for a method; NaN where it is not in the table.

    The table's FlexEncoder is set 1 of Table 2, and its AutoRec the item-based one.
    """
    names = {"autorec_item": "autorec", SET_1: "flexencoder", REFERENCE: ""}
    return TABLE_3_RMSE.get(names.get(key, key), np.nan)


def summarise_methods(records: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Compare tuned methods, each with a reference on the same splits.

    Parameters
    ----------
    records
        Of a `Tuning`. Rows of averaged networks do not count.
    reference
        Key of the method that `gap` is the difference to.

    Returns
    -------
    pd.DataFrame
        One row a method, the lowest mean first:

        - method: its key
        - name: what tables call it
        - made_by: the library that implements it
        - n: splits with an RMSE
        - mean, low, high: RMSE in stars, with its 95 % t-interval
        - gap, gap_low, gap_high: RMSE above that of the reference on the same split, in stars
        - p: of a paired t-test of the gap, corrected over the methods (Holm); NaN where there is nothing to test
        - published: Table 3's RMSE; NaN where the method is not in it
        - rmse_known: mean RMSE in stars, of ratings whose user and item have training ratings
        - rmse_own_fallback: mean RMSE in stars, with the method's own predictions for new users and items
        - tries: settings looked at, mean over splits
        - seconds: of the final fit, mean over splits
        - tuning_minutes: mean over splits
    """
    own = records[records["networks"] == 1]
    wide = own.pivot(index="split", columns="method", values="rmse")
    rows: list[dict[str, Any]] = []
    for key in map(str, wide.columns):
        runs, gap = own[own["method"] == key], (wide[key] - wide[reference]).dropna()
        is_testable = key != reference and len(gap) > 1 and gap.std() > 0
        rows.append(
            {
                "method": key,
                "name": ALL[key].name,
                "made_by": ALL[key].made_by,
                "n": int(runs["rmse"].count()),
                **labelled("mean", mean_interval(runs["rmse"].dropna())),
                **labelled("gap", mean_interval(gap), "gap_"),
                "p": stats.ttest_1samp(gap, 0).pvalue if is_testable else np.nan,
                "published": published_rmse(key),
                **{str(name): mean for name, mean in runs[AVERAGED_TOO].mean().items()},
                "tuning_minutes": runs["tuning_seconds"].mean() / 60,
            }
        )
    table = pd.DataFrame(rows).sort_values("mean", ignore_index=True)
    return table.assign(p=holm(table["p"]))


def count_clearly_lower(records: pd.DataFrame, than: str = SET_1) -> int:
    """Count the methods beside FlexEncoder's whose RMSE is clearly below that of a reference.

    Clearly: the paired difference on the same splits has a corrected p below `SIGNIFICANT`.

    Parameters
    ----------
    records
        Of a `Tuning`.
    than
        Key of the reference.
    """
    table = summarise_methods(records, than)
    is_lower = (table["gap"] < 0) & (table["p"] < SIGNIFICANT)
    return int((is_lower & ~table["method"].str.startswith(REFERENCE)).sum())


def comparison_numbers(table: pd.DataFrame, prefix: str = "") -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose on one data set.

    Parameters
    ----------
    table
        Of `summarise_methods`.
    prefix
        Of every name.

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
        - best_in_table, best_in_table_rmse: the best of those in the table
        - KEY (_low, _high), of each network and of `MEANS_AND_BIASES`: RMSE in stars
        - KEY_place, KEY_beaten, KEY_beaten_in_table, of each network: its rank, and how many others are below it
        - off_published (and off_least, off_most): median (lowest, highest) difference to Table 3, in stars
        - ranks: Spearman's correlation with Table 3
        - significant: how many gaps are clear
    """
    rows: dict[str, dict[Any, Any]] = {row["method"]: row for row in table.to_dict("records")}
    others = table[~table["method"].str.startswith(REFERENCE)]
    in_table = table[table["published"].notna() & (table["method"] != SET_1)]
    off = in_table["mean"] - in_table["published"]
    best, best_in_table = _lowest(others), _lowest(in_table)
    found: dict[str, float | str] = {
        "methods": len(table),
        "others": len(others),
        "published_others": len(in_table),
        "n": int(table["n"].max()),
        "tries": int(table["tries"].max()),
        "lowest": table["name"].iloc[0],
        "best_other": best["name"],
        **labelled("best_other_rmse", (best["mean"], best["low"], best["high"]), "best_other_"),
        **labelled("best_other_gap", (best["gap"], best["gap_low"], best["gap_high"]), "best_other_gap_"),
        "best_other_gap_p": best["p"],
        "best_in_table": best_in_table["name"],
        "best_in_table_rmse": best_in_table["mean"],
        "off_published": float(off.median()),
        "off_least": float(off.min()),
        "off_most": float(off.max()),
        "ranks": float(stats.spearmanr(in_table["mean"], in_table["published"])[0]) if len(in_table) > 2 else np.nan,
        "significant": int((table["p"] < SIGNIFICANT).sum()),
    }
    for key in (*NETWORKS, *MEANS_AND_BIASES):
        row = rows.get(key, NOT_RUN)
        found |= labelled(key, (row["mean"], row["low"], row["high"]), f"{key}_")
    for key in NETWORKS:
        rmse = rows.get(key, NOT_RUN)["mean"]
        if np.isnan(rmse):
            found |= dict.fromkeys((f"{key}_place", f"{key}_beaten", f"{key}_beaten_in_table"), np.nan)
        else:
            found |= {
                f"{key}_place": list(rows).index(key) + 1,
                f"{key}_beaten": int((others["mean"] < rmse).sum()),
                f"{key}_beaten_in_table": int((in_table["mean"] < rmse).sum()),
            }
    return {f"{prefix}{name}": value for name, value in found.items()}


def _lowest(table: pd.DataFrame) -> dict[Any, Any]:
    """Give the row with the lowest mean, which is the first; `NOT_RUN` where there is none."""
    return next(iter(table.to_dict("records")), NOT_RUN)


def plot_methods(table: pd.DataFrame, title: str) -> Figure:
    """Draw the RMSE of tuned methods, the lowest first, with 95 % intervals, beside what Table 3 prints.

    Parameters
    ----------
    table
        Of `summarise_methods`.
    title
        Of the figure.
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
    ax.plot(table["published"], y, "x", color=COLOURS["paper"], markersize=8, mew=2, label="Table 3 of the paper")
    ax.set(title=title, xlabel="RMSE (stars)", yticks=y, yticklabels=[fill(name, 24) for name in table["name"]])
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize="small")
    legend_below(ax, down=0.8 / height)
    return figure

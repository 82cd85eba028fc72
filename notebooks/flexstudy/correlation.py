"""The chapter on parameters: how they correlate with each other and with the RMSE, in the paper's log and at random.

Figure 4 of the paper is set beside the correlations in the authors' log, in our replay of it and in a fresh random
sample. What each parameter explains is in `flexstudy.importance`, the paper's statements about single parameters are in
`flexstudy.parameter_claims`.

References
----------
Tran et al. (2018), Section 4.4 and Figure 4.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flexlib.config import FlexConfig
from flexlib.runs.sampling import SPACES, sample_config
from flexlib.seeds import Purpose, numpy_generator
from flexstudy.effects import score_runs
from flexstudy.importance import Importance, importance_numbers
from flexstudy.paper import FIGURE_4
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.repetitions import PIVOT_TEXTS
from flexstudy.statistics import bootstrap, labelled, spearman
from flexstudy.style import legend_below

RMSE = "RMSE"  # the last entry of Figure 4, behind the parameters
CELL_TOLERANCE = 0.05  # of a printed correlation against the log's
_ABBREVIATIONS = {row["parameter"]: row["abbreviation"] for row in FlexConfig().describe()} | {"rmse": RMSE}
_PRINTED_PARAMETERS = [name for name in FIGURE_4["order"] if name != RMSE]


def printed_matrix() -> pd.DataFrame:
    """Give Figure 4 as the paper prints it: a symmetric table by abbreviation, RMSE last."""
    names, rows = FIGURE_4["order"], FIGURE_4["upper"]
    matrix = pd.DataFrame(np.eye(len(names)), names, names)
    for name, values in rows.items():
        others = names[names.index(name) + 1 :]
        matrix.loc[name, others] = matrix.loc[others, name] = values
    return matrix


def logged_matrix(report: Mapping[str, Any], method: str = "pearson") -> pd.DataFrame:
    """Give the correlations in the authors' own log, laid out as Figure 4.

    Parameters
    ----------
    report
        Of the replay (`flexstudy.replay.replay_report`).
    method
        "pearson" or "spearman".
    """
    full = pd.DataFrame(report["authors"]["correlations"][method]).astype(float)
    full = full.rename(index=_ABBREVIATIONS, columns=_ABBREVIATIONS)
    return full.loc[FIGURE_4["order"], FIGURE_4["order"]]


def measured_matrix(records: pd.DataFrame, protocol: str) -> tuple[pd.DataFrame, int]:
    """Correlate parameters and RMSE in our runs, laid out as Figure 4.

    Parameters
    ----------
    records
        Of a sweep or a replay.
    protocol
        Whose runs are correlated; those that ended well alone.

    Returns
    -------
    matrix
        Pearson correlations.
    n
        How many runs they are over.
    """
    own = records[(records["protocol"] == protocol) & (records["status"] == "ok")]
    return _numeric_parameters(own).assign(**{RMSE: own["rmse"]}).corr(), len(own)


def _numeric_parameters(settings: pd.DataFrame) -> pd.DataFrame:
    """Give the parameters of Figure 4, by abbreviation, as numbers."""
    return settings.rename(columns=_ABBREVIATIONS)[_PRINTED_PARAMETERS].astype(float)


def cells_that_do_not_follow(
    printed: pd.DataFrame, logged: pd.DataFrame, more_than: float = CELL_TOLERANCE
) -> pd.DataFrame:
    """Find the pairs of Figure 4 whose printed value is not the log's; of the same runs, they would agree.

    Parameters
    ----------
    printed, logged
        Matrices of correlations.
    more_than
        Difference above which a pair is found.

    Returns
    -------
    pd.DataFrame
        A row a pair, largest difference first:

        - one, other: abbreviations
        - printed, logged: correlations
        - difference: printed minus logged
    """
    pairs = list(combinations(printed.index, 2))
    table = pd.DataFrame(pairs, columns=["one", "other"])
    table["printed"] = [printed.loc[pair] for pair in pairs]
    table["logged"] = [logged.loc[pair] for pair in pairs]
    table["difference"] = table["printed"] - table["logged"]
    table = table[table["difference"].abs() > more_than]
    return table.iloc[np.argsort(-table["difference"].abs().to_numpy(), kind="stable")]


def strongest_pairs(matrix: pd.DataFrame, n: int = 5) -> pd.Series:
    """Find the n pairs of parameters (RMSE aside) with the strongest correlation.

    Parameters
    ----------
    matrix
        Of correlations.
    n
        How many, at most.

    Returns
    -------
    pd.Series
        Correlation by pair, strongest first.
    """
    inner = matrix.drop(index=RMSE, columns=RMSE)
    known = {pair: inner.loc[pair] for pair in combinations(inner.index, 2)}
    pairs = pd.Series(known, dtype=float).dropna()
    return pairs.iloc[np.argsort(-pairs.abs().to_numpy(), kind="stable")][:n]


def mixed_design(n_random: int, n_single: int, seed: int = 0) -> pd.DataFrame:
    """Correlate the parameters of a sample in which some settings are random and others differ in one parameter.

    Nothing is trained.

    Parameters
    ----------
    n_random
        Settings drawn from the paper's space.
    n_single
        Settings that differ from the default in one parameter at most.
    seed
        Of the draws.

    Returns
    -------
    pd.DataFrame
        Pearson correlations by abbreviation, without RMSE.
    """
    rng = numpy_generator(seed, Purpose.DESIGN)
    fixed = ("output_activation", "loss_size_average", "pivot_indexes")
    names = [name for name in SPACES["paper"] if name not in fixed]
    settings = [sample_config("paper", seed, k).to_dict() for k in range(n_random)]
    for k in range(n_random, n_random + n_single):
        name = names[rng.integers(len(names))]
        settings.append(FlexConfig().to_dict() | {name: sample_config("paper", seed, k).to_dict()[name]})
    return _numeric_parameters(pd.DataFrame(settings)).corr()


def cells_agreement(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Say how alike two matrices are: the Pearson correlation of their cells, one for each pair of parameters."""
    pairs = list(combinations([name for name in one.index if name != RMSE], 2))
    cells = [[matrix.loc[pair] for pair in pairs] for matrix in (one, other)]
    return float(np.corrcoef(cells)[0, 1])


def rmse_columns(
    fresh: pd.DataFrame,
    replay: pd.DataFrame | None = None,
    report: Mapping[str, Any] | None = None,
    resamples: int = 400,
) -> dict[str, pd.DataFrame]:
    """Correlate each parameter with the RMSE, in every set of runs.

    Parameters
    ----------
    fresh
        Records of the fresh sample.
    replay, report
        Records of the replay, and its report; None where there is none.
    resamples
        Of the bootstrap over runs.

    Returns
    -------
    dict
        "pearson", over the runs that ended well, and "spearman", over all runs made (`flexstudy.effects.score_runs`):
        tables by abbreviation with these columns, where there are such runs:

        - paper: as Figure 4 prints it (Pearson alone)
        - log: in the authors' log
        - replay, released, holdout: in our replay as released, and in the fresh sample under two protocols
        - NAME low, NAME high: 95 % interval of each of our own (Spearman alone)
    """
    sources = {name: (fresh, name) for name in ("released", "holdout")}
    if replay is not None:
        sources = {"replay": (replay, "released")} | sources
    pearson, ranks = {"paper": printed_matrix()[RMSE]}, {}
    if report:
        pearson["log"], ranks["log"] = (logged_matrix(report, method)[RMSE] for method in ("pearson", "spearman"))
    for name, (records, protocol) in sources.items():
        pearson[name] = measured_matrix(records, protocol)[0][RMSE]
        made, rmse = score_runs(records, protocol)
        spans = {
            parameter: bootstrap(spearman, values, rmse, resamples=resamples)
            for parameter, values in _numeric_parameters(made).items()
        }
        table = pd.DataFrame(spans, index=[name, f"{name} low", f"{name} high"])
        ranks |= {column: table.loc[column] for column in table.index}
    tables = {"pearson": pearson, "spearman": ranks}
    return {method: pd.DataFrame(columns).loc[_PRINTED_PARAMETERS] for method, columns in tables.items()}


# What the prose says about the authors' log, where there is one; filled in with the numbers.
_LOG_SENTENCES = {
    "log_short": """in the authors' own log the correlation of mean normalization with RMSE is {men_log_pearson:.2f},
        where Figure 4 prints {men_printed:.2f}""",
    "log_cells": """The cells of pairs of parameters are those of the log of {rows:,} runs, or nearly (over all pairs
        the two agree at a correlation of {printed_like_log:.3f}; they are not equal to rounding, so that Figure 4 may
        have been drawn from the log as it was at another time). Of the {pairs} cells, {outside} are off by more than
        {tolerance}: {outside_rmse} of them are in the column of RMSE, by up to {largest:.2f}.""",
    "log_design": """{singles} of the {rows:,} logged rows differ from one default setting in one parameter or in none.
        The strongest correlation of two parameters that Figure 4 prints is that of {strongest} ({strongest_r:.2f}).
        Drawn at random, as the paper says, parameters would not correlate. A sample of {singles} such one-at-a-time
        rows and {randoms} random ones, drawn anew and never trained, has the log's pattern: over all pairs of
        parameters its cells agree with the log's at {design_like_log:.2f}, those of a purely random sample at
        {random_like_log:.2f}.""",
    "log_outliers": """The log's largest RMSE is {highest_log:.1f}. The largest of the fresh sample as released is
        {highest_released:,.0f} stars.""",
}
_NO_LOG = "This page was made without the authors' log."


def lowest_user_based(records: pd.DataFrame) -> dict[str, float]:
    """Find the lowest RMSE of the user-based runs that ended well: claim 3, each on its own test ratings.

    Parameters
    ----------
    records
        Of a sweep.

    Returns
    -------
    dict
        low_best_PROTOCOL: stars; NaN where there is none.
    """
    own = records[records["pivot_indexes"] == PIVOT_TEXTS["user-based"]]
    lowest = own.groupby("protocol")["rmse"].min()
    return {f"low_best_{protocol}": float(lowest.get(protocol, math.nan)) for protocol in LEAKY_AND_LEAK_FREE}


def correlation_numbers(
    fresh: pd.DataFrame,
    columns: Mapping[str, pd.DataFrame],
    cells: pd.DataFrame,
    importances: Mapping[str, Importance],
    report: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Name the numbers and sentences of the chapter's prose.

    Parameters
    ----------
    fresh
        Records of the fresh sample.
    columns, cells
        Of `rmse_columns` and `cells_that_do_not_follow`.
    importances
        Protocol to what `measure_importance` gives.
    report
        Of the replay; None where there is none.

    Returns
    -------
    dict
        Name to number or text.
    """
    numbers = _column_numbers(columns, cells)
    for protocol in importances:
        own = fresh[fresh["protocol"] == protocol]
        made, _ = score_runs(own, protocol)
        numbers |= {
            f"n_{protocol}": len(made),
            f"highest_{protocol}": float(made["rmse"].max()),
            f"diverged_{protocol}": int((own["status"] == "diverged").sum()),
            f"skipped_{protocol}": int((own["status"] == "skipped").sum()),
        }
    numbers |= importance_numbers(importances) | _figure_4_off(columns["pearson"])
    if not report:
        short = f"Figure 4 prints {numbers['men_printed']:.2f} for its correlation with RMSE"
        unknown = dict.fromkeys((*_LOG_NUMBERS, *(name for name in _LOG_COLUMN if name not in numbers)), math.nan)
        return numbers | unknown | dict.fromkeys(_LOG_SENTENCES, _NO_LOG) | {"log_short": short}
    numbers |= _log_numbers(report)
    return numbers | {name: " ".join(text.format(**numbers).split()) for name, text in _LOG_SENTENCES.items()}


def _column_numbers(columns: Mapping[str, pd.DataFrame], cells: pd.DataFrame) -> dict[str, Any]:
    pearson, ranks = (columns[method].loc["MeN"].to_dict() for method in ("pearson", "spearman"))
    numbers: dict[str, Any] = {
        "pairs": math.comb(len(FIGURE_4["order"]), 2),
        "outside": len(cells),
        "outside_rmse": int((cells["other"] == RMSE).sum()),
        "largest": float(cells["difference"].abs().max()),
        "tolerance": CELL_TOLERANCE,
        "men_printed": pearson["paper"],
    }
    for source in ("log", "released", "holdout"):
        if source in pearson:
            span = [ranks.get(name, math.nan) for name in (source, f"{source} low", f"{source} high")]
            numbers |= labelled(f"men_{source}", span, f"men_{source}_")
            numbers[f"men_{source}_pearson"] = pearson[source]
    return numbers


def _figure_4_off(pearson: pd.DataFrame) -> dict[str, Any]:
    """Find the parameter whose printed correlation with RMSE is farthest from the log's; NaN and "" without the log."""
    off = (pearson["paper"] - pearson.get("log", np.nan)).abs().dropna()
    if off.empty:
        return {"figure4_rmse_off": math.nan, "figure4_rmse_off_name": ""}
    return {"figure4_rmse_off": float(off.max()), "figure4_rmse_off_name": str(off.idxmax())}


# What the log gives to the chapter's numbers, which are NaN without it.
_LOG_COLUMN = ("men_log", "men_log_low", "men_log_high", "men_log_pearson")
_LOG_NUMBERS = (
    "rows",
    "singles",
    "randoms",
    "highest_log",
    "printed_like_log",
    "design_like_log",
    "random_like_log",
    "strongest",
    "strongest_r",
)


def _log_numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    known, logged, printed = report["authors"], logged_matrix(report), printed_matrix()
    rows, singles = known["rows"], known["one_at_a_time"]
    strongest = strongest_pairs(printed, 1)
    return {
        "rows": rows,
        "singles": singles,
        "randoms": rows - singles,
        "highest_log": max(pivot["rmse_quantiles"][-1] for pivot in known["pivots"].values()),
        "printed_like_log": cells_agreement(printed, logged),
        "design_like_log": cells_agreement(mixed_design(rows - singles, singles), logged),
        "random_like_log": cells_agreement(mixed_design(rows, 0), logged),
        "strongest": " with ".join(strongest.index[0]),
        "strongest_r": float(strongest.iloc[0]),
    }


def plot_two_matrices(
    upper: pd.DataFrame,
    lower: pd.DataFrame,
    names: tuple[str, str],
    title: str,
    marked: Iterable[tuple[str, str]] = (),
) -> Figure:
    """Draw two symmetric matrices of correlations in one square.

    Parameters
    ----------
    upper, lower
        What is drawn above and below the diagonal, each by abbreviation.
    names
        Of the two, in words.
    title
        Of the figure.
    marked
        Pairs to be outlined, in both triangles.
    """
    order = list(upper.index)
    shown = np.where(np.triu(np.ones(upper.shape, bool), 1), upper, lower.loc[order, order])
    np.fill_diagonal(shown, np.nan)
    figure, ax = plt.subplots(figsize=(6.5, 7.2))
    image = ax.imshow(shown, cmap="RdBu_r", vmin=-0.7, vmax=0.7)
    for (row, column), value in np.ndenumerate(shown):
        if np.isfinite(value):
            text = f"{value:.2f}".replace("0.", ".").replace("-.00", ".00")
            colour = "white" if abs(value) > 0.45 else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    for one, other in marked:
        for a, b in ((one, other), (other, one)):
            where = (order.index(a) - 0.5, order.index(b) - 0.5)
            ax.add_patch(plt.Rectangle(where, 1, 1, fill=False, edgecolor="black", linewidth=1.6))
    ax.set(xticks=range(len(order)), yticks=range(len(order)))
    ax.set_xticklabels(order, fontsize="x-small", rotation=60)
    ax.set_yticklabels(order, fontsize="x-small")
    ax.grid(visible=False)
    ax.set_title(f"{title}\nabove the diagonal: {names[0]}\nbelow: {names[1]}")
    figure.colorbar(image, label="Pearson correlation", orientation="horizontal", shrink=0.7, pad=0.11)
    return figure


def plot_correlations_with_rmse(table: pd.DataFrame, looks: Mapping[str, tuple[str, str, str]], title: str) -> Figure:
    """Draw each parameter's correlation with the RMSE, by set of runs.

    Parameters
    ----------
    table
        By abbreviation, a column a set, and `NAME low` and `NAME high` where there is an interval.
    looks
        Column to colour, marker and words.
    title
        Of the figure.
    """
    height = 1.8 + 0.5 * len(table)
    figure, ax = plt.subplots(figsize=(6.5, height))
    for place, (name, (colour, mark, words)) in enumerate(looks.items()):
        y = np.arange(len(table)) + 0.17 * (place - (len(looks) - 1) / 2)
        spread: Sequence[pd.Series] | None = None
        if f"{name} low" in table:
            spread = [table[name] - table[f"{name} low"], table[f"{name} high"] - table[name]]
        style: dict[str, Any] = {"fmt": mark, "color": colour, "markersize": 5, "capsize": 2, "linewidth": 1}
        ax.errorbar(table[name], y, xerr=spread, label=words, **style)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=title, xlabel="correlation with RMSE", yticks=range(len(table)), yticklabels=table.index)
    ax.invert_yaxis()
    legend_below(ax, down=1.0 / height)
    return figure

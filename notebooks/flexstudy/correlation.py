"""The chapter on parameters: how they correlate with each other and with the RMSE, in the paper's log and at random.

Figure 4 of the paper is set beside the correlations in the authors' log, in our replay of it and in a fresh random
sample. What each parameter explains is in `flexstudy.importance`, the paper's statements about single parameters are in
`flexstudy.parameter_claims`.

References
----------
Tran et al. (2018), Section 4.4 and Figure 4.
"""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from flexlib.config import FlexConfig
from flexlib.runs.sampling import SPACES, sample_config
from flexlib.seeds import Purpose, numpy_generator
from flexstudy.effects import score_runs
from flexstudy.importance import FACTOR_WORDS, Importance, importance_numbers
from flexstudy.paper import FIGURE_4
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.repetitions import PIVOT_TEXTS
from flexstudy.statistics import bootstrap, labelled, spearman
from flexstudy.style import COLOURS, bar_lengths, title_left

RMSE = "RMSE"  # the last entry of Figure 4, behind the parameters
CELL_TOLERANCE = 0.05  # of a printed correlation against the log's
LOW_USER_BASED = 0.91  # stars: the higher end of what user-based runs reach, in the paper
_ABBREVIATIONS = {row["parameter"]: row["abbreviation"] for row in FlexConfig().describe()} | {"rmse": RMSE}
_PRINTED_PARAMETERS = [name for name in FIGURE_4["order"] if name != RMSE]


class Look(NamedTuple):
    """How a set of runs is drawn.

    Parameters
    ----------
    words
        What it is called.
    colour, mark, fill
        Of its marks, for matplotlib.
    """

    words: str
    colour: str
    mark: str
    fill: str = "full"


SOURCES = {  # black: the paper's own
    "paper": Look("printed in Figure 4", COLOURS["paper"], "x"),
    "log": Look("the authors' log", COLOURS["paper"], "D", "none"),
    "replay": Look("our replay of the log, leaky", COLOURS["released"], "^", "none"),
    "released": Look("our sample, leaky", COLOURS["released"], "o"),
    "holdout": Look("our sample, leak-free", COLOURS["holdout"], "s"),
}


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


def list_cells(
    fresh: pd.DataFrame, replay: pd.DataFrame | None = None, report: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """List the cells of Figure 4 with the Pearson correlations of every set of runs, over those that ended well.

    Parameters
    ----------
    fresh, replay, report
        As in `rmse_columns`.

    Returns
    -------
    pd.DataFrame
        By pair of abbreviations, a column for each of `SOURCES` that there is, in words.
    """
    matrices = {"paper": printed_matrix()} | ({"log": logged_matrix(report)} if report else {})
    matrices |= {} if replay is None else {"replay": measured_matrix(replay, "released")[0]}
    matrices |= {protocol: measured_matrix(fresh, protocol)[0] for protocol in LEAKY_AND_LEAK_FREE}
    pairs = pd.MultiIndex.from_tuples(combinations(FIGURE_4["order"], 2), names=["one", "other"])
    cells = {SOURCES[name].words: [matrix.loc[pair] for pair in pairs] for name, matrix in matrices.items()}
    return pd.DataFrame(cells, pairs)


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
        Tables by abbreviation, whose columns are of `SOURCES`, where there are such runs:

        - "pearson": `paper`, as Figure 4 prints it, and `log`
        - "spearman": `log`; and over all runs made (`flexstudy.effects.score_runs`) `replay`, `released` and
          `holdout`, each NAME with its 95 % interval, NAME low and NAME high
    """
    sources = {name: (fresh, name) for name in LEAKY_AND_LEAK_FREE}
    if replay is not None:
        sources = {"replay": (replay, "released")} | sources
    pearson, ranks = {"paper": printed_matrix()[RMSE]}, {}
    if report:
        pearson["log"], ranks["log"] = (logged_matrix(report, method)[RMSE] for method in ("pearson", "spearman"))
    for name, (records, protocol) in sources.items():
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
    "log_short": """the authors' own log has a correlation of {men_log_pearson:.2f} with the RMSE, where their Figure 4
        prints {men_printed:.2f}""",
    "log_cells": """For pairs of parameters, Figure 4 follows the authors' log: over these cells the two agree at a
        correlation of {printed_like_log:.3f}. Its column of RMSE does not. There {outside_rmse} cells are off by more
        than {tolerance}.""",
    "log_design": """Of the {rows:,} logged rows, {singles} differ from one default setting in one parameter or in none.
        That ties parameters to each other: the strongest pair of Figure 4 is {strongest_words} ({strongest_r:.2f}). A
        sample drawn in the same way, and never trained, has cells that agree with the log's at a correlation of
        {design_like_log:.2f}. Those of a purely random sample agree at {random_like_log:.2f}.""",
}
_NO_LOG = "This page was made without the authors' log."


def lowest_user_based(records: pd.DataFrame, limit: float = LOW_USER_BASED) -> dict[str, float]:
    """Find the lowest RMSE of the user-based runs that ended well: claim 3, each on its own test ratings.

    Parameters
    ----------
    records
        Of a sweep.
    limit
        Highest RMSE that counts as low, in stars.

    Returns
    -------
    dict
        By protocol:

        - low_best_PROTOCOL: stars; NaN where there is none
        - low_n_PROTOCOL, low_men_PROTOCOL: low runs, and those of them with mean normalization; the latter NaN
          where there is none
    """
    own = records[records["pivot_indexes"] == PIVOT_TEXTS["user-based"]]
    numbers: dict[str, float] = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        runs = own[own["protocol"] == protocol]
        low = runs[runs["rmse"] <= limit]
        numbers |= {
            f"low_best_{protocol}": float(runs["rmse"].min()),
            f"low_n_{protocol}": len(low),
            f"low_men_{protocol}": int(low["mean_normalization"].sum()) if len(low) else math.nan,
        }
    return numbers


def correlation_numbers(
    columns: Mapping[str, pd.DataFrame],
    cells: pd.DataFrame,
    importances: Mapping[str, Importance],
    report: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Name the numbers and sentences of the chapter's prose.

    Parameters
    ----------
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
    numbers = _column_numbers(columns, cells) | importance_numbers(importances) | _figure_4_off(columns["pearson"])
    for protocol in importances:
        if not numbers[f"above_{protocol}"]:  # no factor explains more than chance would, so none is told of
            numbers |= {f"main{place}_{protocol}_direct": math.nan for place in (1, 2)}
    if not report:
        short = f"the paper's Figure 4 prints a correlation of {numbers['men_printed']:.2f} with the RMSE"
        unknown = dict.fromkeys((*_LOG_NUMBERS, "men_log_pearson"), math.nan)
        return numbers | unknown | dict.fromkeys(_LOG_SENTENCES, _NO_LOG) | {"log_short": short}
    numbers |= _log_numbers(report)
    return numbers | {name: " ".join(text.format(**numbers).split()) for name, text in _LOG_SENTENCES.items()}


def _column_numbers(columns: Mapping[str, pd.DataFrame], cells: pd.DataFrame) -> dict[str, Any]:
    pearson, ranks = (columns[method].loc["MeN"].to_dict() for method in ("pearson", "spearman"))
    numbers: dict[str, Any] = {
        "pairs": math.comb(len(FIGURE_4["order"]), 2),
        "outside": len(cells),
        "outside_rmse": int((cells["other"] == RMSE).sum()),
        "tolerance": CELL_TOLERANCE,
        "men_printed": pearson["paper"],
    }
    if "log" in pearson:
        numbers["men_log_pearson"] = pearson["log"]
    for source in LEAKY_AND_LEAK_FREE:
        span = [ranks[name] for name in (source, f"{source} low", f"{source} high")]
        numbers |= labelled(f"men_{source}", span, f"men_{source}_")
    return numbers


def _figure_4_off(pearson: pd.DataFrame) -> dict[str, Any]:
    """Find the parameter whose printed correlation with RMSE is farthest from the log's; NaN and "" without the log."""
    off = (pearson["paper"] - pearson.get("log", np.nan)).abs().dropna()
    if off.empty:
        return {"figure4_rmse_off": math.nan, "figure4_rmse_off_name": ""}
    return {"figure4_rmse_off": float(off.max()), "figure4_rmse_off_name": str(off.idxmax())}


# What the log gives to the chapter's numbers, which are NaN without it.
_LOG_NUMBERS = (
    "rows",
    "singles",
    "printed_like_log",
    "design_like_log",
    "random_like_log",
    "strongest",
    "strongest_words",
    "strongest_r",
)


def _log_numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    known, logged, printed = report["authors"], logged_matrix(report), printed_matrix()
    rows, singles = known["rows"], known["one_at_a_time"]
    strongest = strongest_pairs(printed, 1)
    return {
        "rows": rows,
        "singles": singles,
        "printed_like_log": cells_agreement(printed, logged),
        "design_like_log": cells_agreement(mixed_design(rows - singles, singles), logged),
        "random_like_log": cells_agreement(mixed_design(rows, 0), logged),
        "strongest": " with ".join(strongest.index[0]),
        "strongest_words": " with ".join(FACTOR_WORDS[name] for name in strongest.index[0]),
        "strongest_r": float(strongest.iloc[0]),
    }


def plot_rmse_columns(columns: Mapping[str, pd.DataFrame], dataset: str) -> Figure:
    """Draw each parameter's correlation with the RMSE, by set of runs: linear ones beside those of ranks.

    Parameters
    ----------
    columns
        Of `rmse_columns`.
    dataset
        For the title.
    """
    order = columns["spearman"]["holdout"].abs().sort_values(ascending=False, kind="stable").index
    height = 2.4 + 0.42 * len(order)
    figure, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(6.5, height), layout="constrained")
    drawn = {}
    for ax, (method, words) in zip(
        axes, {"pearson": "linear correlation", "spearman": "correlation of ranks"}.items(), strict=True
    ):
        table = columns[method].loc[order]
        shown = {name: look for name, look in SOURCES.items() if name in table}
        for place, (name, look) in enumerate(shown.items()):
            y = np.arange(len(table)) + 0.19 * (place - (len(shown) - 1) / 2)
            ends = table.rename(columns={f"{name} low": "low", f"{name} high": "high"})
            spread = bar_lengths(ends, name) if "low" in ends else None
            style: dict[str, Any] = {"color": look.colour, "fillstyle": look.fill, "markersize": 5, "linewidth": 1}
            bars = ax.errorbar(table[name], y, xerr=spread, fmt=look.mark, capsize=2, label=look.words, **style)
            drawn[look.words] = bars
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_xlabel(words, fontsize="small")
        ax.xaxis.set_major_locator(MultipleLocator(0.5))
        ax.grid(axis="y", visible=False)
    axes[0].set(yticks=range(len(order)), ylim=(len(order) - 0.4, -0.6))
    axes[0].set_yticklabels([FACTOR_WORDS[name] for name in order], fontsize="small")
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower left", ncols=2, fontsize="small")
    title_left(figure, f"{_title_of_columns(columns)}\n{dataset}")
    return figure


def _title_of_columns(columns: Mapping[str, pd.DataFrame]) -> str:
    """Say what to see: the parameter whose printed value is farthest from the log's, where there is a log."""
    off = _figure_4_off(columns["pearson"])["figure4_rmse_off_name"]
    if not off:
        return "Correlation of each parameter with the RMSE"
    printed, logged = columns["pearson"].loc[off, ["paper", "log"]]
    return f"{FACTOR_WORDS[off].capitalize()}: Figure 4 prints {printed:.2f}, its log has {logged:.2f}"

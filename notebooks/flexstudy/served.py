"""Chapter 10, who is served: errors by how many ratings there are of the user, of the film and in all.

The chapter reads the records of `flexstudy.served_runs`. Its cases are described in `flexstudy.served_cases`.

References
----------
Cousineau (2005) for intervals within splits. Holm (1979) for the correction of p.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from flexlib.methods.tuning import Tuning, load_tuned, run_tuning
from flexstudy.methods import REFERENCE
from flexstudy.served_cases import COUNTS, METHOD_NAMES, NEW, SERVED_COLUMNS, bin_labels, merged_bins, served_name
from flexstudy.served_runs import run_served
from flexstudy.statistics import SIGNIFICANT, UNKNOWN, holm, labelled, mean_interval
from flexstudy.style import legend_below

NO_NETWORK = "biases"  # what the prose compares FlexEncoder with
AT_LEAST = 100  # test ratings of a bin, in every split
SAME = 1e-9  # stars, below which RMSEs are the same number

# What each task's cases are told apart by
TASKS = {
    "by user": "training ratings of the user",
    "by item": "training ratings of the film",
    "new users": "ratings shown of a new user",
    "new items": "ratings shown of a new film",
    "sparsity": "share of the training ratings (%)",
}
_ERRORS = ["rmse", "rmse_own_fallback"]


def find_served(tuning: Tuning, folder: str | Path = "") -> pd.DataFrame:
    """Read the records of methods over the cases, or tune the methods and make the records.

    Parameters
    ----------
    tuning
        What is tuned where there is no folder; its data set names the records.
    folder
        Where the records are; "" to make them now.

    Returns
    -------
    pd.DataFrame
        One row a method, seed, task and case, by `flexstudy.served_cases.SERVED_COLUMNS`.

    Raises
    ------
    FlexError
        Naming the file that is not in the folder, or its missing column.
    """
    if folder:
        return load_tuned(Path(folder) / f"{served_name(tuning.dataset)}.parquet", SERVED_COLUMNS)
    with tempfile.TemporaryDirectory() as made:
        run_tuning(tuning, Path(made))
        return run_served(tuning.dataset, Path(made) / f"{tuning.name}.parquet", tuning.splits, Path(made))


def tabulate_cases(records: pd.DataFrame, at_least: int = AT_LEAST) -> pd.DataFrame:
    """Merge bins that hold few test ratings, and pool their errors.

    Which bins are merged follows from the split with the fewest test ratings, and is the same for all splits.

    Parameters
    ----------
    records
        Of `find_served`.
    at_least
        Test ratings of a merged bin, in every split.

    Returns
    -------
    pd.DataFrame
        One row a task, case, method and seed:

        - task, method, seed: as in the records
        - shown: ratings shown, % of the training ratings, or the merged bin's lowest number
        - case: its label
        - n_test: test ratings
        - rmse, rmse_own_fallback: in stars; NaN where the method has no prediction for a part of them
        - n_users, n_items: in the test ratings; NaN for bins
    """
    parts = []
    for task, own in records.groupby("task"):
        keys = ["task", "method", "seed", "shown"]
        if task not in COUNTS:
            named = own["shown"].map("{:g}".format)
            parts.append(own.assign(case=named)[[*keys, "case", "n_test", *_ERRORS, "n_users", "n_items"]])
            continue
        counts = own.groupby(["shown", "seed"])["n_test"].first().unstack(fill_value=0).min(axis=1)
        into, squares = merged_bins(counts, at_least), own[_ERRORS].pow(2).mul(own["n_test"], axis=0)
        own = own.assign(**squares, shown=own["shown"].map(into))
        pooled = own.groupby(keys)[["n_test", *_ERRORS]].agg(_sum_of_all).reset_index()
        pooled[_ERRORS] = pooled[_ERRORS].div(pooled["n_test"], axis=0).pow(0.5)
        parts.append(pooled.assign(case=pooled["shown"].map(bin_labels(into))))
    return pd.concat(parts, ignore_index=True)


def _sum_of_all(column: pd.Series) -> float:
    """Sum up; NaN where one part is."""
    return float(column.sum(skipna=False))


def summarise_served(cases: pd.DataFrame) -> pd.DataFrame:
    """Average each method's errors in each case over the splits.

    Parameters
    ----------
    cases
        Of `tabulate_cases`.

    Returns
    -------
    pd.DataFrame
        One row a task, case and method:

        - task, shown, case, method: as in the cases
        - name: of the method
        - n: splits with an RMSE
        - n_test: test ratings, mean over splits
        - own: mean RMSE in stars, with the method's own predictions for unseen users and films
        - within_low, within_high: 95 % t-interval of the RMSE without the splits' own levels (Cousineau), since each
          split has other new users and films
        - mean, low, high: RMSE in stars, with its 95 % t-interval over splits
    """
    by_task = cases.groupby("task")["rmse"]
    level = cases.groupby(["task", "seed"])["rmse"].transform("mean") - by_task.transform("mean")
    rows = []
    for (task, shown, method), own in cases.assign(within=cases["rmse"] - level).groupby(["task", "shown", "method"]):
        within = mean_interval(own["within"].dropna())
        rows.append(
            {
                "task": task,
                "shown": shown,
                "case": own["case"].iloc[0],
                "method": method,
                "name": METHOD_NAMES[str(method)],
                "n": int(own["rmse"].count()),
                "n_test": own["n_test"].mean(),
                "own": own["rmse_own_fallback"].mean(),
                "within_low": within[1],
                "within_high": within[2],
                **labelled("mean", mean_interval(own["rmse"].dropna())),
            }
        )
    return pd.DataFrame(rows)


def gaps_to_reference(cases: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Compare every other method with a reference on the same splits.

    Parameters
    ----------
    cases
        Of `tabulate_cases`.
    reference
        Key of a method; where the cases do not have it, the table is empty.

    Returns
    -------
    pd.DataFrame
        One row a task, case and other method:

        - task, shown, case, method, name: as in `summarise_served`
        - n: splits that have both
        - n_test: test ratings, mean over splits
        - gap, low, high: RMSE above that of the reference in stars, with its 95 % t-interval
        - p: of a paired t-test, corrected over the cases of a task for each method apart (Holm); NaN where there is no
          difference, or one split
    """
    rows = []
    for (task, shown), own in cases.groupby(["task", "shown"]):
        wide = own.pivot(index="seed", columns="method", values="rmse")
        for method in wide.columns.drop(reference) if reference in wide else ():
            gap = (wide[method] - wide[reference]).dropna()
            is_testable = len(gap) > 1 and gap.std() > 1e-12
            rows.append(
                {
                    "task": task,
                    "shown": shown,
                    "case": own["case"].iloc[0],
                    "method": method,
                    "name": METHOD_NAMES[str(method)],
                    "n": len(gap),
                    "n_test": own["n_test"].mean(),
                    **labelled("gap", mean_interval(gap)),
                    "p": stats.ttest_1samp(gap, 0).pvalue if is_testable else np.nan,
                }
            )
    columns = ["task", "shown", "case", "method", "name", "n", "n_test", "gap", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p=table.groupby(["task", "method"])["p"].transform(lambda of: holm(of)))


def gaps_table(gaps: pd.DataFrame, tasks: Iterable[str]) -> pd.DataFrame:
    """Lay out differences for reading.

    Parameters
    ----------
    gaps
        Of `gaps_to_reference`.
    tasks
        Which to show.

    Returns
    -------
    pd.DataFrame
        One row a task and case, one column a method: the gap in stars as text, with "*" where it is clear.
    """
    own = gaps[gaps["task"].isin(list(tasks))]
    text = own["gap"].map("{:+.3f}".format) + (own["p"] < SIGNIFICANT).map({True: "*", False: ""})
    own = own.assign(text=text.where(own["n"] > 0, ""), task=own["task"].map(TASKS))
    wide = own.pivot(index=["task", "shown", "case"], columns="name", values="text").droplevel("shown")
    return wide.reindex(columns=[name for name in METHOD_NAMES.values() if name in wide]).fillna("")


def served_numbers(records: pd.DataFrame, cases: pd.DataFrame, summary: pd.DataFrame) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose.

    Parameters
    ----------
    records, cases, summary
        Of `find_served`, `tabulate_cases` and `summarise_served`.

    Returns
    -------
    dict
        Name to number or text. METHOD is FlexEncoder or the biases; END is one of a task's cases: "first" (the fewest
        ratings with which methods differ), "last" (the most ratings) or, for new users and films, "none" (no rating).
        What needs a method that the records do not have is NaN.

        - n_splits, methods, tuned: counts, and the names of the tuned records
        - TASK_END_case, TASK_END_test: the case's label and its test ratings
        - TASK_END_METHOD (_low, _high): RMSE in stars
        - TASK_END_METHOD_own: the same, with the method's own predictions for unseen users and films
        - TASK_END_best, TASK_END_lowest: who has the lowest RMSE, and that RMSE
        - TASK_END_gap (_low, _high): FlexEncoder's RMSE above that of the biases
        - TASK_cases: in how many cases methods differ
        - TASK_led: in how many of these FlexEncoder has the lowest mean
        - TASK_below, TASK_above: in how many of these FlexEncoder is clearly below and above the biases
        - TASK_change_METHOD (_low, _high): change of the RMSE from the fewest to the most ratings
        - TASK_own_change_METHOD (_low, _high): the same, with the method's own predictions
        - TASK_new: how many are new, of new users and new films
    """
    gaps = gaps_to_reference(cases, NO_NETWORK)
    gaps = gaps[gaps["method"] == REFERENCE]
    numbers: dict[str, float | str] = {
        "n_splits": int(cases["seed"].nunique()),
        "methods": int(cases["method"].nunique()),
        "tuned": ", ".join(sorted(set(records["tuned"]))),
    }
    for task in summary["task"].unique():
        numbers |= _task_numbers(task, summary[summary["task"] == task], gaps[gaps["task"] == task])
        numbers |= _change_numbers(task, cases[cases["task"] == task])
    for task, side in NEW.items():
        numbers[f"{_key(task)}_new"] = int(cases.loc[cases["task"] == task, f"n_{side}"].max())
    return numbers


def _key(task: str) -> str:
    return task.replace(" ", "_")


def _task_numbers(task: str, summary: pd.DataFrame, gaps: pd.DataFrame) -> dict[str, float | str]:
    """Collect a task's counts, and the numbers of its first and last case."""
    wide = summary.pivot(index="method", columns="shown", values="mean")
    differ = wide.loc[:, wide.max() - wide.min() > SAME]
    ends = {"first": [*differ, wide.columns[0]][0], "last": wide.columns[-1]}
    if task in NEW:
        ends["none"] = wide.columns[0]
    found: dict[str, float | str] = {}
    for end, shown in ends.items():
        here = summary[summary["shown"] == shown].set_index("method")
        found |= _case_numbers(f"{_key(task)}_{end}", here, gaps[gaps["shown"] == shown])
    clear = gaps.loc[gaps["p"] < SIGNIFICANT, "gap"]
    return found | {
        f"{_key(task)}_cases": differ.shape[1],
        f"{_key(task)}_led": int((differ.idxmin() == REFERENCE).sum()),
        f"{_key(task)}_below": int((clear < 0).sum()),
        f"{_key(task)}_above": int((clear > 0).sum()),
    }


def _case_numbers(name: str, by_method: pd.DataFrame, gap: pd.DataFrame) -> dict[str, float | str]:
    """Collect the numbers of one case, from its rows of the summary and its row of the gaps, if there is one."""
    found: dict[str, float | str] = {
        f"{name}_case": by_method["case"].iloc[0],
        f"{name}_test": int(by_method["n_test"].iloc[0]),
        f"{name}_best": str(by_method["name"].loc[str(by_method["mean"].idxmin())]),
        f"{name}_lowest": float(by_method["mean"].min()),
    }
    for method in (REFERENCE, NO_NETWORK):
        mean, low, high, own = by_method.reindex([method])[["mean", "low", "high", "own"]].to_numpy()[0].tolist()
        found |= labelled(f"{name}_{method}", (mean, low, high), f"{name}_{method}_") | {f"{name}_{method}_own": own}
    span = gap[["gap", "low", "high"]].to_numpy()[0].tolist() if len(gap) else UNKNOWN
    return found | labelled(f"{name}_gap", span, f"{name}_gap_")


def _change_numbers(task: str, cases: pd.DataFrame) -> dict[str, float]:
    """Collect what the most ratings of a task's cases change, from the fewest on, paired by split."""
    found: dict[str, float] = {}
    for errors, word in zip(_ERRORS, ("change", "own_change"), strict=True):
        wide = cases.pivot(index=["method", "seed"], columns="shown", values=errors)
        change = (wide[wide.columns[-1]] - wide[wide.columns[0]]).dropna()
        for method in (REFERENCE, NO_NETWORK):
            name, own = f"{_key(task)}_{word}_{method}", change[change.index.get_level_values("method") == method]
            found |= labelled(name, mean_interval(own), f"{name}_")
    return found


# Colour, and marker with line
METHOD_LOOKS = {
    "flexencoder": ("#0072B2", "o-"),
    "flexencoder_set1": ("#56B4E9", "o--"),
    "svdpp": ("#E69F00", "^-"),
    "hidden_similarity": ("#882255", "P-"),
    "item_knn": ("#009E73", "s-"),
    "bpmf": ("#CC79A7", "D-"),
    "biases": ("#595959", "v-"),
    "item_mean": ("#8C8C8C", "x:"),
}


def plot_cases(table: pd.DataFrame, words: Mapping[str, str], title: str, reference: str = "") -> Figure:
    """Draw each method over the cases of a task, from few ratings to many, with 95 % intervals, a panel a task.

    Where users or films are new, open marks at 0 ratings are the methods' own predictions, and intervals are those
    within splits. The axis spans the means; an interval may go beyond it.

    Parameters
    ----------
    table
        Of `summarise_served`, or of `gaps_to_reference` where a reference is named.
    words
        Task to the label of its x axis.
    title
        Of the figure.
    reference
        Name of the method that gaps are to; "" to draw the RMSE itself.
    """
    figure, axes = plt.subplots(len(words), figsize=(6.5, 1.6 + 3.7 * len(words)), squeeze=False)
    methods = [method for method in METHOD_LOOKS if method in set(table["method"])]
    for ax, (task, label) in zip(axes[:, 0], words.items(), strict=True):
        _draw_cases(ax, table[table["task"] == task], methods, "gap" if reference else "mean", task in NEW)
        ax.set(xlabel=label, ylabel=f"RMSE less that\nof {reference} (stars)" if reference else "RMSE (stars)")
        if reference:
            ax.axhline(0, color="#555555", linewidth=1)
        ax.grid(axis="x", visible=False)
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    legend_below(axes[-1, 0], 2, 0.32, title="below the cases: test ratings, mean of the splits")
    return figure


def _draw_cases(ax: Axes, own: pd.DataFrame, methods: list[str], value: str, is_new: bool) -> None:
    """Draw one task: a line a method, side by side where they would cover each other."""
    shows_own = value == "mean" and is_new
    low, high = ("within_low", "within_high") if shows_own else ("low", "high")
    shown = own.drop_duplicates("shown").sort_values("shown")
    for place, method in enumerate(methods):
        runs, (colour, look) = own[own["method"] == method].sort_values("shown"), METHOD_LOOKS[method]
        x = np.searchsorted(shown["shown"], runs["shown"]) + 0.07 * (place - (len(methods) - 1) / 2)
        ax.errorbar(
            x,
            runs[value],
            yerr=np.nan_to_num([runs[value] - runs[low], runs[high] - runs[value]]).clip(min=0),
            fmt=look,
            color=colour,
            markersize=5,
            linewidth=1.3,
            capsize=2,
            elinewidth=0.8,
            label=runs["name"].iloc[0] if len(runs) else None,
        )
        if shows_own:
            none = (runs["shown"] == 0).to_numpy()
            ax.plot(x[none], runs["own"][none], look[0], fillstyle="none", color=colour, markersize=7)
    seen = own[[value, "own"] if shows_own else [value]].to_numpy()
    pad = 0.15 * (np.nanmax(seen) - np.nanmin(seen)) + 0.005
    ax.set(xticks=range(len(shown)), ylim=(np.nanmin(seen) - pad, np.nanmax(seen) + pad))
    labels = [f"{case}\n{n:,.0f}" for case, n in zip(shown["case"], shown["n_test"], strict=True)]
    ax.set_xticklabels(labels, fontsize="x-small")

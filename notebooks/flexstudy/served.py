"""Chapter 10, who is served: errors by how many ratings there are of the user, of the film and in all.

The chapter reads the records of `flexstudy.served_runs`. Its cases are described in `flexstudy.served_cases`. A draw is
a random split, or a random choice of new users or films; costly methods may have fewer draws than others.

References
----------
Cousineau (2005) for intervals within draws. Holm (1979) for the correction of p. Nadeau and Bengio (2003) for draws
that overlap.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flexlib.config import FlexError
from flexlib.methods.tuning import Tuning, load_tuned, run_tuning
from flexstudy.methods import REFERENCE, span_words, split_p
from flexstudy.served_cases import COUNTS, METHOD_NAMES, NEW, SERVED_COLUMNS, bin_labels, merged_bins, served_name
from flexstudy.served_runs import run_served
from flexstudy.statistics import SIGNIFICANT, UNKNOWN, Interval, holm, labelled, split_interval
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


def chosen_methods(words: str) -> tuple[str, ...]:
    """Read the chapter's parameter `methods`.

    Parameters
    ----------
    words
        Keys of `flexstudy.served_cases.METHOD_NAMES`, between spaces; "" for all.

    Returns
    -------
    tuple
        The keys.

    Raises
    ------
    FlexError
        For an unknown method, or without the two that the chapter compares.
    """
    keys = tuple(words.split()) or tuple(METHOD_NAMES)
    if unknown := sorted(set(keys) - set(METHOD_NAMES)):
        raise FlexError(f"methods '{words}': {unknown[0]} is not one of {', '.join(METHOD_NAMES)}")
    if not {REFERENCE, NO_NETWORK} <= set(keys):
        raise FlexError(f"methods '{words}': the chapter needs {REFERENCE} and {NO_NETWORK}")
    return keys


def find_served(tuning: Tuning, folder: str | Path = "") -> pd.DataFrame:
    """Read the records of methods over the cases, or tune the methods and make the records.

    Parameters
    ----------
    tuning
        What is tuned where there is no folder. Its data set names the records, and its methods say which of them are
        read: all, if it has none.
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
        records = load_tuned(Path(folder) / f"{served_name(tuning.dataset)}.parquet", SERVED_COLUMNS)
        return records[records["method"].isin(tuning.methods or METHOD_NAMES)]
    with tempfile.TemporaryDirectory() as made:
        run_tuning(tuning, Path(made))
        return run_served(tuning.dataset, Path(made) / f"{tuning.name}.parquet", tuning.splits, Path(made))


def tabulate_cases(records: pd.DataFrame, at_least: int = AT_LEAST) -> pd.DataFrame:
    """Merge bins that hold few test ratings, and pool their errors.

    Which bins are merged follows from the draw with the fewest test ratings, and is the same for all draws.

    Parameters
    ----------
    records
        Of `find_served`.
    at_least
        Test ratings of a merged bin, in every draw.

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
        - share: of all ratings that a draw holds out, mean over draws
    """
    parts, shares = [], _held_out(records)
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
    table = pd.concat(parts, ignore_index=True)
    return table.assign(share=table["task"].map(shares))


def _held_out(records: pd.DataFrame) -> dict[str, float]:
    """Compute the share of all ratings that a draw holds out, by task; a bin's is that of its random split."""
    shares = {}
    for task, own in records.groupby("task"):
        of_group = records[records["group"] == own["group"].iloc[0]]
        tested = of_group.loc[of_group["task"] == of_group["group"], "n_test"].mean()
        shares[str(task)] = float(tested / (of_group["n_train"] + of_group["n_test"]).max())
    return shares


def _sum_of_all(column: pd.Series) -> float:
    """Sum up; NaN where one part is."""
    return float(column.sum(skipna=False))


def summarise_served(cases: pd.DataFrame) -> pd.DataFrame:
    """Average each method's errors in each case over the draws.

    Some draws are harder than others for every method. A method with fewer draws than others is therefore moved by how
    much harder its draws are than all, for the methods that have all of them.

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
        - n: draws with an RMSE
        - n_test: test ratings, mean over draws
        - own: mean RMSE in stars, with the method's own predictions for unseen users and films
        - within_low, within_high: 95 % interval of the RMSE without the draws' own levels (Cousineau), since each
          draw has other new users and films
        - mean, low, high: RMSE in stars, with its 95 % interval over draws
    """
    rows = []
    for task, of_task in cases.groupby("task"):
        level = _levels(of_task)
        tested = of_task.drop_duplicates(["shown", "seed"]).groupby("shown")["n_test"].mean()
        tested.index = tested.index.map(str)
        for (shown, method), own in of_task.groupby(["shown", "method"]):
            share, rmse = own["share"].iloc[0], own["rmse"].dropna()
            harder = own["seed"].map(level)
            mean, *ends = split_interval(rmse, share)
            move = harder[rmse.index].mean() if len(rmse) else 0.0
            within = split_interval(rmse - harder[rmse.index], share)
            rows.append(
                {
                    "task": task,
                    "shown": shown,
                    "case": own["case"].iloc[0],
                    "method": method,
                    "name": METHOD_NAMES[str(method)],
                    "n": len(rmse),
                    "n_test": tested[str(shown)],
                    "own": own["rmse_own_fallback"].mean() - harder.mean(),
                    "within_low": within[1],
                    "within_high": within[2],
                    **labelled("mean", (mean - move, ends[0] - move, ends[1] - move)),
                }
            )
    return pd.DataFrame(rows)


def _levels(of_task: pd.DataFrame) -> pd.Series:
    """Draw to how much harder it is than all: the RMSE of the methods that have all draws, less its mean."""
    wide = of_task.pivot_table(index="seed", columns=["method", "shown"], values="rmse")
    whole = wide.dropna(axis=1)
    level = (whole if whole.shape[1] else wide).mean(axis=1)
    return level - level.mean()


def gaps_to_reference(cases: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Compare every other method with a reference on the draws that both have.

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
        - n: draws that have both
        - n_test: test ratings, mean over draws
        - gap, low, high: RMSE above that of the reference in stars, with its 95 % interval over draws
        - p: that the gap is 0 on average over draws (`flexstudy.methods.split_p`), corrected over the cases of a task
          for each method apart (Holm); NaN where there is no difference, or one draw
    """
    rows = []
    for (task, shown), own in cases.groupby(["task", "shown"]):
        wide, share = own.pivot(index="seed", columns="method", values="rmse"), own["share"].iloc[0]
        for method in wide.columns.drop(reference) if reference in wide else ():
            gap = (wide[method] - wide[reference]).dropna()
            rows.append(
                {
                    "task": task,
                    "shown": shown,
                    "case": own["case"].iloc[0],
                    "method": method,
                    "name": METHOD_NAMES[str(method)],
                    "n": len(gap),
                    "n_test": own.drop_duplicates("seed")["n_test"].mean(),
                    **labelled("gap", split_interval(gap, share)),
                    "p": split_p(gap, share),
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
        One row a task and case, one column a method with its number of draws: the gap in stars as text, with "*" where
        it is clear.
    """
    own = gaps[gaps["task"].isin(list(tasks))]
    text = own["gap"].map("{:+.3f}".format) + (own["p"] < SIGNIFICANT).map({True: "*", False: ""})
    own = own.assign(text=text.where(own["n"] > 0, ""), task=own["task"].map(TASKS))
    wide = own.pivot(index=["task", "shown", "case"], columns="name", values="text").droplevel("shown")
    draws = own.groupby("name")["n"].max()
    wide = wide.reindex(columns=[name for name in METHOD_NAMES.values() if name in wide]).fillna("")
    return wide.rename(columns={name: f"{name}, n = {n}" for name, n in draws.items()})


def draws_words(records: pd.DataFrame) -> str:
    """Say how many draws the methods have: "20 draws", or "3 to 20 draws" and which methods have how many."""
    draws = records.groupby("method")["seed"].nunique()
    if draws.nunique() == 1:
        return _count(int(draws.iloc[0]), "draw")
    parts = []
    for n, own in sorted(draws.groupby(draws), reverse=True):
        names = ", ".join(name for method, name in METHOD_NAMES.items() if method in own.index)
        parts.append(f"{n} of {names}")
    return f"{draws.min()} to {draws.max()} draws ({'; '.join(parts)})"


def tries_words(records: pd.DataFrame) -> str:
    """Say how many settings the methods had been tuned over, in sentences."""
    tries = records["tuned"].str.extract(r"-(\d+)tries$")[0].astype(float)
    ours = sorted(set(tries[records["method"] == REFERENCE]))
    others = sorted(set(tries[records["method"] != REFERENCE])) or ours
    if np.isnan([*ours, *others]).any():
        return "The records do not say over how many settings the methods had been tuned."
    of_ours, of_others = (" or ".join(f"{n:.0f}" for n in own) for own in (ours, others))
    if ours == others:
        return f"The number of tries a split was {of_ours} for all methods with something to tune."
    words = f"FlexEncoder had {of_ours} tries a split, and the others {of_others}, where there is something to tune."
    is_more = min(ours) > max(others)
    return words + (
        " Where more tries help, FlexEncoder has that advantage in every comparison below." if is_more else ""
    )


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def gap_words(gap: Interval, p: float) -> str:
    """Say how far FlexEncoder's RMSE is from that of biases: "0.010 stars below that of biases, clearly"."""
    if np.isnan(gap[0]):
        return "not comparable with that of biases"
    if abs(gap[0]) < 5e-4:
        return "equal to that of biases, to a thousandth of a star"
    words = f"{abs(gap[0]):.3f} stars {'below' if gap[0] < 0 else 'above'} that of biases"
    if np.isnan(gap[1]):
        return f"{words} on one draw"
    return f"{words}, {'clearly' if p < SIGNIFICANT else 'not clearly'}"


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

        - n_splits, methods, tuned: the most draws of a method, how many methods, and the names of the tuned records
        - draws_words, tries_words: of these functions
        - TASK_END_case, TASK_END_test: the case's label and its test ratings
        - TASK_END_METHOD (_low, _high, _words): RMSE in stars
        - TASK_END_METHOD_own: the same, with the method's own predictions for unseen users and films
        - TASK_END_best, TASK_END_lowest: who has the lowest RMSE, and that RMSE
        - TASK_END_gap (_low, _high, _words): FlexEncoder's RMSE above that of the biases
        - TASK_cases: in how many cases methods differ
        - TASK_led: in how many of these FlexEncoder has the lowest mean
        - TASK_below, TASK_above: in how many of these FlexEncoder is clearly below and above the biases
        - TASK_change_METHOD (_low, _high, _words): change of the RMSE from the fewest to the most ratings
        - TASK_own_change_METHOD (_low, _high, _words): the same, with the method's own predictions
        - TASK_new: how many are new, of new users and new films
    """
    gaps = gaps_to_reference(cases, NO_NETWORK)
    gaps = gaps[gaps["method"] == REFERENCE]
    numbers: dict[str, float | str] = {
        "n_splits": int(cases["seed"].nunique()),
        "draws_words": draws_words(records),
        "tries_words": tries_words(records),
        "methods": int(cases["method"].nunique()),
        "tuned": ", ".join(sorted(set(records["tuned"]))),
    }
    for task in summary["task"].unique():
        own = cases[cases["task"] == task]
        numbers |= _task_numbers(task, own, summary[summary["task"] == task], gaps[gaps["task"] == task])
        numbers |= _change_numbers(task, own)
    for task, side in NEW.items():
        numbers[f"{_key(task)}_new"] = int(cases.loc[cases["task"] == task, f"n_{side}"].max())
    return numbers


def _key(task: str) -> str:
    return task.replace(" ", "_")


def _task_numbers(task: str, cases: pd.DataFrame, summary: pd.DataFrame, gaps: pd.DataFrame) -> dict[str, float | str]:
    """Collect a task's counts, and the numbers of its first and last case."""
    wide = summary.pivot(index="method", columns="shown", values="mean")
    # On the same draw, as methods with other draws have other means even where all predict the same.
    draws = cases.groupby(["shown", "seed"])["rmse"]
    apart = (draws.max() - draws.min()).groupby("shown").max() > SAME
    differ = wide.loc[:, apart.reindex(wide.columns)]
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
        found[f"{name}_{method}_words"] = span_words(mean, low, high)
    value, low, high, p = gap[["gap", "low", "high", "p"]].to_numpy()[0].tolist() if len(gap) else (*UNKNOWN, np.nan)
    found[f"{name}_gap_words"] = gap_words((value, low, high), p)
    return found | labelled(f"{name}_gap", (value, low, high), f"{name}_gap_")


def _change_numbers(task: str, cases: pd.DataFrame) -> dict[str, float | str]:
    """Collect what the most ratings of a task's cases change, from the fewest on, paired by draw."""
    found: dict[str, float | str] = {}
    for errors, word in zip(_ERRORS, ("change", "own_change"), strict=True):
        wide = cases.pivot(index=["method", "seed"], columns="shown", values=errors)
        change = (wide[wide.columns[-1]] - wide[wide.columns[0]]).dropna()
        for method in (REFERENCE, NO_NETWORK):
            name, own = f"{_key(task)}_{word}_{method}", change[change.index.get_level_values("method") == method]
            span = split_interval(own, cases["share"].iloc[0])
            found |= labelled(name, span, f"{name}_") | {f"{name}_words": span_words(*span, form="+.3f", confidence="")}
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
    within draws. The axis spans the means; an interval may go beyond it.

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
        ax.set(xlabel=label, ylabel=f"RMSE above that\nof {reference} (stars)" if reference else "RMSE (stars)")
        if reference:
            ax.axhline(0, color="#555555", linewidth=1)
        ax.grid(axis="x", visible=False)
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    legend_below(axes[-1, 0], 2, 0.32, title="below the cases: test ratings, mean of the draws")
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
            label=f"{runs['name'].iloc[0]}, n = {runs['n'].max()}" if len(runs) else None,
        )
        if shows_own:
            none = (runs["shown"] == 0).to_numpy()
            ax.plot(x[none], runs["own"][none], look[0], fillstyle="none", color=colour, markersize=7)
    seen = own[[value, "own"] if shows_own else [value]].to_numpy()
    pad = 0.15 * (np.nanmax(seen) - np.nanmin(seen)) + 0.005
    ax.set(xticks=range(len(shown)), ylim=(np.nanmin(seen) - pad, np.nanmax(seen) + pad))
    labels = [f"{case}\n{n:,.0f}" for case, n in zip(shown["case"], shown["n_test"], strict=True)]
    ax.set_xticklabels(labels, fontsize="x-small")

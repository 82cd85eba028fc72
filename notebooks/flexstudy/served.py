"""Chapter 10, who is served: errors by how many ratings there are of the user, of the film and in all.

The chapter reads the records of `flexstudy.served_runs`. Its cases are described in `flexstudy.served_cases`. A draw is
a random split, or a random choice of new users or films; costly methods may have fewer draws than others.

References
----------
Holm (1979) for the correction of p. Nadeau and Bengio (2003) for draws that overlap.
"""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from flexlib.config import FlexError
from flexlib.methods.tuning import Tuning, load_tuned, run_tuning
from flexstudy.methods import REFERENCE, split_p
from flexstudy.served_cases import COUNTS, METHOD_NAMES, NEW, SERVED_COLUMNS, bin_labels, merged_bins, served_name
from flexstudy.served_runs import run_served
from flexstudy.statistics import SIGNIFICANT, UNKNOWN, Interval, holm, labelled, spelled, split_interval
from flexstudy.style import bar_lengths

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
TASK_HEADS = {
    "by user": "Users",
    "by item": "Films",
    "new users": "New users",
    "new items": "New films",
    "sparsity": "Fewer ratings",
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
        return run_served(
            tuning.dataset,
            Path(made) / f"{tuning.name}.parquet",
            tuning.splits,
            Path(made),
            columns=tuning.columns,
            scale=tuning.scale,
        )


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


def ends_table(gaps: pd.DataFrame) -> pd.DataFrame:
    """Lay out how far FlexEncoder is from the reference with few and with many ratings, for reading.

    Parameters
    ----------
    gaps
        Of `gaps_to_reference`.

    Returns
    -------
    pd.DataFrame
        One row a task: the first and the last case in which methods differ, each with the difference in stars, its 95 %
        interval over draws and "*" where it is clear.
    """
    own = gaps[(gaps["method"] == REFERENCE) & (gaps["gap"].abs() > SAME)].sort_values("shown")
    own = own.assign(text=spelled(own, "gap") + (own["p"] < SIGNIFICANT).map({True: " *", False: ""}))
    rows = {}
    for task, words in TASKS.items():
        of_task = own[own["task"] == task]
        if len(of_task):
            few, many = of_task.iloc[0], of_task.iloc[-1]
            rows[words] = (few["case"], few["text"], many["case"], many["text"], int(many["n"]))
    heads = ["fewest", "RMSE above biases", "most", "RMSE above biases ", "draws"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=heads).rename_axis("by")


def tries_words(records: pd.DataFrame) -> str:
    """Say how many settings the methods had been tuned over, in sentences."""
    tries = records["tuned"].str.extract(r"-(\d+)tries$")[0].astype(float)
    is_ours = records["method"] == REFERENCE
    ours, others = (sorted(set(tries[of])) or sorted(set(tries)) for of in (is_ours, ~is_ours))  # one may be missing
    if np.isnan([*ours, *others]).any():
        return "The records do not say over how many settings the methods had been tuned."
    of_ours, of_others = (" or ".join(f"{n:.0f}" for n in own) for own in (ours, others))
    if ours == others:
        return f"All methods with something to tune had {of_ours} tries a split."
    words = f"FlexEncoder had {of_ours} tries a split, and the others {of_others}, where there is something to tune."
    is_more = min(ours) > max(others)
    return words + (
        " Where more tries help, FlexEncoder has that advantage in every comparison below." if is_more else ""
    )


def gap_words(gap: Interval, p: float) -> str:
    """Say how far FlexEncoder's RMSE is from that of biases: "clearly below that of biases by 0.010 stars"."""
    if np.isnan(gap[0]):
        return "not comparable with that of biases"
    if abs(gap[0]) < 5e-4:
        return "equal to that of biases, to a thousandth of a star"
    words = f"{'below' if gap[0] < 0 else 'above'} that of biases by {abs(gap[0]):.3f} stars"
    if np.isnan(gap[1]):
        return f"{words} on one draw"
    return f"clearly {words}" if p < SIGNIFICANT else f"{words}, which is not clear"


def served_numbers(records: pd.DataFrame, cases: pd.DataFrame, summary: pd.DataFrame) -> dict[str, float | str]:
    """Collect the numbers of the chapter's prose.

    Parameters
    ----------
    records, cases, summary
        Of `find_served`, `tabulate_cases` and `summarise_served`.

    Returns
    -------
    dict
        Name to number or text. END is one of a task's cases: "first" (the fewest ratings with which methods differ),
        "last" (the most ratings) or, for new users and films, "none" (no rating). What needs a method that the records
        do not have is NaN.

        - n_splits, fewest: the most draws of a method, and the fewest
        - tries_words: of `tries_words`
        - TASK_END_case: the case's label
        - TASK_END_gap (_low, _high, _words): FlexEncoder's RMSE above that of the biases in stars
        - TASK_none_flexencoder, TASK_none_flexencoder_own: FlexEncoder's RMSE in stars without any rating, with the
          mean that stands in for all methods and with its own predictions
        - TASK_cases: in how many cases methods differ
        - TASK_below: in how many of these FlexEncoder is clearly below the biases
        - TASK_new: how many are new, of new users and new films
    """
    gaps = gaps_to_reference(cases, NO_NETWORK)
    gaps = gaps[gaps["method"] == REFERENCE]
    draws = cases.groupby("method")["seed"].nunique()
    numbers: dict[str, float | str] = {
        "n_splits": int(draws.max()),
        "fewest": int(draws.min()),
        "tries_words": tries_words(records),
    }
    for task in summary["task"].unique():
        of_task = gaps[gaps["task"] == task]
        numbers |= _task_numbers(task, cases[cases["task"] == task], summary[summary["task"] == task], of_task)
    for task, side in NEW.items():
        numbers[f"{_key(task)}_new"] = int(cases.loc[cases["task"] == task, f"n_{side}"].max())
    return numbers


def _key(task: str) -> str:
    return task.replace(" ", "_")


def _task_numbers(task: str, cases: pd.DataFrame, summary: pd.DataFrame, gaps: pd.DataFrame) -> dict[str, float | str]:
    """Collect a task's counts, and the numbers of its first and last case."""
    shown = sorted(summary["shown"].unique())
    # On the same draw, as methods with other draws have other means even where all predict the same.
    draws = cases.groupby(["shown", "seed"])["rmse"]
    apart = (draws.max() - draws.min()).groupby("shown").max() > SAME
    differ = [number for number in shown if apart[number]]
    found: dict[str, float | str] = {
        f"{_key(task)}_cases": len(differ),
        f"{_key(task)}_below": int((gaps.loc[gaps["p"] < SIGNIFICANT, "gap"] < 0).sum()),
    }
    for end, number in {"first": [*differ, shown[0]][0], "last": shown[-1]}.items():
        gap, name = gaps[gaps["shown"] == number], f"{_key(task)}_{end}"
        value, low, high, p = (
            gap[["gap", "low", "high", "p"]].to_numpy()[0].tolist() if len(gap) else (*UNKNOWN, np.nan)
        )
        found[f"{name}_case"] = summary.loc[summary["shown"] == number, "case"].iloc[0]
        found |= labelled(f"{name}_gap", (value, low, high), f"{name}_gap_")
        found[f"{name}_gap_words"] = gap_words((value, low, high), p)
    if task in NEW:
        none = summary[summary["shown"] == shown[0]].set_index("method").reindex([REFERENCE])
        mean, own = none[["mean", "own"]].to_numpy()[0].tolist()
        found |= {f"{_key(task)}_none_flexencoder": mean, f"{_key(task)}_none_flexencoder_own": own}
    return found


# Each method that is drawn: its short name, and the colour of its line. Item means are far from all others.
LOOKS = {
    "flexencoder": ("FlexEncoder", "#0072B2"),
    "flexencoder_set1": ("set 1", "#3A94C9"),
    "svdpp": ("SVD++", "#B07500"),
    "hidden_similarity": ("encoded kNN", "#882255"),
    "item_knn": ("item kNN", "#007F5F"),
    "bpmf": ("BPMF", "#B4548A"),
}
DRAWN_ABOVE = 0.09  # stars above the biases, up to which lines are drawn


def plot_to_biases(gaps: pd.DataFrame, tasks: Iterable[str]) -> Figure:
    """Draw how far methods are from the biases over the cases of a task, from few ratings to many, a panel a task.

    A method's short name stands at the end of its line, with its draws. Marks are filled where the difference is clear,
    and FlexEncoder has 95 % intervals over draws. Cases in which all methods get the same prediction are left out, and
    lines are cut off `DRAWN_ABOVE` the biases, if FlexEncoder's is not as high.

    Parameters
    ----------
    gaps
        Of `gaps_to_reference`, with the biases.
    tasks
        Of `TASKS`.
    """
    names = list(tasks)
    figure, axes = plt.subplots(len(names), figsize=(6.5, 0.3 + 3.5 * len(names)), squeeze=False)
    for ax, task in zip(axes[:, 0], names, strict=True):
        own = gaps[(gaps["task"] == task) & gaps["method"].isin(LOOKS)]
        own = own[own.groupby("shown")["gap"].transform(lambda of: of.abs().max()) > SAME]
        _draw_task(ax, own)
        ours = own[own["method"] == REFERENCE].sort_values("shown")["gap"]
        words = f": FlexEncoder {ours.iloc[0]:+.3f} with few, {ours.iloc[-1]:+.3f} with many" if len(ours) else ""
        ax.set_title(TASK_HEADS[task] + words, x=-0.2)
        ax.set(xlabel=TASKS[task], ylabel="RMSE above biases\n(stars)")
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.17, right=0.76, bottom=0.7 / height, top=1 - 0.4 / height, hspace=0.5)
    return figure


def _draw_task(ax: Axes, own: pd.DataFrame) -> None:
    """Draw a line a method over the cases of one task, with its name at its end."""
    shown = own.drop_duplicates("shown").sort_values("shown")
    places = {number: place for place, number in enumerate(shown["shown"])}
    ax.axhline(0, color="#595959", linewidth=1.5)
    ends = {"biases": (0.0, "#595959")}
    highest = [DRAWN_ABOVE]
    for method, (name, colour) in LOOKS.items():
        runs = own[(own["method"] == method) & own["gap"].notna()].sort_values("shown")
        if not len(runs):
            continue
        x, is_ours = runs["shown"].map(places).to_numpy(), method == REFERENCE
        gap, is_clear = runs["gap"].to_numpy(), (runs["p"] < SIGNIFICANT).to_numpy()
        ax.plot(x, gap, color=colour, linewidth=2.5 if is_ours else 1.2, label=name)
        ax.plot(x[is_clear], gap[is_clear], "o", color=colour, markersize=6)
        ax.plot(x[~is_clear], gap[~is_clear], "o", color=colour, markersize=6, fillstyle="none")
        if is_ours:
            ax.errorbar(x, gap, yerr=bar_lengths(runs, "gap"), fmt="none", color=colour, capsize=3)
            highest.append(float(gap.max()) + 0.01)
        ends[f"{name} ({runs['n'].max()})"] = (float(gap[-1]), colour)
    low, high = ax.get_ylim()
    ax.set(xticks=list(places.values()), xlim=(-0.2, max(len(places), 1) - 0.8), ylim=(low, min(high, max(highest))))
    ax.set_xticklabels(shown["case"], fontsize="x-small")
    ax.tick_params(axis="y", labelsize="small")
    ax.grid(axis="x", visible=False)
    _label_ends(ax, ends)


def _label_ends(ax: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write each word right of the frame, in its colour, as near to its height as the others leave room."""
    low, high = ax.get_ylim()
    words = sorted(ends, key=lambda word: ends[word][0])
    below = 0.085 * (high - low) * np.arange(len(words))
    heights = np.clip([ends[word][0] for word in words], low, high)
    for word, height in zip(words, isotonic_regression(heights - below).x + below, strict=True):
        where: dict[str, Any] = dict(
            xycoords=("axes fraction", "data"), va="center", fontsize="small", annotation_clip=False
        )
        ax.annotate(word, (1.02, height), color=ends[word][1], **where)

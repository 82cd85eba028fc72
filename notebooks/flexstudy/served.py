"""The chapter on who is served: errors by how many ratings there are, of the user, of the film and in all."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from flexlib.methods.tuning import load_tuned, run_tuning
from flexstudy.served_cases import COLUMNS, COUNTS, NAMES, NEW, bin_labels, merged_bins, run_served, served_name
from flexstudy.statistics import holm, labelled, mean_interval
from flexstudy.style import _legend_below

REFERENCE, NO_NETWORK = "flexencoder", "biases"


AT_LEAST = 100  # test ratings of a bin, in every split


TASKS = {
    "by user": "training ratings of the user", "by item": "training ratings of the film",
    "new users": "ratings shown of a new user", "new items": "ratings shown of a new film",
    "sparsity": "share of the training ratings (%)",
}  # fmt: skip


def find_served(tuning, folder=""):
    """The records of `flexlib served`: those in `folder`; where that is empty, the methods of a
    `flexlib.tuning.Tuning` are tuned and scored now. Raises `FlexError` where the folder does not have them."""
    if folder:
        return load_tuned(Path(folder) / f"{served_name(tuning.dataset)}.parquet", COLUMNS)
    with tempfile.TemporaryDirectory() as made:
        run_tuning(tuning, Path(made))
        return run_served(tuning.dataset, Path(made) / f"{tuning.name}.parquet", tuning.splits, Path(made))


def served_cases(records, at_least=AT_LEAST):
    """Records by case, one row a task, method and seed: shown, case (its label), n_test, rmse and rmse_own_fallback
    (stars), n_users and n_items (NaN for bins). Bins are merged (`merged_bins`, by the split with the fewest), their
    errors pooled; one that a method has no prediction for is NaN."""
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
        pooled = own.groupby(keys)[["n_test", *_ERRORS]].agg(lambda of: of.sum(skipna=False)).reset_index()
        pooled[_ERRORS] = pooled[_ERRORS].div(pooled["n_test"], axis=0).pow(0.5)
        parts.append(pooled.assign(case=pooled["shown"].map(bin_labels(into))))
    return pd.concat(parts, ignore_index=True)


_ERRORS = ["rmse", "rmse_own_fallback"]


def summarise_served(cases):
    """Each task, case and method: name, n (splits), n_test (mean over splits); mean, low, high of the RMSE (95 %
    t-interval over splits), within_low and within_high (the same of what is left when each split's mean over the
    task's cases and methods is made the same, Cousineau 2005: each split has other new users and films) and own (mean
    RMSE where unseen users and films get the method's own word)."""
    rows, by_task = [], cases.groupby("task")["rmse"]
    level = cases.groupby(["task", "seed"])["rmse"].transform("mean") - by_task.transform("mean")
    for (task, shown, method), own in cases.assign(within=cases["rmse"] - level).groupby(["task", "shown", "method"]):
        known = {"task": task, "shown": shown, "case": own["case"].iloc[0], "method": method, "name": NAMES[method]}
        known |= {"n": int(own["rmse"].count()), "n_test": own["n_test"].mean()}
        known |= {"own": own["rmse_own_fallback"].mean()}
        within = mean_interval(own["within"].dropna())
        known |= {"within_low": within[1], "within_high": within[2]}
        rows.append(known | labelled("mean", mean_interval(own["rmse"].dropna())))
    return pd.DataFrame(rows)


def paired_gaps(cases, reference):
    """What each other method's RMSE has above that of `reference` on the same split: task, shown, case, method, name,
    n, n_test; gap, low, high (stars, 95 % t-interval), and p (paired t-test, corrected by Holm over the cases of a
    task, for each method apart; NaN where there is no difference, or one split)."""
    rows = []
    for (task, shown), own in cases.groupby(["task", "shown"]):
        wide = own.pivot(index="seed", columns="method", values="rmse")
        for method in wide.columns.drop(reference, errors="ignore") if reference in wide else ():
            gap = (wide[method] - wide[reference]).dropna()
            known = {"task": task, "shown": shown, "case": own["case"].iloc[0], "method": method}
            known |= {"name": NAMES[method], "n": len(gap), "n_test": own["n_test"].mean()}
            p = stats.ttest_1samp(gap, 0).pvalue if len(gap) > 1 and gap.std() > 1e-12 else np.nan
            rows.append(known | labelled("gap", mean_interval(gap)) | {"p": p})
    columns = ["task", "shown", "case", "method", "name", "n", "n_test", "gap", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p=table.groupby(["task", "method"])["p"].transform(lambda of: holm(of)))


def gaps_table(gaps, tasks):
    """`paired_gaps` of some tasks for reading: a row a case, a column a method; "*" where p is below 0.05."""
    own = gaps[gaps["task"].isin(tasks)]
    text = own["gap"].map("{:+.3f}".format) + np.where(own["p"] < 0.05, "*", "")
    own = own.assign(text=text.where(own["n"] > 0, ""), task=own["task"].map(TASKS))
    wide = own.pivot(index=["task", "shown", "case"], columns="name", values="text").droplevel("shown")
    return wide.reindex(columns=[name for name in NAMES.values() if name in wide]).fillna("")


def served_numbers(records, cases, summary):
    """The numbers of the chapter's prose, by name. Of each task, for the first case in which methods differ, the last
    (the most ratings) and, of new users and films, that with none: TASK_first_METHOD, TASK_last_METHOD and
    TASK_none_METHOD, with `_low` and `_high`, of FlexEncoder and of biases; the lowest RMSE and whose it is;
    FlexEncoder less biases (TASK_first_gap, ...). Of the cases in which methods differ (TASK_cases): in how many
    FlexEncoder has the lowest mean (_led), and is clearly (corrected p below 0.05) below and above biases.
    TASK_change_METHOD: what the most ratings change, from the fewest; TASK_own_change_METHOD: the same where unseen
    users and films get the method's own word."""
    gaps = paired_gaps(cases, NO_NETWORK)
    gaps = gaps[gaps["method"] == REFERENCE]
    numbers = {"n_splits": int(cases["seed"].nunique()), "methods": int(cases["method"].nunique()),
               "tuned": ", ".join(sorted(set(records["tuned"])))}  # fmt: skip
    for task, own in summary.groupby("task"):
        key, wide = task.replace(" ", "_"), own.pivot(index="method", columns="shown", values="mean")
        shown, differ = list(wide), wide.loc[:, wide.max() - wide.min() > 1e-9]
        ends = {"first": [*differ, shown[0]][0], "last": shown[-1]} | ({"none": shown[0]} if task in NEW else {})
        for end, at in ends.items():
            here = own[own["shown"] == at].set_index("method")
            numbers |= {f"{key}_{end}_case": here["case"].iloc[0], f"{key}_{end}_test": int(here["n_test"].iloc[0])}
            for method, row in here[here.index.isin([REFERENCE, NO_NETWORK])].iterrows():
                name = f"{key}_{end}_{method}"
                numbers |= labelled(name, tuple(map(float, row[["mean", "low", "high"]])), f"{name}_")
                numbers[f"{name}_own"] = float(row["own"])
            numbers |= {f"{key}_{end}_best": here.loc[here["mean"].idxmin(), "name"],
                        f"{key}_{end}_lowest": float(here["mean"].min())}  # fmt: skip
            for row in gaps[(gaps["task"] == task) & (gaps["shown"] == at)].itertuples():
                numbers |= labelled(f"{key}_{end}_gap", (row.gap, row.low, row.high), f"{key}_{end}_gap_")
        clear = gaps[(gaps["task"] == task) & (gaps["p"] < 0.05)]["gap"]
        numbers |= {f"{key}_below": int((clear < 0).sum()), f"{key}_above": int((clear > 0).sum())}
        numbers |= {f"{key}_cases": differ.shape[1], f"{key}_led": int((differ.idxmin() == REFERENCE).sum())}
        by_seed = cases[(cases["task"] == task) & cases["method"].isin([REFERENCE, NO_NETWORK])]
        for errors, word in zip(_ERRORS, ("change", "own_change"), strict=True):
            wide = by_seed.pivot(index=["method", "seed"], columns="shown", values=errors)
            for method, change in (wide[shown[-1]] - wide[shown[0]]).dropna().groupby("method"):
                name = f"{key}_{word}_{method}"
                numbers |= labelled(name, mean_interval(change), f"{name}_")
    for task, side in NEW.items():
        numbers[f"{task.replace(' ', '_')}_new"] = int(cases.loc[cases["task"] == task, f"n_{side}"].max())
    return numbers


METHOD_LOOKS = {
    "flexencoder": ("#0072B2", "o-"), "flexencoder_set1": ("#56B4E9", "o--"), "svdpp": ("#E69F00", "^-"),
    "hidden_similarity": ("#882255", "P-"), "item_knn": ("#009E73", "s-"), "bpmf": ("#CC79A7", "D-"),
    "biases": ("#595959", "v-"), "item_mean": ("#8C8C8C", "x:"),
}  # fmt: skip


def plot_cases(table, words, title, value="mean", less=""):
    """Each method over the cases of a task, from few ratings to many, a panel a task: with 95 % intervals.

    table: of `flexlib.study.served.summarise_served`, or of `paired_gaps` for `value` "gap", `less` being what is taken
    off. words: task to its x axis. Open marks at 0 ratings, where there is a column `own`: what the methods themselves
    say of users and films without ratings; intervals are those within splits there. The axis spans the means; an
    interval may go beyond it.
    """
    figure, axes = plt.subplots(len(words), figsize=(6.5, 1.6 + 3.7 * len(words)), squeeze=False)
    methods = [name for name in METHOD_LOOKS if name in set(table["method"])]
    for ax, (task, word) in zip(axes[:, 0], words.items(), strict=True):
        own = table[table["task"] == task]
        shown = own.drop_duplicates("shown").sort_values("shown").set_index("shown")
        for place, method in enumerate(methods):
            runs, (colour, line) = own[own["method"] == method].sort_values("shown"), METHOD_LOOKS[method]
            x = shown.index.get_indexer(runs["shown"]) + 0.07 * (place - (len(methods) - 1) / 2)
            ends = ("within_low", "within_high") if value == "mean" and task.startswith("new") else ("low", "high")
            spread = np.nan_to_num([runs[value] - runs[ends[0]], runs[ends[1]] - runs[value]]).clip(min=0)
            ax.errorbar(x, runs[value], yerr=spread, fmt=line, color=colour, markersize=5, linewidth=1.3, capsize=2,
                        elinewidth=0.8, label=runs["name"].iloc[0] if len(runs) else None)  # fmt: skip
            if value == "mean" and task.startswith("new"):
                none = (runs["shown"] == 0).to_numpy()
                ax.plot(x[none], runs["own"][none], line[0], fillstyle="none", color=colour, markersize=7)
        seen = own[[value, *(["own"] if "own" in own and task.startswith("new") else [])]].to_numpy()
        pad = 0.15 * (np.nanmax(seen) - np.nanmin(seen)) + 0.005
        labels = [f"{case}\n{n:,.0f}" for case, n in zip(shown["case"], shown["n_test"], strict=True)]
        ax.set(xticks=range(len(shown)), ylim=(np.nanmin(seen) - pad, np.nanmax(seen) + pad), xlabel=word,
               ylabel=f"RMSE less that\nof {less} (stars)" if less else "RMSE (stars)")  # fmt: skip
        ax.set_xticklabels(labels, fontsize="x-small")
        if less:
            ax.axhline(0, color="#555555", linewidth=1)
        ax.grid(axis="x", visible=False)
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    _legend_below(axes[-1, 0], 2, 0.32, title="below the cases: test ratings, mean of the splits")
    return figure

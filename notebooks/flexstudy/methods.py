"""The chapters on other methods and on the best that the family can do: tuned methods on the same splits, what the
search looked at, and what each of the best settings' choices is worth."""

import json
import tempfile
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from flexlib.config import FlexError
from flexlib.data import hold_back
from flexlib.datasets.loading import load_ratings
from flexlib.methods.networks import NETWORKS
from flexlib.methods.tuning import ALL, TRY_COLUMNS, load_tuned, run_tuning, score
from flexstudy.paper import TABLE_3_RMSE
from flexstudy.statistics import holm, labelled, mean_interval
from flexstudy.style import COLOURS, _legend_below

REFERENCE = "flexencoder"


# What is taken from the best settings, one at a time: words, and the fields that change.
CHANGES = {
    "centring by row means": {"centring": "rows"},
    "no weight decay": {"weight_decay": 0.0},
    "no dropout": {"drop_probability": 0.0},
    "no noise": {"noise_probability": 0.0},
    "weights not tied": {"decoder_constraint": False},
    "loss over observed entries only": {"loss_size_average": False},
    "four times as wide": {},
    "a second hidden layer": {},
    "the other pivot": {},
    "one re-feeding": {"dense_refeeding": 1},
}


def find_tuned(tuning, folder=""):
    """The records and the tries of a `Tuning`: those in `folder`, or made now where that is empty. Raises `FlexError`
    where the folder, or a file in it, does not have them."""
    if not folder:
        with tempfile.TemporaryDirectory() as made:
            return run_tuning(tuning, Path(made))
    path = Path(folder) / f"{tuning.name}.parquet"
    tables = [load_tuned(path), load_tuned(path.with_name(f"{tuning.name}-tries.parquet"), TRY_COLUMNS)]
    if missing := set(tuning.methods) - set(tables[0]["method"]):
        raise FlexError(f"{path}: does not have the methods {', '.join(sorted(missing))}")
    return [table[table["method"].isin(tuning.methods)] for table in tables]


def summarise_methods(records, reference=REFERENCE):
    """Each tuned method, lowest RMSE first: method (key), name, made_by, n (splits), mean, low, high of the RMSE (95 %
    t-interval), rmse_known and rmse_own_fallback (means); gap, gap_low, gap_high (paired difference to `reference` on
    the same splits) and p (paired t-test, corrected by Holm over the methods); published (Table 3, NaN where it is not
    in it); tries, seconds (of the final fit) and tuning_minutes, means over splits."""
    own = records[records["networks"] == 1]
    wide = own.pivot(index="split", columns="method", values="rmse")
    rows = []
    for key in wide:
        runs, gap = own[own["method"] == key], (wide[key] - wide[reference]).dropna()
        known = {"method": key, "name": ALL[key].name, "made_by": ALL[key].made_by, "n": int(runs["rmse"].count())}
        known |= labelled("mean", mean_interval(runs["rmse"].dropna())) | labelled("gap", mean_interval(gap), "gap_")
        tested = key != reference and len(gap) > 1 and gap.std() > 0
        known |= {"p": stats.ttest_1samp(gap, 0).pvalue if tested else np.nan, "published": published(key)}
        known |= runs[["rmse_known", "rmse_own_fallback", "tries", "seconds"]].mean().to_dict()
        rows.append(known | {"tuning_minutes": runs["tuning_seconds"].mean() / 60})
    table = pd.DataFrame(rows).sort_values("mean", ignore_index=True)
    return table.assign(p=holm(table["p"]))


def published(key):
    """Table 3's RMSE of a method; NaN where it is not in it. FlexEncoder's there is that of set 1."""
    names = {"autorec_item": "autorec", "flexencoder_set1": "flexencoder", "flexencoder": ""}
    return TABLE_3_RMSE.get(names.get(key, key), np.nan)


def comparison_numbers(table, prefix=""):
    """The numbers of the chapter's prose on one data set, by name."""
    own = table.set_index("method")
    order, others = list(own.index), own[~own.index.str.startswith(REFERENCE)]
    best, network = others["mean"].idxmin(), own.index.intersection(NETWORKS)
    found = {"methods": len(own), "n": int(own["n"].max()), "tries": int(own["tries"].max())}
    found |= {"best_other": own.at[best, "name"], "lowest": own.at[order[0], "name"]}
    found |= labelled("best_other_rmse", tuple(own.loc[best, ["mean", "low", "high"]]), "best_other_")
    for key in network:
        found |= {
            f"{key}_place": order.index(key) + 1,
            f"{key}_beaten": int((others["mean"] < own.at[key, "mean"]).sum()),
        }
        found |= labelled(key, tuple(own.loc[key, ["mean", "low", "high"]]), f"{key}_")
    table_3 = own["published"].drop("flexencoder_set1", errors="ignore").dropna().index
    for key in network:
        found[f"{key}_beaten_in_table"] = int((own.loc[table_3, "mean"] < own.at[key, "mean"]).sum())
    if len(table_3):
        in_table = own.loc[table_3, "mean"].idxmin()
        found |= {"best_in_table": own.at[in_table, "name"], "best_in_table_rmse": own.at[in_table, "mean"]}
    for key in own.index.intersection(["biases", "item_mean"]):
        found |= labelled(key, tuple(own.loc[key, ["mean", "low", "high"]]), f"{key}_")
    gap = own.loc[best, ["gap", "gap_low", "gap_high", "p"]]
    found |= labelled("best_other_gap", tuple(gap[:3]), "best_other_gap_") | {"best_other_gap_p": gap["p"]}
    known = own[own["published"].notna() & (own.index != "flexencoder_set1")]
    found |= {"others": len(others), "published_others": len(known)}
    found["off_published"] = (known["mean"] - known["published"]).median()
    found["off_least"] = (known["mean"] - known["published"]).min()
    found["off_most"] = (known["mean"] - known["published"]).max()
    found["ranks"] = stats.spearmanr(known["mean"], known["published"])[0] if len(known) > 2 else np.nan
    found["significant"] = int((own["p"] < 0.05).sum())
    plain = {name: value if isinstance(value, str | int) else float(value) for name, value in found.items()}
    return {f"{prefix}{name}": value for name, value in plain.items()}


def clearly_lower(records, than="flexencoder_set1"):
    """How many methods beside FlexEncoder's have an RMSE clearly below this one's: p of the paired difference, on the
    same splits and corrected for the number of methods, is below 0.05."""
    table = summarise_methods(records, than).query("gap < 0 and p < 0.05")
    return int((~table["method"].str.startswith(REFERENCE)).sum())


def summarise_best(cases, targets=()):
    """What the search found, beside references tuned with fewer tries: case, what, n (splits), mean, low, high (95 %
    t-interval), gap, gap_low, gap_high (paired difference to one network of the best settings), target and met ("yes",
    "no" or "", of the best settings alone, by the mean).

    cases: title to the records of the search and of the references. targets: RMSE of each case, as far as there is one.
    """
    rows = []
    for (title, (records, references)), target in zip(
        cases.items(), [*targets, *[np.nan] * (len(cases) - len(targets))], strict=True
    ):
        best = {count: own.set_index("split")["rmse"] for count, own in records.groupby("networks")}
        parts = {
            f"{'one network' if count == 1 else f'mean of {count} networks'}": rmse for count, rmse in best.items()
        }
        parts |= {ALL[key].name: own.set_index("split")["rmse"] for key, own in references.groupby("method")}
        for place, (what, rmse) in enumerate(parts.items()):
            goal = target if place < len(best) else np.nan
            known = {"case": title, "what": what, "n": len(rmse)} | labelled("mean", mean_interval(rmse))
            known |= labelled("gap", mean_interval((rmse - best[1]).dropna()), "gap_")
            met = "" if np.isnan(goal) else "yes" if known["mean"] <= goal else "no"
            rows.append(known | {"target": goal, "met": met})
    return pd.DataFrame(rows)


def best_numbers(table, names):
    """The numbers of the chapter's prose by name, each with the name of its case in front: `one`, `mean_of` (networks
    averaged), and the references by their first words; with _low, _high; their gaps."""
    found = {}
    for title, name in names.items():
        for row in table[table["case"] == title].itertuples():
            what = "one" if row.what == "one network" else "mean_of" if row.what.startswith("mean of") else row.what
            key = f"{name}_{what.lower().replace(',', '').replace(' ', '_')}"
            found |= labelled(key, (row.mean, row.low, row.high), f"{key}_") | {f"{key}_met": row.met}
            found |= labelled(f"{key}_gap", (row.gap, row.gap_low, row.gap_high), f"{key}_gap_")
    return {name: value if isinstance(value, str) else float(value) for name, value in found.items()}


def search_history(tries):
    """The tries of a search: split, number (from 1), validation_rmse, and best, the lowest so far."""
    rows = tries[["split", "number", "validation_rmse"]].sort_values(["split", "number"])
    best = rows.groupby("split")["validation_rmse"].cummin().groupby(rows["split"]).ffill()
    return rows.assign(number=rows.groupby("split").cumcount() + 1, best=best)


def choices(tries, top=10):
    """How the best tries of each search chose, beside all its tries: field, choice, share among the `top` of each
    split and among all that were made, in %; of numbers the median, in `top_median` and `all_median`."""
    made = tries[tries["validation_rmse"].notna()]
    best = made.sort_values("validation_rmse").groupby("split").head(top)
    tables = [pd.DataFrame(map(json.loads, part["settings"])) for part in (best, made)]
    for table in tables:
        table["layers"] = table["hidden_layers"].map(len)
        table["bottleneck"] = table["hidden_layers"].map(lambda sizes: sizes[-1])
        table["pivot"] = table["pivot_indexes"].map(lambda pivot: "items" if pivot == [1, 0] else "users")
    rows = []
    for name in ("pivot", "centring", "optimizer", "activation", "output_activation", "decoder_constraint",
                 "loss_size_average", "layers", "dense_refeeding"):  # fmt: skip
        shares = [table[name].value_counts(normalize=True) * 100 for table in tables]
        choice = shares[0].index[0]
        rows.append({"parameter": name, "most often": str(choice).lower(), "best tries": f"{shares[0].iloc[0]:.0f} %",
                     "all tries": f"{shares[1][choice]:.0f} %"})  # fmt: skip
    for name in ("bottleneck", "drop_probability", "noise_probability", "learning_rate", "weight_decay", "epochs"):
        middle = [f"{table[name].median():.3g}" for table in tables]
        rows.append({"parameter": name, "most often": "median", "best tries": middle[0], "all tries": middle[1]})
    return pd.DataFrame(rows)


def _changed(settings, word):
    """The settings with one of `CHANGES` made; None where they have it so already."""
    found = settings | CHANGES[word]
    if word == "four times as wide":
        found["hidden_layers"] = [4 * size for size in settings["hidden_layers"]]
    if word == "a second hidden layer" and len(settings["hidden_layers"]) == 1:
        found["hidden_layers"] = [2 * settings["hidden_layers"][0], *settings["hidden_layers"]]
    if word == "the other pivot":
        found["pivot_indexes"] = settings["pivot_indexes"][::-1]
    return None if found == settings else found


def ablate(tuning, records, n_weights=3):
    """What each of `CHANGES` does to the validation RMSE of the best settings: change, n (splits), changed_by, low,
    high (95 % t-interval, paired), in stars, the mean over `n_weights` seeds in each split.

    A seed draws initial weights and validation ratings, others than those that the settings were chosen by. Early
    stopping finds the epochs of each. A change that makes a network estimated to take more than the tuning's
    `max_seconds` is left out. Test ratings are not read.
    """
    ratings, rows = load_ratings(tuning.dataset), []
    own = records[(records["method"] == REFERENCE) & (records["networks"] == 1)].set_index("split")
    for name, (seed, split) in tuning.load_splits(ratings).items():
        settings = json.loads(own.at[name, "settings"])
        for weights in range(1, n_weights + 1):
            at = seed + 1000 * weights
            before = _validated(ratings, split, at, settings, np.inf)
            for word in CHANGES:
                if changed := _changed(settings, word):
                    after = _validated(ratings, split, at, changed, tuning.max_seconds)
                    rows.append({"change": word, "split": name, "gap": after - before})
    table = pd.DataFrame(rows, columns=["change", "split", "gap"]).dropna()
    table = table.groupby(["change", "split"], sort=False, as_index=False)["gap"].mean()
    found = [{"change": word, "n": len(gaps)} | labelled("changed_by", mean_interval(gaps["gap"]))
             for word, gaps in table.groupby("change", sort=False)]  # fmt: skip
    return pd.DataFrame(found).sort_values("changed_by", ascending=False, ignore_index=True)


def ablation_numbers(table):
    """The change by each of `CHANGES` in the validation RMSE, by name (`no_dropout`, ...), with _low and _high."""
    found = {}
    for row in table.itertuples():
        name = row.change.replace(" ", "_")
        found |= labelled(name, map(float, (row.changed_by, row.low, row.high)), f"{name}_")
    return found


def _validated(ratings, split, seed, settings, max_seconds):
    outcome = NETWORKS[REFERENCE].rehearse(ratings, split, seed, settings, max_seconds)
    return score(ratings, hold_back(split, seed), outcome[0])["rmse"] if outcome else np.nan


def plot_methods(table, title):
    """RMSE of tuned methods, lowest first: means with 95 % intervals, and what the paper's Table 3 quotes. table: of
    `flexlib.study.comparison.summarise_methods`."""
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.36 * len(table)))
    y, ours = np.arange(len(table)), table["method"].str.startswith("flexencoder").to_numpy()
    for which, colour, mark, word in ((~ours, "#595959", "o", "other methods"), (ours, "holdout", "s", "FlexEncoder")):
        own = table[which]
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], y[which], xerr=spread, fmt=mark, capsize=3, color=COLOURS.get(colour, colour),
                    markersize=6, label=f"{word}, held-out ratings (leak-free)")  # fmt: skip
    ax.plot(table["published"], y, "x", color=COLOURS["paper"], markersize=8, mew=2, label="Table 3 of the paper")
    ax.set(title=title, xlabel="RMSE (stars)", yticks=y, yticklabels=[fill(name, 24) for name in table["name"]])
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize="small")
    _legend_below(ax, down=0.8 / (1.6 + 0.36 * len(table)))
    return figure

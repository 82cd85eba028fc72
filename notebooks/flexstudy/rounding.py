"""The chapter on rounding and diversity: what rounding costs in accuracy and does to recommended lists."""

import json
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from flexstudy.repetitions import by_setting
from flexstudy.statistics import holm, mean_interval, signed_rank_p, spelled, spelled_p

RANDOM, POPULAR = "rounded, ties at random", "rounded, ties to the more rated"


HALF_STAR = 0.5


SHARES = ("five_stars", "five_star_predictions", "coverage")


MEASURED = ("before", "after", "change", "low", "high")


MEASURES = {
    "five_stars": "share of listed items predicted at 5 stars", "coverage": "share of the catalogue on any list",
    "gini": "Gini index of how often items are listed", "entropy": "entropy of how often items are listed (bits)",
    "distance": "distance of genres within a list", "novelty": "novelty of listed items (bits)",
}  # fmt: skip


DIVERSE = {"coverage": 1, "gini": -1, "entropy": 1, "distance": 1, "novelty": 1}  # 1: higher is more diverse


def list_table(records):
    """The measured lists of a repetition as a table: setting, seed, refeeding (DeF), rounded_refeeding (DeFR), pair
    (the setting without DeFR that it belongs to), kind ("unrounded", `RANDOM`, `POPULAR`), measure, value. Measures are
    those of `flexlib.lists.list_measures`, with "rmse" and "five_star_predictions", the share of all predictions at the
    top of the scale, for which there is one rounded kind (`RANDOM`)."""
    made = by_setting(records)
    made = made[made["status"] == "ok"]
    rows = []
    for row in made.to_dict("records"):
        found = json.loads(row["details"])
        known = {"setting": row["setting"], "seed": row["seed"], "refeeding": row["dense_refeeding"] > 0}
        known |= {"rounded_refeeding": row["dense_refeeding_rounding"]}
        known["pair"] = row["setting"] - int(row["dense_refeeding_rounding"])
        values = [(kind, measure, value) for kind, of in found["lists"].items() for measure, value in of.items()]
        for measure, of in (("rmse", found["rmse"]), ("five_star_predictions", found["five_stars"])):
            values += [("unrounded", measure, of["unrounded"]), (RANDOM, measure, of["rounded"])]
        values += [("clipped", "rmse", found["rmse"]["clipped"]), ("unrounded", "same_lists", found["same_lists"])]
        rows += [known | {"kind": kind, "measure": measure, "value": value} for kind, measure, value in values]
    return pd.DataFrame(rows).astype({"value": float})


def rounding_effects(table, kind, than="unrounded"):
    """What a kind of rounding changes in each measure, paired: measure, n (settings), before, after, change, low, high
    (95 % t-interval over settings, each the mean of its seeds), p (signed ranks, Holm's correction over measures).

    table: of `list_table`; settings with DeFR are left out.
    """
    own = table[~table["rounded_refeeding"]]
    wide = own.pivot_table(index=["measure", "setting"], columns="kind", values="value")
    return _effects(wide.reindex(columns=[than, kind]).dropna())


def refeeding_effects(table):
    """The same for re-feeding rounding (DeFR): each setting with it against itself without, unrounded predictions."""
    own = table[table["refeeding"] & (table["kind"] == "unrounded") & (table["measure"] != "same_lists")]
    wide = own.pivot_table(index=["measure", "pair", "seed"], columns="rounded_refeeding", values="value")
    return _effects(wide.reindex(columns=[False, True]).dropna().groupby(level=["measure", "pair"]).mean())


def _effects(wide):
    """wide: (before, after) by measure and setting."""
    rows = []
    for measure, own in wide.groupby(level=0):
        before, after = (own.iloc[:, place] for place in (0, 1))
        change, low, high = mean_interval(after - before)
        known = {"measure": measure, "n": len(own), "before": before.mean(), "after": after.mean()}
        rows.append(known | {"change": change, "low": low, "high": high, "p": signed_rank_p(after - before)})
    columns = ["measure", "n", "before", "after", "change", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns).assign(p=lambda t: holm(t["p"])).set_index("measure")


def more_diverse(effects):
    """In how many of the measures in `DIVERSE` lists are more diverse: the change's interval is wholly on that side."""
    return int((effects[["low", "high"]].reindex(DIVERSE).mul(pd.Series(DIVERSE), axis=0) > 0).all(axis=1).sum())


def rounding_numbers(table, random, popular, refeeding):
    """The numbers of the chapter's prose, by name: MEASURE_KIND for before, after, change, low, high and p."""
    numbers = {"settings": int(table["pair"].nunique()), "n_seeds": int(table["seed"].nunique())}
    numbers |= {"diverse_measures": len(DIVERSE), "more_diverse_random": more_diverse(random)}
    numbers["more_diverse_popular"] = more_diverse(popular)
    kinds = {"random": random, "popular": popular, "refeeding": refeeding}
    kinds |= {"clipped": rounding_effects(table, "clipped"), "grid": rounding_effects(table, RANDOM, than="clipped")}
    for kind, effects in kinds.items():
        for measure, row in effects.iterrows():
            scale = 100 if measure in SHARES else 1  # in per cent
            numbers |= {f"{measure}_{kind}_{name}": scale * float(row[name]) for name in MEASURED}
            numbers |= {f"{measure}_{kind}_n": int(row["n"]), f"{measure}_{kind}_p": float(row["p"])}
    same, before = table[table["measure"] == "same_lists"]["value"], numbers["rmse_random_before"]
    # What an error spread evenly over a step adds, its variance being a twelfth of the step's square.
    numbers["rmse_expected"] = float(np.sqrt(before**2 + HALF_STAR**2 / 12) - before)
    return numbers | {"same_lists": 100 * float(same.mean()), "runs": len(same)}


def effects_table(effects):
    """`rounding_effects` or `refeeding_effects` for reading: a row a measure, the change with its interval as text."""
    table = effects.assign(change=spelled(effects, "change", form="+.4f")).drop(columns=["low", "high"])
    return table.round({"before": 4, "after": 4}).assign(p=spelled_p(table["p"]))


def plot_list_changes(effects, words, title):
    """What rounding changes in each measure of the lists, before and after, one panel a measure.

    effects: kind to a table of `flexlib.study.rounding.rounding_effects`. words: measure to what it is.
    """
    figure, axes = plt.subplots(len(words), figsize=(6.5, 0.8 + 1.7 * len(words)))
    kinds = list(effects)
    for ax, (measure, word) in zip(axes, words.items(), strict=True):
        for place, kind in enumerate(kinds):
            if measure not in effects[kind].index:  # genres that nobody knows, say
                continue
            row = effects[kind].loc[measure]
            colour = LIST_COLOURS[place]
            ax.plot([row["before"], row["after"]], [place, place], color=colour, linewidth=1)
            ax.plot(row["before"], place, "o", fillstyle="none", color="black", markersize=7)
            spread = [[row["change"] - row["low"]], [row["high"] - row["change"]]]
            ax.errorbar(row["after"], place, xerr=spread, fmt="os^"[place % 3], color=colour, capsize=3)
        ax.set(yticks=range(len(kinds)), ylim=(len(kinds) - 0.5, -0.5), xmargin=0.12)
        ax.set_yticklabels([fill(kind, 18) for kind in kinds], fontsize="small")
        ax.set_title(word, fontsize="small")
        ax.grid(axis="y", visible=False)
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


LIST_COLOURS = ("#CC79A7", "#009E73", "#56B4E9")

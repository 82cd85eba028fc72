"""The chapter on rounding and diversity: what rounding costs in accuracy, and what it does to recommended lists.

It reads the experiment "rounding": lists of settings of the sweep, with predictions rounded (PrR) and not, and for
settings with re-feeding, also with what is fed back rounded (DeFR).

References
----------
Tran et al. (2018), Section 4.4.
"""

import json
from collections.abc import Mapping
from itertools import product
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from flexlib.runs.records import config_of
from flexstudy.lists import (
    AT_RANDOM,
    CLIPPED,
    TO_THE_MORE_RATED,
    UNROUNDED_AT_RANDOM,
    UNROUNDED_TO_THE_MORE_RATED,
)
from flexstudy.plans import NO_REFEEDING, NOT_ROUNDED, ROUNDED
from flexstudy.statistics import FEWEST, TOO_FEW, holm, mean_interval, signed_rank_p, spelled
from flexstudy.style import COLOURS, FILLS, MARKERS, legend_below

HALF_STAR = 0.5
MEASURES = {
    "five_stars": "listed films at 5 stars (%)",
    "coverage": "catalogue on any list (%)",
    "gini": "Gini index of listings",
    "entropy": "entropy of listings (bits)",
    "distance": "distance of genres in a list",
    "novelty": "novelty of listed films (bits)",
}
COMPARED = {"five_star_predictions": "predictions at 5 stars (%)"} | MEASURES
SHARE_MEASURES = ("five_stars", "five_star_predictions", "coverage")  # which the prose gives in per cent
DIVERSE = {"coverage": 1, "gini": -1, "entropy": 1, "distance": 1, "novelty": 1}  # 1: higher is more diverse
OF_TIES = ("ties", "one_value")  # measures of how many lists ties decide
SAME_TIES = {AT_RANDOM: UNROUNDED_AT_RANDOM, TO_THE_MORE_RATED: UNROUNDED_TO_THE_MORE_RATED}  # rounded to unrounded
_TOLD = ("before", "after", "change", "low", "high")  # of each effect, in the prose
RMSE_STEPS = {  # whose change of the RMSE is drawn, by the kind in the names of their numbers
    "clipped": "into the scale",
    "grid": "onto half stars",
    "random": "both: prediction rounding",
    "refeeding": "re-feeding rounding",
}


def list_table(records: pd.DataFrame) -> pd.DataFrame:
    """Lay the measured lists out as a table, a row a measure.

    Parameters
    ----------
    records
        Of the experiment "rounding"; runs that did not end well are left out.

    Returns
    -------
    pd.DataFrame
        - setting: name, in the order of the plan
        - role: "no re-feeding", "not rounded" or "rounded", by which a setting with re-feeding is there twice
        - seed: of the split
        - rows: "user-based" or "item-based"
        - kind: `UNROUNDED_AT_RANDOM`, `UNROUNDED_TO_THE_MORE_RATED`, `AT_RANDOM`, `TO_THE_MORE_RATED` or `CLIPPED`; the
          RMSE and the 5-star predictions, which do not depend on how ties are broken, have those of random ties; what
          is told of ties has "unrounded" or "rounded"
        - measure: of `flexstudy.lists.list_measures`; "rmse"; "five_star_predictions", the share of all predictions
          at the top of the scale; or, of ties, "ties", "one_value" or "same_lists" (`flexstudy.lists.measure_lists`)
        - value: stars, a share or bits
    """
    rows = []
    for _, row in records[records["status"] == "ok"].iterrows():
        found = json.loads(row["details"])
        values = [(kind, measure, value) for kind, of in found["lists"].items() for measure, value in of.items()]
        for measure, of in (("rmse", found["rmse"]), ("five_star_predictions", found["five_stars"])):
            values += [(UNROUNDED_AT_RANDOM, measure, of["unrounded"]), (AT_RANDOM, measure, of["rounded"])]
        values += [(CLIPPED, "rmse", found["rmse"]["clipped"]), ("rounded", "same_lists", found["same_lists"])]
        values += [(kind, measure, value) for measure in OF_TIES for kind, value in found[measure].items()]
        known = {name: row[name] for name in ("setting", "role", "seed")}
        known["rows"] = "item-based" if config_of(row).item_based else "user-based"
        rows += [known | {"kind": kind, "measure": measure, "value": value} for kind, measure, value in values]
    columns = ["setting", "role", "seed", "rows", "kind", "measure", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"value": float})
    return table.assign(setting=pd.Categorical(table["setting"], records["setting"].unique()))


def rounding_effects(table: pd.DataFrame, kind: str, than: str = "") -> pd.DataFrame:
    """Measure what a kind of rounding changes, each setting paired with itself; settings with DeFR are left out.

    Parameters
    ----------
    table
        Of `list_table`.
    kind, than
        What is compared, and with what; by default with the unrounded under the same rule for ties.

    Returns
    -------
    pd.DataFrame
        By measure, where both kinds have it:

        - n: settings, each the mean of its seeds
        - before, after: means over settings, in the measure's unit
        - change, low, high: mean of the differences with its 95 % t-interval over settings
        - p: of no change (signed ranks, with Holm's correction over the measures)
    """
    than = than or SAME_TIES.get(kind, UNROUNDED_AT_RANDOM)
    own = table[table["role"] != ROUNDED]
    wide = own.pivot_table(index=["measure", "setting"], columns="kind", values="value", observed=True)
    return _effects(wide.reindex(columns=[than, kind]).dropna())


def refeeding_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Measure what re-feeding rounding (DeFR) changes: each setting with it against itself without.

    Predictions are not rounded, and ties are broken at random. A pair is compared on the splits on which both ended
    well.

    Parameters
    ----------
    table
        Of `list_table`.

    Returns
    -------
    pd.DataFrame
        As `rounding_effects`.
    """
    own = table[(table["role"] != NO_REFEEDING) & (table["kind"] == UNROUNDED_AT_RANDOM)]
    wide = own.pivot_table(index=["measure", "setting", "seed"], columns="role", values="value", observed=True)
    pairs = wide.reindex(columns=[NOT_ROUNDED, ROUNDED]).dropna()
    return _effects(pairs.groupby(level=["measure", "setting"], observed=True).mean())


def _effects(wide: pd.DataFrame) -> pd.DataFrame:
    """Measure the effects in a table of two columns, before and after, by measure and setting."""
    rows = []
    for measure, own in wide.groupby(level="measure"):
        before, after = (own.iloc[:, place] for place in (0, 1))
        change, low, high = mean_interval(after - before)
        known = {"measure": measure, "n": len(own), "before": before.mean(), "after": after.mean()}
        rows.append(known | {"change": change, "low": low, "high": high, "p": signed_rank_p(after - before)})
    columns = ["measure", "n", "before", "after", "change", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns).set_index("measure")
    return table.assign(p=holm(table["p"]))


def more_diverse(effects: pd.DataFrame) -> int:
    """Count the measures in `DIVERSE` by which lists become more diverse, with the whole interval on that side.

    Parameters
    ----------
    effects
        Of `rounding_effects` or `refeeding_effects`.
    """
    sides = effects[["low", "high"]].reindex(list(DIVERSE)).mul(pd.Series(DIVERSE), axis=0)
    return int((sides > 0).all(axis=1).sum())


def _are_enough(effects: pd.DataFrame) -> bool:
    """Say whether there are so many settings that an effect can be clear."""
    return bool(effects["n"].max() >= FEWEST)


def effects_table(random: pd.DataFrame, popular: pd.DataFrame) -> pd.DataFrame:
    """Lay effects on the predictions and lists out for reading, a row a measure.

    Parameters
    ----------
    random, popular
        Of `rounding_effects`: ties broken at random, and by popularity.

    Returns
    -------
    pd.DataFrame
        By measure, in words and in per cent where it is a share; texts, "" where there is nothing:

        - unrounded, rounded: means with ties at random
        - change: with its interval, likewise
        - change, ties to the more rated: with its interval
    """
    scales = pd.Series([100.0 if name in SHARE_MEASURES else 1.0 for name in COMPARED], list(COMPARED))
    one, other = (table.reindex(list(COMPARED)).mul(scales, axis=0) for table in (random, popular))
    columns = {head: one[part].map(_three_digits) for head, part in (("unrounded", "before"), ("rounded", "after"))}
    columns |= {"change": spelled(one, "change", form="+#.3g")}
    columns |= {"change, ties to the more rated": spelled(other, "change", form="+#.3g")}
    return pd.DataFrame(columns).rename(index=COMPARED).rename_axis("measure")


def _three_digits(value: float) -> str:
    return "" if np.isnan(value) else f"{value:#.3g}"


def tie_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Measure what the rule for ties does by itself: unrounded lists, ties to the more rated against at random.

    Parameters
    ----------
    table
        Of `list_table`.

    Returns
    -------
    pd.DataFrame
        As `rounding_effects`.
    """
    return rounding_effects(table, UNROUNDED_TO_THE_MORE_RATED, than=UNROUNDED_AT_RANDOM)


def ties_table(table: pd.DataFrame) -> pd.DataFrame:
    """Count the lists that ties decide, by the rows of the settings; settings with DeFR are left out.

    Parameters
    ----------
    table
        Of `list_table`.

    Returns
    -------
    pd.DataFrame
        A row for user-based and for item-based settings, where there are any:

        - rows: which
        - n: settings
        - ties_unrounded, ties_rounded: per cent of the lists that end within a tie, mean over settings
        - one_value_unrounded, one_value_rounded: per cent of the lists whose predictions are all equal, likewise
        - coverage_random, coverage_popular: per cent of the catalogue on unrounded lists, by the rule for ties
    """
    own, found = table[table["role"] != ROUNDED], []
    parts = {f"{measure}_{kind}": (measure, kind) for measure in OF_TIES for kind in ("unrounded", "rounded")}
    parts |= {"coverage_random": ("coverage", UNROUNDED_AT_RANDOM)}
    parts |= {"coverage_popular": ("coverage", UNROUNDED_TO_THE_MORE_RATED)}
    for rows, group in own.groupby("rows"):
        means = group.groupby(["measure", "kind", "setting"], observed=True)["value"].mean()
        known: dict[str, Any] = {"rows": rows, "n": group["setting"].nunique()}
        found.append(known | {name: 100 * float(means.loc[part].mean()) for name, part in parts.items()})
    return pd.DataFrame(found, columns=["rows", "n", *parts]).sort_values("rows", ascending=False, ignore_index=True)


def rounding_numbers(
    table: pd.DataFrame, random: pd.DataFrame, popular: pd.DataFrame, refeeding: pd.DataFrame
) -> dict[str, float]:
    """Name the numbers of the chapter's prose.

    Parameters
    ----------
    table
        Of `list_table`.
    random, popular
        Of `rounding_effects`: ties broken at random before and after rounding, and by popularity before and after.
    refeeding
        Of `refeeding_effects`.

    Returns
    -------
    dict
        Name to number. Of each effect MEASURE_KIND_before, _after, _change, _low, _high, _n and _p, where the measures
        in `SHARE_MEASURES` are in per cent, and a kind without a measure has NaN of 0 settings; the kind "ties" is of
        `tie_effects`. Of `ties_table`, its columns with _user and _item, and settings_user and settings_item.
    """
    numbers: dict[str, float] = {
        "settings": table["setting"].nunique(),
        "n_seeds": table["seed"].nunique(),
        "diverse_measures": len(DIVERSE),
        "more_diverse_random": more_diverse(random) if _are_enough(random) else float("nan"),
        "more_diverse_popular": more_diverse(popular) if _are_enough(popular) else float("nan"),
    }
    kinds = {
        "random": random,
        "popular": popular,
        "refeeding": refeeding,
        "ties": tie_effects(table),
        "clipped": rounding_effects(table, CLIPPED),
        "grid": rounding_effects(table, AT_RANDOM, than=CLIPPED),
    }
    for (kind, effects), measure in product(kinds.items(), (*MEASURES, "rmse", "five_star_predictions")):
        row = effects.reindex([measure]).iloc[0]
        scale, name = 100 if measure in SHARE_MEASURES else 1, f"{measure}_{kind}"
        numbers |= {f"{name}_{part}": scale * float(row[part]) for part in _TOLD}
        numbers |= {f"{name}_n": int(np.nan_to_num(row["n"])), f"{name}_p": float(row["p"])}
    same, before = table[table["measure"] == "same_lists"]["value"], numbers["rmse_random_before"]
    # What an error spread evenly over a step adds, its variance being a twelfth of the step's square.
    numbers["rmse_expected"] = float(np.sqrt(before**2 + HALF_STAR**2 / 12) - before)
    counted = ties_table(table).set_index("rows")
    for side in ("user", "item"):
        row = counted.reindex([f"{side}-based"]).iloc[0]
        numbers |= {f"{name}_{side}": float(value) for name, value in row.drop("n").items()}
        numbers[f"settings_{side}"] = int(np.nan_to_num(row["n"]))
    return numbers | {"same_lists": 100 * float(same.mean()), "runs": len(same)}


def rounding_sentences(numbers: Mapping[str, float]) -> dict[str, str]:
    """Say what ties and re-feeding rounding do, by `rounding_numbers`; where runs are missing, that they are.

    Returns
    -------
    dict
        - ties_found: how many lists end within a tie
        - refeeding_found: of what re-feeding rounding does to the RMSE
    """
    shares = [
        f"Of the lists of {side}-based settings, {numbers[f'ties_unrounded_{side}']:.0f} % end within an exact tie "
        f"before rounding, and {numbers[f'ties_rounded_{side}']:.0f} % after it."
        for side in ("user", "item")
        if numbers[f"settings_{side}"]
    ]
    change, low, high = (numbers[f"rmse_refeeding_{part}"] for part in ("change", "low", "high"))
    n = int(numbers["rmse_refeeding_n"])
    told = f"{n or 'No'} setting{'s' * (n > 1)} with re-feeding ended well with and without its rounding ({TOO_FEW})."
    if n >= FEWEST:
        side = "excludes" if low > 0 or high < 0 else "includes"
        told = f"Re-feeding rounding changes the RMSE by {change:+.4f} stars over {n} settings"
        told += f", with an interval that {side} 0." if np.isfinite(low) else "."
    return {"ties_found": " ".join(shares), "refeeding_found": told}


def plot_rmse_changes(numbers: Mapping[str, float], dataset: str) -> Figure:
    """Draw what each step of rounding changes in the RMSE, with its 95 % interval.

    Parameters
    ----------
    numbers
        Of `rounding_numbers`.
    dataset
        For the title.
    """
    figure, ax = plt.subplots(figsize=(6.5, 3.2))
    for place, kind in enumerate(RMSE_STEPS):
        change, low, high = (numbers[f"rmse_{kind}_{part}"] for part in ("change", "low", "high"))
        if np.isnan(change):
            continue
        spread = np.nan_to_num([[change - low], [high - change]])
        ax.errorbar(change, place, xerr=spread, fmt="s", color=COLOURS["holdout"], capsize=3)
        text: dict[str, Any] = {"va": "center", "fontsize": "small", "textcoords": "offset points"}
        ax.annotate(f"{change:+.4f}", (np.nanmax([change, high]), place), (7, 0), **text)
    expected, grid = numbers["rmse_expected"], list(RMSE_STEPS).index("grid")
    ax.plot(
        expected, grid, "|", color="black", markersize=18, mew=2, label="if the error is spread evenly over half a star"
    )
    ax.axvline(0, color="black", linewidth=1)
    change = numbers["rmse_random_change"]
    moved = "raises" if change > 0 else "lowers"
    found = f"{moved} the RMSE by {abs(change):.3f} stars" if np.isfinite(change) else f"and the RMSE: {TOO_FEW}"
    ax.set(
        title=f"Prediction rounding {found}\n{dataset}",
        xlabel="change of the leak-free RMSE (stars)",
        yticks=range(len(RMSE_STEPS)),
        yticklabels=RMSE_STEPS.values(),
        ylim=(len(RMSE_STEPS) - 0.5, -0.7),
    )
    ax.margins(x=0.16)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="y", visible=False)
    legend_below(ax, down=0.3)
    return figure


def plot_coverage(table: pd.DataFrame, dataset: str) -> Figure:
    """Draw the coverage of each setting's lists, by rounding and by what breaks ties.

    Parameters
    ----------
    table
        Of `list_table`; settings with DeFR are left out.
    dataset
        For the title.
    """
    own = table[(table["measure"] == "coverage") & (table["role"] != ROUNDED)]
    shares = 100 * own.groupby(["kind", "rows", "setting"], observed=True)["value"].mean()
    kinds = [kind for pair in ((before, after) for after, before in SAME_TIES.items()) for kind in pair]
    figure, ax = plt.subplots(figsize=(6.5, 4.6))
    sides = [side for side in MARKERS if side in shares.index.get_level_values("rows")]
    for place, side in product(range(len(kinds)), sides):
        values, y = shares.loc[kinds[place], side], place + 0.32 * list(MARKERS).index(side) - 0.16
        style: dict[str, Any] = {"fillstyle": FILLS[side], "color": COLOURS["holdout"], "alpha": 0.6, "markersize": 6}
        ax.plot(values, np.full(len(values), y), MARKERS[side], label=None if place else side, **style)
        ax.plot(values.mean(), y, "|", color="black", markersize=16, mew=2)
        at: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": "small"}
        ax.annotate(f"{values.mean():.1f} %", (1.02, y), **at)
    ax.annotate("mean", (1.02, -0.55), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    random, popular = (shares.loc[kind].mean() for kind in SAME_TIES)
    words = f"Rounded lists cover {random:.1f} % of the catalogue with ties at random,\n{popular:.1f} % with ties to"
    ax.set(
        title=f"{words} the more rated film ({dataset})",
        xlabel="catalogue on any list (%), logarithmic scale",
        xscale="log",
        yticks=range(len(kinds)),
        ylim=(len(kinds) - 0.5, -0.75),
    )
    ax.set_yticklabels([fill(kind, 18) for kind in kinds], fontsize="small")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y", visible=False)
    legend_below(ax, columns=2, down=0.18)
    return figure

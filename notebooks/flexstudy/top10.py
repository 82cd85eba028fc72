"""The chapter on the ten best: Table 2's settings under three protocols, ours, and what the best have in common."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from flexlib.config import PAPERS_DATASET, PUBLISHED_RMSE, FlexConfig
from flexstudy.plans import TABLE_2, choose_best
from flexstudy.repetitions import by_setting
from flexstudy.statistics import bootstrap, holm, labelled, mean_interval, spearman
from flexstudy.style import COLOURS, _legend_below, words_of

CHOSEN_UNDER = ("released", "holdout")


def published_values(dataset, sets=TABLE_2):
    """(k,) the RMSE that Table 2 prints for each set, NaN where there is none for these data."""
    known = PUBLISHED_RMSE if dataset == PAPERS_DATASET else {}
    return np.array([known.get(name, np.nan) for name in sets])


def compare_with_table(summary, published):
    """Our means beside Table 2: a table with a row a set: published, and under each protocol `NAME` (text, mean with
    its interval, and how many of the runs diverged)."""
    wide = summary.assign(text=[_interval_text(row) for row in summary.itertuples()])
    wide = wide.pivot(index="setting", columns="protocol", values="text")
    names = summary.drop_duplicates("setting").sort_values("setting")["set"].to_list()
    table = pd.DataFrame({"paper": published}, index=pd.Index(names, name="set")).round(3).astype(object)
    table = table.where(table.notna(), "")
    for protocol in ("released", "described", "holdout"):
        if protocol in wide:
            table[protocol] = wide[protocol].to_numpy()
    return table


def _interval_text(row):
    mean = f"{row.mean:.3f}" if row.n else ""
    parts = [f"{mean} ({row.low:.3f} to {row.high:.3f})" if row.n > 1 else mean]
    if row.diverged:
        parts.append(f"{row.diverged} of {row.n + row.diverged + row.skipped} diverged")
    return ", ".join(part for part in parts if part) or "skipped"


def own_ten(fresh, again):
    """Our ten best of the sweep `fresh` under each of `CHOSEN_UNDER`: chosen_under, place, run, the RMSE on the half
    that chose them (`chosen_by`) and on the other (`other_half`), and mean, low and high on new splits, with n.

    again: the records of their repetition on other splits.
    """
    rows, table = [], by_setting(again)
    for protocol in CHOSEN_UNDER:
        for place, row in enumerate(choose_best(fresh, protocol).to_dict("records")):
            own = table[(table["setting"] == len(rows)) & (table["protocol"] == protocol)]["rmse"].dropna()
            found = labelled("mean", mean_interval(own))
            known = {"chosen_under": protocol, "place": place + 1, "run": row["run"]}
            known |= {"chosen_by": row["rmse_first_half"], "other_half": row["rmse_second_half"], "n": len(own)}
            rows.append(known | found | {name: row[name] for name in SHOWN})
    return pd.DataFrame(rows)


SHOWN = ("hidden_layers", "weight_decay", "drop_probability", "noise_probability", "optimizer", "activation",
          "decoder_constraint", "mean_normalization", "prediction_rounding", "pivot_indexes",
          "test_split_rate")  # fmt: skip


def is_monotone(hidden_layers):
    """Whether layer sizes only rise or only fall; one layer does both. hidden_layers: a list, or its JSON."""
    sizes = json.loads(hidden_layers) if isinstance(hidden_layers, str) else list(hidden_layers)
    return sizes in (sorted(sizes), sorted(sizes, reverse=True))


# A trait's name, the parameter that it is of, and who has it.
TRAITS = {
    "item-based (PI)": ("pivot_indexes", lambda value: value == "[1, 0]"),
    "mean normalization (MeN)": ("mean_normalization", bool),
    "layers in monotone order (HLs)": ("hidden_layers", is_monotone),
    "one hidden layer (HLs)": ("hidden_layers", lambda value: len(json.loads(value)) == 1),
    "no prediction rounding (PrR)": ("prediction_rounding", lambda value: not value),
    "dropout above 0 (DrP)": ("drop_probability", lambda value: value > 0),
    "noise above 0 (NoP)": ("noise_probability", lambda value: value > 0),
    "no re-feeding (DeF)": ("dense_refeeding", lambda value: value == 0),
    "a tenth held out (TSR)": ("test_split_rate", lambda value: value == 0.1),
}


def compare_traits(fresh, report=None):
    """What ten best have in common, against the runs that they are the best of: a row for each of `TRAITS` and group
    ("the paper's ten", then ours under `released` and `holdout`), with how many of the `n` have it, the share of the
    runs that have it (`base`), and p, of so large a difference between the ten and the others (two-sided, Fisher's
    exact test; Holm's correction over the traits of a group).

    Ours are compared with the runs of the sample that ended well under their protocol; the paper's ten with the
    authors' log (report: of `flexlib.replay.replay_report`), and where there is none with our sample as released.
    """
    paper = pd.DataFrame([_as_record(FlexConfig.preset(name)) for name in TABLE_2])
    groups = {"the paper's ten": (paper, "released")}
    groups |= {f"our ten, {name}": (choose_best(fresh, name), name) for name in CHOSEN_UNDER}
    tables = []
    for group, (ten, protocol) in groups.items():
        made = fresh[(fresh["protocol"] == protocol) & (fresh["status"] == "ok")]
        rows = []
        for trait, (parameter, has) in TRAITS.items():
            count, values = sum(map(has, ten[parameter])), made[parameter].value_counts()
            if group == "the paper's ten" and report:
                values = pd.Series(report["authors"]["counts"][parameter])
                values.index = [text if text.startswith("[") else json.loads(text) for text in values.index]
            base, size = int(values[[has(value) for value in values.index]].sum()), int(values.sum())
            within = group != "the paper's ten" or report is not None  # the ten are some of those compared with
            rest = [base - count, size - base - (len(ten) - count)] if within else [base, size - base]
            p = stats.fisher_exact([[count, len(ten) - count], np.maximum(rest, 0)]).pvalue
            known = {"trait": trait, "group": group, "count": count, "n": len(ten)}
            rows.append(known | {"base": base / max(size, 1), "p": p})
        tables.append(pd.DataFrame(rows).assign(p=lambda t: holm(t["p"])))
    return pd.concat(tables, ignore_index=True)


def item_based_where(fresh, least_rate=0.2):
    """How many of our ten best are item-based if only settings may be chosen that hold out `least_rate` of the ratings
    or more, which few of the best on held-out ratings do: a mapping, "item_based_where_PROTOCOL"."""
    own = fresh[fresh["test_split_rate"] >= least_rate]
    counts = {name: (choose_best(own, name)["pivot_indexes"] == "[1, 0]").sum() for name in CHOSEN_UNDER}
    return {f"item_based_where_{name}": int(count) for name, count in counts.items()}


def item_contrast(traits):
    """p of so many item-based among our ten as released and so few on held-out ratings, or the other way round, if the
    protocols chose alike (Fisher's exact test)."""
    own = traits[(traits["trait"] == "item-based (PI)") & traits["group"].str.startswith("our ten")]
    return float(stats.fisher_exact([[row.count, row.n - row.count] for row in own.itertuples(index=False)]).pvalue)


def _as_record(config):
    return {name: json.dumps(v) if isinstance(v, list) else v for name, v in config.to_dict().items()}


NEAR = 0.02  # stars: what counts as the printed value coming out again


def top10_numbers(summary, ten, traits, dataset):
    """The numbers of the chapter's prose, by name. Sets are compared with Table 2 where all their splits ended well."""
    summary = summary.assign(published=published_values(dataset, summary["set"]))
    released, holdout = (summary[summary["protocol"] == name].set_index("setting") for name in CHOSEN_UNDER)
    whole = released[(released["n"] == summary["n"].max()) & released["published"].notna()]
    off = whole["mean"] - whole["published"]
    inside = (whole["low"] <= whole["published"]) & (whole["published"] <= whole["high"])
    gap = released["gap"].dropna()
    order = bootstrap(spearman, *_both(released["mean"], holdout["mean"]))
    numbers = {
        "dataset": dataset, "sets": len(released), "n_seeds": int(summary["n"].max()), "near_limit": NEAR,
        "near": int((off.abs() <= NEAR).sum()), "compared": len(whole), "inside": int(inside.sum()),
        "off_mean": float(off.mean()), "off_least": float(off.min()), "off_most": float(off.max()),
        "diverged_some": int((released["diverged"] > 0).sum()), "skipped_sets": int((released["skipped"] > 0).sum()),
        "diverged_sets": int(((released["n"] == 0) & (released["diverged"] > 0)).sum()),
        "gap_mean": float(gap.mean()), "gap_least": float(gap.max()), "gap_most": float(gap.min()),
        "gap_sets": len(gap), "lowest_released": float(released["mean"].min()),
        "lowest_holdout": float(holdout["mean"].min()), "highest_holdout": float(holdout["mean"].max()),
        "same_order_n": len(_both(released["mean"], holdout["mean"])[0]), "item_contrast_p": item_contrast(traits),
    } | labelled("same_order", order, "same_order_")  # fmt: skip
    for protocol in CHOSEN_UNDER:
        own = ten[ten["chosen_under"] == protocol]
        first = own.iloc[0] if len(own) else pd.Series(np.nan, own.columns)
        for name in ("chosen_by", "other_half", "mean", "low", "high"):
            numbers[f"own_{name}_{protocol}"] = float(first[name])
        spread = mean_interval(own["other_half"] - own["chosen_by"])
        numbers |= labelled(f"worse_{protocol}", spread, f"worse_{protocol}_")
    for row in traits.itertuples(index=False):
        key = "_".join(re.findall(r"[a-z]+", f"{row.trait.partition(' (')[0]} {row.group}"))
        numbers |= {key: row.count, f"{key}_base": 100 * row.base, f"{key}_p": row.p}
    return numbers


def _both(one, other):
    known = one.notna() & other.notna()
    return one[known].to_numpy(), other[known].to_numpy()


def plot_sets(summary, published, title, paper="printed in the paper", reference=None):
    """RMSE of numbered settings by protocol: means with 95 % intervals, and the paper's numbers.

    summary: of `flexlib.study.repetitions.summarise_settings`. published: (sets,) NaN where there is none. reference:
    names to a line's RMSE and protocol, whose colour it takes.
    """
    protocols = [name for name in ("released", "described", "holdout") if name in set(summary["protocol"])]
    count = summary["setting"].nunique()
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.52 * count))
    marks = {"released": "o", "described": "^", "holdout": "s"}
    for place, protocol in enumerate(protocols):
        own = summary[(summary["protocol"] == protocol) & (summary["n"] > 0)]
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], own["setting"] + 1 + 0.22 * (place - (len(protocols) - 1) / 2), xerr=spread, capsize=3,
                    fmt=marks[protocol], markersize=5.5, color=COLOURS[protocol], label=words_of(protocol))  # fmt: skip
    if np.isfinite(published).any():
        ax.plot(published, np.arange(1, count + 1), "x", color=COLOURS["paper"], markersize=8, mew=2, label=paper)
    for word, (value, protocol) in (reference or {}).items():
        ax.axvline(value, color=COLOURS[protocol], linestyle="--", linewidth=1.3, label=word)
    ax.set(title=title, xlabel="RMSE (stars)", ylabel="parameter set", yticks=range(1, count + 1))
    ax.set_ylim(count + 0.6, 0.4)
    _legend_below(ax, down=0.9 / (1.6 + 0.52 * count))
    return figure


def plot_own_ten(ten, dataset):
    """Our ten best under each protocol: the RMSE that chose them, on the other half, and on new splits.

    ten: of `flexlib.study.top10.own_ten`.
    """
    groups = list(dict.fromkeys(ten["chosen_under"]))
    figure, axes = plt.subplots(len(groups), sharex=True, figsize=(6.5, 0.8 + 3.5 * len(groups)))
    for ax, protocol in zip(np.atleast_1d(axes), groups, strict=True):
        own, colour = ten[ten["chosen_under"] == protocol], COLOURS[protocol]
        ax.plot(
            own["chosen_by"], own["place"], "D", fillstyle="none", color="#555555", label="the half that chose them"
        )
        ax.plot(own["other_half"], own["place"], "o", color=colour, label="the other half")
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], own["place"] + 0.25, xerr=spread, fmt="s", color=colour, markersize=4, capsize=3,
                    alpha=0.7, label=f"new splits, n = {own['n'].max()}")  # fmt: skip
        ax.set(title=f"chosen under: {words_of(protocol)}", ylabel="place", yticks=own["place"])
        ax.invert_yaxis()
        _legend_below(ax, 3, 0.2 if ax is np.atleast_1d(axes)[-1] else 0.04, fontsize="x-small", columnspacing=1)
    np.atleast_1d(axes)[-1].set_xlabel("RMSE (stars)")
    figure.suptitle(f"Our ten best of the fresh sample\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_traits(traits, dataset):
    """How many of ten best have each trait, by group, against the share of all runs that have it.

    traits: of `flexlib.study.top10.compare_traits`.
    """
    groups = list(dict.fromkeys(traits["group"]))
    colours = dict(zip(groups, (COLOURS[name] for name in ("paper", "released", "holdout")), strict=True))
    names = list(dict.fromkeys(traits["trait"]))
    figure, ax = plt.subplots(figsize=(6.5, 1.8 + 0.62 * len(names)))
    for place, group in enumerate(groups):
        own = traits[traits["group"] == group]
        y = np.arange(len(names)) + 0.25 * (place - 1)
        ax.barh(y, 10 * own["count"] / own["n"], height=0.22, color=colours[group], label=group)
        ax.plot(10 * own["base"], y, "|", color="#999999" if place == 0 else "black", markersize=11, mew=2,
                label="expected by chance" if place == 1 else None)  # fmt: skip
    ax.set(title=f"What ten best have in common\n{dataset}", xlabel="of ten", xlim=(0, 10.2),
           yticks=range(len(names)), yticklabels=[name.replace(" (", "\n(") for name in names])  # fmt: skip
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    _legend_below(ax, 2, 0.12)
    return figure

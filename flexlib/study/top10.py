"""The chapter on the ten best: Table 2's settings under three protocols, ours, and what the best have in common."""

import json
import re

import numpy as np
import pandas as pd
from scipy import stats

from flexlib.config import PAPERS_DATASET, PUBLISHED_RMSE, FlexConfig
from flexlib.plans import TABLE_2, choose_best
from flexlib.statistics import holm, labelled, mean_interval, spearman
from flexlib.study.repetitions import by_setting

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


TRAITS = {
    "item-based (PI)": lambda t: t["pivot_indexes"] == "[1, 0]",
    "mean normalization (MeN)": lambda t: t["mean_normalization"],
    "layers in monotone order (HLs)": lambda t: t["hidden_layers"].map(is_monotone),
    "one hidden layer (HLs)": lambda t: t["hidden_layers"].map(lambda text: len(json.loads(text)) == 1),
    "no prediction rounding (PrR)": lambda t: ~t["prediction_rounding"],
    "dropout above 0 (DrP)": lambda t: t["drop_probability"] > 0,
    "noise above 0 (NoP)": lambda t: t["noise_probability"] > 0,
    "no re-feeding (DeF)": lambda t: t["dense_refeeding"] == 0,
    "a tenth held out (TSR)": lambda t: t["test_split_rate"] == 0.1,
}


def compare_traits(fresh):
    """What ten best have in common, against all runs that ended well: a row for each of `TRAITS` and group ("the
    paper's ten", then ours under `released` and `holdout`), with how many of the `n` have it, the share of all runs
    under that protocol that have it (`base`), and p, of so large a difference if ten were drawn from them at random
    (two-sided, hypergeometric; Holm's correction over the traits of a group).

    The paper's ten are compared with our sample under `released`.
    """
    paper = pd.DataFrame([_as_record(FlexConfig.preset(name)) for name in TABLE_2])
    groups = {"the paper's ten": (paper, "released")}
    groups |= {f"our ten, {name}": (choose_best(fresh, name), name) for name in CHOSEN_UNDER}
    tables = []
    for group, (ten, protocol) in groups.items():
        made = fresh[(fresh["protocol"] == protocol) & (fresh["status"] == "ok")]
        rows = []
        for trait, has in TRAITS.items():
            count, base = int(has(ten).sum()), int(has(made).sum())
            ours = len(ten) if group != "the paper's ten" else 0  # which are a part of those compared with
            rest = [base - count, len(made) - base - (ours - count)] if ours else [base, len(made) - base]
            p = stats.fisher_exact([[count, len(ten) - count], rest]).pvalue
            rows.append(
                {"trait": trait, "group": group, "count": count, "n": len(ten), "base": base / len(made), "p": p}
            )
        tables.append(pd.DataFrame(rows).assign(p=lambda t: holm(t["p"])))
    return pd.concat(tables, ignore_index=True)


def _as_record(config):
    return {name: json.dumps(v) if isinstance(v, list) else v for name, v in config.to_dict().items()}


NEAR = 0.02  # stars: what counts as the printed value coming out again


def top10_numbers(summary, ten, traits, dataset):
    """The numbers of the chapter's prose, by name."""
    named = summary.drop_duplicates("setting")["set"]
    wide = {name: summary.pivot(index="setting", columns="protocol", values=name) for name in ("mean", "gap")}
    ours, holdout, gap = wide["mean"]["released"], wide["mean"]["holdout"], wide["gap"]["released"].dropna()
    numbers = {
        "dataset": dataset, "sets": len(ours), "n_seeds": int(summary["n"].max()), "near_limit": NEAR,
        "near": int((np.abs(ours.to_numpy() - published_values(dataset, named)) <= NEAR).sum()),
        "compared": int((ours.notna() & np.isfinite(published_values(dataset, named))).sum()),
        "diverged_sets": int(ours.isna().sum()), "gap_sets": len(gap), "gap_least": float(gap.max()),
        "gap_most": float(gap.min()), "lowest_released": float(ours.min()), "lowest_holdout": float(holdout.min()),
        "highest_holdout": float(holdout.max()), "same_order": float(spearman(*_both(ours, holdout))),
        "same_order_n": len(_both(ours, holdout)[0]), "better_sets": int((summary["gap_high"] < 0).sum()),
    }  # fmt: skip
    numbers |= labelled("gap", mean_interval(gap), "gap_")
    for protocol in CHOSEN_UNDER:
        own = ten[ten["chosen_under"] == protocol]
        first = own.iloc[0]
        for name in ("chosen_by", "other_half", "mean", "low", "high"):
            numbers[f"own_{name}_{protocol}"] = float(first[name])
        spread = mean_interval(own["other_half"] - own["chosen_by"])
        numbers |= labelled(f"worse_{protocol}", spread, f"worse_{protocol}_")
    for row in traits.itertuples():
        key = "_".join(re.findall(r"[a-z]+", f"{row.trait.partition(' (')[0]} {row.group}"))
        numbers |= {key: row.count, f"{key}_base": 100 * row.base, f"{key}_p": row.p}
    return numbers


def _both(one, other):
    known = one.notna() & other.notna()
    return one[known].to_numpy(), other[known].to_numpy()

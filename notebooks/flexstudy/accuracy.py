"""The chapter on where the accuracy comes from: the released protocol turned into the leak-free one a field at a time,
predictors without a network, ratings that the network was shown, and data whose noise floor is known."""

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm import tqdm

from flexlib.config import FlexConfig
from flexlib.datasets.loading import load_ratings
from flexlib.evaluate import errors, evaluate
from flexlib.train import fit
from flexstudy.plans import ALONE, STEPS, TABLE_2, ladder
from flexstudy.references import score_baselines
from flexstudy.repetitions import by_setting
from flexstudy.statistics import labelled, mean_interval
from flexstudy.style import COLOURS, NAMES, _legend_below, words_of

CLOSED = ALONE["neither leak"]


def step_changes(records, sets=TABLE_2):
    """What each field changes on the way from `released` to `holdout`: set, step, protocol (its name), start and rmse
    (means before and after, over the splits where every protocol of the way ended well: n), change, low, high (paired,
    95 % t-interval), in stars. Sets with one such split are left out, unless there is but one split of all."""
    names, rows = ladder(), []
    for setting, own in by_setting(records).groupby("setting"):
        wide = own.pivot(index="seed", columns="protocol", values="rmse")[list(names.values())].dropna()
        if len(wide) < min(2, records["seed"].nunique()):
            continue
        for before, step in zip(names.values(), STEPS, strict=False):
            after = names[step]
            change, low, high = mean_interval(wide[after] - wide[before])
            known = {"set": sets[setting], "step": step, "protocol": after, "n": len(wide)}
            known |= {"start": wide[before].mean(), "rmse": wide[after].mean()}
            rows.append(known | {"change": change, "low": low, "high": high})
    columns = ["set", "step", "protocol", "n", "start", "rmse", "change", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def leaks_apart(records, sets=TABLE_2):
    """RMSE with neither leak, with each alone and with both, less that with neither, on the same splits: set, leaks (of
    `flexlib.plans.ALONE`), n, rmse, change, low, high."""
    rows = []
    for setting, own in by_setting(records).groupby("setting"):
        wide = own.pivot(index="seed", columns="protocol", values="rmse")[list(ALONE.values())].dropna()
        for leaks, protocol in ALONE.items():
            if len(wide) >= min(2, records["seed"].nunique()):
                change = labelled("change", mean_interval(wide[protocol] - wide[CLOSED]))
                known = {"set": sets[setting], "leaks": leaks, "n": len(wide), "rmse": wide[protocol].mean()}
                rows.append(known | change)
    return pd.DataFrame(rows, columns=["set", "leaks", "n", "rmse", "change", "low", "high"])


def beside_baselines(records, ratings, sets=TABLE_2, shown="table2:1"):
    """A set's network beside predictors without one, on the same splits: predictor, fitted_on, n, mean, low, high, and
    gap, gap_low, gap_high of its paired difference to the network whose row means are taken over the same ratings
    (`released` for all, `holdout` for training ratings); the networks themselves are rows too."""
    own = by_setting(records)
    own = own[own["setting"] == list(sets).index(shown)]
    wide = own.pivot(index="seed", columns="protocol", values="rmse")
    network = {"all ratings": wide["released"], "training ratings": wide["holdout"]}
    scores = pd.DataFrame(score_baselines(ratings, FlexConfig.preset(shown).test_split_rate, wide.index))
    parts = [pd.DataFrame({"predictor": "FlexEncoder", "fitted_on": on, "seed": rmse.index, "rmse": rmse.to_numpy()})
             for on, rmse in network.items()]  # fmt: skip
    rows = []
    for (predictor, fitted_on), part in pd.concat([*parts, scores]).groupby(["predictor", "fitted_on"], sort=False):
        rmse = part.set_index("seed")["rmse"]
        gap = (rmse - network[fitted_on]).dropna()
        known = {"predictor": predictor, "fitted_on": fitted_on, "n": int(rmse.notna().sum())}
        known |= labelled("mean", mean_interval(rmse.dropna()))
        rows.append(known | labelled("gap", mean_interval(gap), "gap_"))
    return pd.DataFrame(rows)


def visible_and_hidden(ratings, presets, n_seeds, protocols=("released", "described"), device=None):
    """RMSE over the test ratings that the network is shown and over those hidden from it, of one model each: preset,
    protocol, n (seeds that did not diverge), visible, hidden (means), gap (visible less hidden), gap_low, gap_high
    (paired, 95 % t-interval)."""
    runs = []
    for preset, protocol, seed in tqdm([(c, p, s) for c in presets for p in protocols for s in range(n_seeds)]):
        model = fit(ratings, FlexConfig.preset(preset), protocol, seed, device=device)
        table = evaluate(model).predictions
        if model.status == "ok":
            parts = (table[~table["hidden"]], table[table["hidden"]])
            visible, hidden = (errors(*part[["actual", "predicted"]].to_numpy().T)[0] for part in parts)
            runs.append({"preset": preset, "protocol": protocol, "visible": visible, "hidden": hidden})
    rows = []
    table = pd.DataFrame(runs, columns=["preset", "protocol", "visible", "hidden"])
    for (preset, protocol), own in table.groupby(["preset", "protocol"], sort=False):
        gap, low, high = mean_interval(own["visible"] - own["hidden"])
        rows.append({"preset": preset, "protocol": protocol, "n": len(own), **own[["visible", "hidden"]].mean(),
                     "gap": gap, "gap_low": low, "gap_high": high})  # fmt: skip
    return pd.DataFrame(rows, columns=["preset", "protocol", "n", "visible", "hidden", "gap", "gap_low", "gap_high"])


def thinned(sizes, users, items, preset, n_seeds, device=None):
    """Synthetic ratings, ever fewer of them, whose noise floor is known: ratings (how many), floor, predictor, n, mean,
    low, high. The predictors: a preset's network as `released`, with both leaks closed and as `holdout`; the
    item mean over all ratings and over training ratings; the oracle that knows every rating's distribution; and
    "released less oracle", paired."""
    rows, config = [], FlexConfig.preset(preset)
    for size in tqdm(sizes, desc="synthetic data"):
        ratings = load_ratings(f"synthetic:users={users},items={items},ratings={size},seed=0")
        found = {}
        for seed in range(n_seeds):
            for name, protocol in (("released", "released"), ("closed", CLOSED), ("holdout", "holdout")):
                model = fit(ratings, config, protocol, seed, device=device)
                found.setdefault(name, []).append(evaluate(model).rmse)
            test = model.split.test
            known = errors(ratings.values[test].astype(np.float64), ratings.oracle[test].astype(np.float64))
            found.setdefault("oracle", []).append(known[0])
            found.setdefault("released less oracle", []).append(found["released"][-1] - known[0])
        for row in score_baselines(ratings, config.test_split_rate, range(n_seeds)):
            if row["predictor"] == "item mean":
                found.setdefault(f"item mean, {row['fitted_on']}", []).append(row["rmse"])
        for name, rmse in found.items():
            span = labelled("mean", mean_interval(pd.Series(rmse).dropna()))
            n = int(np.isfinite(rmse).sum())
            rows.append({"ratings": size, "floor": ratings.noise_floor, "predictor": name, "n": n} | span)
    return pd.DataFrame(rows)


def accuracy_numbers(steps, apart, beside, seen, thin, shown="table2:1"):
    """The numbers of the chapter's prose, by name: of the set `shown`, the changes `step_NAME`, of the means together
    with the fallback for what has none `means_with_fallback`, what the leaks do, and the predictors; of the thinned
    data the smallest set."""
    numbers, own = {}, steps[steps["set"] == shown]
    if len(own):
        numbers |= {
            "from": float(own["start"].iloc[0]),
            "to": float(own["rmse"].iloc[-1]),
            "n_seeds": int(own["n"].iloc[0]),
        }
        changes = own.set_index("step")["change"]
        numbers["others"] = float(changes.drop("means").abs().max())
        numbers["means_with_fallback"] = float(changes[["means", "unseen_fallback"]].sum())
    for row in own.itertuples():
        numbers |= labelled(f"step_{row.step}", (row.change, row.low, row.high), f"step_{row.step}_")
    others = steps[(steps["step"] == "means") & (steps["set"] != shown)]
    numbers |= {"sets": steps["set"].nunique(), "means_least": float(others["change"].min()),
                "means_most": float(others["change"].max())}  # fmt: skip
    for row in apart[apart["set"] == shown].itertuples():
        name = row.leaks.replace(" ", "_")
        numbers |= labelled(name, (row.change, row.low, row.high), f"{name}_")
    for row in beside.itertuples():
        name = f"{row.predictor}_{row.fitted_on.partition(' ')[0]}".replace(" ", "_")
        numbers |= labelled(name, (row.mean, row.low, row.high), f"{name}_")
        numbers |= labelled(f"{name}_gap", (row.gap, row.gap_low, row.gap_high), f"{name}_gap_")
    for row in seen.itertuples():
        name = f"seen_{row.preset}_{row.protocol}".replace(":", "_").replace("-", "_")
        numbers |= labelled(name, (row.gap, row.gap_low, row.gap_high), f"{name}_")
    least = thin[thin["ratings"] == thin["ratings"].min()].set_index("predictor")
    numbers |= {"thin_ratings": int(thin["ratings"].min()), "thin_floor": float(least["floor"].iloc[0])}
    most = thin[thin["ratings"] == thin["ratings"].max()].set_index("predictor")
    for name in ("released", "closed", "holdout", "oracle", "released less oracle"):
        for size, table in (("thin", least), ("full", most)):
            key = f"{size}_{name}".replace(" ", "_")
            numbers |= labelled(key, tuple(map(float, table.loc[name, ["mean", "low", "high"]])), f"{key}_")
    return numbers | {"full_ratings": int(thin["ratings"].max()), "full_floor": float(most["floor"].iloc[0])}


def plot_steps(steps, sets, words, dataset):
    """From `released` to `holdout`, a field at a time, one panel a set: what each changes, with 95 % intervals.

    steps: of `flexlib.study.accuracy.step_changes`. sets: those to draw. words: step to what it does.
    """
    figure, axes = plt.subplots(len(sets), sharex=True, figsize=(6.5, 0.6 + 5 * len(sets)))
    for ax, name in zip(np.atleast_1d(axes), sets, strict=True):
        own = steps[steps["set"] == name].reset_index(drop=True)
        first, last = own["start"].iloc[0], own["rmse"].iloc[-1]
        ax.barh(-1, first, color=COLOURS["released"], height=0.6)
        ax.barh(own.index, own["change"], left=own["start"], height=0.6,
                color=np.where(own["change"] > 0, COLOURS["means"], COLOURS["closed"]))  # fmt: skip
        spread = np.nan_to_num([own["change"] - own["low"], own["high"] - own["change"]])
        ax.errorbar(own["rmse"], own.index, xerr=spread, fmt="none", color="black", capsize=3, linewidth=1)
        ax.barh(len(own), last, color=COLOURS["holdout"], height=0.6)
        right = np.concatenate([[first], own[["start", "rmse"]].max(axis=1) + spread[1], [last]])
        texts = [f"{first:.3f}", *(f"{change:+.3f}" for change in own["change"]), f"{last:.3f}"]
        for y, (x, text) in enumerate(zip(right, texts, strict=True), start=-1):
            ax.annotate(text, (x, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize="small")
        labels = [NAMES["released"], *(fill(words[step], 20) for step in own["step"]), NAMES["holdout"]]
        ax.set(yticks=range(-1, len(own) + 1), title=f"{name}, n = {own['n'].iloc[0]} splits")
        ax.set_yticklabels(labels, fontsize="small")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    lows, highs = steps[["start", "rmse"]].min().min(), steps[["start", "rmse"]].max().max()
    ax.set(xlim=(lows - 0.25 * (highs - lows), highs + 0.3 * (highs - lows)), xlabel="RMSE (stars)")
    figure.suptitle(f"From released to leak-free, a field at a time\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_baselines(table, dataset):
    """The network beside predictors without one: those that have seen the test ratings in their means, and those that
    have not. table: of `flexlib.study.accuracy.beside_baselines`."""
    names = list(dict.fromkeys(table["predictor"]))
    figure, ax = plt.subplots(figsize=(6.5, 4.2))
    kinds = (("all ratings", "released", "o"), ("training ratings", "holdout", "s"))
    for place, (fitted_on, protocol, mark) in enumerate(kinds):
        own = table[table["fitted_on"] == fitted_on].set_index("predictor").loc[names]
        y = np.arange(len(names)) + 0.24 * (place - 0.5)
        spread = np.nan_to_num([own["mean"] - own["low"], own["high"] - own["mean"]])
        ax.errorbar(own["mean"], y, xerr=spread, fmt=mark, color=COLOURS[protocol], capsize=4,
                    label=f"means over {fitted_on}{' (leaks)' if place == 0 else ''}")  # fmt: skip
        for x, where in zip(own["high"].fillna(own["mean"]), y, strict=True):
            mean = own["mean"].iloc[round(where)]
            ax.annotate(f"{mean:.3f}", (x, where), xytext=(6, -4), textcoords="offset points", fontsize="x-small")
    words = [name.replace(" and ", "\nand ") for name in names]
    ax.set(title=f"A network, and none, n = {table['n'].max()} splits\n{dataset}", xlabel="RMSE (stars)",
           yticks=range(len(names)), yticklabels=words, xmargin=0.15)  # fmt: skip
    ax.invert_yaxis()
    _legend_below(ax, down=0.2)
    return figure


def plot_thinned(table, preset):
    """RMSE on synthetic ratings, ever fewer of them, beside the noise floor. table: of
    `flexlib.study.accuracy.thinned`."""
    looks = {
        "released": (COLOURS["released"], "o-", f"{preset}, {words_of('released')}"),
        "item mean, all ratings": (COLOURS["released"], "o:", "item mean over all ratings (leaks)"),
        "closed": (COLOURS["closed"], "^-", f"{preset}, released with both leaks closed"),
        "holdout": (COLOURS["holdout"], "s-", f"{preset}, {words_of('holdout')}"),
        "item mean, training ratings": (COLOURS["holdout"], "s:", "item mean over training ratings"),
        "oracle": ("#777777", "d--", "oracle that knows the truth"),
    }
    figure, ax = plt.subplots(figsize=(6.5, 5))
    for name, (colour, line, word) in looks.items():
        own = table[table["predictor"] == name]
        ax.plot(own["ratings"], own["mean"], line, color=colour, label=word)
        ax.fill_between(own["ratings"], own["low"], own["high"], color=colour, alpha=0.15, linewidth=0)
    floor = table.drop_duplicates("ratings")
    ax.plot(floor["ratings"], floor["floor"], color="black", linewidth=1.6, label="noise floor")
    ax.fill_between(floor["ratings"], 0, floor["floor"], color="#999999", alpha=0.12, linewidth=0)
    drawn, ticks = table[table["predictor"].isin(looks)], floor["ratings"].tolist()
    ax.set(xscale="log", xticks=ticks, xticklabels=[f"{tick:,}" for tick in ticks], xlabel="ratings in the data (log)",
           ylabel="RMSE (stars)", ylim=(0.9 * drawn["mean"].min(), 1.03 * drawn["mean"].max()),
           title=f"Below the floor is not skill\nsynthetic ratings, n = {table['n'].max()} splits")  # fmt: skip
    ax.minorticks_off()
    _legend_below(ax, down=0.17)
    return figure

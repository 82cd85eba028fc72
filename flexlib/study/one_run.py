"""The chapter on one run: a configuration under several protocols, as tables with one row a measurement."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from flexlib.evaluate import evaluate
from flexlib.statistics import mean_interval
from flexlib.train import fit


def compare_protocols(ratings, config, protocols, seeds, device=None):
    """Train and score one configuration under each protocol (a mapping of names to `Protocol`) and seed.

    Under one seed the protocols share split and initial weights. Returns a table with a row for each pair: protocol,
    seed, status, rmse, mae (NaN where diverged), n_scored, n_unseen, n_nonfinite, steps, seconds.
    """
    records = []
    pairs = [(protocol, seed) for seed in seeds for protocol in protocols]
    for protocol, seed in tqdm(pairs, desc="runs"):
        model = fit(ratings, config, protocols[protocol], seed, device=device)
        scores = evaluate(model).scores()
        run = {"status": model.status, "steps": model.steps, "seconds": model.seconds}
        records.append({"protocol": protocol, "seed": seed} | scores | run)
    table = pd.DataFrame(records).astype({"rmse": float, "mae": float})
    table.loc[table["status"] != "ok", ["rmse", "mae"]] = np.nan  # rounding can make stars of a diverged model's NaN
    return table


def summarise_protocols(scores, baseline="holdout"):
    """One row a protocol: n (runs that ended well, which alone count), diverged; mean, low, high (95 % t-interval) of
    the RMSE; gap, gap_low and gap_high of its paired difference to the baseline on the same splits (NaN without)."""
    wide = scores.pivot(index="seed", columns="protocol", values="rmse")
    lost = (scores["status"] == "diverged").groupby(scores["protocol"]).sum()
    rows = []
    for protocol in scores["protocol"].unique():
        rmse = wide[protocol].dropna()
        gap = (wide[protocol] - wide[baseline]).dropna() if baseline in wide else []
        mean, low, high = mean_interval(rmse)
        gap_mean, gap_low, gap_high = mean_interval(gap)
        rows.append({
            "protocol": protocol, "n": len(rmse), "diverged": int(lost[protocol]), "rmse": mean, "low": low,
            "high": high, "gap": gap_mean, "gap_low": gap_low, "gap_high": gap_high,
        })  # fmt: skip
    return pd.DataFrame(rows).set_index("protocol")


def protocol_numbers(scores, published=None):
    """The numbers of a comparison for prose, by name: NAME_PROTOCOL for each column of the summary (rmse, low, ...) and
    for the lowest and highest run, and how the published RMSE (None where there is none) compares with `released`."""
    summary = summarise_protocols(scores)
    spans = scores.groupby("protocol")["rmse"].agg(["min", "max"])
    table = summary.join(spans.rename(columns={"min": "lowest", "max": "highest"}))
    numbers = {f"{name}_{protocol}": float(row[name]) for protocol, row in table.iterrows() for name in table.columns}
    for name in {"means", "closed"} & set(scores["protocol"]):  # the released protocol with leaks closed
        leak = summarise_protocols(scores, name).loc["released", ["gap", "gap_low", "gap_high"]]
        numbers |= dict(zip((f"leak_{name}", f"leak_{name}_low", f"leak_{name}_high"), map(float, leak), strict=True))
    numbers |= {"runs": len(scores), "diverged": int((scores["status"] == "diverged").sum())}
    numbers |= {"seconds": float(scores["seconds"].mean()), "n_seeds": scores["seed"].nunique()}
    numbers["published"] = "none for these data" if published is None else f"{published}"
    if published is None or np.isnan(numbers["rmse_released"]):
        return numbers | {"off": "not applicable", "verdict": "not comparable with"}
    inside = numbers["lowest_released"] <= published <= numbers["highest_released"]
    off = f"{numbers['rmse_released'] - published:+.3f}"
    return numbers | {"off": off, "verdict": "inside" if inside else "outside"}

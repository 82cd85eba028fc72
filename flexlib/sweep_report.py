"""What the chapter on the sweep tells: the authors' runs, ours of the same settings, and a fresh random sample."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from flexlib.config import FlexError
from flexlib.replay import spearman
from flexlib.sweep import Plan, blank_record, load_records, replay_name, run_one, sweep_name, to_table

PIVOTS = {"user-based": "[0, 1]", "item-based": "[1, 0]"}
PROTOCOLS = ("released", "holdout")


@dataclass(frozen=True, eq=False)
class Evidence:
    """fresh: records of a random sample. replay: those of the authors' settings, and report: what
    `flexlib.replay.replay_report` keeps of the comparison; None where there are none."""

    fresh: pd.DataFrame
    replay: pd.DataFrame | None = None
    report: dict | None = None

    def sources(self):
        """(name, protocol, table) of each set of our runs, where there are any."""
        found = [("fresh sample", protocol, self.fresh) for protocol in PROTOCOLS]
        if self.replay is not None:
            found = [("replay", protocol, self.replay) for protocol in PROTOCOLS] + found
        chosen = [(name, protocol, table[table["protocol"] == protocol]) for name, protocol, table in found]
        return [(name, protocol, table) for name, protocol, table in chosen if len(table)]


def read_evidence(folder, dataset, seed=0):
    """The records in a folder: `sweep-DATASET-paper-seedSEED.parquet`, and `replay-DATASET-seedSEED.parquet` with its
    .json where it is there. Raises `FlexError` naming the file that is not."""
    folder = Path(folder)
    fresh = load_records(folder / f"{sweep_name(dataset, 'paper', seed)}.parquet")
    replay = folder / f"{replay_name(dataset, seed)}.parquet"
    if not replay.exists():
        return Evidence(fresh)
    try:
        report = json.loads(replay.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FlexError(f"{replay.with_suffix('.json')}: cannot be read ({error})") from None
    return Evidence(fresh, load_records(replay), report)


def make_evidence(dataset, runs, seed, max_seconds, device=None):
    """A fresh sample made now, one run after the other. The sweep of the command line does so at any size."""
    plan = Plan.sweep(dataset, PROTOCOLS, runs, seed, max_seconds=max_seconds)
    ratings = plan.load()
    records = []
    for (k, protocol), seconds in tqdm(plan.estimates(ratings).items(), desc="runs"):
        make = blank_record if seconds > max_seconds else run_one
        records.append(make(plan, ratings, k, protocol, seconds, *([device] if make is run_one else [])))
    return Evidence(to_table(records, plan.key))


def count_runs(evidence):
    """What became of the runs, a row for each source, protocol and pivot.

    runs, and how many ended as ok, diverged, failed or skipped; of the ok ones lowest, median and highest RMSE;
    below_1: the share of the runs made, diverged ones too, with less than 1 star.
    """
    rows = []
    if evidence.report:
        for name, pivot in zip(PIVOTS, ("user", "item"), strict=True):
            known = evidence.report["authors"]["pivots"][pivot]
            quantiles = np.array(known["rmse_quantiles"])
            rows.append({
                "source": "the paper's log", "protocol": "", "pivot": name, "runs": known["n"], "ok": known["n"],
                "diverged": 0, "failed": 0, "skipped": 0, "lowest": quantiles[0], "median": np.median(quantiles),
                "highest": quantiles[-1], "below_1": float(np.mean(quantiles < 1)),
            })  # fmt: skip
    for source, protocol, table in evidence.sources():
        for name, pivot in PIVOTS.items():
            own = table[table["pivot_indexes"] == pivot]
            counts = own["status"].value_counts()
            made = own[own["status"] != "skipped"]
            rows.append({
                "source": source, "protocol": protocol, "pivot": name, "runs": len(own),
                **{status: int(counts.get(status, 0)) for status in ("ok", "diverged", "failed", "skipped")},
                "lowest": own["rmse"].min(), "median": own["rmse"].median(), "highest": own["rmse"].max(),
                "below_1": float((made["rmse"] < 1).mean()) if len(made) else np.nan,
            })  # fmt: skip
    return pd.DataFrame(rows)


def rmse_curves(evidence):
    """RMSE in ascending order, as a paper's figure of RMSE against rank needs it, and for distributions.

    A list of mappings: source, protocol ("paper" for the authors' log), pivot, n (runs made, diverged ones too), rank
    (k,) from 1, and rmse (k,) in stars, ascending. The authors' curves are 201 quantiles of theirs.
    """
    curves = []
    if evidence.report:
        for name, pivot in zip(PIVOTS, ("user", "item"), strict=True):
            known = evidence.report["authors"]["pivots"][pivot]
            rmse = np.array(known["rmse_quantiles"])
            rank = 1 + np.linspace(0, 1, len(rmse)) * (known["n"] - 1)
            curves.append({"source": "the paper's log", "protocol": "paper", "pivot": name, "n": known["n"],
                           "rank": rank, "rmse": rmse})  # fmt: skip
    for source, protocol, table in evidence.sources():
        for name, pivot in PIVOTS.items():
            own = table[(table["pivot_indexes"] == pivot) & (table["status"] != "skipped")]
            rmse = np.sort(own["rmse"].dropna().to_numpy())
            curves.append({"source": source, "protocol": protocol, "pivot": name, "n": len(own),
                           "rank": np.arange(1, len(rmse) + 1), "rmse": rmse})  # fmt: skip
    return curves


def paired_gaps(fresh):
    """`released` less `holdout` of the runs that ended well under both: a table with run, gap (stars; below 0 where the
    leak makes a run look better), mean_normalization and pivot."""
    wide = fresh.pivot(index="run", columns="protocol", values="rmse")
    gap = (wide["released"] - wide["holdout"]).dropna().rename("gap")
    settings = fresh.drop_duplicates("run").set_index("run")
    names = {text: name for name, text in PIVOTS.items()}
    return pd.DataFrame({"gap": gap, "mean_normalization": settings["mean_normalization"].reindex(gap.index),
                         "pivot": settings["pivot_indexes"].map(names).reindex(gap.index)}).reset_index()  # fmt: skip


def median_interval(values, seed=0, resamples=2000):
    """(median, low, high): the 95 % interval by bootstrap percentiles."""
    values = np.asarray(values, float)
    if not len(values):
        return (float("nan"),) * 3
    drawn = np.random.default_rng(seed).choice(values, (resamples, len(values)))
    return (float(np.median(values)), *map(float, np.quantile(np.median(drawn, axis=1), [0.025, 0.975])))


def cost_check(records):
    """Estimated against measured seconds of the runs that were made and took at least 0.1 s, as quantiles of their
    ratio (measured / estimated), and how well the estimate orders them (Spearman)."""
    made = records[(records["status"] == "ok") & (records["seconds"] >= 0.1)]
    ratio = made["seconds"] / made["estimate"]
    low, median, high = ratio.quantile([0.05, 0.5, 0.95]) if len(made) else [np.nan] * 3
    rho = spearman(made["seconds"], made["estimate"])
    return {"n": len(made), "low": float(low), "median": float(median), "high": float(high), "spearman": float(rho)}


def sweep_numbers(evidence):
    """The numbers of the chapter's prose, by name; "not available" for what there is no replay to tell from."""
    fresh, numbers = evidence.fresh, {}
    for protocol in PROTOCOLS:
        own = fresh[fresh["protocol"] == protocol]
        made = own[own["status"] != "skipped"]
        numbers |= {f"runs_{protocol}": len(own), f"made_{protocol}": len(made),
                    f"skipped_{protocol}": int((own["status"] == "skipped").sum()),
                    f"diverged_{protocol}": int((made["status"] == "diverged").sum()),
                    f"lowest_{protocol}": float(own["rmse"].min())}  # fmt: skip
        numbers[f"diverged_share_{protocol}"] = 100 * numbers[f"diverged_{protocol}"] / max(len(made), 1)
    gaps = paired_gaps(fresh)
    for name, chosen in (("with", gaps["mean_normalization"]), ("without", ~gaps["mean_normalization"].astype(bool))):
        values = gaps.loc[chosen.astype(bool), "gap"]
        numbers |= dict(
            zip((f"gap_{name}", f"gap_{name}_low", f"gap_{name}_high"), median_interval(values), strict=True)
        )
        numbers[f"gap_{name}_n"] = len(values)
    numbers["hours_fresh"] = float(fresh["seconds"].sum() / 3600)
    numbers["limit"] = float(fresh.loc[fresh["status"] != "skipped", "estimate"].max())
    numbers |= {f"cost_{key}": value for key, value in cost_check(fresh).items()}
    missing = ["rho", "median_gap", "p90_gap", "rho_repeats", "median_repeats", "quiet_median", "quiet_n", "compared",
               "paper_runs", "paper_hours", "paper_lowest", "replay_hours", "speedup", "replay_lowest",
               "replay_skipped", "replay_diverged", "repeated_rows", "distinct_settings", "repeats_n",
               "one_at_a_time"]  # fmt: skip
    if not evidence.report:
        return numbers | dict.fromkeys(missing, "not available")
    report, replay = evidence.report, evidence.replay[evidence.replay["protocol"] == "released"]
    every, repeats = report["agreement"]["released"]["all"], report["authors_repeats"]
    quiet = report["agreement"]["released"]["with mean normalization, without re-feeding"]
    pivots = report["authors"]["pivots"].values()
    values = [
        f"{every['spearman']:.3f}", f"{every['median']:.4f}", f"{every['p90']:.3f}", f"{repeats['spearman']:.3f}",
        f"{repeats['median']:.4f}", f"{quiet['median']:.4f}", f"{quiet['n']:.0f}", f"{every['n']:.0f}",
        f"{report['authors']['rows']:,}", f"{report['authors']['hours']:.1f}",
        f"{min(pivot['rmse_quantiles'][0] for pivot in pivots):.3f}", f"{report['seconds']['ours'] / 3600:.2f}",
        f"{report['seconds']['authors'] / report['seconds']['ours']:.1f}", f"{replay['rmse'].min():.3f}",
        f"{(replay['status'] == 'skipped').sum()}", f"{(replay['status'] == 'diverged').sum()}",
        f"{report['authors']['repeated_rows']}", f"{report['authors']['distinct_settings']}", f"{repeats['n']:.0f}",
        f"{report['authors']['one_at_a_time']}",
    ]  # fmt: skip
    return numbers | dict(zip(missing, values, strict=True))

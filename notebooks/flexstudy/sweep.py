"""What the chapter on the sweep tells: the authors' runs, ours of the same settings, and a fresh random sample."""

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from flexlib.config import FlexError
from flexlib.runs.plan import Plan, replay_name, sweep_name
from flexlib.runs.records import load_records
from flexlib.runs.run import run_plan
from flexstudy.replay import CLOSEST, LOW_STARS, NEAR
from flexstudy.statistics import median_interval, spearman
from flexstudy.style import COLOURS, FILLS, MARKERS, NAMES

PIVOTS = {"user-based": "[0, 1]", "item-based": "[1, 0]"}


PROTOCOLS = ("released", "holdout")


_ENDS = {"": "median", "_low": "low", "_high": "high", "_unrounded": "median without PrR"}


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
            found = [("replay", name, self.replay) for name in ("released", "released-padded", "holdout")] + found
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
    return Evidence(run_plan(Plan.sweep(dataset, PROTOCOLS, runs, seed, max_seconds=max_seconds), device))


def agreement_table(evidence):
    """The agreement of the replay with the log, protocols one below the other; empty without a replay."""
    parts = evidence.report["agreement"] if evidence.report else {}
    rows = [
        {"protocol": name, "runs": group} | values for name, part in parts.items() for group, values in part.items()
    ]
    table = pd.DataFrame(rows, columns=["protocol", "runs", "n", "spearman", "low", "high", "median", "median_low",
                                        "median_high", "p90", "shift"])  # fmt: skip
    return table.astype({"n": int}).set_index(["protocol", "runs"]).round(3)


def report_table(evidence, part):
    """A part of the replay's report by `record`, "" where there is no number: "disagreements" or "lost_runs"."""
    table = pd.DataFrame.from_dict(evidence.report[part] if evidence.report else {}, orient="index")
    if table.empty:
        return pd.DataFrame(index=pd.Index([], name="record"))
    table = table.astype({"record": int}).set_index("record").round(3)
    return table.astype(object).where(table.notna(), "")


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
    leak makes a run look better), mean_normalization, prediction_rounding and pivot."""
    wide = fresh.pivot(index="run", columns="protocol", values="rmse")
    gap = (wide["released"] - wide["holdout"]).dropna().rename("gap")
    settings = fresh.drop_duplicates("run").set_index("run")
    names = {text: name for name, text in PIVOTS.items()}
    switches = settings[["mean_normalization", "prediction_rounding"]].reindex(gap.index)
    return switches.assign(gap=gap, pivot=settings["pivot_indexes"].map(names).reindex(gap.index)).reset_index()


def gap_table(fresh):
    """`released` less `holdout` on the same split, by pivot and mean normalization: n settings, median, low and high
    (95 % interval, bootstrap), and the median without prediction rounding, in stars; below 0 where `released` scores
    better."""
    rows = []
    for (pivot, centred), group in paired_gaps(fresh).groupby(["pivot", "mean_normalization"]):
        median, low, high = median_interval(group["gap"])
        unrounded = group.loc[~group["prediction_rounding"].astype(bool), "gap"].median()
        rows.append([pivot, "on" if centred else "off", len(group), median, low, high, unrounded])
    columns = ["pivot", "mean normalization", "n", "median", "low", "high", "median without PrR"]
    return pd.DataFrame(rows, columns=columns)


def cost_check(records):
    """Estimated against measured seconds of the runs that were made and took at least 0.1 s, as quantiles of their
    ratio (measured / estimated), and how well the estimate orders them (Spearman)."""
    made = records[(records["status"] == "ok") & (records["seconds"] >= 0.1)]
    ratio = made["seconds"] / made["estimate"]
    low, median, high = ratio.quantile([0.05, 0.5, 0.95]) if len(made) else [np.nan] * 3
    rho = spearman(made["seconds"], made["estimate"])
    return {"n": len(made), "low": float(low), "median": float(median), "high": float(high), "spearman": float(rho)}


def sweep_numbers(evidence):
    """The numbers and sentences of the chapter's prose, by name."""
    fresh, numbers = evidence.fresh, {}
    for protocol in PROTOCOLS:
        own = fresh[fresh["protocol"] == protocol]
        made = own[own["status"] != "skipped"]
        numbers |= {f"runs_{protocol}": len(own), f"made_{protocol}": len(made),
                    f"skipped_{protocol}": int((own["status"] == "skipped").sum()),
                    f"diverged_{protocol}": int((made["status"] == "diverged").sum()),
                    f"lowest_{protocol}": float(own["rmse"].min())}  # fmt: skip
        numbers[f"diverged_share_{protocol}"] = 100 * numbers[f"diverged_{protocol}"] / max(len(made), 1)
    gaps = gap_table(fresh).set_index(["pivot", "mean normalization"])
    for pivot in PIVOTS:
        for word in ("on", "off"):
            key = f"gap_{pivot.partition('-')[0]}_{word}"
            known = gaps.loc[(pivot, word)] if (pivot, word) in gaps.index else gaps.mean() * np.nan
            numbers |= {f"{key}{end}": float(known[name]) for end, name in _ENDS.items()}
    numbers["hours_fresh"] = float(fresh["seconds"].sum() / 3600)
    numbers["cheapest_skipped"] = float(fresh.loc[fresh["status"] == "skipped", "estimate"].min())
    numbers |= {f"cost_{key}": value for key, value in cost_check(fresh).items()}
    return numbers | _replay_sentences(evidence)


# What the chapter says of the replay; filled in by `_replay_sentences`.
_SENTENCES = {
    "replay_answer": """{every[n]:.0f} of the authors' {authors[rows]:,} logged runs, made again with their
        settings, end well and agree with the logged RMSE at a Spearman correlation of {every[spearman]:.3f} (95
        % interval {every[low]:.3f} to {every[high]:.3f}); {last:.3f} with the {lost} that diverged, as worse
        than all others. The median difference is {every[median]:.3f} stars ({every[median_low]:.3f} to
        {every[median_high]:.3f}). {skipped} rows were too dear to make. Of the runs compared
        {padded[n]:.0f} re-feed the zero rows of their batches as the released code does
        (released-padded), the others do not (released).""",
    "replay_short": """{every[n]:.0f} of the authors' {authors[rows]:,} logged runs made again (Spearman correlation
        {every[spearman]:.3f} with their log, {last:.3f} if the {lost} that diverged count as the worst)""",
    "replay_log": """The authors' log has {authors[rows]:,} runs. They are fewer than that many independent settings:
        {authors[repeated_rows]} rows repeat another row, result included (here they count like any other), and
        there are {authors[distinct_settings]} distinct settings. Of the rows, {authors[one_at_a_time]} differ from one
        default setting in a single parameter or in none. The lowest RMSE is {lowest:.4f}; the paper prints three digits
        and cuts off the rest.""",
    "replay_published": """Its log of {authors[rows]:,} rows, {different} of them different, has every parameter.""",
    "replay_runs": """As released, {skipped} are skipped for their cost, {diverged} diverged and {ok} ended well.""",
    "replay_wide": """As released throughout, which does not re-feed the zero rows, {wide[n]:.0f} runs ended well; their
        Spearman correlation with the log is {wide[spearman]:.3f} ({wide[low]:.3f} to {wide[high]:.3f}), the
        median difference {wide[median]:.3f} stars.""",
    "replay_calm": """With mean normalization and without re-feeding, where training is calmest, the median
        difference is {calm[median]:.4f} stars ({calm[median_low]:.4f} to {calm[median_high]:.4f})
        over {calm[n]:.0f} runs. A replay is not to be expected to agree much better than the
        authors' runs agree with each other: two of their runs of one setting differ by a median of
        {repeats[median]:.3f} stars (Spearman {repeats[spearman]:.2f}, {repeats[n]:.0f} random pairs); ours differ from
        theirs, on the {again[n]:.0f} replayed rows of such settings, by {again[median]:.3f} (Spearman
        {again[spearman]:.2f}).""",
    "replay_lost": """Of {lost} runs that diverged here but have an RMSE in the log, {as_ours} have that of
        predicting 2.5 stars for all, to {near} stars: they had diverged there too. Runs that
        diverged have no RMSE and are in none of the figures above; counted as worse than every
        other run, they would bring the correlation of {every[spearman]:.3f} down to {last:.3f}.""",
    "replay_cost": """Training the replay as released took {hours:.2f} hours of one processor core. The authors' log
        adds up to {authors[hours]:.1f} hours, on a GTX 1080 as the paper says; {theirs:.1f} of them are of the runs
        compared here, which leave out the dearest: {ratio:.1f} times our time for these, in which ours do less, as
        they do not re-feed the zero rows.""",
    "replay_point": """The published runs come out again: Spearman {every[spearman]:.3f} ({every[low]:.3f} to
        {every[high]:.3f}) over {every[n]:.0f} of them, {last:.3f} with the {lost} that diverged as the worst.""",
    "replay_low": """In the authors' log, {named} of the {low} different user-based runs of {limit} or less have all
        four.""",
}  # fmt: skip


_UNSAID = {"replay_low": "", "replay_published": ""}


_NO_REPLAY = "This page was made without the authors' log, so there is no replay of it to tell of."


def _replay_sentences(evidence):
    """What the chapter says of the replay, or that there is none."""
    if not evidence.report:
        return dict.fromkeys(_SENTENCES, _NO_REPLAY) | {"replay_short": "none made again here", **_UNSAID}
    report, replay = evidence.report, evidence.replay[evidence.replay["protocol"] == "released"]
    groups, lost = report["agreement"][CLOSEST], report["lost_runs"].values()
    statuses = replay["status"].value_counts()
    known, seconds = report["authors"], report["seconds"]
    facts = {
        "authors": known, "different": known["rows"] - known["repeated_rows"], "repeats": report["authors_repeats"],
        "named": sum(known["low_users"]), "low": len(known["low_users"]), "limit": LOW_STARS, "every": groups["all"],
        "lowest": min(pivot["rmse_quantiles"][0] for pivot in known["pivots"].values()),
        "wide": report["agreement"]["released"]["all"],
        "padded": report["agreement"].get("released-padded", {"all": {"n": 0}})["all"],
        "again": groups["settings that the authors ran again"],
        "calm": groups["with mean normalization, without re-feeding"],
        "last": report["diverged_last"], "lost": len(lost), "near": NEAR, "hours": replay["seconds"].sum() / 3600,
        "as_ours": sum(abs((row["rmse_of_diverged"] or np.inf) - row["published"]) < NEAR for row in lost),
        "theirs": seconds["authors"] / 3600, "ratio": seconds["authors"] / seconds["ours"],
    } | {status: int(statuses.get(status, 0)) for status in ("ok", "diverged", "skipped")}  # fmt: skip
    counts = {"log_rows": known["rows"], "log_repeated": known["repeated_rows"], "log_hours": known["hours"]}
    counts["log_different"] = facts["different"]
    return counts | {name: " ".join(text.format(**facts).split()) for name, text in _SENTENCES.items()}


def plot_rmse_by_rank(curves, dataset, top=12.0):
    """RMSE of every run that ended well, in ascending order, a panel for each source and protocol, user- and
    item-based apart: the paper's Figure 3.

    curves: of `flexlib.study.sweep_report.rmse_curves`.
    """
    panels = list(dict.fromkeys((curve["source"], curve["protocol"]) for curve in curves))
    figure, axes = plt.subplots(len(panels), sharex=True, sharey=True, figsize=(6.5, 0.9 + 1.9 * len(panels)))
    for ax, panel in zip(np.atleast_1d(axes), panels, strict=True):
        for curve in curves:
            if (curve["source"], curve["protocol"]) != panel:
                continue
            short, runs = curve["pivot"].partition("-")[0], round(max(curve["rank"], default=0))
            ax.plot(curve["rank"], np.minimum(curve["rmse"], top), MARKERS[curve["pivot"]], markersize=3.5,
                    fillstyle=FILLS[curve["pivot"]], color=COLOURS[curve["protocol"]],
                    label=f"{short}, n = {runs}")  # fmt: skip
        word = " (201 quantiles)" if panel[1] == "paper" else f", {NAMES[panel[1]]}".replace("\n", " ")
        ax.set_title(f"{panel[0]}{word}", fontsize="x-small")
        ax.set(ylabel="RMSE (stars)", ylim=(0.5, top * 1.02))
        ax.legend(loc="lower right", bbox_to_anchor=(1.02, 0.96), ncols=2, fontsize="x-small", columnspacing=0.8,
                  handlelength=0.8, handletextpad=0.3)  # fmt: skip
    np.atleast_1d(axes)[-1].set_xlabel("rank of the run within its pivot, lowest RMSE first")
    title = f"RMSE of the runs that ended well, in ascending order\n{dataset}; above {top:g} drawn at {top:g}"
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_rmse_distributions(curves, dataset, low=0.8, high=4.0):
    """Share of the runs with at most a given RMSE, by source and protocol, user- and item-based apart. Diverged runs
    count as above every RMSE.

    curves: of `flexlib.study.sweep_report.rmse_curves`.
    """
    styles = {"the paper's log": ("-", 3.2), "replay": (":", 2.2), "fresh sample": ("-", 1.6)}
    figure, axes = plt.subplots(2, sharey=True, figsize=(6.5, 11.5))
    for ax, pivot in zip(axes, MARKERS, strict=True):
        for curve in (c for c in curves if c["pivot"] == pivot):
            line, width = styles[curve["source"]]
            share = np.arange(1, len(curve["rmse"]) + 1) / max(curve["n"], 1)
            if curve["protocol"] == "paper":
                share = np.linspace(0, 1, len(curve["rmse"]))
            word = "" if curve["protocol"] == "paper" else f", {NAMES[curve['protocol']]}".replace("\n", " ")
            ax.step(curve["rmse"], share, where="post", linestyle=line, linewidth=width,
                    color=COLOURS[curve["protocol"]], label=f"{curve['source']}{word}, n = {curve['n']}")  # fmt: skip
        ax.set(title=f"{pivot} runs", ylabel="share of runs at or below", xlim=(low, high), ylim=(0, 1), xscale="log")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.24))
        ticks = [0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4]
        ax.set(xlabel="RMSE (stars), logarithmic", xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    figure.suptitle(f"How the runs' RMSE is distributed\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_agreement(drawn, dataset):
    """Where our replay and the authors' log agree: counts of runs by recorded RMSE and ours.

    drawn: of `flexlib.replay.agreement_map`.
    """
    edges, counts = np.array(drawn["edges"]), np.array(drawn["counts"], float)
    figure, ax = plt.subplots(figsize=(6.5, 5.6))
    mesh = ax.pcolormesh(edges, edges, np.where(counts.T > 0, counts.T, np.nan), cmap="cividis_r", norm="log")
    ax.plot(edges[[0, -1]], edges[[0, -1]], color="#999999", linewidth=1, zorder=0)
    ticks = [0.8, 1, 1.5, 2, 3, 5, 10]
    labels = [f"{tick:g}" for tick in ticks]
    ax.set(xscale="log", yscale="log", xticks=ticks, yticks=ticks, xticklabels=labels, yticklabels=labels,
           xlabel="RMSE that the authors recorded (stars)", ylabel="RMSE of our replay (stars)",
           title=f"The authors' settings run again, n = {int(counts.sum())}\n{dataset}; grey line: equal")  # fmt: skip
    ax.minorticks_off()
    figure.colorbar(mesh, label="runs in a cell (logarithmic)")
    return figure


def plot_costs(records, dataset):
    """Estimated against measured seconds of every run that was made.

    records: a table of `flexlib.sweep.load_records`.
    """
    made = records[(records["status"] == "ok") & (records["seconds"] > 0)]
    figure, ax = plt.subplots(figsize=(6.5, 5))
    ax.plot(made["estimate"], made["seconds"], "o", markersize=3, alpha=0.35, color="#555555")
    spans = [made[["estimate", "seconds"]].min().min(), made[["estimate", "seconds"]].max().max()]
    ax.plot(spans, spans, color="#999999", linewidth=1)
    device = ", ".join(sorted(set(made["device"])))
    ax.set(xscale="log", yscale="log", xlabel="estimated seconds (cost model)", ylabel="measured seconds of training",
           title=f"What runs were expected to take, and took, n = {len(made)}\n"
                 f"{dataset}; {device}; line: equal")  # fmt: skip
    return figure

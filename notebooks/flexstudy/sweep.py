"""Chapter 2: the authors' runs, ours of the same settings, and a fresh random sample of settings.

It reads the records of a sweep, and where there are any those of a replay of the authors' log, with the report beside
them.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.runs.plan import replay_name
from flexlib.runs.records import load_records
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.repetitions import PIVOT_TEXTS, find_report, find_sweep
from flexstudy.replay import BEYOND_TABLE_1, CLOSE_TO_CONSTANT, CLOSEST, LOW_TRAITS
from flexstudy.statistics import median_interval
from flexstudy.style import COLOURS, SHORT_NAMES, title_left

LOG = "the paper's log"
REPLAY = "replay"
FRESH = "fresh sample"
REPLAYED = ("released", "released-padded", "holdout")
LOOKS = {REPLAY: ":", FRESH: "-"}  # lines of a figure
COUNTED = ("ok", "diverged", "failed", "skipped")  # in the order in which tables have them


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the chapter tells of.

    Parameters
    ----------
    fresh
        Records of a random sample of settings.
    replay
        Records of the authors' settings; None where there are none.
    report
        What `flexstudy.replay.replay_report` keeps of the comparison with their log; None where there is none.
    """

    fresh: pd.DataFrame
    replay: pd.DataFrame | None = None
    report: dict[str, Any] | None = None

    def groups(self) -> list[tuple[str, str, str, pd.DataFrame]]:
        """Give our runs by source, protocol and pivot ("user-based" or "item-based").

        The table of a pivot may be empty. A source and protocol without any run is left out.
        """
        found = [] if self.replay is None else [(REPLAY, protocol, self.replay) for protocol in REPLAYED]
        found += [(FRESH, protocol, self.fresh) for protocol in LEAKY_AND_LEAK_FREE]
        chosen = [(source, protocol, table[table["protocol"] == protocol]) for source, protocol, table in found]
        return [
            (source, protocol, pivot, table[table["pivot_indexes"] == text])
            for source, protocol, table in chosen
            if len(table)
            for pivot, text in PIVOT_TEXTS.items()
        ]

    def logged(self) -> dict[str, dict[str, Any]]:
        """Give what `flexstudy.replay.summarise_authors` keeps of the log's pivots; empty without a report."""
        if not self.report:
            return {}
        return {pivot: self.report["authors"]["pivots"][_side(pivot)] for pivot in PIVOT_TEXTS}


def _side(pivot: str) -> str:
    """Name a pivot by what its rows are, as reports and glued numbers do: "user" or "item"."""
    return pivot.partition("-")[0]


def find_evidence(
    dataset: str,
    folder: Path | str = "",
    runs: int = 20,
    max_seconds: float = float("inf"),
    device: str | None = None,
    seed: int = 0,
    **layout: Any,
) -> Evidence:
    """Read the records of a sweep and a replay, or make a sweep now.

    Parameters
    ----------
    dataset, folder, runs, max_seconds, device, seed, **layout
        As in `flexstudy.repetitions.find_sweep`.

    Returns
    -------
    Evidence
        With the replay and its report where the folder has them.

    Raises
    ------
    FlexError
        Naming the file that is missing or cannot be read.
    """
    fresh = find_sweep(dataset, folder, runs, max_seconds, device, seed, **layout)
    replay = Path(folder) / f"{replay_name(dataset, seed)}.parquet"
    if not folder or not replay.exists():
        return Evidence(fresh)
    report = find_report(dataset, folder, seed)
    if report is None:
        raise FlexError(f"{replay.with_suffix('.json')}: no such file, and it belongs to {replay.name}")
    return Evidence(fresh, load_records(replay), report)


def agreement_table(evidence: Evidence) -> pd.DataFrame:
    """Tell how far the replay agrees with the log, protocols one below the other.

    Returns
    -------
    pd.DataFrame
        By `protocol` and `runs` (a group of them); empty without a replay:

        - n: runs compared
        - spearman, low, high: rank correlation with its 95 % interval
        - median, median_low, median_high: of the absolute difference, in stars
        - p90: its 90th percentile, in stars
        - shift: median of the difference, ours minus theirs, in stars
    """
    parts = evidence.report["agreement"] if evidence.report else {}
    rows = [
        {"protocol": name, "runs": group} | values for name, part in parts.items() for group, values in part.items()
    ]
    columns = "protocol runs n spearman low high median median_low median_high p90 shift".split()
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"n": int}).set_index(["protocol", "runs"]).round(3)


def report_table(evidence: Evidence, part: str) -> pd.DataFrame:
    """Give a part of the replay's report for reading.

    Parameters
    ----------
    evidence
        Of the chapter.
    part
        "disagreements" or "lost_runs".

    Returns
    -------
    pd.DataFrame
        By `record`, the row of the log from 0; "" where there is no number. Empty without a replay.
    """
    table = pd.DataFrame.from_dict(evidence.report[part] if evidence.report else {}, orient="index")
    if table.empty:
        return pd.DataFrame(index=pd.Index([], name="record"))
    table = table.astype({"record": int}).set_index("record").round(3)
    return table.astype(object).where(table.notna(), "")


def count_runs(evidence: Evidence) -> pd.DataFrame:
    """Count what became of the runs.

    Returns
    -------
    pd.DataFrame
        One row a source, protocol and pivot:

        - source, protocol, pivot: names
        - runs: how many
        - ok, diverged, failed, skipped: how many ended so
        - lowest, median, highest: RMSE of those that ended well, in stars
        - below_1: share of the runs made, diverged ones too, with less than 1 star
    """
    rows: list[dict[str, Any]] = []
    for pivot, log in evidence.logged().items():
        quantiles = np.array(log["rmse_quantiles"])
        rows.append(
            {"source": LOG, "protocol": "", "pivot": pivot, "runs": log["n"]}
            | dict.fromkeys(COUNTED, 0)
            | {"ok": log["n"]}
            | {"lowest": quantiles[0], "median": np.median(quantiles), "highest": quantiles[-1]}
            | {"below_1": log["below_1"] / max(log["n"], 1)}
        )
    for source, protocol, pivot, own in evidence.groups():
        counts, rmse = own["status"].value_counts(), own["rmse"]
        made = own[own["status"] != "skipped"]
        rows.append(
            {"source": source, "protocol": protocol, "pivot": pivot, "runs": len(own)}
            | {status: int(counts.get(status, 0)) for status in COUNTED}
            | {"lowest": rmse.min(), "median": rmse.median(), "highest": rmse.max()}
            | {"below_1": float((made["rmse"] < 1).mean()) if len(made) else np.nan}
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Curve:
    """The RMSE of runs in ascending order.

    Parameters
    ----------
    source, protocol, pivot
        Names.
    n
        Runs made, diverged ones too.
    rmse
        (k,) stars, ascending, of those that ended well.
    """

    source: str
    protocol: str
    pivot: str
    n: int
    rmse: NDArray[np.float64]

    def quantile(self, share: float) -> float:
        """Give the RMSE that this share of the runs made stays below; infinite where so many have none."""
        place = math.ceil(share * self.n) - 1
        return float(self.rmse[place]) if 0 <= place < len(self.rmse) else math.inf


def common_curves(evidence: Evidence) -> list[Curve]:
    """Sort the RMSE of the replay and of the fresh sample, of settings made under both protocols."""
    curves = []
    for source, table, key in ((REPLAY, evidence.replay, "record"), (FRESH, evidence.fresh, "run")):
        if table is None:
            continue
        made = table[(table["status"] != "skipped") & table["protocol"].isin(LEAKY_AND_LEAK_FREE)]
        common = made[made.groupby(key)["protocol"].transform("nunique") == len(LEAKY_AND_LEAK_FREE)]
        for protocol, (pivot, text) in product(LEAKY_AND_LEAK_FREE, PIVOT_TEXTS.items()):
            own = common[(common["protocol"] == protocol) & (common["pivot_indexes"] == text)]
            curves.append(Curve(source, protocol, pivot, len(own), np.sort(own["rmse"].dropna().to_numpy())))
    return curves


def protocol_gaps(fresh: pd.DataFrame) -> pd.DataFrame:
    """Compare the two protocols on each setting and split.

    Parameters
    ----------
    fresh
        Records of a sample under `released` and `holdout`.

    Returns
    -------
    pd.DataFrame
        One row a run that ended well under both:

        - run: its number
        - mean_normalization, prediction_rounding: of the setting
        - gap: RMSE of `released` minus that of `holdout`, in stars; below 0 where the leak makes a run look better
        - pivot: "user-based" or "item-based"
    """
    wide = fresh.pivot(index="run", columns="protocol", values="rmse")
    gap = (wide["released"] - wide["holdout"]).dropna().rename("gap")
    settings = fresh.drop_duplicates("run").set_index("run")
    names = {text: name for name, text in PIVOT_TEXTS.items()}
    switches = settings[["mean_normalization", "prediction_rounding"]].reindex(gap.index)
    return switches.assign(gap=gap, pivot=settings["pivot_indexes"].map(names).reindex(gap.index)).reset_index()


def gap_table(fresh: pd.DataFrame) -> pd.DataFrame:
    """Summarise `protocol_gaps` by pivot and mean normalization.

    Returns
    -------
    pd.DataFrame
        One row a pivot and switch:

        - pivot: "user-based" or "item-based"
        - mean normalization: "on" or "off"
        - n: settings
        - median, low, high: of the gap with its 95 % bootstrap interval, in stars
        - median without PrR: the same of settings without prediction rounding, in stars
    """
    rows = []
    for (pivot, centred), group in protocol_gaps(fresh).groupby(["pivot", "mean_normalization"]):
        median, low, high = median_interval(group["gap"])
        unrounded = group.loc[~group["prediction_rounding"].astype(bool), "gap"].median()
        rows.append([pivot, "on" if centred else "off", len(group), median, low, high, unrounded])
    columns = ["pivot", "mean normalization", "n", "median", "low", "high", "median without PrR"]
    return pd.DataFrame(rows, columns=columns)


def log_table(evidence: Evidence) -> pd.DataFrame:
    """Hold the authors' log against what the paper says of its runs, for reading; empty without a report."""
    numbers = log_numbers(evidence.report)
    rows = {
        "runs": ("{log_rows:,}, of which {log_repeated} repeat another, result included", "over 1,000"),
        "user-based runs": ("{log_user}, {log_user_different} of them different", "about 700"),
        "item-based runs": ("{log_item}, {log_item_different} of them different", "about 300"),
        "lowest to highest RMSE": ("{log_lowest:.4f} to {log_highest:.4f}", "0.833 to 11.060"),
        "hours of training": ("{log_hours:.1f}", "a week"),
        "runs that vary one parameter or none": ("{log_designed_rows}", "none: each is completely random"),
        "combinations of the values tried": ("10 to the power of {log_combinations_log10:.1f}", "over 10 billion"),
        "different user-based runs at 0.90 or 0.91": ("{user_band_n}", "not said"),
        "ADAM, SELU, one re-feeding, mean normalization among these": (
            "{user_band_adam}, {user_band_selu}, {user_band_refeeding}, {user_band_men}",
            "most have them",
        ),
    }
    told = {name: (found.format(**numbers), said) for name, (found, said) in rows.items()} if evidence.report else {}
    return pd.DataFrame.from_dict(told, orient="index", columns=["the authors' log", "the paper"])


def sweep_numbers(evidence: Evidence) -> dict[str, Any]:
    """Name the numbers and sentences of the chapter's prose.

    Returns
    -------
    dict
        - runs_PROTOCOL, made_PROTOCOL, skipped_PROTOCOL, diverged_PROTOCOL: counts of the fresh sample
        - middle_half_PROTOCOL: how far apart the quartiles of the RMSE are, over the runs that ended well, in stars
        - worth_user, worth_item: by how much the leak lowers the median RMSE of such settings, with mean normalization
        - log_NAME and user_band_NAME: of `log_numbers`
        - replay_NAME: sentences on the replay, or that there is none
    """
    fresh = evidence.fresh
    numbers: dict[str, Any] = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        own = fresh[fresh["protocol"] == protocol]
        made = own[own["status"] != "skipped"]
        numbers |= {
            f"runs_{protocol}": len(own),
            f"made_{protocol}": len(made),
            f"skipped_{protocol}": len(own) - len(made),
            f"diverged_{protocol}": int((made["status"] == "diverged").sum()),
            f"middle_half_{protocol}": float(own["rmse"].quantile(0.75) - own["rmse"].quantile(0.25)),
        }
    gaps = protocol_gaps(fresh)
    for pivot in PIVOT_TEXTS:
        own = gaps[(gaps["pivot"] == pivot) & gaps["mean_normalization"].astype(bool)]
        numbers[f"worth_{_side(pivot)}"] = -float(own["gap"].median())
    return numbers | log_numbers(evidence.report) | _replay_sentences(evidence)


def log_numbers(report: Mapping[str, Any] | None) -> dict[str, float]:
    """Name the numbers of the authors' log.

    Parameters
    ----------
    report
        Of `flexstudy.replay.replay_report`; None where there is none.

    Returns
    -------
    dict
        NaN without a report:

        - log_rows, log_user, log_item: rows, and those of each pivot
        - log_repeated: rows that repeat another, result included
        - log_different, log_user_different, log_item_different: the others
        - log_designed_rows, log_random_rows: rows that differ from one default setting in one parameter or none, and
          the others
        - log_hours: of training
        - log_lowest, log_highest: RMSE, in stars
        - log_combinations_log10: of the product, over the 17 parameters, of how many values the log has
        - user_band_n: different user-based rows whose RMSE rounds to 0.90 or 0.91
        - user_band_adam, user_band_selu, user_band_refeeding, user_band_men: those of them with each of `LOW_TRAITS`
        - user_band_modes: how many of these four values no other value of the parameter outnumbers there; NaN where
          there is no such row
    """
    traits = dict(zip(LOW_TRAITS, ("adam", "selu", "refeeding", "men"), strict=True))
    names = ["rows", "user", "item", "repeated", "different", "user_different", "item_different", "designed_rows"]
    names += ["random_rows", "hours", "lowest", "highest", "combinations_log10"]
    band_names = ["n", *traits.values(), "modes"]
    if report is None:
        return dict.fromkeys([f"log_{name}" for name in names] + [f"user_band_{name}" for name in band_names], math.nan)
    log, band = report["authors"], report["authors"]["user_band"]
    user, item = log["pivots"]["user"], log["pivots"]["item"]
    values = [len(counts) for name, counts in log["counts"].items() if name not in BEYOND_TABLE_1]
    known = [log["rows"], user["n"], item["n"], log["repeated_rows"], log["rows"] - log["repeated_rows"]]
    known += [user["different"], item["different"], log["one_at_a_time"], log["rows"] - log["one_at_a_time"]]
    known += [log["hours"], log["lowest"], log["highest"], float(np.log10(values).sum())]
    having = {name: band[name].get(json.dumps(value), 0) for name, value in LOW_TRAITS.items()}
    modes = sum(having[name] == max(band[name].values(), default=0) for name in traits)
    counted = [band["n"], *having.values(), modes if band["n"] else math.nan]
    return {f"log_{name}": value for name, value in zip(names, known, strict=True)} | {
        f"user_band_{name}": value for name, value in zip(band_names, counted, strict=True)
    }


# What the chapter says of the replay, filled in by `_replay_sentences`.
_SENTENCES = {
    "replay_answer": """Made again, {every[n]:.0f} of the authors' {authors[rows]:,} logged runs end well. They agree
        with the log at a rank correlation of {every[spearman]:.2f}.""",
    "replay_short": """{every[n]:.0f} of the authors' {authors[rows]:,} logged runs made again (Spearman correlation
        {every[spearman]:.3f} with their log, {last:.3f} if the {lost} that diverged count as the worst)""",
    "replay_published": """Its log of {authors[rows]:,} rows, {different} of them different, has every parameter.""",
    "replay_log": """Of the log's {authors[rows]:,} rows, {authors[one_at_a_time]} differ from one default setting in a
        single parameter or in none.""",
    "replay_close": """The median difference is {every[median]:.3f} stars. Where the authors ran a setting twice, their
        own two runs differ by {repeats[median]:.3f}, and ours from theirs by {again[median]:.3f}.""",
    "replay_lost": """Of the log's runs, {skipped} were too costly to make, and {lost} diverged. Counted as the worst,
        the latter lower the correlation to {last:.2f}; {as_ours} of them had diverged in the log too.""",
    "replay_padded": """Of the runs compared, {padded[n]:.0f} re-feed the zero rows of their batches, as the released
        code does. For the others that was too costly.""",
}
_UNSAID = ("replay_published", "replay_close", "replay_lost", "replay_padded")  # left out without a replay
_NO_REPLAY = "This page was made without the authors' log."


def _replay_sentences(evidence: Evidence) -> dict[str, str]:
    """Say what the chapter says of the replay; a word where there is none."""
    if evidence.report is None or evidence.replay is None:
        absent = dict.fromkeys(_SENTENCES, _NO_REPLAY) | dict.fromkeys(_UNSAID, "")
        return absent | {"replay_short": "none made again here"}
    facts = _replay_facts(evidence.report, evidence.replay)
    return {name: " ".join(text.format(**facts).split()) for name, text in _SENTENCES.items()}


def _replay_facts(report: Mapping[str, Any], replay: pd.DataFrame) -> dict[str, Any]:
    """Name what `_SENTENCES` are filled with."""
    log, groups, lost = report["authors"], report["agreement"][CLOSEST], report["lost_runs"].values()
    own = replay[replay["protocol"] == "released"]
    return {
        "authors": log,
        "different": log["rows"] - log["repeated_rows"],
        "repeats": report["authors_repeats"],
        "every": groups["all"],
        "again": groups["settings that the authors ran again"],
        "padded": report["agreement"].get("released-padded", {"all": {"n": 0}})["all"],
        "skipped": int((own["status"] == "skipped").sum()),
        "last": report["diverged_last"],
        "lost": len(lost),
        "as_ours": sum(_is_close(row["rmse_of_diverged"], row["published"]) for row in lost),
    }


def _is_close(diverged: float | None, logged: float) -> bool:
    """Say whether a logged RMSE is that of our run that diverged; None where rounding makes no stars of the run."""
    return diverged is not None and abs(diverged - logged) < CLOSE_TO_CONSTANT


def plot_rmse_distributions(curves: Iterable[Curve], dataset: str, high: float = 4.0) -> Figure:
    """Draw the share of the runs below each RMSE, pivots apart; diverged runs are above every RMSE.

    The axis is stretched where the best runs are.

    Parameters
    ----------
    curves
        Of `common_curves`.
    dataset
        For the title.
    high
        Where the axis ends, in stars.
    """
    curves = [curve for curve in curves if curve.n]
    lowest = min((curve.rmse[0] for curve in curves if len(curve.rmse)), default=0.9)
    start = min(lowest, high / 2) - 0.1
    scale = (lambda x: np.log(np.maximum(x - start, 1e-9)), lambda y: np.exp(y) + start)
    ticks = [tick for tick in (0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4) if lowest - 0.05 <= tick <= high]
    figure, axes = plt.subplots(2, sharex=True, sharey=True, figsize=(6.5, 7.2))
    for ax, pivot in zip(axes, ("item-based", "user-based"), strict=True):
        own = [curve for curve in curves if curve.pivot == pivot]
        for curve in own:
            share = np.arange(len(curve.rmse) + 1) / curve.n
            x = np.concatenate([curve.rmse[:1], curve.rmse])
            style = {"linestyle": LOOKS[curve.source], "color": COLOURS[curve.protocol], "linewidth": 2}
            ax.step(x, share, where="post", label=f"{curve.source}, {SHORT_NAMES[curve.protocol]}", **style)
        quarters = [(curve.quantile(0.25), curve.protocol) for curve in own if curve.source == FRESH]
        known = [(rmse, protocol) for rmse, protocol in sorted(quarters) if rmse < high]
        words = " and ".join(f"{rmse:.2f} ({SHORT_NAMES[protocol]})" for rmse, protocol in known)
        counts = ", ".join(f"{curve.source} {curve.n}" for curve in own if curve.protocol == "released")
        title = f"{pivot} ({counts})" + (f"\nfresh: a quarter is below {words}" if words else "")
        ax.set_title(title, fontsize="small")
        for place, (rmse, protocol) in enumerate(known):
            side = {"ha": "right", "xytext": (-7, 4)} if place == 0 else {"ha": "left", "xytext": (10, -16)}
            named = {"color": COLOURS[protocol], "textcoords": "offset points", "fontsize": "small"}
            ax.annotate(SHORT_NAMES[protocol], (rmse, 0.25), **side, **named)
        ax.set(ylabel="share of the runs", ylim=(0, 1), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes[1].set_xscale("function", functions=scale)
    axes[1].set(xlabel="RMSE (stars), stretched on the left", xlim=(lowest - 0.05, high), xticks=ticks)
    axes[1].set_xticklabels([f"{tick:g}" for tick in ticks])
    words = ", ".join(f"{'solid' if LOOKS[source] == '-' else 'dotted'}: {source}" for source in LOOKS)
    title_left(figure, f"Runs at or below an RMSE\n{dataset}; {words}")
    figure.tight_layout()
    return figure


def plot_agreement(report: Mapping[str, Any], dataset: str) -> Figure:
    """Draw where our replay and the authors' log agree: counts of runs by recorded RMSE and ours.

    Parameters
    ----------
    report
        Of `flexstudy.replay.replay_report`, whose map is drawn.
    dataset
        For the title.
    """
    edges, counts = np.array(report["map"]["edges"]), np.array(report["map"]["counts"], float)
    correlation = report["agreement"][CLOSEST]["all"]["spearman"]
    figure, ax = plt.subplots(figsize=(6.5, 5.6))
    mesh = ax.pcolormesh(
        edges, edges, np.where(counts.T > 0, counts.T, np.nan), cmap="cividis_r", norm="log", rasterized=True
    )
    ax.plot(edges[[0, -1]], edges[[0, -1]], color="#999999", linewidth=1, zorder=0)
    ticks = [0.8, 1, 1.5, 2, 3, 5, 10]
    labels = [f"{tick:g}" for tick in ticks]
    ax.set(
        xscale="log",
        yscale="log",
        xticks=ticks,
        yticks=ticks,
        xticklabels=labels,
        yticklabels=labels,
        xlabel="RMSE that the authors recorded (stars)",
        ylabel="RMSE of our replay (stars)",
        title=f"{int(counts.sum())} runs made again: rank correlation {correlation:.2f}\n{dataset}; grey line: equal",
    )
    ax.minorticks_off()
    figure.colorbar(mesh, label="runs in a cell", format=StrMethodFormatter("{x:g}"))
    return figure

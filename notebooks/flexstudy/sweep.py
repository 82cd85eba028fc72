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
from numpy.typing import NDArray

from flexlib.config import FlexError
from flexlib.runs.plan import replay_name
from flexlib.runs.records import load_records
from flexstudy.plans import LEAKY_AND_LEAK_FREE
from flexstudy.repetitions import PIVOT_TEXTS, find_report, find_sweep
from flexstudy.replay import BEYOND_TABLE_1, CLOSE_TO_CONSTANT, CLOSEST, LOW_STARS, LOW_TRAITS
from flexstudy.statistics import median_interval, spearman
from flexstudy.style import COLOURS, FILLS, MARKERS, words_of

LOG = "the paper's log"
REPLAY = "replay"
FRESH = "fresh sample"
REPLAYED = ("released", "released-padded", "holdout")
MEASURABLE_SECONDS = 0.1  # from which on a run's time is compared with its estimate
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
) -> Evidence:
    """Read the records of a sweep and a replay, or make a sweep now.

    Parameters
    ----------
    dataset, folder, runs, max_seconds, device, seed
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
    fresh = find_sweep(dataset, folder, runs, max_seconds, device, seed)
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
    """The RMSE of a source's runs in ascending order.

    Parameters
    ----------
    source, protocol, pivot
        Names; the protocol of the authors' log is "paper".
    n
        Runs made, diverged ones too.
    rank
        (k,) of the run among those that ended well, from 1.
    rmse
        (k,) stars, ascending. Of the log, 201 quantiles.
    """

    source: str
    protocol: str
    pivot: str
    n: int
    rank: NDArray[Any]
    rmse: NDArray[np.float64]

    @property
    def of_log(self) -> bool:
        """Whether the curve is the authors'."""
        return self.protocol == "paper"


def rmse_curves(evidence: Evidence) -> list[Curve]:
    """Sort the RMSE of each source, protocol and pivot, for a figure of RMSE against rank and for distributions."""
    curves = []
    for pivot, log in evidence.logged().items():
        rmse = np.array(log["rmse_quantiles"])
        rank = 1 + np.linspace(0, 1, len(rmse)) * (log["n"] - 1)
        curves.append(Curve(LOG, "paper", pivot, log["n"], rank, rmse))
    for source, protocol, pivot, own in evidence.groups():
        made = own[own["status"] != "skipped"]
        rmse = np.sort(made["rmse"].dropna().to_numpy())
        curves.append(Curve(source, protocol, pivot, len(made), np.arange(1, len(rmse) + 1), rmse))
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


def cost_check(records: pd.DataFrame) -> dict[str, float]:
    """Compare the measured seconds of runs with their estimate.

    Parameters
    ----------
    records
        Those that ended well and took `MEASURABLE_SECONDS` or more count.

    Returns
    -------
    dict
        - n: runs
        - low, median, high: 5th, 50th and 95th percentile of measured / estimated seconds
        - spearman: rank correlation of the two
    """
    made = records[(records["status"] == "ok") & (records["seconds"] >= MEASURABLE_SECONDS)]
    ratio = made["seconds"] / made["estimate"]
    low, median, high = ratio.quantile([0.05, 0.5, 0.95]) if len(made) else [np.nan] * 3
    rho = spearman(made["seconds"], made["estimate"])
    return {"n": len(made), "low": float(low), "median": float(median), "high": float(high), "spearman": rho}


def sweep_numbers(evidence: Evidence) -> dict[str, Any]:
    """Name the numbers and sentences of the chapter's prose.

    Returns
    -------
    dict
        - runs_PROTOCOL, made_PROTOCOL, skipped_PROTOCOL, diverged_PROTOCOL: counts of the fresh sample
        - diverged_share_PROTOCOL: of the runs made, in per cent
        - lowest_PROTOCOL: RMSE in stars
        - middle_half_PROTOCOL: how far apart the quartiles of the RMSE are, over the runs that ended well, in stars
        - gap_user_on, gap_user_off, gap_item_on, gap_item_off, with _low, _high and _unrounded: columns of `gap_table`
        - hours_fresh: of training, for the whole sample
        - cheapest_skipped: lowest estimate of a skipped run, in seconds
        - cost_NAME: of `cost_check`
        - log_NAME and user_band_NAME: of `log_numbers`
        - replay_NAME: sentences on the replay, or that there is none
    """
    fresh = evidence.fresh
    numbers: dict[str, Any] = {}
    for protocol in LEAKY_AND_LEAK_FREE:
        own = fresh[fresh["protocol"] == protocol]
        made = own[own["status"] != "skipped"]
        n_diverged = int((made["status"] == "diverged").sum())
        numbers |= {
            f"runs_{protocol}": len(own),
            f"made_{protocol}": len(made),
            f"skipped_{protocol}": len(own) - len(made),
            f"diverged_{protocol}": n_diverged,
            f"diverged_share_{protocol}": 100 * n_diverged / max(len(made), 1),
            f"lowest_{protocol}": float(own["rmse"].min()),
            f"middle_half_{protocol}": float(own["rmse"].quantile(0.75) - own["rmse"].quantile(0.25)),
        }
    gaps = {(row["pivot"], row["mean normalization"]): row for row in gap_table(fresh).to_dict("records")}
    columns = {"": "median", "_low": "low", "_high": "high", "_unrounded": "median without PrR"}
    for pivot, switch in product(PIVOT_TEXTS, ("on", "off")):
        row = gaps.get((pivot, switch), dict.fromkeys(columns.values(), np.nan))
        numbers |= {f"gap_{_side(pivot)}_{switch}{end}": float(row[name]) for end, name in columns.items()}
    numbers["hours_fresh"] = float(fresh["seconds"].sum() / 3600)
    numbers["cheapest_skipped"] = float(fresh.loc[fresh["status"] == "skipped", "estimate"].min())
    numbers |= {f"cost_{key}": value for key, value in cost_check(fresh).items()}
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
    "replay_answer": """{every[n]:.0f} of the authors' {authors[rows]:,} logged runs, made again with their
        settings, end well and agree with the logged RMSE at a Spearman correlation of {every[spearman]:.3f} (95
        % interval {every[low]:.3f} to {every[high]:.3f}); {last:.3f} with the {lost} that diverged, as worse
        than all others. The median difference is {every[median]:.3f} stars ({every[median_low]:.3f} to
        {every[median_high]:.3f}). {by_setting} {skipped} rows were too dear to make. Of the runs compared
        {padded[n]:.0f} re-feed the zero rows of their batches as the released code does
        (released-padded), the others do not (released).""",
    "replay_short": """{every[n]:.0f} of the authors' {authors[rows]:,} logged runs made again (Spearman correlation
        {every[spearman]:.3f} with their log, {last:.3f} if the {lost} that diverged count as the worst)""",
    "replay_log": """The authors' log has {authors[rows]:,} runs. They are fewer than that many independent settings:
        {authors[repeated_rows]} rows repeat another row, result included (here they count like any other), and
        there are {authors[distinct_settings]} distinct settings. Of the rows, {authors[one_at_a_time]} differ from one
        default setting in a single parameter or in none; the other {random} vary several at once, as random draws do.
        The lowest RMSE is {lowest:.4f}; the paper prints three digits and cuts off the rest.""",
    "replay_band": """Of its different user-based rows, {log[user_band_n]} have an RMSE that rounds to 0.90 or 0.91,
        the range that the paper speaks of. ADAM is in {log[user_band_adam]} of these and SELU in {log[user_band_selu]};
        {log[user_band_refeeding]} have one re-feeding and {log[user_band_men]} mean normalization.""",
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
}
_UNSAID = ("replay_low", "replay_published", "replay_band")  # sentences that are left out without a replay
_NO_REPLAY = "This page was made without the authors' log, so there is no replay of it to tell of."


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
    statuses, seconds = own["status"].value_counts(), report["seconds"]
    facts = {status: int(statuses.get(status, 0)) for status in ("ok", "diverged", "skipped")}
    return facts | {
        "authors": log,
        "log": log_numbers(report),
        "different": log["rows"] - log["repeated_rows"],
        "repeats": report["authors_repeats"],
        "random": log["rows"] - log["one_at_a_time"],
        "named": sum(log["low_users"]),
        "low": len(log["low_users"]),
        "limit": LOW_STARS,
        "lowest": log["lowest"],
        "every": groups["all"],
        "again": groups["settings that the authors ran again"],
        "calm": groups["with mean normalization, without re-feeding"],
        "wide": report["agreement"]["released"]["all"],
        "padded": report["agreement"].get("released-padded", {"all": {"n": 0}})["all"],
        "last": report["diverged_last"],
        "lost": len(lost),
        "near": CLOSE_TO_CONSTANT,
        "as_ours": sum(_is_close(row["rmse_of_diverged"], row["published"]) for row in lost),
        "hours": own["seconds"].sum() / 3600,
        "theirs": seconds["authors"] / 3600,
        "ratio": seconds["authors"] / seconds["ours"],
        "by_setting": _say_by_setting(groups["all"]),
    }


def _say_by_setting(group: Mapping[str, float]) -> str:
    """Say how the median runs of different settings agree; nothing where a report does not tell."""
    value, low, high = (group.get(f"by_setting{end}") for end in ("", "_low", "_high"))
    if value is None:
        return ""
    span = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"By the median run of each of {group['settings']:.0f} settings the correlation is {value:.3f}{span}."


def _is_close(diverged: float | None, logged: float) -> bool:
    """Say whether a logged RMSE is that of our run that diverged; None where rounding makes no stars of the run."""
    return diverged is not None and abs(diverged - logged) < CLOSE_TO_CONSTANT


def plot_rmse_by_rank(curves: Iterable[Curve], dataset: str, top: float = 12.0) -> Figure:
    """Draw the RMSE of every run that ended well in ascending order, as the paper's Figure 3 does.

    Parameters
    ----------
    curves
        Of `rmse_curves`; a panel for each source and protocol, pivots apart.
    dataset
        For the title.
    top
        Stars, at which higher RMSE is drawn.
    """
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        panels.setdefault((curve.source, curve.protocol), []).append(curve)
    figure, axes = plt.subplots(len(panels), sharex=True, sharey=True, figsize=(6.5, 0.9 + 1.9 * len(panels)))
    for ax, ((source, protocol), own) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for curve in own:
            n_runs = round(max(curve.rank, default=0))
            ax.plot(
                curve.rank,
                np.minimum(curve.rmse, top),
                MARKERS[curve.pivot],
                markersize=3.5,
                fillstyle=FILLS[curve.pivot],
                color=COLOURS[protocol],
                label=f"{_side(curve.pivot)}, n = {n_runs}",
            )
        title = f"{source} (201 quantiles)" if own[0].of_log else f"{source}, {words_of(protocol)}"
        ax.set_title(title, fontsize="x-small")
        ax.set(ylabel="RMSE (stars)", ylim=(0.5, top * 1.02))
        ax.legend(
            loc="lower right",
            bbox_to_anchor=(1.02, 0.96),
            ncols=2,
            fontsize="x-small",
            columnspacing=0.8,
            handlelength=0.8,
            handletextpad=0.3,
        )
    np.atleast_1d(axes)[-1].set_xlabel("rank of the run within its pivot, lowest RMSE first")
    title = f"RMSE of the runs that ended well, in ascending order\n{dataset}; above {top:g} drawn at {top:g}"
    figure.suptitle(title, fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_rmse_distributions(curves: Iterable[Curve], dataset: str, low: float = 0.8, high: float = 4.0) -> Figure:
    """Draw the share of the runs with at most a given RMSE, pivots apart; diverged runs count as above every RMSE.

    Parameters
    ----------
    curves
        Of `rmse_curves`.
    dataset
        For the title.
    low, high
        Ends of the axis, in stars.
    """
    curves = list(curves)
    looks = {LOG: ("-", 3.2), REPLAY: (":", 2.2), FRESH: ("-", 1.6)}
    ticks = [0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4]
    figure, axes = plt.subplots(2, sharey=True, figsize=(6.5, 11.5))
    for ax, pivot in zip(axes, MARKERS, strict=True):
        for curve in curves:
            if curve.pivot != pivot:
                continue
            line, width = looks[curve.source]
            share = np.arange(1, len(curve.rmse) + 1) / max(curve.n, 1)
            if curve.of_log:
                share = np.linspace(0, 1, len(curve.rmse))
            word = curve.source if curve.of_log else f"{curve.source}, {words_of(curve.protocol)}"
            ax.step(
                curve.rmse,
                share,
                where="post",
                linestyle=line,
                linewidth=width,
                color=COLOURS[curve.protocol],
                label=f"{word}, n = {curve.n}",
            )
        ax.set(title=f"{pivot} runs", ylabel="share of runs at or below", xlim=(low, high), ylim=(0, 1), xscale="log")
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.24))
        ax.set(xlabel="RMSE (stars), logarithmic", xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    figure.suptitle(f"How the runs' RMSE is distributed\n{dataset}", fontsize="medium", x=0.02, ha="left")
    figure.tight_layout()
    return figure


def plot_agreement(drawn: Mapping[str, Any], dataset: str) -> Figure:
    """Draw where our replay and the authors' log agree: counts of runs by recorded RMSE and ours.

    Parameters
    ----------
    drawn
        Of `flexstudy.replay.agreement_map`.
    dataset
        For the title.
    """
    edges, counts = np.array(drawn["edges"]), np.array(drawn["counts"], float)
    figure, ax = plt.subplots(figsize=(6.5, 5.6))
    mesh = ax.pcolormesh(edges, edges, np.where(counts.T > 0, counts.T, np.nan), cmap="cividis_r", norm="log")
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
        title=f"The authors' settings run again, n = {int(counts.sum())}\n{dataset}; grey line: equal",
    )
    ax.minorticks_off()
    figure.colorbar(mesh, label="runs in a cell (logarithmic)")
    return figure


def plot_costs(records: pd.DataFrame, dataset: str) -> Figure:
    """Draw the estimated against the measured seconds of every run that ended well.

    Parameters
    ----------
    records
        Of `flexlib.runs.records.load_records`.
    dataset
        For the title.
    """
    made = records[(records["status"] == "ok") & (records["seconds"] > 0)]
    figure, ax = plt.subplots(figsize=(6.5, 5))
    ax.plot(made["estimate"], made["seconds"], "o", markersize=3, alpha=0.35, color="#555555")
    spans = [made[["estimate", "seconds"]].min().min(), made[["estimate", "seconds"]].max().max()]
    ax.plot(spans, spans, color="#999999", linewidth=1)
    device = ", ".join(sorted(set(made["device"])))
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="estimated seconds (cost model)",
        ylabel="measured seconds of training",
        title=f"What runs were expected to take, and took, n = {len(made)}\n{dataset}; {device}; line: equal",
    )
    return figure

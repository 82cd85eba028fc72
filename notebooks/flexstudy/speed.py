"""The chapter on speed: what `benchmarks/` recorded, against the limits of the machine and beside peers.

Nothing is timed here: the numbers are those of the records, which name their machine.
"""

import json
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flexlib.config import FlexError
from flexstudy.style import legend_below

FLOORS = {
    "bytes_floor": "memory: the optimizer's numbers",
    "gathers_floor": "memory: rows that sparse products read",
    "products_floor": "dense products",
    "calls_floor": "calls of PyTorch",
}
FLOOR_COLOURS = ["#0072B2", "#56B4E9", "#009E73", "#E69F00"]
OURS_COLOUR, PEERS_COLOUR = "#D55E00", "#555555"  # of the race: FlexEncoder, and the others
LEFT = "not accounted for"
OURS = "FlexEncoder"
PUBLISHED = Path(__file__).parents[2] / "results" / "records"
KEYS = {"training": "setting", "scale": "case", "peers": "method", "loading": "what"}


def read_measurements(folder: str | Path, kind: str, device: str = "cpu") -> pd.DataFrame:
    """Read what a program of `benchmarks/` recorded of one kind of device.

    Parameters
    ----------
    folder
        Of the records; the published ones where empty.
    kind
        The program's name; its files are speed-KIND*.parquet.
    device
        "cpu" or "cuda".

    Returns
    -------
    DataFrame
        The rows of all files, in the order of their names; none where nothing was measured on the device.

    Raises
    ------
    FlexError
        Where there is no such file, or one lacks the columns of its kind.
    """
    files = sorted(Path(folder or PUBLISHED).glob(f"speed-{kind}*.parquet"))
    if not files:
        raise FlexError(f"{folder or PUBLISHED}: no speed-{kind}*.parquet; benchmarks/{kind}.py writes it with --out")
    tables = [pd.read_parquet(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        missing = {KEYS[kind], "machine", "threads", "commit"} - set(table)
        if missing:
            raise FlexError(f"{file}: has no column '{min(missing)}': benchmarks/{kind}.py did not write it")
    records = pd.concat(tables, ignore_index=True)
    devices = records.get("device", pd.Series("cpu", records.index)).fillna("cpu")
    return records[devices == device].reset_index(drop=True)


def training_shares(records: pd.DataFrame) -> pd.DataFrame:
    """Put the time of each setting's step beside the plain loop's and beside what it cannot go below.

    Parameters
    ----------
    records
        Of `benchmarks/training.py`.

    Returns
    -------
    DataFrame
        One row a setting, data set and number of threads.

        - setting, dataset, threads.
        - ms, plain_ms: of a step, in milliseconds.
        - ratio: how much faster than the plain loop, both without what that lacks.
        - floor: share of the step that its bytes, rows and products take at the ceilings.
        - bytes, gathers, products, calls: shares of each.
    """
    table = records[["setting", "dataset", "threads"]].copy()
    table["ms"], table["plain_ms"] = records["seconds"] * 1e3, records["plain_seconds"] * 1e3
    table["ratio"] = records["plain_seconds"] / records["alike_seconds"]
    for name in FLOORS:
        table[name.removesuffix("_floor")] = records[name] / records["seconds"]
    table["floor"] = table[["bytes", "gathers", "products"]].sum(axis=1)
    return table


def plot_floors(shares: pd.DataFrame) -> Figure:
    """Draw what each setting's step is made of.

    Parameters
    ----------
    shares
        Of `training_shares`, from bottom to top.

    Returns
    -------
    Figure
        A bar a setting; beyond 1 where caches are faster than the memory that the ceiling was measured on.
    """
    figure, ax = plt.subplots(figsize=(6.5, 1.6 + 0.42 * len(shares)))
    names = [f"{row.setting}\n{row.dataset}" for row in shares.itertuples()]
    left, places = np.zeros(len(shares)), np.arange(len(shares))
    for (column, words), colour in zip(FLOORS.items(), FLOOR_COLOURS, strict=True):
        widths = shares[column.removesuffix("_floor")].to_numpy(float)
        ax.barh(places, widths, left=left, color=colour, label=words, height=0.7)
        left += widths
    rest = np.clip(1 - left, 0, None)
    ax.barh(places, rest, left=left, color="#DDDDDD", label=LEFT, height=0.7)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_yticks(places, names, fontsize="x-small")
    ax.set_xlabel("share of a step's time")
    large = shares.loc[shares["ms"] >= 1, "floor"]
    ax.set_title(f"At least half is unavoidable in {(large >= 0.5).sum()} of {len(large)} large networks")
    ax.grid(axis="y", visible=False)
    legend_below(ax, columns=1, down=0.9 / (1.6 + 0.42 * len(shares)))
    return figure


def scale_table(records: pd.DataFrame) -> pd.DataFrame:
    """Give what training costs by the number of ratings.

    Parameters
    ----------
    records
        Of `benchmarks/scale.py`.

    Returns
    -------
    DataFrame
        One row a case.

        - case, ratings, weights, rows: sizes; rows says "users" or "items".
        - epoch_seconds, validation_seconds, scoring_seconds: of an epoch, and of scoring after it.
        - nanoseconds: of an epoch, a training rating.
        - floor: share of the epoch that its bytes, rows and products take at the ceilings.
        - peak_gigabytes: of memory.
    """
    table = records[["case", "ratings", "weights", "epoch_seconds", "validation_seconds", "scoring_seconds"]].copy()
    table["rows"] = np.where(records["item_based"], "items", "users")
    table["nanoseconds"] = records["epoch_seconds"] / records["n_train"] * 1e9
    table["floor"] = records["floor_seconds"] / records["epoch_seconds"]
    table["peak_gigabytes"] = records["peak_bytes"] / 1e9
    return table


def plot_scale(table: pd.DataFrame, title: str) -> Figure:
    """Draw time a rating, and memory, against the number of ratings.

    Parameters
    ----------
    table
        Of `scale_table`.
    title
        Of the figure.
    """
    figure, axes = plt.subplots(2, 1, figsize=(6.5, 6.2), sharex=True)
    labels = ("time of an epoch\nfor each rating (µs)", "peak memory (GB)")
    values = (table["nanoseconds"] / 1e3, table["peak_gigabytes"])
    for ax, value, label in zip(axes, values, labels, strict=True):
        for rows, marker, colour in (("users", "o", "#0072B2"), ("items", "s", "#D55E00")):
            chosen = table["rows"] == rows
            ax.plot(table["ratings"][chosen], value[chosen], marker, color=colour, label=f"rows are {rows}")
        for case, rows, x, y in zip(table["case"], table["rows"], table["ratings"], value, strict=True):
            up = 5 if rows == "items" else -12  # two of them may be one upon the other
            ax.annotate(case, (x, y), xytext=(5, up), textcoords="offset points", fontsize="x-small")
        ax.set_ylim(0, 1.25 * value.max())
        ax.set_ylabel(label)
    axes[0].set_xscale("log")
    axes[1].set_xlabel("ratings in the data set")
    axes[0].set_title(title)
    legend_below(axes[1], columns=2, down=0.25)
    return figure


def gpu_table(folder: str | Path) -> pd.DataFrame:
    """Put what was measured on a GPU beside the CPU's time for the same.

    Parameters
    ----------
    folder
        As in `read_measurements`; the CPU's measurements are those of one thread, and of all threads at scale.

    Returns
    -------
    DataFrame
        One row a setting and data set, and one a size; no rows where nothing was measured on a GPU.

        - what: the setting and its data set, or the size.
        - cpu_ms, gpu_ms: of a training step.
        - times: how many times as fast the GPU is.
        - plain_times: how many times as long the plain loop takes on the GPU; NaN for sizes.
        - gpu: its name.
    """
    pairs = []
    for kind, keys in (("training", ["setting", "dataset"]), ("scale", ["case"])):
        ours, theirs = (read_measurements(folder, kind, device) for device in ("cpu", "cuda"))
        if kind == "scale":
            for table in (ours, theirs):
                table["seconds"] = table["epoch_seconds"] / table["steps_per_epoch"]
                table["plain_seconds"] = table["alike_seconds"] = np.nan
        else:
            ours = ours[ours["threads"] == 1]
        both = ours.merge(theirs, on=keys, suffixes=("_cpu", "_gpu"))
        both["what"] = both["case"] + " ratings" if kind == "scale" else both["setting"] + "\n" + both["dataset"]
        pairs.append(both)
    table = pd.concat(pairs, ignore_index=True)
    return pd.DataFrame(
        {
            "what": table["what"],
            "cpu_ms": table["seconds_cpu"] * 1e3,
            "gpu_ms": table["seconds_gpu"] * 1e3,
            "times": table["seconds_cpu"] / table["seconds_gpu"],
            "plain_times": table["plain_seconds_gpu"] / table["alike_seconds_gpu"],
            "gpu": table["machine_gpu"],
        }
    ).sort_values("cpu_ms", ignore_index=True)


def plot_gpu(table: pd.DataFrame, title: str) -> Figure:
    """Draw how many times as fast a GPU is, by what a step takes on the CPU.

    Parameters
    ----------
    table
        Of `gpu_table`, from bottom to top.
    title
        Of the figure.
    """
    figure, ax = plt.subplots(figsize=(6.5, 1.4 + 0.42 * max(1, len(table))))
    ax.hlines(table["what"], 1, table["times"], color="#999999", linewidth=1.5)
    ax.plot(table["times"], table["what"], "o", color="#0072B2", markersize=8)
    for what, times, cpu, gpu in zip(table["what"], table["times"], table["cpu_ms"], table["gpu_ms"], strict=True):
        place, text = (max(1.0, float(times)), what), f"{times:.1f}  ({cpu:.1f} ms, {gpu:.1f} ms)"
        ax.annotate(text, place, xytext=(9, -3), textcoords="offset points", fontsize="small")
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlim(0.5 * min([1, *table["times"]]), 8 * max([1, *table["times"]]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("times as fast as the CPU (a step's time there, and on the GPU)")
    ax.set_title(title)
    ax.grid(axis="y", visible=False)
    return figure


def gpu_numbers(folder: str | Path, table: pd.DataFrame) -> dict[str, Any]:
    """Say in words what was measured on a GPU, or that nothing was.

    Parameters
    ----------
    folder
        As in `read_measurements`.
    table
        Of `gpu_table`.

    Returns
    -------
    dict
        - gpu: its name.
        - gpu_words: where it is slower or faster.
        - gpu_end_words: the largest training that was run to its end there.
    """
    if not len(table):
        return {"gpu": "none", "gpu_words": "Nothing was measured on a GPU.", "gpu_end_words": ""}
    measured = read_measurements(folder, "scale", "cuda")
    slower, most = int((table["times"] < 1).sum()), table["times"].max()
    words = f"The GPU is up to {most:.0f} times as fast as one or two threads of the CPU. "
    words += f"In {slower} of {len(table)} cases it is slower."
    ended = measured[measured["case"].str.endswith("to the end")].sort_values("ratings").tail(1)
    sentences = [
        f"On {row.ratings:,} synthetic ratings, training until the validation RMSE no longer fell took "
        f"{row.training_seconds:.0f} seconds. It scored {row.rmse:.3f} on held-out ratings, "
        f"where nothing can score below {row.noise_floor:.3f}."
        for row in ended.itertuples()
    ]
    return {"gpu": table["gpu"].iloc[0], "gpu_words": words, "gpu_end_words": "".join(sentences)}


def name_curves(records: pd.DataFrame) -> pd.DataFrame:
    """Add the column `curve`: the method, and which of its settings where it was run with several."""
    several = records.groupby("method")["setting"].transform("nunique") > 1
    return records.assign(curve=records["method"] + np.where(several, " (" + records["setting"] + ")", ""))


def peers_table(records: pd.DataFrame) -> pd.DataFrame:
    """Give where each method ended.

    Parameters
    ----------
    records
        Of `benchmarks/peers.py`, one data set.

    Returns
    -------
    DataFrame
        One row a method and setting, the lowest RMSE first.

        - method, library: with its version.
        - rmse: on test ratings, in stars.
        - seconds: of training.
        - ours_sooner: seconds after which `OURS` was at or below that RMSE, NaN where it never was.
        - complete: whether training ended as planned, not at the limit of seconds.
    """
    curves = name_curves(records)
    last = curves.sort_values("seconds").groupby("curve").tail(1).sort_values("rmse")
    ours = curves[curves["method"] == OURS].sort_values("seconds")
    reached = [ours.loc[ours["rmse"] <= rmse, "seconds"].min() for rmse in last["rmse"]]
    library = last["library"] + " " + last["library_version"]
    return pd.DataFrame(
        {
            "method": last["curve"],
            "library": library.str.strip(),
            "rmse": last["rmse"],
            "seconds": last["seconds"],
            "ours_sooner": reached,
            "complete": last["is_final"].astype(bool),
        }
    ).reset_index(drop=True)


def faster_and_better(ended: pd.DataFrame) -> list[str]:
    """List the methods that ended both sooner and with a lower RMSE than `OURS`."""
    ours = ended.set_index("method").loc[OURS]
    better = (ended["rmse"] < ours["rmse"]) & (ended["seconds"] < ours["seconds"])
    return ended.loc[better, "method"].tolist()


def plot_peers(records: pd.DataFrame, title: str) -> Figure:
    """Draw test RMSE against seconds of training, a curve a method.

    Parameters
    ----------
    records
        Of `benchmarks/peers.py`, one data set.
    title
        Of the figure.
    """
    curves = name_curves(records)
    figure, ax = plt.subplots(figsize=(4.6, 5.8))
    lowest = curves["rmse"].min()
    highest = min(curves["rmse"].max(), lowest + 0.15)
    ends, right = [], 1.5 * curves["seconds"].max()
    for name, curve in curves.sort_values("seconds").groupby("curve"):
        ours = str(name).startswith(OURS)
        colour = OURS_COLOUR if ours else PEERS_COLOUR
        width = 2.5 if ours else 1.2
        ax.plot(curve["seconds"], curve["rmse"], "o-", color=colour, markersize=4, linewidth=width, label=name)
        last = curve.iloc[-1]
        if last["rmse"] <= highest:
            ends.append((last["rmse"], f"{last['rmse']:.3f} {fill(str(name), 24)}", colour))
            ax.hlines(last["rmse"], last["seconds"], right, color=colour, linestyle=":", linewidth=0.8)
    ax.set(xscale="log", xlabel="seconds of training, scoring not counted", ylabel="test RMSE (stars)", title=title)
    ax.set(xlim=(None, right), ylim=(lowest - 0.005, highest))
    # Beside the frame in the order of the ends, each name at a line to its own.
    for place, (rmse, words, colour) in zip(np.linspace(0, 0.95, len(ends)), sorted(ends), strict=True):
        line: dict[str, Any] = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0, 0.5)}
        at: dict[str, Any] = {"xy": (right, rmse), "xytext": (1.08, place), "textcoords": "axes fraction"}
        ax.annotate(words, color=colour, fontsize="x-small", va="center", arrowprops=line, **at)
    return figure


def loading_table(records: pd.DataFrame) -> pd.DataFrame:
    """Give how long it takes to read a file of ratings.

    Returns
    -------
    DataFrame
        - what: how it is read.
        - ratings, seconds, peak_gigabytes.
        - ratio: to `pandas.read_csv`, which checks nothing.
    """
    table = records[["what", "n_ratings", "seconds", "ratio"]].rename(columns={"n_ratings": "ratings"})
    return table.assign(peak_gigabytes=records["peak_bytes"] / 1e9)


def replay_hours(folder: str | Path = "") -> dict[str, float]:
    """Compare the hours of the authors' runs with those of the same settings trained here, on one thread.

    Parameters
    ----------
    folder
        Of the report of `flexstudy.replay`; the published one where empty.

    Returns
    -------
    dict
        - replayed: how many runs of the authors' log are compared.
        - authors_hours, our_hours: of training, by their log and by our records.
        - replay_ratio: of the two.
    """
    (path,) = Path(folder or PUBLISHED).glob("replay-ml-latest-small-2016-*.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    ours, theirs = report["seconds"]["ours"], report["seconds"]["authors"]
    count = report["agreement"]["released-padded, else released"]["all"]["n"]
    hours = {"authors_hours": theirs / 3600, "our_hours": ours / 3600, "replay_ratio": theirs / ours}
    return {"replayed": int(count)} | hours


def spelled_machine(records: pd.DataFrame) -> str:
    """Name the machine, threads and version of PyTorch that measurements were made with."""
    first = records.iloc[0]
    torch = json.loads(first["versions"])["torch"]
    threads = " and ".join(str(number) for number in sorted(set(records["threads"])))
    return f"{first['machine']}, {first['cores']} cores, {threads} thread(s), PyTorch {torch}"


def speed_numbers(
    training: pd.DataFrame, scale: pd.DataFrame, ended: pd.DataFrame, loading: pd.DataFrame
) -> dict[str, Any]:
    """Gather the numbers that the chapter's prose glues.

    Parameters
    ----------
    training, scale, ended, loading
        Of `training_shares`, `scale_table`, `peers_table` and `loading_table`.
    """
    alike = scale.loc[scale["weights"] == scale["weights"].mode()[0], "nanoseconds"]
    largest = scale.sort_values("ratings").iloc[-1]
    big = loading[loading["ratings"] == loading["ratings"].max()].set_index("what")["seconds"]
    large, winners = training[training["ms"] >= 1], faster_and_better(ended)
    ours = ended[ended["method"] == OURS].iloc[0]
    others = ended[ended["method"] != OURS]
    sooner = others.loc[~(others["ours_sooner"] <= others["seconds"]), "method"].tolist()
    beaten = f"{' and '.join(winners)} ended both sooner and better" if winners else "none was both faster and better"
    return {
        "at_half": int((large["floor"] >= 0.5).sum()),
        "n_large": len(large),
        "ratio_low": float(training["ratio"].min()),
        "ratio_high": float(training["ratio"].max()),
        "winners_words": beaten,
        "sooner_words": " and ".join(sooner) or "none of the others",
        "n_peers": len(ended) - 1,
        "ours_rmse": float(ours["rmse"]),
        "ours_seconds": float(ours["seconds"]),
        "race_minutes": float(ended["seconds"].sum() / 60),
        "spread": float(alike.max() / alike.min()),
        "most_ratings": int(largest["ratings"]),
        "most_gigabytes": float(largest["peak_gigabytes"]),
        "scoring_share": float((scale["scoring_seconds"] / scale["epoch_seconds"]).max()),
        "read_seconds": float(big["load_ratings, first time"]),
        "cached_seconds": float(big["load_ratings, from the cache"]),
        "read_ratings": int(loading["ratings"].max()),
    }

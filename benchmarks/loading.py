"""How fast a CSV file of ratings is loaded, and in how much memory: flexlib, which checks each value, against pandas.

    .venv/bin/python benchmarks/loading.py [--ratings 20000263] [--threads 2] [--repeats 3] [--out loading.parquet]

Makes synthetic ratings as dense as MovieLens 20M's and writes them to a temporary folder. Each way loads them in a new
process. Prints the least seconds of the repeats, ratings a second, the ratio to the seconds of `pandas.read_csv`, and
the most memory that the process held; its imports alone are the first line. The careful reader, which names what is
wrong with a file, is timed for a million ratings at most. The system holds the file in memory each time.
"""

import argparse
import math
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
from measuring import peak_bytes, save_measurements

from flexlib.datasets import columnar, sources
from flexlib.datasets.fast_csv import read_fast
from flexlib.datasets.layouts import find_layout
from flexlib.datasets.loading import load_ratings
from flexlib.datasets.tables import check_table, read_own_text, to_ratings

MILLION = 1_000_000


def write_csv(n_ratings: int, path: Path) -> None:
    """Write synthetic ratings as MovieLens' archives have them."""
    side = math.sqrt(n_ratings / 20_000_263)
    users, items = math.ceil(138_493 * side), math.ceil(26_744 * side)
    ratings = load_ratings(f"synthetic:users={users},items={items},ratings={n_ratings}")
    table = {
        "userId": ratings.user_ids[ratings.users],
        "movieId": ratings.item_ids[ratings.items],
        "rating": ratings.values,
        "timestamp": ratings.timestamps,
    }
    pyarrow.csv.write_csv(pa.table(table), path)


def careful(path: Path) -> None:
    """Load as it is done where the fast reader has doubts."""
    with path.open("rb") as stream:
        layout = find_layout(stream, {}, str(path))
    to_ratings(check_table(read_own_text(lambda: path.open("rb"), layout, {}, str(path)), str(path), None), None)


WAYS: dict[str, Callable[[Path], object]] = {
    "imports alone": lambda path: None,
    "pandas.read_csv": pd.read_csv,
    "careful reader": careful,
    "fast reader": lambda path: read_fast(lambda: path.open("rb"), {}, None),
    "load_ratings, first time": load_ratings,
    "load_ratings, from the cache": load_ratings,
}


def measure(what: str, path: Path, threads: int) -> tuple[float, int]:
    """Load once: seconds, and the process's peak memory in bytes."""
    pa.set_cpu_count(threads)
    columnar.LARGE = 0
    cache = path.with_suffix(".cache")
    sources.pooch.os_cache = lambda name: cache
    if what == "load_ratings, first time":
        shutil.rmtree(cache, ignore_errors=True)
    begun = time.perf_counter()
    WAYS[what](path)
    return time.perf_counter() - begun, peak_bytes()


def in_new_process(call: Callable, *arguments: object) -> object:
    """Call a function where nothing was loaded before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


def main() -> None:
    """Measure, print and perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratings", type=int, default=20_000_263)
    parser.add_argument("--threads", type=int, default=pa.cpu_count(), help="of Apache Arrow")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement, of which the fastest counts")
    parser.add_argument("--out", metavar="FILE.parquet")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_ratings in sorted({min(args.ratings, MILLION), args.ratings}):
            path = Path(folder) / f"{n_ratings}.csv"
            in_new_process(write_csv, n_ratings, path)
            print(f"{n_ratings:,} ratings, {path.stat().st_size / 1e6:.0f} MB, {args.threads} thread(s)")
            print(f"{'':<30}{'seconds':>9}{'million/s':>11}{'ratio':>8}{'peak MB':>9}")
            baseline = math.nan
            for what in WAYS:
                if what == "careful reader" and n_ratings > MILLION:
                    continue
                made = [in_new_process(measure, what, path, args.threads) for _ in range(args.repeats)]
                seconds, peak = min(made)
                if what == "imports alone":
                    print(f"{what:<30}{'':>28}{peak / 1e6:>9.0f}")
                    continue
                baseline = seconds if what == "pandas.read_csv" else baseline
                ratio = seconds / baseline
                print(f"{what:<30}{seconds:>9.2f}{n_ratings / seconds / 1e6:>11.2f}{ratio:>8.2f}{peak / 1e6:>9.0f}")
                found = {"seconds": seconds, "ratio": ratio, "peak_bytes": peak, "threads": args.threads}
                rows.append({"benchmark": "loading", "what": what, "n_ratings": n_ratings, **found})
    if args.out:
        save_measurements(rows, args.out, ["pandas", "pyarrow"])


if __name__ == "__main__":
    main()

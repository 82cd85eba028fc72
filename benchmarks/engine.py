"""What the engine costs: many short runs on a few workers, against a pool of processes that writes the same records.

    .venv/bin/python benchmarks/engine.py [--runs 1000] [--milliseconds 10] [--workers 2] [--repeats 3] [--tiny]

Prints for each repeat the seconds of both, from nothing to all records on the disk, and what they cost beyond the runs
themselves: of that, how much until the first record, when the workers have started and imported what they need.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from engine_cases import compute

from flexlib.runs.engine import Job, work
from flexlib.runs.journal import Journal

Timer = Callable[[], None]


def with_engine(runs: int, seconds: float, workers: int, journal: Journal, first: Timer) -> None:
    """Make all runs with the engine."""

    def on_result(job: Job, record: dict[str, float]) -> None:
        journal.append(record)
        first()

    work([Job((k,), compute, (k, seconds), seconds) for k in range(runs)], on_result, name="engine", workers=workers)


def with_pool(runs: int, seconds: float, workers: int, journal: Journal, first: Timer) -> None:
    """Make all runs with a pool of processes, which outlives neither a kill nor a worker."""
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(compute, k, seconds) for k in range(runs)]):
            journal.append(future.result())
            first()


def measure(make: Callable[..., None], runs: int, seconds: float, workers: int) -> tuple[float, float]:
    """Measure the seconds until the first record and until the end."""
    begun, marks = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal") as journal:
        make(runs, seconds, workers, journal, lambda: marks or marks.append(time.perf_counter() - begun))
        assert sorted(record["number"] for record in journal.records) == list(range(runs))
        journal.clear()
    return marks[0], time.perf_counter() - begun


def main() -> None:
    """Print one line a repeat and kind."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--milliseconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="only see that it works")
    args = parser.parse_args()
    if args.tiny:
        args.runs, args.repeats = 20, 1
    seconds = args.milliseconds / 1000
    ideal = args.runs * seconds / args.workers
    print(f"{args.runs} runs of {args.milliseconds:g} ms on {args.workers} workers: {ideal:.2f} s without any cost")
    for _ in range(args.repeats):
        costs = {}
        for name, make in (("engine", with_engine), ("pool", with_pool)):
            first, total = measure(make, args.runs, seconds, args.workers)
            costs[name] = total - ideal
            a_run = (total - first - ideal) / args.runs * 1000
            print(
                f"{name:6} {total:6.2f} s, {costs[name]:5.2f} s beyond: {first:5.2f} s to the first record, "
                f"{a_run:5.2f} ms a run from there"
            )
        print(f"the engine costs {costs['engine'] / costs['pool']:.2f} times what the pool costs")


if __name__ == "__main__":
    main()

"""Jobs for the engine's tests and benchmarks, and a small command that makes many of them: records whose values follow
from their number alone, written down with a journal and folded into a table, as a sweep's are."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from flexlib.config import FlexError
from flexlib.runs.engine import Died, Job, work
from flexlib.runs.journal import Journal, replaced

VALUES = ["number", "value", "odd", "error"]  # all columns but for the seconds


def compute(number: int, seconds: float) -> dict[str, Any]:
    """A record that follows from its number, after a while; some of it is NaN or infinite."""
    begun = time.perf_counter()
    time.sleep(seconds)
    value = random.Random(number).gauss(0, 1) * 10.0 ** (number % 30 - 15)
    odd = {0: math.nan, 1: math.inf, 2: None}.get(number % 10, 1 / (number + 3))
    return {"number": number, "value": value, "odd": odd, "error": "", "seconds": time.perf_counter() - begun}


def compute_and_tell(number: int, seconds: float, folder: str) -> dict[str, Any]:
    """The same, leaving a file with this process's number for each call."""
    Path(folder, f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return compute(number, seconds)


def die(seconds: float = 0.0) -> None:
    """End this process as the system does where memory runs out."""
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker: str) -> str:
    """Die where no earlier call has left its mark."""
    if Path(marker).exists():
        return "alive"
    Path(marker).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def refuse() -> None:
    """Raise what the engine lets through."""
    raise FlexError("the data are of another kind")


def fail(error: str) -> None:
    """Raise what nobody expects."""
    if error == "exit":
        sys.exit(3)
    raise ZeroDivisionError(f"{error}\non two lines")


def return_lambda() -> Any:
    """Return what cannot be pickled."""
    return lambda: None


def settings() -> tuple[Any, ...]:
    """The threads of PyTorch and of OpenMP in a worker, whether it blocks Ctrl-C, and its process."""
    import torch

    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), blocked, os.getpid()


def fold(journal: Journal, path: Path) -> pd.DataFrame:
    """Add a journal's records to those of a table."""
    records = [] if not path.exists() else pd.read_parquet(path).to_dict("records")
    kept = {record["number"]: record for record in [*journal.records, *records]}  # those of the table, where in both
    table = pd.DataFrame(list(kept.values()), columns=[*VALUES, "seconds"]).sort_values("number", ignore_index=True)
    table = table.astype(
        {"number": "int64", "value": "float64", "odd": "float64", "error": "str", "seconds": "float64"}
    )
    with replaced(path) as partial:
        table.to_parquet(partial, index=False)
    journal.clear()
    return table


def compute_all(
    out: Path, numbers: Iterable[int], seconds: float, workers: int = 1, scheduler: Any = None, told: str = ""
) -> pd.DataFrame:
    """Make the records of many numbers, those that `out` has not yet."""
    path = out / "records.parquet"
    with Journal(out / "records.journal.jsonl") as journal:
        done = {record["number"] for record in journal.records}
        if path.exists():
            done |= set(pd.read_parquet(path)["number"])
        left = [number for number in numbers if number not in done]
        function, more = (compute_and_tell, (told,)) if told else (compute, ())
        jobs = [Job((number,), function, (number, seconds, *more), seconds) for number in left]

        def on_result(job: Job, outcome: Any) -> None:
            if isinstance(outcome, Died):
                outcome = {"number": job.key[0], "value": None, "odd": None, "error": outcome.reason, "seconds": None}
            journal.append(outcome)

        try:
            work(jobs, on_result, name="toys", workers=workers, scheduler=scheduler, done=len(done))
        finally:
            table = fold(journal, path)
    return table


def main() -> int:
    """The command: as that of a sweep, but for its jobs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.01)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--scheduler")
    parser.add_argument("--told", default="", help="a folder for marks of the calls made")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print("begins", flush=True)
        table = compute_all(args.out, range(args.jobs), args.seconds, args.workers, args.scheduler, args.told)
    except FlexError as error:
        print(f"toys: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("toys: stopped; finished runs are kept", file=sys.stderr)
        return 130
    print(json.dumps({"records": len(table)}))
    return 0


if __name__ == "__main__":
    import engine_cases  # by the name that workers know its functions by

    sys.exit(engine_cases.main())

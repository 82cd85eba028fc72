"""What the benchmarks share: timing, this machine's ceilings, its name, and records of what was measured."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from flexlib.runs.journal import replaced
from flexlib.runs.provenance import software

BIG = 50_000_000  # numbers in the array that bandwidth is measured with: 200 MB, more than a core's own caches


def wait_for(device: str) -> None:
    """Wait until a device has done its work, which on a GPU goes on after PyTorch's functions return."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], repeats: int = 5) -> float:
    """Give the least seconds that a call takes; on a GPU, until its work is done."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return min(times)


class Ceilings(NamedTuple):
    """What this machine does at most, on PyTorch's number of threads.

    Parameters
    ----------
    bytes_per_second
        Of a large array that is read and written in place.
    operations_per_second
        Of the product of two square matrices in float32; a multiplication and an addition are two.
    gathered_per_second
        Bytes of random rows of 512 numbers that are read, out of a matrix of 55 MB, and summed.
    """

    bytes_per_second: float
    operations_per_second: float
    gathered_per_second: float


def measure_ceilings(device: str = "cpu") -> Ceilings:
    """Measure them, in a few seconds."""
    big, square = torch.ones(BIG, device=device), torch.ones(1500, 1500, device=device)
    table, bags, length = torch.ones(26_744, 512, device=device), 2_000, 100
    index = torch.randint(len(table), (bags, length), device=device, generator=torch.Generator(device).manual_seed(0))
    gather = seconds_of(lambda: torch.nn.functional.embedding_bag(index, table, mode="sum"))
    return Ceilings(
        2 * 4 * BIG / seconds_of(lambda: big.mul_(1.0)),
        2 * 1500**3 / seconds_of(lambda: square @ square),
        4 * 512 * bags * length / gather,
    )


def peak_bytes() -> int:
    """Give the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine_facts(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Say where and with what a measurement is made.

    Parameters
    ----------
    packages
        Distributions whose versions matter, besides those of `flexlib.runs.provenance.software`.

    Returns
    -------
    dict
        machine (model of the processor or GPU), cores, threads, versions (JSON), commit, date (UTC).
    """
    known = software()
    code = known.pop("commit")
    known |= {name: metadata.version(name) for name in packages}
    return {
        "machine": _processor() if not torch.cuda.is_initialized() else torch.cuda.get_device_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": json.dumps(known),
        "commit": code,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def save_measurements(rows: Sequence[dict[str, Any]], path: str | Path, packages: Sequence[str] = ()) -> None:
    """Write measurements as Parquet, one row each, with the machine's facts where a row lacks them."""
    facts = machine_facts(packages)
    with replaced(Path(path)) as partial:
        pd.DataFrame([facts | row for row in rows]).to_parquet(partial, index=False)


def _processor() -> str:
    """Name the processor; its model where the system tells."""
    try:
        if sys.platform == "darwin":
            told = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
            return told.stdout.strip() or platform.machine()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()

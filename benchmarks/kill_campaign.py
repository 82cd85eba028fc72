"""What a hundred kills leave of a command's records: it is killed at random moments and given again until it is done.

    .venv/bin/python benchmarks/kill_campaign.py [--kills 100] [--workers 1 2] [--on own joined] [--seed 0] [--sweep]

Every kill is a SIGKILL. On a cluster of the command's own it hits the command, which has the scheduler within, one of
its workers, or the whole session at once. On a running cluster it hits the command, a worker, a worker's nanny, the
scheduler, or all of them. Then everything that is missing is started again, and the same command is given. Counted are

- lost records: those that were on the disk at a kill, and are not, or are not the same, seconds included, afterwards;
- double records: more than one of a key;
- different tables: not equal, to the last bit but for the seconds, to that of a command that nobody killed;
- orphans: processes of the command that outlive it, by more than a few seconds;
- bad ends: of a command that nobody killed, and that ended otherwise than with a table or one line on a lost scheduler.

Exit status 1 where any of them is not 0. The jobs are toys, or with --sweep the runs of a small `flexlib sweep`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

ROOT = Path(__file__).parents[1]
KINDS = {"own": ("command", "worker", "all"), "joined": ("command", "worker", "nanny", "scheduler", "all")}
KILLS_A_TABLE = 6
ORPHAN_SECONDS = 10.0
END_SECONDS = 300.0  # for a command that nobody kills


@dataclass(frozen=True)
class Toys:
    """A command whose jobs take no time to speak of: `engine_cases` of the tests."""

    jobs: int = 40
    seconds: float = 0.03

    def command(self, out: Path) -> list[str]:
        """Give the command, but for its workers."""
        script = str(ROOT / "tests" / "engine_cases.py")
        return [sys.executable, script, str(out), "--jobs", str(self.jobs), "--seconds", str(self.seconds)]

    key = ("number",)
    seconds_columns = ("seconds",)


@dataclass(frozen=True)
class Sweep:
    """A small sweep, as anyone would give it."""

    dataset: str = "synthetic:users=60,items=90,ratings=1500,seed=1"
    runs: int = 20

    def command(self, out: Path) -> list[str]:
        """Give the command, but for its workers."""
        what = ["--dataset", self.dataset, "--runs", str(self.runs), "--max-seconds-per-run", "1", "--device", "cpu"]
        return [sys.executable, "-m", "flexlib", "sweep", *what, "--out", str(out)]

    key = ("run", "protocol")
    seconds_columns = ("seconds",)


Command = Toys | Sweep


def read_journal(out: Path) -> list[dict[str, Any]]:
    """Read the whole lines of the journal in a folder."""
    found: list[dict[str, Any]] = []
    for path in [*out.glob("*.journal*")]:
        with contextlib.suppress(FileNotFoundError):
            found += [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return found


def read_table(out: Path) -> list[dict[str, Any]]:
    """Read the records of the table in a folder."""
    tables = [pd.read_parquet(path) for path in out.glob("*.parquet")]
    return [record for table in tables for record in table.astype(object).to_dict("records")]


def on_disk(out: Path, command: Command, counts: Counter[str]) -> dict[tuple[Any, ...], str]:
    """Each record of a folder as text, by key; counts those that are there twice."""
    found: dict[tuple[Any, ...], str] = {}
    for records in (read_table(out), read_journal(out)):
        keys = [tuple(record[name] for name in command.key) for record in records]
        counts["double records"] += len(keys) - len(set(keys))
        for key, record in zip(keys, records, strict=True):
            text = str({name: None if pd.isna(value) else value for name, value in record.items()})
            if "skipped" not in record.values():  # these are written again at each end
                counts["double records"] += found.get(key, text) != text
                found[key] = text
    return found


def members(session: int) -> list[psutil.Process]:
    """Find the living processes of a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def workers_of(session: int) -> list[psutil.Process]:
    """Find the processes of a session that multiprocessing has started, but for its resource tracker."""
    found = []
    for process in members(session):
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


class RunningCluster:
    """A scheduler and workers as processes of their own, of which any may be dead."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.file, self.workers = folder / "scheduler.json", workers
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Bring it to full strength, all of it anew where its scheduler is dead."""
        if not self.processes or self.processes[0].poll() is not None:
            self.stop()
            self.processes = [self._open("dask_scheduler", "--port", "0", "--no-dashboard")]
            while not self.file.exists():
                time.sleep(0.05)
        self.processes = [process for process in self.processes if process.poll() is None]
        while len(self.processes) <= self.workers:
            self.processes.append(self._open("dask_worker", "--nthreads", "1", "--no-dashboard"))

    def _open(self, module: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", str(self.file), *options]
        # The jobs' modules, as far as they are not installed
        folders = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, start_new_session=True, env=environment, **quiet)  # type: ignore[call-overload]

    def kill(self, kind: str, chance: random.Random) -> None:
        """Kill one of its processes, or all."""
        if kind in ("scheduler", "all"):
            self.processes[0].kill()
            self.processes[0].wait()
        nannies = [process for process in self.processes[1:] if process.poll() is None]
        if kind in ("nanny", "all"):
            for process in chance.sample(nannies, 1 if kind == "nanny" else len(nannies)):
                process.kill()
                process.wait()
        if kind == "worker":
            found = [process for nanny in nannies for process in workers_of(nanny.pid)]
            if found:
                chance.choice(found).kill()

    def stop(self) -> None:
        """End all of it."""
        for process in self.processes:
            for member in members(process.pid):
                with contextlib.suppress(psutil.Error):
                    member.kill()
            process.kill()
            process.wait()
        self.processes = []
        self.file.unlink(missing_ok=True)


def wait_for_moment(
    process: subprocess.Popen[str], out: Path, already: int, typical: float, chance: random.Random
) -> bool:
    """Wait for a random moment of a command: of its time, or of its records. False where it ends before."""
    end = time.monotonic() + chance.uniform(0, typical)
    records = already + chance.randint(1, 25) if chance.random() < 0.7 else None
    while process.poll() is None:
        if time.monotonic() > end if records is None else len(read_journal(out)) >= records:
            time.sleep(chance.uniform(0, 0.02))
            return process.poll() is None
        time.sleep(0.005)
    return False


def begin(command: list[str]) -> subprocess.Popen[str]:
    """Give a command, in a session of its own."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, start_new_session=True, text=True, cwd=ROOT, **pipes)  # type: ignore[call-overload]


def end(process: subprocess.Popen[str], killed: bool, counts: Counter[str]) -> bool:
    """Wait for a command's end and that of all its processes; whether it ended by itself, and well."""
    try:
        _, said = process.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        said, killed = said + "\nhangs", False
    deadline = time.monotonic() + ORPHAN_SECONDS
    while (left := members(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    counts["orphans"] += len(left)
    for orphan in left:
        orphan.kill()
    lines = said.replace("\r", "\n").strip().splitlines()
    lost = process.returncode == 2 and lines and "the scheduler is lost" in lines[-1]
    unanswered = process.returncode == 2 and lines and "no scheduler answers" in lines[-1]
    if not (killed or lost or unanswered or process.returncode == 0):
        counts["bad ends"] += 1
        print(f"status {process.returncode}: {said[-2000:]}", file=sys.stderr)
    return process.returncode == 0


def one_table(
    command: Command, on: str, workers: int, kills: int, typical: float, chance: random.Random, counts: Counter[str]
) -> pd.DataFrame:
    """Kill and repeat a command until it ends by itself; at most so many kills, each counted."""
    with tempfile.TemporaryDirectory() as name, running(on, Path(name), workers) as cluster:
        out = Path(name) / "out"
        out.mkdir()
        kept: dict[tuple[Any, ...], str] = {}
        while True:
            options = ["--workers", str(workers)]
            if cluster:
                cluster.start()
                options = ["--scheduler", str(cluster.file)]
            process = begin([*command.command(out), *options])
            killed = False
            while kills and not killed and wait_for_moment(process, out, len(read_journal(out)), typical, chance):
                kind = chance.choice(KINDS[on])
                killed = kind in ("command", "all")
                if cluster:
                    cluster.kill(kind, chance)
                found = workers_of(process.pid)
                if kind == "all":
                    os.killpg(process.pid, signal.SIGKILL)
                elif kind == "command":
                    process.kill()
                elif not cluster and found:
                    chance.choice(found).kill()
                elif not cluster:
                    continue  # it has no worker yet
                counts[f"{on}: {kind}"] += 1
                kills -= 1
                if kind == "nanny":
                    cluster.start()
                if kind == "scheduler":
                    break
            done = end(process, killed, counts)
            now = on_disk(out, command, counts)
            counts["lost records"] += sum(now.get(key) != text for key, text in kept.items())
            kept = now
            if counts["bad ends"]:
                return pd.DataFrame()
            if done:
                counts["tables"] += 1
                counts["double records"] += len(read_journal(out))  # which a command that is done leaves empty
                return pd.DataFrame(read_table(out)).drop(columns=list(command.seconds_columns))


@contextlib.contextmanager
def running(on: str, folder: Path, workers: int) -> Iterator[RunningCluster | None]:
    """Keep a cluster running, where one is to be joined."""
    cluster = RunningCluster(folder, workers) if on == "joined" else None
    try:
        yield cluster
    finally:
        if cluster:
            cluster.stop()


def campaign(
    command: Command, kills: int, workers: list[int], places: list[str], seed: int = 0, progress: bool = False
) -> Counter[str]:
    """Kill a command so many times.

    Parameters
    ----------
    command
        What to give.
    kills
        How many, over as many tables as it takes.
    workers
        Numbers of workers, taken in turn.
    places
        "own", "joined": kinds of clusters, taken in turn.
    seed
        Of the moments and the kinds.
    progress
        Whether to print the counts after each table.

    Returns
    -------
    Counter
        The counts that the module's text names, and those of kills and tables.
    """
    chance, counts = random.Random(seed), Counter(dict.fromkeys(FAULTS, 0))
    begun = time.monotonic()
    undisturbed = one_table(command, "own", workers[0], 0, 0.0, chance, Counter())
    typical, left, turn = time.monotonic() - begun, kills, 0
    while left > 0 and not counts["bad ends"]:
        before = sum(counts[kind] for kind in counts if ":" in kind)
        on, number = places[turn % len(places)], workers[turn // len(places) % len(workers)]
        table = one_table(command, on, number, min(left, KILLS_A_TABLE), typical, chance, counts)
        counts["different tables"] += not table.equals(undisturbed)
        left -= sum(counts[kind] for kind in counts if ":" in kind) - before
        turn += 1
        if progress:
            print(f"{kills - left} of {kills}: {dict(counts)}", flush=True)
    return counts


FAULTS = ("lost records", "double records", "different tables", "orphans", "bad ends")


def main() -> int:
    """Print the counts; the exit status is 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--on", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", action="store_true", help="the runs of a sweep instead of toys")
    args = parser.parse_args()
    counts = campaign(Sweep() if args.sweep else Toys(), args.kills, args.workers, args.on, args.seed, progress=True)
    for name, count in sorted(counts.items()):
        print(f"{name:20} {count:5}")
    return int(any(counts[name] for name in FAULTS))


if __name__ == "__main__":
    sys.exit(main())

"""The one engine for work of many jobs, over Dask: here by default, or on a running cluster.

The caller hands `work` its jobs, and a function that writes each result down as it comes (`flexlib.runs.journal`).
Whatever is stopped or killed, the same command then goes on with what is not written down. Which worker makes a job,
and how many there are, changes no result: each process makes one job at a time, with one thread.

**Here.** By default the cluster lives and dies with the command: a scheduler in this process, and `workers` processes.

**On a running cluster.** Name it by its address, such as `tcp://host:8786`, or by the file that its scheduler wrote:

    dask scheduler --scheduler-file cluster.json
    dask worker --scheduler-file cluster.json --nthreads 1 --nworkers 8

Its workers need the same environment as this command, and its scheduler the same Dask. Workers with several threads
are welcome, and get one job at a time all the same. Several commands can share a cluster.

**TLS** is set up by Dask's own configuration, for this command as for the cluster's: an address that begins with
`tls://`, and

    DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true
    DASK_DISTRIBUTED__COMM__TLS__CA_FILE=ca.pem
    DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT=cert.pem      and likewise SCHEDULER and WORKER
    DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY=key.pem        and likewise SCHEDULER and WORKER

**Logs.** Dask's are silent unless its configuration asks for them, as DASK_LOGGING__DISTRIBUTED=info does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import dask
from distributed import CancelledError, Client, Future, KilledWorker, LocalCluster, Nanny, Security, rpc
from tqdm import tqdm

from flexlib.config import FlexError, first_line
from flexlib.runs.journal import Journal

__all__ = ["Died", "Job", "Journal", "cluster", "work"]

ATTEMPTS = 3  # that may end with their worker's death before a job is given up
LOOK_SECONDS = 0.5  # between two looks at which workers there are
FETCH_SECONDS = 2.0  # for a result to come, before a look at whether its worker is still there
CONNECT_SECONDS = 5.0  # for a scheduler to answer
START_SECONDS = 60.0  # for the first of our own workers to start
DEAD_SECONDS = 3.0  # that one of our own workers has no process, before another takes its place
CLOSE_SECONDS = 1.0  # for a client to close, and for a cluster whose workers are dead already
PRIOR_SECONDS = 100.0  # of jobs as estimated, before the measured ones outweigh the estimates
LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application")  # that Dask sets up
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Of a cluster of our own: a job may keep its worker from answering for as long as it takes, and a worker that died may
# take its time to come back.
OWN_CLUSTER = {"distributed.scheduler.worker-ttl": None, "distributed.deploy.lost-worker-timeout": "1 day"}


@dataclass(frozen=True)
class Job:
    """One call for a worker to make.

    Parameters
    ----------
    key
        Plain values that no other job has.
    function
        What to call. It must be importable, here and on the workers. A `FlexError` that it raises ends the work as it
        is, any other exception with a line that names the job: failures to record are for the function to return.
    arguments
        What to call it with; picklable. Large data is better loaded on the worker.
    estimate
        Seconds that the call should take; 0 where nobody knows.
    """

    key: tuple[Any, ...]
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    estimate: float = 0.0

    def __str__(self) -> str:
        return " ".join(map(str, self.key))


class Died(NamedTuple):
    """The outcome of a job that was given up, as each attempt ended with its worker's death.

    Parameters
    ----------
    reason
        One line, with the number of deaths.
    """

    reason: str


OnResult = Callable[[Job, Any], Iterable[Job] | str | None]


@contextlib.contextmanager
def cluster(workers: int = 1, scheduler: str | Client | None = None) -> Iterator[Client]:
    """Open a cluster: one of our own, or one that runs already.

    Parameters
    ----------
    workers
        Number of processes of a cluster of our own; a running cluster has the workers it has.
    scheduler
        Address or scheduler file of a running cluster, or an open client, which stays open. By default the
        environment variable FLEXLIB_SCHEDULER, and without one a cluster of our own.

    Yields
    ------
    Client
        Connected to the cluster. On leaving, processes of our own are killed; a running cluster goes on.

    Raises
    ------
    FlexError
        Where the scheduler's file cannot be read, or no scheduler answers.
    """
    if isinstance(scheduler, Client):
        yield scheduler
        return
    scheduler = scheduler or os.environ.get("FLEXLIB_SCHEDULER")
    address = _address_of(scheduler) if scheduler else None
    with _quiet_logs() as level, _StopSignals() as signals, contextlib.ExitStack() as stack:
        try:
            own = None if address else stack.enter_context(_own_cluster(level))
            client = Client(own or address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise FlexError(f"{address or 'a cluster of our own'}: cannot be used ({first_line(error)})") from None
        stack.callback(_close, client)
        if own:
            own.scale(workers)  # after the client, which would wait for them
        elif not client.scheduler.address.startswith("inproc"):
            with contextlib.suppress(KeyError):  # a scheduler may have none
                print(f"Dask's dashboard: {client.dashboard_link}", file=sys.stderr)
        with signals.delivered():
            yield client


def work(
    jobs: Iterable[Job],
    on_result: OnResult,
    *,
    name: str,
    workers: int = 1,
    scheduler: str | Client | None = None,
    total: int | None = None,
    done: int = 0,
) -> None:
    """Have all jobs made, begun in the order given, and hand over each result as it comes.

    Parameters
    ----------
    jobs
        The jobs to begin with.
    on_result
        Called in this process, once for each job and one call at a time, with the job and what its function returned,
        or `Died`. What it does not write down is lost when this process ends; Ctrl-C and SIGTERM wait until it
        returns. It may return further jobs, or words for the progress bar.
    name
        Of the work, for the progress bar and the scheduler's dashboard.
    workers, scheduler
        As `cluster` takes them.
    total
        Number of jobs with those still to come from `on_result`, for the progress bar; by default that of `jobs`.
    done
        Number of jobs that earlier calls finished, for the progress bar; on top of `total`.

    Raises
    ------
    FlexError
        Of one line, where a job raised an exception, or the scheduler cannot be reached or is lost.
    KeyboardInterrupt
        When stopped. As with any other exception, jobs that have no result by then are dropped.
    """
    jobs = list(jobs)
    total = max(total or 0, len(jobs))
    if jobs:
        with (
            cluster(min(workers, total), scheduler) as client,
            contextlib.closing(_Progress(name, total, done)) as progress,
        ):
            _Work(client, jobs, on_result, name, progress).go_on()


class _Work:
    """The client's side of `work`: which job is where, and whose worker has died.

    Each job is sent to a worker of our choice, and only to one that has no other job of ours. Then a death has one job
    to blame, and nothing depends on how many deaths the scheduler allows. Commands that share a cluster send jobs to
    the same workers, so that a death can hit a job that was only waiting. Hence one whose worker died is from then on
    sent to idle workers alone.
    """

    def __init__(
        self, client: Client, jobs: Iterable[Job], on_result: OnResult, name: str, progress: _Progress
    ) -> None:
        self.client, self.on_result, self.name, self.progress = client, on_result, name, progress
        self.scheduler, self.address = client.scheduler, client.scheduler.address
        self.waiting = deque(jobs)
        self.suspects: deque[Job] = deque()
        self.deaths: Counter[tuple[Any, ...]] = Counter()
        self.at_work: dict[str, tuple[Job, Future]] = {}  # by the worker's address
        self.free: deque[str] = deque()  # addresses of workers without a job of ours
        self.ended: queue.SimpleQueue[tuple[str, Future]] = queue.SimpleQueue()
        self.next_look, self.last_seen = 0.0, time.monotonic()
        self.dead_since: dict[Any, float] = {}  # by the name of one of our own workers
        progress.expect(self.waiting)

    def go_on(self) -> None:
        """Work until every job has its result."""
        try:
            while self.waiting or self.suspects or self.at_work:
                if time.monotonic() >= self.next_look:
                    self.look()
                self.send_out()
                try:
                    ended = self.ended.get(timeout=max(0.0, self.next_look - time.monotonic()))
                except queue.Empty:
                    continue
                self.take(*ended)
        finally:
            for _, future in self.at_work.values():
                future.release()

    def look(self) -> None:
        """Find out which workers there are, and take back the jobs of those that are gone."""
        # Not `Client.scheduler_info`, whose answer a background task may have replaced by one without workers.
        found = self.ask(self.client.sync, self.scheduler.identity, n_workers=-1)["workers"]
        for address in self.at_work.keys() - found.keys():
            self.take_back(address)
        self.replace_dead()
        # Dask pauses a worker that is short of memory, and marks one that is to leave.
        ready = [address for address, worker in found.items() if worker["status"] == "running"]
        self.free = deque(address for address in ready if address not in self.at_work)
        now = time.monotonic()
        if found:
            self.last_seen = now
        elif self.client.cluster is None:
            self.progress.say(f"waiting for a worker to join {self.address}", at_once=True)
        elif now - self.last_seen > START_SECONDS:
            raise FlexError(f"no worker started in {START_SECONDS:g} seconds: DASK_LOGGING__DISTRIBUTED=info says why")
        self.next_look = now + (LOOK_SECONDS if self.at_work or self.free else LOOK_SECONDS / 10)

    def replace_dead(self) -> None:
        """Replace those of our own workers that died before they were up: Dask restarts only others."""
        own, now = self.client.cluster, time.monotonic()
        for name, nanny in list(own.workers.items()) if own is not None else ():
            if not isinstance(nanny, Nanny) or nanny.is_alive():
                self.dead_since.pop(name, None)
            elif now - self.dead_since.setdefault(name, now) > DEAD_SECONDS:
                del self.dead_since[name]
                if name in own.worker_spec:
                    own.scale(len(own.worker_spec) + 1)  # first, as the other's name would be taken again
                    del own.worker_spec[name]

    def send_out(self) -> None:
        """Give each free worker a job."""
        if self.client.status != "running":
            raise self.lost("the connection broke off")
        if self.suspects and self.free:
            processing = self.ask(self.client.processing, list(self.free))
            for address in [address for address in self.free if not processing.get(address)]:
                if self.suspects:
                    self.send(self.suspects.popleft(), address)
        while self.free and self.waiting:
            self.send(self.waiting.popleft(), self.free[0])

    def send(self, job: Job, address: str) -> None:
        """Send a job to a worker."""
        call, key = pickle.dumps(_Call(job)), f"{self.name}-{uuid.uuid4().hex}"
        future = self.client.submit(pickle.loads, call, key=key, workers=[address], allow_other_workers=False)
        self.free.remove(address)
        self.at_work[address] = job, future
        future.add_done_callback(lambda future: self.ended.put((address, future)))

    def take(self, address: str, future: Future) -> None:
        """Hand over what has become of a job."""
        if not self.is_at_work(address, future):
            return  # it was taken back meanwhile
        job, _ = self.at_work[address]
        if future.status == "error":
            error = self.ask(future.exception, FETCH_SECONDS)
            if not isinstance(error, KilledWorker):  # such as that of a worker without this package
                raise FlexError(f"{job}: {type(error).__name__}: {first_line(error)}")
            self.take_back(address)
            return
        result = self.fetch(address, future)
        if result is None:
            return
        kind, value, seconds = pickle.loads(result)
        if kind == "refused":
            raise FlexError(value)
        if kind == "raised":
            error = FlexError(f"{job}: {value[0]}")
            error.add_note(value[1])
            raise error
        del self.at_work[address]
        self.free.append(address)
        self.send_out()  # first, so that the worker is busy while the result is written down
        self.hand_over(job, value, seconds)
        future.release()

    def fetch(self, address: str, future: Future) -> bytes | None:
        """Fetch a result from its worker; None where it is lost with the worker, and its job taken back."""
        while self.is_at_work(address, future):
            try:
                return future.result(timeout=FETCH_SECONDS)
            except CancelledError:  # such as by one who restarts the cluster
                self.take_back(address)
            except OSError:  # the worker is gone, or takes its time
                self.look()
        return None

    def is_at_work(self, address: str, future: Future) -> bool:
        """Tell whether a worker's latest job is this one, and not taken back."""
        return address in self.at_work and self.at_work[address][1] is future

    def take_back(self, address: str) -> None:
        """Take a job back from a worker that is gone, and give it up after too many deaths.

        What died with the worker is in the scheduler's log of events. A worker that left in good order, as at a batch
        system's time limit, is nobody's fault.
        """
        job, future = self.at_work.pop(address)
        future.release()
        for _, event in self.ask(self.client.get_events, address):
            if event["action"] == "remove-worker" and not event["expected"]:
                self.deaths[job.key] += future.key in event["processing-tasks"]
        if self.deaths[job.key] >= ATTEMPTS:
            self.hand_over(job, Died(f"its worker died {self.deaths[job.key]} times, as for lack of memory"))
        elif self.deaths[job.key]:
            self.suspects.append(job)
        else:
            self.waiting.appendleft(job)

    def hand_over(self, job: Job, outcome: Any, seconds: float | None = None) -> None:
        """Give the caller an outcome, and take further jobs."""
        with _StopSignals():
            answer = self.on_result(job, outcome) or ()
            further = [] if isinstance(answer, str) else list(answer)  # within: a generator writes while it is read
        if isinstance(answer, str):
            self.progress.words = answer
        self.waiting.extend(further)
        self.progress.expect(further)
        self.progress.add(job, seconds, max(1, len(self.at_work) + len(self.free)))

    def ask(self, question: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Put a question to the scheduler, and raise `FlexError` where it is lost."""
        try:
            answer = question(*arguments, **options)
        except (OSError, RuntimeError, CancelledError) as error:
            raise self.lost(first_line(error)) from None
        if self.client.status != "running":
            raise self.lost("the connection broke off")
        return answer

    def lost(self, reason: str) -> FlexError:
        """Make the error for a scheduler that is lost."""
        return FlexError(
            f"{self.address}: the scheduler is lost ({reason}): see that it runs, and give the same command again; "
            "finished runs are kept"
        )


class _Call:
    """A job's call, which is made where it is unpickled.

    Dask carries it as bytes. Otherwise its scheduler would import all that they name, PyTorch for one, and answer
    nobody meanwhile.
    """

    def __init__(self, job: Job) -> None:
        self.payload = pickle.dumps((job.function, job.arguments))

    def __reduce__(self) -> tuple[Callable[..., bytes], tuple[bytes]]:
        return _call, (self.payload,)


def _call(payload: bytes) -> bytes:
    """Make a job's call, in a worker: what came of it, its value or what it raised, and the seconds that it took."""
    kind: str
    value: Any
    begun = time.perf_counter()
    try:
        function, arguments = pickle.loads(payload)
        torch = sys.modules.get("torch")  # a function that needs it has imported it by now
        if torch is not None:
            torch.set_num_threads(1)
        return pickle.dumps(("result", function(*arguments), time.perf_counter() - begun))
    except FlexError as error:
        kind, value = "refused", str(error)
    except BaseException as error:  # SystemExit too, which would end the worker
        kind, value = "raised", (f"{type(error).__name__}: {first_line(error)}", traceback.format_exc())
    return pickle.dumps((kind, value, time.perf_counter() - begun))


class _Progress:
    """A bar on stderr: jobs done, and the time left by the estimates, set right by what the jobs so far have taken."""

    def __init__(self, name: str, total: int, done: int) -> None:
        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
        self.left = total
        self.bar = tqdm(total=done + total, initial=done, desc=name, bar_format=form, mininterval=1)
        self.words = ""
        self.open, self.seconds_open = 0, 0.0  # of open jobs with an estimate: their number, and its sum
        self.made, self.seconds_made = 0, 0.0
        self.spent = self.expected = PRIOR_SECONDS

    def expect(self, jobs: Iterable[Job]) -> None:
        """So many jobs more are open."""
        for job in jobs:
            self.open += job.estimate > 0
            self.seconds_open += job.estimate

    def add(self, job: Job, seconds: float | None, workers: int) -> None:
        """One job more is done, in so many seconds; None where it was given up."""
        self.open -= job.estimate > 0
        self.seconds_open -= job.estimate
        if seconds is not None:
            self.made += 1
            self.seconds_made += seconds
            if job.estimate > 0:
                self.spent += seconds
                self.expected += job.estimate
        self.left -= 1
        unknown = max(0, self.left - self.open)
        mean = self.seconds_made / max(1, self.made)
        left = (max(0.0, self.seconds_open) * self.spent / self.expected + unknown * mean) / workers
        self.say(", ".join(filter(None, [f"{tqdm.format_interval(left)} left", self.words])))
        self.bar.update()

    def say(self, text: str, at_once: bool = False) -> None:
        """Have the bar end with other words, at once or when it is next drawn."""
        self.bar.set_postfix_str(text, refresh=at_once and self.bar.postfix != text)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


class _StopSignals:
    """Ctrl-C and SIGTERM: noted within, where they would leave things half done, and delivered on leaving."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        self.handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # no other receives any, nor may handle them
            found = {number: signal.getsignal(number) for number in STOP_SIGNALS}
            self.handlers = {number: handler for number, handler in found.items() if handler is not None}

    def __enter__(self) -> _StopSignals:
        for number in self.handlers:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        while self.noted:
            signal.raise_signal(self.noted.pop())

    @contextlib.contextmanager
    def delivered(self) -> Iterator[None]:
        """Deliver what was noted, and what comes within this block."""
        try:
            self.__exit__()
            yield
        finally:
            self.__enter__()

    def _note(self, number: int, _: FrameType | None) -> None:
        self.noted.append(number)


@contextlib.contextmanager
def _quiet_logs() -> Iterator[int]:
    """Silence Dask's logs, unless its configuration has a section on them; yields the level for other processes."""
    if any(dask.config.get(key, None) for key in ("logging", "logging-file-config", "distributed.logging")):
        yield logging.NOTSET
        return
    silent = logging.CRITICAL + 1
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(silent)
        yield silent
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _own_cluster(level: int) -> Iterator[LocalCluster]:
    """Open a cluster, as yet without workers, whose processes die with this one: each watches a pipe from it."""
    others = set(multiprocessing.active_children())
    # Ctrl-C reaches all of a terminal's processes, but is for this one. The cluster's thread and its processes block it
    # for good. The resource tracker unblocks it when it starts, and so has to be there before.
    resource_tracker.ensure_running()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(OWN_CLUSTER))
        try:
            own = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,  # a job may take what the machine has
                silence_logs=level,
                dashboard_address="127.0.0.1:0",  # of a server that Dask starts in any case; without pages
                scheduler_kwargs={"dashboard": False},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        try:
            yield own
        finally:
            for nanny in own.workers.values():
                nanny.close_gracefully()  # so that it starts no worker in place of the one that is killed
            closing = threading.Thread(target=_close, args=(own,), daemon=True)
            closing.start()
            deadline = time.monotonic() + 2 * CLOSE_SECONDS
            while closing.is_alive() and time.monotonic() < deadline:
                for process in set(multiprocessing.active_children()) - others:
                    if process.name.startswith("Dask Worker"):
                        process.kill()  # it may be at a job for long, and has nothing to lose
                closing.join(0.02)


def _close(what: Client | LocalCluster) -> None:
    """Close a client or a cluster as far as it can be done in a moment."""
    with contextlib.suppress(OSError, RuntimeError):
        what.close(timeout=CLOSE_SECONDS)


def _address_of(scheduler: str) -> str:
    """Find the address of a scheduler, from its file where it is not the address itself, and see that it answers."""
    address, path = scheduler, Path(scheduler)
    if "://" not in scheduler and (path.suffix == ".json" or path.exists()):
        try:
            address = str(json.loads(path.read_text(encoding="utf-8"))["address"])
        except OSError as error:
            raise FlexError(f"{path}: cannot be read ({error.strerror}): is the scheduler running?") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FlexError(f"{path}: is not a file that a Dask scheduler wrote") from None
    answer: concurrent.futures.Future[str] = concurrent.futures.Future()

    def ask() -> None:
        try:
            answer.set_result(asyncio.run(_kind_of_server(address)))
        except BaseException as error:
            answer.set_exception(error)

    # A client that fails to connect is hard to get rid of. Asked in a thread of its own, as a notebook's has an event
    # loop already, and as it can be left alone when stopped.
    threading.Thread(target=ask, daemon=True).start()
    try:
        kind = answer.result()
    except Exception as error:  # of many kinds; each has its reason in the first line
        reason = first_line(error) or f"in {CONNECT_SECONDS:g} seconds"
        raise FlexError(f"{address}: no scheduler answers ({reason}): start it, or check the address") from None
    if kind != "Scheduler":
        raise FlexError(f"{address}: is a {kind}, not a scheduler: check the address")
    return address


async def _kind_of_server(address: str) -> str:
    async with asyncio.timeout(CONNECT_SECONDS):
        async with rpc(address, connection_args=Security().get_connection_args("client")) as server:
            return (await server.identity())["type"]

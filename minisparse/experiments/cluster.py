"""Runs on the workers of a Dask scheduler, for a laboratory that has more machines than one.

A run travels in slices.  A worker gets a job and the state that the run has so far, goes on in a
process of its own (`parallel`), and after a while sends back the new state, or the finished run, which
the caller stores like any other.  Machines need no disk in common, and whatever dies takes little with
it: without a worker the scheduler gives its slice, from the state that it began with, to another one;
without the caller, the same command, with a cluster or without, goes on from the states that it has
stored.  A run that is finished is stored at once and not done again.

Workers are started with the same version of the package, one thread for each run at a time::

    dask scheduler
    MINISPARSE_THREADS=1 dask worker tcp://SCHEDULER:8786 --nworkers 8 --nthreads 1
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import multiprocessing as mp
import queue
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import minisparse
from minisparse import threads
from minisparse.experiments.jobs import Finished, Job, run_apart
from minisparse.experiments.parallel import in_parallel
from minisparse.experiments.store import Store, replacing
from minisparse.progress import PlanProgress

LOCAL = "local"
SLICE = 60.0  # seconds
_PATIENCE = 20.0  # seconds to wait for a scheduler
_TRIES = 10  # to start a thread
_OFTEN = 0.5  # seconds between two looks at what has come

_GONE = (
    "the scheduler has gone, or has dropped a run. What is finished is kept: start the same command "
    "again, with a cluster or without"
)

State = Mapping[str, bytes]  # name of a file of the checkpoint -> content


class ClusterError(RuntimeError):
    """There is no cluster of this package's version at this address, or not any more."""


@dataclass(frozen=True)
class Order:
    """What a worker is asked for: to go on with a run for a while."""

    job: Job
    state: State
    seconds: float
    topic: str  # of the events that tell how far it is
    source: str  # fingerprint of the package


@dataclass(frozen=True)
class Slice:
    """What it answers: the finished run's file, or else the state."""

    run: str | None
    state: State
    seconds: float


# ---- the caller ---------------------------------------------------------------------------------


def on_cluster(
    jobs: Sequence[Job],
    store: Store,
    display: PlanProgress,
    address: str,
    *,
    at_once: int = 1,
    force: bool = False,
    seconds: float = SLICE,
) -> Finished:
    """Do jobs on a cluster and yield each with its run when it is done and stored.

    Parameters
    ----------
    jobs, store, display, force
        As for `minisparse.experiments.jobs.do`.
    address : str
        Of a scheduler, "tcp://10.0.0.1:8786"; or "local", which starts one with workers here.
    at_once : int
        How many workers to start, for "local".
    seconds : float
        Length of a slice.

    Raises
    ------
    ClusterError
        The package `distributed` is not there, nobody answers at the address, a worker has another
        version of this package or none, or the scheduler has gone.
    RunError
        A job failed; the cause holds the traceback from there.
    """
    if not jobs:
        return
    with _client(address, at_once) as client:
        if not _require_equal_workers(client):
            display.say(f"no worker is connected to {address} yet: the runs wait for the first one")
        yield from _Plan(jobs, store, display, client, seconds).run(force)


class _Plan:
    """The jobs that are under way, by the key of their present slice."""

    def __init__(
        self,
        jobs: Sequence[Job],
        store: Store,
        display: PlanProgress,
        client: Any,
        seconds: float,
    ) -> None:
        self.jobs, self.store, self.display, self.client = jobs, store, display, client
        self.seconds, self.topic = seconds, f"minisparse-{uuid.uuid4().hex}"
        self.notes: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.pending: dict[Any, tuple[int, Job]] = {}  # future -> (place in the plan, job)
        self.spent: dict[Job, float] = {}
        self.resumed: dict[Job, bool] = {}
        self.fractions: dict[str, float] = {}  # name of a job -> how far it is
        self.places: dict[str, str] = {}  # name of a job -> worker
        self.finished = 0.0

    def run(self, force: bool) -> Finished:
        self.client.subscribe_topic(self.topic, lambda event: self.notes.put(event[1]))
        try:
            for place, job in enumerate(self.jobs):
                files = self.store.checkpoints(job.recipe.key(job.seed))
                for file in files if force else ():
                    file.unlink()
                state = {} if force else {file.name: file.read_bytes() for file in files}
                self.spent[job], self.resumed[job] = 0.0, bool(state)
                self._submit(place, job, state)
            while self.pending:
                for future in self._ready():
                    place, job = self.pending.pop(future)
                    answer = _result(future, job)
                    self.spent[job] += answer.seconds
                    if answer.run is None:
                        self._keep(job, answer.state)
                        self._submit(place, job, answer.state)
                        continue
                    run = self.store.receive(
                        job.recipe, job.seed, answer.run, self.spent[job], self.resumed[job]
                    )
                    self._keep(job, {})
                    self.finished += job.minutes
                    self.fractions.pop(str(job), None)
                    yield job, run
        finally:
            with contextlib.suppress(Exception):  # a scheduler that has gone has nothing to cancel
                self.client.cancel([*self.pending], force=True)
                self.client.unsubscribe_topic(self.topic)

    def _submit(self, place: int, job: Job, state: State) -> None:
        order = Order(job, state, self.seconds, self.topic, fingerprint())
        future = self.client.submit(
            work,
            order,
            key=f"minisparse-{job.recipe.key(job.seed)}-{uuid.uuid4().hex}",
            priority=-place,  # what was begun first goes on first
            pure=False,
        )
        self.pending[future] = place, job

    def _ready(self) -> list[Any]:
        """Wait a moment for slices that are done; show meanwhile what is where."""
        try:
            done = _dask().wait([*self.pending], timeout=_OFTEN, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        except CancelledError as error:
            raise ClusterError(_GONE) from error
        while not self.notes.empty():
            self._show(self.notes.get())
        if self.client.status not in ("running", "connecting"):
            raise ClusterError(_GONE)
        return [future for future in self.pending if future in done or future.done()]

    def _show(self, note: Mapping[str, Any]) -> None:
        job, worker = note["job"], note["place"]
        if self.places.get(job) != worker:
            self.places[job] = worker
            self.display.say(f"  worker {worker}: {job}")
        self.fractions[job] = note["fraction"]
        under_way = {str(job): job.minutes for _, job in self.pending.values()}
        minutes = sum(f * under_way.get(name, 0.0) for name, f in self.fractions.items())
        self.display.reached(self.finished + minutes, f"{job} on {worker}", note["note"])

    def _keep(self, job: Job, state: State) -> None:
        """Store the state of a run, so that it can go on from there whatever happens."""
        for file in self.store.checkpoints(job.recipe.key(job.seed)):
            if file.name not in state:
                file.unlink()
        for name, content in state.items():
            with replacing(self.store.folder / name) as temporary:
                temporary.write_bytes(content)


def _result(future: Any, job: Job) -> Slice:
    dask = _dask()
    try:
        answer: Slice = future.result()
    except dask.KilledWorker as error:
        raise ClusterError(
            f"{job}: several workers ended while they did this run. Too little memory for it is the "
            "usual reason; their logs say more"
        ) from error
    except (CancelledError, TimeoutError) as error:
        raise ClusterError(_GONE) from error
    return answer


def _dask() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ClusterError(
            "--cluster needs the package `distributed`: install minisparse[cluster]"
        ) from error


@contextlib.contextmanager
def _client(address: str, at_once: int) -> Iterator[Any]:
    """Connect to a scheduler, or start one here; both end at the end."""
    dask = _dask()
    with contextlib.ExitStack() as stack:
        where: Any = address
        if address == LOCAL:
            share = max(1, threads.get_num_threads() // at_once)
            where = stack.enter_context(
                _started(
                    dask.LocalCluster,
                    n_workers=at_once,
                    threads_per_worker=1,
                    memory_limit=0,  # a run that is paused half-way helps nobody
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                    env={threads.VARIABLE: str(share)},
                )
            )
        try:
            client = stack.enter_context(_started(dask.Client, where, timeout=_PATIENCE))
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address} ({_first_line(error)}). Start one with `dask "
                "scheduler`, and workers with `dask worker ADDRESS`; --cluster local starts both"
            ) from error
        yield client


def _started(make: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Make a client or a cluster, of which each starts a thread: a machine that stalls needs several tries.

    distributed waits ten seconds for that thread; after them it fails with a bare AssertionError.
    """
    for _ in range(_TRIES - 1):
        with contextlib.suppress(AssertionError):
            return make(*arguments, **settings)
    return make(*arguments, **settings)


def _require_equal_workers(client: Any) -> int:
    """Look at all workers that are there, and count them; those that come later look at themselves."""
    workers = client.run(fingerprint, on_error="return")
    for worker, found in workers.items():
        if isinstance(found, Exception):
            raise ClusterError(
                f"the worker {worker} cannot do runs of minisparse {minisparse.__version__}: it has "
                f"another version of the package, or none ({_first_line(found)})"
            ) from found
        if found != fingerprint():
            raise ClusterError(
                f"the worker {worker} has another minisparse, {found}; here it is {fingerprint()}. "
                "Install the same there, and start it again"
            )
    return len(workers)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


# ---- the worker ---------------------------------------------------------------------------------


class _TimeIsUpError(Exception):
    """The slice is over."""


def work(order: Order) -> Slice:
    """Go on with a run for a while; called by Dask, on a worker."""
    if order.source != fingerprint():
        raise ClusterError(
            f"a worker has another minisparse, {fingerprint()}, than the caller, {order.source}"
        )
    worker = _dask().get_worker()
    begin = last = time.monotonic()
    end: float | None = None  # counted from the first sign of life, so that every slice gets on

    def progress(minutes: float, job: Job, note: str) -> None:
        nonlocal end, last
        now = time.monotonic()
        end = now + order.seconds if end is None else end
        if now - last >= _OFTEN:
            last = now
            tell(minutes / job.minutes, note)
        if now >= end:
            raise _TimeIsUpError

    def tell(fraction: float, note: str) -> None:
        told = {"job": str(order.job), "place": str(worker.name), "fraction": fraction}
        worker.log_event(order.topic, {**told, "note": note})

    tell(0.0, "")
    with tempfile.TemporaryDirectory(prefix="minisparse-") as name:
        folder = Path(name)
        for file, content in order.state.items():
            (folder / file).write_bytes(content)
        doing = partial(run_apart, folder=folder, force=False)
        with contextlib.suppress(_TimeIsUpError), _may_have_children():
            # Closing the generator lets the run save its state.
            list(in_parallel(doing, [order.job], worker.state.nthreads, progress=progress))
        store, key = Store(folder, print), order.job.recipe.key(order.job.seed)
        finished = store.path(key)
        return Slice(
            finished.read_text(encoding="utf-8") if finished.exists() else None,
            {file.name: file.read_bytes() for file in store.checkpoints(key)},
            time.monotonic() - begin,
        )


@contextlib.contextmanager
def _may_have_children() -> Iterator[None]:
    """Let a daemonic process have children.

    Dask starts its workers as daemons, which multiprocessing forbids to have any, lest these be
    left over.  Ours end by themselves when the pipe to their parent closes.
    """
    settings: Any = getattr(mp.current_process(), "_config", {})
    settings["daemon"] = False
    yield


@functools.cache
def fingerprint() -> str:
    """Return the version of the package and a checksum of its source."""
    package = Path(minisparse.__file__).parent
    content = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    return f"{minisparse.__version__} (source {content.hexdigest()[:12]})"

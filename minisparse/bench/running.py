"""All cases, one thread count after the other: processes, notes, and what is known at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from minisparse.machine import Neighbours

from . import growth, workload
from .cases import CASES, Task
from .machine import describe
from .measure import Row, Settings, measure
from .peers import OURS, PEERS, is_installed
from .process import WorkerError, WorkerProcess, cores_for

INSTALL = 'pip install "minisparse[peers]"'
_LONG = 1.0  # seconds: a first call that is worth a line


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes
    ----------
    cases : tuple of str
    threads : tuple of int or None
        None: as many as there are, and one.
    batches : tuple of int or None
        None: those of each case.
    peers : tuple of str or None
        None: all of each case.
    settings : Settings
    startup : bool
        Whether to measure first steps in fresh processes.
    """

    cases: tuple[str, ...]
    threads: tuple[int, ...] | None = None
    batches: tuple[int, ...] | None = None
    peers: tuple[str, ...] | None = None
    settings: Settings = field(default_factory=Settings)
    startup: bool = True


@dataclass
class Result:
    """What was measured.

    Attributes
    ----------
    rows : list of dict
        "case", "batch", "threads", "peer", "peer_us", "ours_us", "ratio", and more; see
        `minisparse.bench.measure.row`.
    machine : dict
        Processor, versions; "startup", "multiply_adds_per_second" and "notes".
    failed : bool
        Whether a peer that is installed failed, or computed something else.
    """

    rows: list[Row] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=describe)
    failed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return rows and machine."""
        return {"rows": self.rows, "machine": self.machine}


Start = Callable[[str, int], Any]


class Bench:
    """Runs a plan.

    Parameters
    ----------
    plan : Plan
    say : function of str
        Gets a line for everything that a person should know at once.
    start : function of (peer, threads)
        Starts a worker.
    neighbours : Neighbours, optional
    installed : function of a peer's name
    """

    def __init__(
        self,
        plan: Plan,
        say: Callable[[str], None] = print,
        start: Start = WorkerProcess,
        neighbours: Any = None,
        installed: Callable[[str], bool] = is_installed,
    ) -> None:
        self.plan, self._say, self._start = plan, say, start
        self.neighbours = Neighbours() if neighbours is None else neighbours
        self.result = Result()
        self.result.machine["notes"] = []
        wanted = dict.fromkeys(p for c in plan.cases for p in CASES[c].peers)
        if plan.peers is not None:
            wanted = {p: None for p in wanted if p in plan.peers}
        self.missing = [p for p in wanted if not installed(p)]
        self.peers = [p for p in wanted if p not in self.missing]

    def run(self) -> Result:
        """Measure everything.

        Raises
        ------
        ValueError
            There is nobody to compare with.
        WorkerError
            We fail ourselves.
        """
        if self.missing:
            self.note(f"not installed: {', '.join(self.missing)}. To install them: {INSTALL}")
        if not self.peers:
            raise ValueError(
                f"none of the peers asked for is installed. To install them: {INSTALL}"
            )
        start = time.perf_counter()
        for threads in self._threads():
            self.neighbours.watch_cores(cores_for(threads))
            with ExitStack() as stack:
                self._run_with(threads, _Staff(threads, self._start, stack))
        if self.plan.startup:
            self._measure_startup()
        self.result.machine["measured_for_s"] = time.perf_counter() - start
        return self.result

    def note(self, text: str) -> None:
        """Say something, and keep it in the result."""
        self._say(text)
        self.result.machine["notes"].append(text)

    def _threads(self) -> list[int]:
        most = self.result.machine["cores"] or 1
        return sorted(set(self.plan.threads or (1, min(2, most))))

    def _run_with(self, threads: int, staff: _Staff) -> None:
        for name in self.plan.cases:
            case = CASES[name]
            if case.one_thread and self.plan.threads is None and threads > 1:
                continue
            for task in case.tasks(self.plan.batches):
                peers = [p for p in case.peers_of(task) if p in self.peers]
                if peers:
                    self._run_task(task, threads, peers, staff)
        self._describe(threads, staff)

    def _run_task(self, task: Task, threads: int, peers: list[str], staff: _Staff) -> None:
        workers = {name: staff.get(name) for name in [OURS, *peers]}
        self._say(f"{task}, {threads} thread{'s' if threads > 1 else ''} ...")
        outcome = measure(task, threads, workers, self.plan.settings, self.neighbours)
        for name, seconds in outcome.first_calls.items():
            if seconds > _LONG:
                self._say(f"  {name}: first call: {seconds:.1f} s")
        for name, why in outcome.failed.items():
            if name == OURS:
                raise WorkerError(f"minisparse itself failed at {task}: {why}")
            self.note(f"{name}: no result for {task}: {why}")
            self.result.failed = True
            staff.dismiss(name)
        self.result.rows += outcome.rows

    def _describe(self, threads: int, staff: _Staff) -> None:
        """Ask the workers for versions, and ours for the peak; add the share of it to the rows."""
        machine = self.result.machine
        for name, worker in staff.present():
            try:
                told = worker.ask(do="describe")
                machine["versions"].update(told.pop("versions"))
                kernels = told.pop("kernels", None)
                if kernels:
                    machine.setdefault("kernels", {})[name] = kernels
                if name == OURS:
                    machine.update(told)
                    peaks = worker.ask(do="peak")
                    machine.setdefault("multiply_adds_per_second", peaks["peak"])
                    machine.setdefault("bytes_per_second", peaks["bandwidth"])
            except WorkerError as error:
                self.note(f"{name}: it does not describe itself: {error}")
        peak, bandwidth = (machine.get(k) for k in ("multiply_adds_per_second", "bytes_per_second"))
        for made in self.result.rows:
            if made["threads"] == threads:
                done, moved = _work(made)
                seconds = made["ours_us"] * 1e-6
                if peak and done:
                    made["share_of_peak"] = done / seconds / (peak * threads)
                if bandwidth and moved:
                    made["share_of_bandwidth"] = moved / seconds / bandwidth

    def _measure_startup(self) -> None:
        from .startup import cold_and_warm

        nets = dict.fromkeys(CASES[c].net for c in self.plan.cases if CASES[c].training)
        found = self.result.machine["startup"] = {}
        for net in nets:
            self._say(f"{net}, first step in a fresh process ...")
            cold, warm = cold_and_warm(net, max(self._threads()))
            found[net] = {"cold_s": cold, "warm_s": warm}


def _work(row: Row) -> tuple[int, int]:
    """Return the multiply-adds of a call and, where there are none, the bytes that it must move.

    Neither is known of a batch of digits: nobody has to multiply by black.
    """
    case = CASES[row["case"]]
    if case.kind == "growth":
        variant = growth.find(case.name, row["variant"])
        if variant.digits:
            return 0, 0
        return growth.multiply_adds(variant), growth.bytes_moved(variant)
    if case.training:
        return row["batch"] * workload.multiply_adds(case.net, training=True), 0
    return 0, 0


class _Staff:
    """The workers of one thread count, each started when it is needed first."""

    def __init__(self, threads: int, start: Start, stack: ExitStack) -> None:
        self.threads, self._start, self._stack = threads, start, stack
        self._workers: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        if name not in self._workers:
            self._workers[name] = self._stack.enter_context(self._start(name, self.threads))
        return self._workers[name]

    def dismiss(self, name: str) -> None:
        """Let the next task have a fresh worker: this one may be dead."""
        self._workers.pop(name).close()

    def present(self) -> list[tuple[str, Any]]:
        return list(self._workers.items())


def known_peers(cases: Sequence[str]) -> list[str]:
    """Return the peers of some cases, in the order of `PEERS`."""
    return [p for p in PEERS if any(p in CASES[c].peers for c in cases)]

"""Measure a task: everybody prepares, proves that it computes the same, and takes turns.

    ours  torch  jax  numpy    ours  torch  jax  numpy    ours  ...
    '------- round 1 -------'  '------- round 2 -------'

A machine is never equally fast for long; in turns, all meet the same weather.  A row holds medians
over the rounds; rounds in which other processes used the machine are left out where at least half
were quiet.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from minisparse.machine import BUSY

from .agreement import disagreement
from .cases import CASES, Task
from .peers import OURS
from .process import WorkerError

Row = dict[str, Any]
_ENOUGH = 2  # rounds after which a slow peer may leave


class Asked(Protocol):
    """What `measure` needs of a worker."""

    def ask(self, **request: Any) -> dict[str, Any]:
        """Answer, or raise a WorkerError."""


class Quiet(Protocol):
    """What `measure` needs of `minisparse.machine.Neighbours`."""

    def wait(self) -> None:
        """Wait a while for others to be quiet."""

    def watch(self) -> Callable[[float], float]:
        """Begin to watch the others."""


@dataclass(frozen=True)
class Settings:
    """How long to measure.

    Attributes
    ----------
    rounds : int
    seconds : float
        Of a peer in a round.
    """

    rounds: int = 5
    seconds: float = 0.1


@dataclass
class Turns:
    """What was measured of one participant.

    Attributes
    ----------
    us : list of float
        Microseconds of a call, for each round.
    busy : list of bool
        Whether others used the machine meanwhile.
    """

    us: list[float] = field(default_factory=list)
    busy: list[bool] = field(default_factory=list)
    spent: float = 0.0

    @property
    def counted(self) -> list[float]:
        """The quiet rounds, or all if fewer than half were quiet."""
        quiet = [us for us, busy in zip(self.us, self.busy, strict=True) if not busy]
        return quiet if 2 * len(quiet) >= len(self.us) else self.us


@dataclass
class Outcome:
    """Rows, and what there is to say.

    Attributes
    ----------
    rows : list of dict
    first_calls : dict from participant to seconds
        Construction, compilation and the first call.
    failed : dict from participant to str
        Why there is no row.
    """

    rows: list[Row]
    first_calls: dict[str, float]
    failed: dict[str, str]


def measure(
    task: Task,
    threads: int,
    workers: Mapping[str, Asked],
    settings: Settings,
    neighbours: Quiet,
) -> Outcome:
    """Measure one task.

    Parameters
    ----------
    task : Task
    threads : int
        That all workers have.
    workers : mapping from participant to worker
        "ours" among them.
    settings : Settings
    neighbours : Neighbours

    Returns
    -------
    Outcome
        Rows in the order of `workers`.
    """
    failed: dict[str, str] = {}
    first: dict[str, float] = {}
    digests: dict[str, Any] = {}
    for name in sorted(workers, key=lambda name: name != OURS):
        try:
            prepared = workers[name].ask(do="prepare", task=task.as_json())
        except WorkerError as error:
            failed[name] = str(error)
            if name == OURS:
                return Outcome([], first, failed)
            continue
        first[name], digests[name] = prepared["first_call"], prepared["digest"]
        different = disagreement(digests[OURS], digests[name])
        if different is not None:
            failed[name] = f"refused: {different}"
    taking_part = {name: worker for name, worker in workers.items() if name not in failed}
    turns = take_turns(taking_part, settings, neighbours, failed)
    rows = [
        row(task, threads, name, turns[name], turns[OURS])
        for name in taking_part
        if name != OURS and name not in failed and OURS not in failed
    ]
    return Outcome(rows, first, failed)


def take_turns(
    workers: Mapping[str, Asked],
    settings: Settings,
    neighbours: Quiet,
    failed: dict[str, str],
) -> dict[str, Turns]:
    """Let everybody measure once in each round; who fails is noted in `failed` and left out.

    Who needs much longer than the others leaves after two rounds.
    """
    turns = {name: Turns() for name in workers}
    budget = 3 * settings.rounds * settings.seconds
    for number in range(settings.rounds):
        neighbours.wait()
        for name, worker in workers.items():
            mine = turns[name]
            if name in failed or (number >= _ENOUGH and mine.spent > budget):
                continue
            others = neighbours.watch()
            try:
                answer = worker.ask(do="time", seconds=settings.seconds)
            except WorkerError as error:
                failed[name] = str(error)
                continue
            mine.us.append(answer["us"])
            mine.busy.append(others(answer["cpu"]) > BUSY)
            mine.spent += answer["us"] * answer["calls"] / 1e6
    return turns


def row(task: Task, threads: int, peer: str, theirs: Turns, ours: Turns) -> Row:
    """Return a row of the result: medians, their ratio (theirs / ours), and quartiles."""
    peer_us, ours_us = statistics.median(theirs.counted), statistics.median(ours.counted)
    made: Row = {
        "case": task.case,
        "batch": task.batch,
        "threads": threads,
        "peer": peer,
        "peer_us": peer_us,
        "ours_us": ours_us,
        "ratio": peer_us / ours_us,
        "spread": {"peer_us": quartiles(theirs.counted), "ours_us": quartiles(ours.counted)},
        "rounds": len(theirs.us),
        "busy_rounds": sum(theirs.busy),
    }
    if task.sparsity is not None:
        made["sparsity"] = task.sparsity
    if task.variant:
        made["variant"] = task.variant
    if task.case == "methods":
        made["net"] = task.net
        made |= {"dense_steps": ours_us / peer_us} if task.training else {"seconds": ours_us / 1e6}
    if task.chain:
        made["variant"] = "one operation" if task.chain == 1 else f"chain of {task.chain}, each"
    return made


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower and the upper quartile.

    Examples
    --------
    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0]), quartiles([7.0])
    ([2.0, 4.0], [7.0, 7.0])
    """
    if len(values) == 1:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def by_case(rows: Sequence[Row]) -> list[Row]:
    """Sort by case, sparsity, batch and threads; within these, peers stay in their order."""
    order = list(CASES)
    return sorted(
        rows, key=lambda r: (order.index(r["case"]), r.get("sparsity", 0), r["batch"], r["threads"])
    )

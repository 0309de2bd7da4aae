"""One peer in one process: reads requests, answers them, JSON lines both ways.

    {"do": "prepare", "task": {...}}     build the job; the first call; what it computes
    {"do": "time", "seconds": 0.1}       time the job's calls
    {"do": "describe"}                   versions, and what else bears on the speed
    {"do": "peak"}                       multiply-adds of this CPU (see `peak`)

An answer is a JSON object; ``{"error": "..."}`` if the request failed.  Whatever a framework prints
goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

_CHUNKS = 10


@dataclass(frozen=True)
class Timing:
    """Seconds for one call, and how many calls it is from."""

    seconds: float
    calls: int


def time_calls(
    call: Callable[[], Any], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Timing:
    """Call again and again for about so many seconds.

    The calls are timed in ten chunks, and the median chunk counts: a disturbance hits some of them.
    A call that takes longer than all of `seconds` is made once.

    Parameters
    ----------
    call : function
    seconds : float
    clock : function
        Seconds since any moment.
    """

    def measure(times: int) -> float:
        start = clock()
        for _ in range(times):
            call()
        return (clock() - start) / times

    once = measure(1)
    if once >= seconds:
        return Timing(once, 1)
    once = min(once, measure(1), measure(1))  # caches are warm by now
    times = max(1, int(seconds / _CHUNKS / max(once, 1e-9)))
    end = clock() + seconds
    chunks: list[float] = []
    while not chunks or (clock() < end and len(chunks) < 2 * _CHUNKS):
        chunks.append(measure(times))
    return Timing(statistics.median(chunks), times * len(chunks))


class Worker:
    """Answers requests for one peer."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.job: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked and return what to send back."""
        answers: dict[str, Callable[..., dict[str, Any]]] = {
            "prepare": self._prepare,
            "time": self._time,
            "describe": self._describe,
            "peak": self._peak,
        }
        try:
            return answers[request.pop("do")](**request)
        except Exception as error:  # noqa: BLE001 - any framework's; told to whoever asked
            text = " ".join(str(error).split())
            return {"error": f"{type(error).__name__}: {text[:300]}"}

    def _prepare(self, task: dict[str, Any]) -> dict[str, Any]:
        from minisparse.bench.cases import Task
        from minisparse.bench.peers import builder

        self.job = None  # the memory of the one before
        build = builder(self.peer)
        start = time.perf_counter()
        job = build(Task(**task))
        job.call()
        first = time.perf_counter() - start
        digest = job.digest()
        self.job = job
        return {"first_call": first, "digest": digest}

    def _time(self, seconds: float) -> dict[str, Any]:
        self.job.reset()
        cpu = time.process_time()
        timing = time_calls(self.job.call, seconds)
        us = 1e6 * timing.seconds / self.job.scale
        return {"us": us, "calls": timing.calls, "cpu": time.process_time() - cpu}

    def _describe(self) -> dict[str, Any]:
        from minisparse.bench.machine import describe_worker

        return describe_worker(self.peer)

    def _peak(self) -> dict[str, Any]:
        from minisparse.bench.peak import bytes_per_second, multiply_adds_per_second

        return {"peak": multiply_adds_per_second(), "bandwidth": bytes_per_second()}


def serve(worker: Worker, requests: IO[str], answers: IO[str]) -> None:
    """Answer until there are no more requests."""
    for line in requests:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


def main(arguments: Sequence[str]) -> None:
    """Serve on stdin and stdout; arguments: peer, and the numbers of the cores to stay on."""
    peer, *cores = arguments
    affinity: Any = getattr(os, "sched_setaffinity", None)
    if cores and affinity is not None:  # before any library counts the cores
        with contextlib.suppress(OSError):
            affinity(0, {int(core) for core in cores})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # the parent says what happened
        serve(Worker(peer), sys.stdin, answers)


if __name__ == "__main__":
    main(sys.argv[1:])

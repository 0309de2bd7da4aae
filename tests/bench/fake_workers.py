"""Workers that compute nothing, and neighbours that are as noisy as a test wants."""

from minisparse.bench.process import WorkerError

DIGEST = {"loss": [2.0, 1.5], "logits": [0.1, -3.0]}


class FakeWorker:
    """Answers from a list of times; an exception in the list is raised instead."""

    def __init__(self, name, us, log=None, digest=DIGEST, cpu=0.0, prepare=None):
        self.name, self.digest, self.cpu, self.prepare = name, digest, cpu, prepare
        self.us = list(us)
        self.log = [] if log is None else log
        self.closed = False

    def ask(self, do, **request):
        self.log.append((self.name, do))
        if do == "prepare":
            if self.prepare is not None:
                raise WorkerError(self.prepare)
            return {"first_call": 0.25, "digest": self.digest}
        if do == "time":
            us = self.us.pop(0)
            if isinstance(us, str):
                raise WorkerError(us)
            return {"us": us, "calls": max(1, int(1e6 * request["seconds"] / us)), "cpu": self.cpu}
        if do == "describe":
            return {"versions": {self.name: "1.0"}}
        return {"peak": 1e11, "bandwidth": 1e10}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    close = __exit__


class FakeNeighbours:
    """`shares`: of the machine, used by others during each measurement; then nothing."""

    def __init__(self, shares=(), log=None):
        self.shares = list(shares)
        self.log = [] if log is None else log

    def watch_cores(self, cores): ...

    def wait(self):
        self.log.append(("everybody", "wait"))

    def watch(self):
        share = self.shares.pop(0) if self.shares else 0.0
        return lambda cpu: share  # noqa: ARG005

"""Experiments that train nothing. As a script: the command line with these as its catalogue."""

import json
import os
import signal
import sys
import time
import types
from dataclasses import dataclass, replace
from pathlib import Path

from minisparse import cli
from minisparse.experiments import catalogue
from minisparse.experiments.experiment import Experiment, Row
from minisparse.experiments.recipe import Outcome, Recipe

TOTAL = {"fc1.weight": 900, "fc1.bias": 100}


@dataclass(frozen=True)
class Fake(Recipe):
    """Counts to `steps`, and counts on where it was interrupted."""

    error: float = 1.5
    kept: int = 90
    steps: int = 1
    pause: float = 0.0
    points: tuple[str, ...] = ()
    crash: str = ""

    def run(self, seed, *, checkpoint, progress):
        first = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(first, self.steps):
            progress(step / self.steps, f"step {step}")
            time.sleep(self.pause)
            while step >= 3 and os.environ.get("FAKE_HOLD"):
                time.sleep(0.01)  # until it is interrupted
            self.take(seed, step, checkpoint)
        if self.crash:
            raise ValueError(self.crash)
        return replace(
            self.outcome(seed),
            history=[{"epoch": 1, "error": self.error}],
            extra={"first": first},
            points={point: self.outcome(seed, i + 1) for i, point in enumerate(self.points)},
        )

    def take(self, seed, step, checkpoint):  # noqa: ARG002
        whole = checkpoint.with_suffix(".part")
        whole.write_text(str(step + 1))
        whole.replace(checkpoint)  # an interrupt finds the old number or the new one

    def outcome(self, seed, more=0):
        kept = {"fc1.weight": self.kept + more, "fc1.bias": 10}
        return Outcome(self.error + 0.1 * seed + more, 0.25, kept, TOTAL)

    def quick(self):
        return replace(self, steps=self.steps + 1, pause=0.0)


@dataclass(frozen=True)
class Logged(Fake):
    """Writes down every step that it takes, in a file that all processes see."""

    log: str = ""
    gate: str = ""  # a file without which no process goes on after its first step

    def take(self, seed, step, checkpoint):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # taken and written, or neither
        super().take(seed, step, checkpoint)
        with open(self.log, "a") as file:
            file.write(f"{seed} {step} {os.getpid()}\n")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        while self.gate and not os.path.exists(self.gate):
            time.sleep(0.01)


def sketch(results, path):  # noqa: ARG001
    """Take the place of a figure, which takes a while to draw."""
    path.write_bytes(b"\x89PNG")


def make(id, home, rows, comparison=None, **settings):
    """An experiment whose comparison data is written beside `home`."""
    if comparison is not None:
        Path(home).with_name(f"{id}.json").write_text(json.dumps(comparison))
    return Experiment(
        **{
            "id": id,
            "title": "nothing on nothing",
            "paper": "Nobody 2001",
            "where": "Table 7",
            "home": str(home),
            "minutes": 3.0,
            "rows": rows,
            "figure": sketch,
            "sentence": lambda results: f"{len(results['rows'])} rows were found.",
            **settings,
        }
    )


def install(*experiments):
    """Make these the whole catalogue."""
    catalogue.MODULES.clear()
    for experiment in experiments:
        name = f"fake_entry_{experiment.id}"
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].EXPERIMENT = experiment
        catalogue.MODULES[experiment.id] = name


NOISE = {"error": 0.05, "ratio": 0.02}


def published(error, compression, status="recalled", **more):
    known = {"source": "Table 7", "status": status}
    return {"error": error, "compression": compression, **known, **more}


def slow_recipe(pause):
    return Fake(error=1.7, steps=30, pause=pause)


def main():
    """Rows: one that is done at once and one that takes a while, then a result that FAILS."""
    home = Path(os.environ["FAKE_HOME"]) / "entry.py"
    slow = Row(slow_recipe(float(os.environ.get("FAKE_PAUSE", "0"))))
    good = {"published": published(1.5, 10.0), "noise": NOISE, "note": "nobody knows"}
    bad = {"published": published(1.0, 10.0), "noise": NOISE, "bar": {"error": 1.2}}
    rows = {"at once": Row(Fake()), "slow": slow}
    install(
        make("headline", home, rows, {"rows": {"at once": good}}),
        make("fails", home, {"row": Row(Fake())}, {"rows": {"row": bad}}),
    )
    if os.environ.get("FAKE_KILL") == "in the write":
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # noqa: ARG005
    if "FAKE_LIMIT" in os.environ:
        import resource

        limit = int(os.environ["FAKE_LIMIT"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return cli.main()


if __name__ == "__main__":
    import fake_experiments

    sys.exit(fake_experiments.main())

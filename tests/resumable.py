"""A small training that test_resume.py starts, kills and starts again, as a process of its own.

    python resumable.py FOLDER [--seconds S] [--slow-writes] [--kill HOOK:COUNT] [--signal NAME]

Reads FOLDER/data.npz, keeps its checkpoint in FOLDER/run.npz, writes FOLDER/result.npz at the end.
With --kill the process sends the signal (KILL unless told otherwise) to itself at the COUNT-th call
of a hook, or of a part of writing a checkpoint.
"""

# ruff: noqa: ARG002

import argparse
import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from minisparse import checkpoint
from minisparse.data import Split
from minisparse.nn import BatchNorm1d, Dropout, Flatten, Linear, ReLU, Sequential
from minisparse.optim import EMA, SGD, schedules
from minisparse.prune.method import Method
from minisparse.train import train


class RandomDrops(Method):
    """Drops one more random weight every 5 steps, and keeps what it dropped at zero."""

    def __init__(self, at_once):
        self.at_once = at_once

    def attach(self, model, optimizer, rng):
        self.kept = rng.random(model[1].weight.shape) < 0.8
        self.drops = 0

    def after_backward(self, run):
        run.metrics["largest"] = max(run.metrics.get("largest", 0.0), run.loss.item())

    def after_step(self, run):
        weight = run.model[1].weight
        if run.step % 5 == 0:
            self.kept.flat[run.rng.integers(self.kept.size, size=self.at_once)] = False
            self.drops += self.at_once
        with weight.writing() as w:
            w[~self.kept] = 0
        run.optimizer.reset_state(weight, ~self.kept)

    def after_epoch(self, run):
        run.metrics["drops"] = self.drops

    def state_dict(self):
        return {"kept": self.kept, "drops": self.drops}

    def load_state_dict(self, state):
        self.kept, self.drops = state["kept"], state["drops"]


class KillSwitch(Method):
    """Sends itself a signal at the n-th call of one of the hooks."""

    def __init__(self, where, count, number):
        self.left = {where: count}
        self._number = number

    def _call(self, hook):
        if hook in self.left:
            self.left[hook] -= 1
            if self.left[hook] == 0:
                os.kill(os.getpid(), self._number)

    def before_loss(self, run):
        self._call("before_loss")

    def after_backward(self, run):
        self._call("after_backward")

    def after_step(self, run):
        self._call("after_step")

    def after_epoch(self, run):
        self._call("after_epoch")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=0.02)
    parser.add_argument("--slow-writes", action="store_true")
    parser.add_argument("--kill", default=":0")
    parser.add_argument("--signal", default="KILL")
    arguments = parser.parse_args()
    where, _, count = arguments.kill.partition(":")
    switch = KillSwitch(where, int(count), getattr(signal, f"SIG{arguments.signal}"))
    folder = arguments.folder

    write, replace = checkpoint._write, os.replace

    def write_in_two_halves(file, content):
        write(file, content[: len(content) // 2])
        file.flush()
        time.sleep(0.01 * arguments.slow_writes)
        switch._call("half_written")
        write(file, content[len(content) // 2 :])

    def replace_slowly(source, target):
        switch._call("before_replace")
        replace(source, target)
        switch._call("after_replace")

    checkpoint._write, os.replace = write_in_two_halves, replace_slowly

    with np.load(folder / "data.npz") as data:
        split = Split(data["images"], data["labels"])
    rng = np.random.default_rng(11)
    training, validation = split.split_validation(60, rng)
    model = Sequential(
        Flatten(), Linear(784, 20, rng=rng), BatchNorm1d(20), ReLU(), Dropout(0.3, rng=rng),
        Linear(20, 10, rng=rng),
    )  # fmt: skip
    optimizer = SGD(model, lr=0.05, momentum=0.9, weight_decay=1e-4)
    average = EMA(model, 0.95)
    drops = RandomDrops(3)
    run = train(
        *(model, training, optimizer),
        epochs=4,
        rng=rng,
        batch_size=7,
        methods=[drops, switch],
        schedule=schedules.cosine(4),
        validation=validation,
        evaluate_every=2,
        average=average,
        checkpoint=folder / "run.npz",
        checkpoint_seconds=arguments.seconds,
    )
    history = [{k: v for k, v in line.items() if k != "seconds"} for line in run.history]
    rest = {"rng": rng.bit_generator.state, "history": history, "step": run.step}
    np.savez(
        folder / "result.npz",
        rest=np.array(json.dumps(rest)),
        **{f"model {k}": v for k, v in model.state_dict().items()},
        **{f"optimizer {k}": v for k, v in optimizer.state_dict().items()},
        **{f"average {k}": v for k, v in average.state_dict().items()},
        **{f"method {k}": v for k, v in drops.state_dict().items()},
    )


if __name__ == "__main__":
    main()

"""Call the hooks of a method by hand, as training does, on a real run."""

import numpy as np

from minisparse.data import Split
from minisparse.prune.method import Run

ANY = Split(np.zeros((20, 1, 1, 6), np.uint8), np.zeros(20, np.int64))


def begin(method, model, optimizer, split=ANY, *, rng=None, epochs=20, batch_size=10):
    """Attach a method and begin a fresh run."""
    rng = np.random.default_rng(0) if rng is None else rng
    run = Run(model, optimizer, rng, (method,), split, epochs, batch_size)
    method.attach(model, optimizer, rng)
    method.begin(run)
    return run


def after_step(run):
    """Let the optimizer have taken a step, whatever it did."""
    run.time = run.finished
    run.step += 1
    for method in run.methods:
        method.after_step(run)


def after_epoch(run):
    """Let the optimizer have finished the epoch."""
    run.step = (run.epoch + 1) * run.steps_per_epoch
    run.time = run.finished
    for method in run.methods:
        method.after_epoch(run)
    run.epoch += 1

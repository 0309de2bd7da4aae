"""The control of every structured method: the architecture it found, trained from new weights."""

from __future__ import annotations

import math

import numpy as np

from minisparse.arrays import to_numpy
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.session import Session
from minisparse.nn import Module
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask

SCRATCH = "from scratch"  # name of the point


def units_mask(model: Module) -> Mask:
    """Return the mask of the weights between inputs and outputs that are in use.

    An input of a layer is in use if it has a nonzero weight, and so is an output; between them all
    weights are kept.

    Examples
    --------
    >>> from minisparse.nn import Linear
    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> with layer.weight.writing() as w:
    ...     w[...] = [[1, 0], [0, 0], [1, 0]]
    >>> units_mask(layer)["weight"].astype(int)
    array([[1, 0],
           [0, 0],
           [1, 0]])
    """
    entries = {}
    for name, p in model.named_parameters():
        if p.ndim > 1:
            used = to_numpy(p.array) != 0
            inputs = used.any(axis=tuple(i for i in range(used.ndim) if i != used.ndim - 2))
            outputs = used.any(axis=tuple(range(used.ndim - 1)))
            entries[name] = np.broadcast_to(inputs[:, None] & outputs, used.shape)
    return Mask(entries)


def from_scratch(session: Session, training: Dense, found: Mask | None = None) -> Outcome:
    """Train the architecture that a session found from new weights, as a dense network is trained.

    The weights are those that the seed gives at first, rescaled to the inputs that a unit has left
    (He initialization: variance 2 / fan-in).  The session's model must have no dead units left.

    Parameters
    ----------
    session : Session
        Whose model has the architecture.
    training : Dense
        Same network and data; optimizer and epochs are its own.
    found : Mask, optional
        The weights to train; by default the units in use, with all weights between them.
    """
    found = units_mask(session.model) if found is None else found
    done, total = session.done, session.total

    def progress(fraction: float, note: str) -> None:
        session.progress((done + fraction * training.total_epochs()) / total, f"scratch: {note}")

    place = session.checkpoint.with_name(f"{session.checkpoint.name}.scratch.npz")
    fresh = Session(training, session.seed, place, progress)
    for name, p in fresh.model.named_parameters():
        if name in found:
            units = int(found[name].any(axis=tuple(range(p.ndim - 1))).sum())
            inputs = found[name].sum() / max(units, 1)  # of a unit in use, on average
            with p.writing() as w:
                w *= math.sqrt(p.size / p.shape[-1] / max(inputs, 1))
    fresh.train(training.epochs, [FixedMask(found)], training.falling())
    outcome = fresh.outcome(extra={"train_error": fresh.history[-1]["train_error"]})
    fresh.close()
    session.done += training.total_epochs()
    return outcome

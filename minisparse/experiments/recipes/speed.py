"""Compression against time: one network, pruned step by step, and what each step is worth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minisparse import threads
from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.experiments.results import Results
from minisparse.machine import Neighbours, cpu_name
from minisparse.nn import Module
from minisparse.nn.graph import example_for
from minisparse.optim import schedules
from minisparse.prune.magnitude import MagnitudePruning
from minisparse.prune.nodes import hidden_units, nodes_left, remove_dead_nodes
from minisparse.prune.schedule import one_shot
from minisparse.sparse import choose, report, shrink

WEIGHTS, UNITS = "weights", "units"
_AS_LONG_AS = 2  # epochs: for the progress bar, what the measurement of a point takes


@dataclass(frozen=True)
class Speed(Classifier):
    """Prune by magnitude, to single weights and to whole units, and measure time and size.

    Both ways start from the same dense network and alternate pruning with a little training.
    Single weights go globally; units go in equal shares from every hidden layer, and what a removed
    unit leaves without effect goes with it.  Enough training for networks that work; the
    curves of error are elsewhere.

    At every point all forms of the network are timed in turns: dense with its zeros, CSR,
    blocked, shrunk, and shrunk in these forms (`minisparse.sparse.choose`), on one thread.

    Parameters
    ----------
    compressions : tuple of float
        All weights / kept weights at the points of the first way, increasing.
    unit_shares : tuple of float
        Shares of the hidden units that are left at the points of the second, decreasing.
    dense_epochs : int
    retrain_epochs : int
        After each pruning, with the learning rate falling geometrically to `final_lr` times the
        first.
    final_lr : float
    batches : tuple of int
        Numbers of images to time.
    rounds : int
        In which the forms take turns.
    """

    compressions: tuple[float, ...] = (2, 5, 10, 20, 50, 100)
    unit_shares: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05)
    dense_epochs: int = 10
    retrain_epochs: int = 3
    final_lr: float = 0.05
    batches: tuple[int, ...] = (1, 100, 1000)
    rounds: int = 15

    def total_epochs(self) -> int:
        """Return the number of epochs of both ways, with what the measurements take."""
        prunings = len(self.compressions) + len(self.unit_shares)
        measured = _AS_LONG_AS * (1 + prunings)
        return self.dense_epochs + prunings * self.retrain_epochs + measured

    def epoch_of(self, point: str | None) -> int:
        """Return the last epoch of the dense training, or of the training after a pruning."""
        places = [f"{WEIGHTS}, {c:g}x" for c in self.compressions]
        places += [f"{UNITS}, {share:g}" for share in self.unit_shares]
        done = 0 if point is None else 1 + places.index(point)
        return self.dense_epochs + done * self.retrain_epochs

    def quick(self) -> Speed:
        """Return a version with all the points, on 1,000 images, without the largest batch."""
        return replace(
            self,
            images=1000,
            hold_out=1000,
            dense_epochs=4,
            retrain_epochs=1,
            batches=self.batches[:2],
            rounds=3,
        )

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure. The outcome itself is the dense network."""
        session = Session(self, seed, checkpoint, progress)
        falling = schedules.geometric(self.dense_epochs / 2, self.dense_epochs, self.final_lr)
        session.train(self.dense_epochs, schedule=falling)
        dense = self._measure(session)
        trained = session.model.state_dict()
        points = {}
        for compression in self.compressions:
            method = MagnitudePruning(one_shot(1 - 1 / compression))
            points[f"{WEIGHTS}, {compression:g}x"] = self._prune(session, method)
        session.model.load_state_dict(trained)
        hidden = [name for name, p in session.model.named_parameters() if p.ndim > 1][:-1]
        for share in self.unit_shares:
            method = MagnitudePruning(one_shot(1 - share), "layer", "unit", names=hidden)
            points[f"{UNITS}, {share:g}"] = self._prune(session, method, units=True)
        session.close()
        return replace(dense, history=session.history, points=points)

    def _prune(self, session: Session, method: MagnitudePruning, units: bool = False) -> Outcome:
        falling = schedules.geometric(0, self.retrain_epochs, self.final_lr)
        session.train(self.retrain_epochs, [method], falling)
        if units:
            remove_dead_nodes(session.model, session.measured.images[:1].astype("float32"))
        return self._measure(session)

    def _measure(self, session: Session) -> Outcome:
        session.progress(session.done / session.total, "measuring times")
        outcome = session.outcome(extra=times_and_sizes(session.model, self.batches, self.rounds))
        session.done += _AS_LONG_AS
        return outcome


def times_and_sizes(model: Module, batches: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Measure the forms that a pruned model can take, on one thread.

    Parameters
    ----------
    model : Module
        Removed weights are zeros.
    batches : tuple of int
    rounds : int

    Returns
    -------
    dict
        "batches": for each batch size "rows" (of `minisparse.sparse.choosing.Choice`, in
        microseconds), "picked" (the fastest), "protocol", and "busy", the share of the cores that
        others used meanwhile; "cpu" and "threads"; "units" that are left in the hidden layers;
        "bytes" of the weights as dense arrays ("dense") and of the files that hold the model with
        its zeros left out ("file") and the shrunk one ("shrunk_file"); "multiply_adds" for one
        image, of all weights and, as "sparse_multiply_adds", of those that are left.
    """
    small, _ = shrink(model)
    sizes, small_sizes = (report(m, measure_latency=False).total for m in (model, small))
    timed = {}
    with one_thread():
        for batch in batches:
            watch, own = Neighbours().watch(), time.process_time()
            choice = choose(model, batch, rounds=rounds)
            timed[str(batch)] = {
                "rows": choice.rows,
                "picked": choice.best,
                "protocol": choice.protocol,
                "busy": watch(time.process_time() - own),
            }
    hidden = hidden_units(model, example_for(model))
    return {
        "batches": timed,
        "cpu": cpu_name(),
        "threads": 1,
        "units": nodes_left(model, hidden),
        "bytes": {
            "dense": sizes["dense_bytes"],
            "file": sizes["npz_bytes"],
            "shrunk_file": small_sizes["npz_bytes"],
        },
        "multiply_adds": sizes["multiply_adds"],
        "sparse_multiply_adds": sizes["sparse_multiply_adds"],
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside."""
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    try:
        yield
    finally:
        threads.set_num_threads(before)


# Chosen on 10,000 held-out training images, one seed.
NETS = {
    "LeNet-300-100": Speed(momentum=0.9),
    "LeNet-5": Speed(
        model="lenet5",
        lr=0.02,
        momentum=0.9,
        dense_epochs=4,
        retrain_epochs=2,
        unit_shares=(0.7, 0.45, 0.32, 0.22, 0.14),
    ),
}


def curve(
    results: Results, net: str, kind: str, batch: str, form: str
) -> list[tuple[float, dict[str, float]]]:
    """Return (compression, speed-up) of a net's points, the dense network first.

    Parameters
    ----------
    results : dict
        What results.json holds.
    net : str
    kind : {"weights", "units"}
    batch, form : str
        As in `details`.
    """
    return [
        (row["ours"]["compression_mean"], row["details"]["batches"][batch]["speedup"][form])
        for row in results["rows"]
        if row["series"] in (net, f"{net}, {kind}")
    ]

"""L0 regularization with hard concrete gates: one long training, then the closed gates go."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minisparse.experiments.recipe import Outcome, Progress, Work
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.milestones import Milestones
from minisparse.experiments.recipes.scratch import SCRATCH, from_scratch
from minisparse.experiments.recipes.session import Classifier, Session, by_layer
from minisparse.nn import Module
from minisparse.optim import EMA, schedules
from minisparse.prune.gate_counts import authors_counts, gate_counts, total
from minisparse.prune.l0 import L0Method, add_gates, architecture, gated_layers, harden
from minisparse.prune.nodes import remove_dead_nodes

# Initial drop rates of the paper's MNIST networks, by gated layer.
DROP = {
    "lenet300": {"fc1": 0.2, "fc2": 0.5, "fc3": 0.5},
    "lenet5": {"conv1": 0.5, "conv2": 0.5, "fc1": 0.5, "fc2": 0.5},
}


@dataclass(frozen=True)
class L0(Classifier):
    """The protocol of Louizos et al. 2018 on MNIST: Adam, averaged weights, no other regularizer.

    What is measured is the network that is left: gates at their evaluation value multiplied in,
    closed ones and whatever they leave without effect set to zero.

    Parameters
    ----------
    strengths : tuple of float
        lambda of each gated layer, before the division by N; one number is for all of them.
    l2 : float
        wd of the combined L2 penalty; the paper has none on MNIST.
    epochs : int
    decay_epochs : int
        In so many last epochs the learning rate falls to `final_lr` of the first; the paper's is
        constant.
    final_lr : float
    milestones : tuple of int
        The network is measured after so many epochs as well: the points "milestone 1", ...
    scratch : Dense or None
        At last the architecture that was found is trained in this way from new weights: the point
        "from scratch".
    """

    lr: float = 1e-3
    optimizer: str = "adam"
    average: float = 0.999
    strengths: tuple[float, ...] = (0.1,)
    l2: float = 0.0
    epochs: int = 200
    decay_epochs: int = 0
    final_lr: float = 0.01
    milestones: tuple[int, ...] = ()
    scratch: Dense | None = None

    def total_epochs(self) -> int:
        """Return the number of epochs, those from scratch included."""
        return self.epochs + (self.scratch.total_epochs() if self.scratch else 0)

    def work(self) -> dict[Work, float]:
        """Return the steps with gates, and those from scratch."""
        from_new = self.scratch.work() if self.scratch else {}
        return {**self.steps({"gates": self.epochs}), **from_new}

    def quick(self) -> L0:
        """Return a version with few epochs on 6,000 images; average and decay are as much shorter."""
        decay_epochs = 10 * self.decay_epochs // self.epochs
        return self.reduced(
            epochs=10,
            decay_epochs=decay_epochs,
            average=min(self.average, 0.98),
            milestones=tuple(range(8, 8 + len(self.milestones))),
            scratch=self.scratch and self.scratch.quick(),
        )

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        add_gates(session.model, DROP[self.model], session.rng)
        method = _Counting(
            by_layer("strengths", self.strengths, [*gated_layers(session.model)]),
            n=len(session.training),
            weight_decay=self.l2,
        )
        falling = None
        if self.decay_epochs:
            start = self.epochs - self.decay_epochs
            falling = schedules.geometric(start, self.epochs, self.final_lr)
        stops = Milestones(self.milestones, lambda run: _left(session, run.average))
        session.train(self.epochs, [method, *([stops] if self.milestones else [])], falling)
        end = _left(session, None)
        points = stops.points()
        if self.scratch:
            session.model = _hardened(session)
            points[SCRATCH] = from_scratch(session, self.scratch)
        session.close()
        return replace(end, history=session.history, points=points)


def _left(session: Session, average: EMA | None) -> Outcome:
    """Measure the network that the gates leave now, with its weights averaged or as they are."""
    with average.applied() if average else nullcontext():
        extra = {
            "architecture": architecture(session.model),
            "expected": _count(session.model, "expected"),
            "left": _count(session.model, "left"),
        }
        return session.outcome(model=_hardened(session), extra=extra)


def _hardened(session: Session) -> Module:
    plain, _ = harden(session.model)
    remove_dead_nodes(plain, session.training.images[:2].astype("float32"))
    return plain


def _count(model: Any, presence: Any) -> dict[str, Any]:
    """Count as the authors do and as it is; floating-point operations, for one image."""
    ours = total(gate_counts(model, presence))
    authors = total(authors_counts(model, presence))
    return {
        "authors": authors._asdict(),
        "ours": {
            "l0": ours.weights + ours.biases,
            "flops": 2 * ours.multiply_adds + ours.bias_adds,
        },
    }


class _Counting(L0Method):
    """Notes the expected floating-point operations of each epoch as well."""

    def after_epoch(self, run: Any) -> None:
        """Note architecture and counts."""
        super().after_epoch(run)
        for who, counts in _count(run.model, "expected").items():
            run.metrics[f"expected_flops_{who}"] = counts["flops"]

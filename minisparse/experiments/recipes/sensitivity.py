"""Sensitivity-driven regularization: dense training, regularize and threshold, train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.dose import DosedSensitivity
from minisparse.experiments.recipes.milestones import Milestones
from minisparse.experiments.recipes.session import Classifier, Ramp, Session
from minisparse.optim import schedules
from minisparse.prune.insensitivity import InsensitivityPruning


@dataclass(frozen=True)
class Sensitivity(Classifier):
    """The method of Tartaglione et al. 2018 on a budget of epochs that a CPU can bear.

    The published strength, lambda = 1e-5 per step, needs about 650 epochs to bring a weight from
    0.05 below the published threshold of 1e-3.  Here lambda is larger, and T rises linearly from 0
    to its final value while the regularizer acts.  A last phase trains what is left, without the
    regularizer, as the learning rate falls.

    Parameters
    ----------
    variant, form, output, regrow, examples :
        See `minisparse.prune.sensitivity.SensitivityPruning`.  One more variant, "none", is the
        control: S = 0 for all weights, so that a plain decay and the threshold are left.
    strength : float
        lambda, per step.
    threshold : float
        T at the end of the regularized phase.
    dense_epochs, sparsify_epochs, finetune_epochs : int
        Lengths of the three phases.
    final_lr : float
        Factor of the learning rate at the end of the last phase.
    dose, identity :
        See `minisparse.experiments.recipes.dose`; 1 and "real" are the method itself.
    fixed : bool
        T is `threshold` from the first epoch on, as published, instead of rising.
    milestones : tuple of int
        The network is measured after so many epochs as well: the points "milestone 1", ...
    """

    variant: str = "unspecific"
    form: str = "per-sample"
    output: str = "logits"
    regrow: bool = False
    examples: int | None = None
    strength: float = 1e-4
    threshold: float = 0.06
    dense_epochs: int = 10
    sparsify_epochs: int = 60
    finetune_epochs: int = 20
    final_lr: float = 0.01
    dose: float = 1.0
    identity: str = "real"
    fixed: bool = False
    milestones: tuple[int, ...] = ()

    def total_epochs(self) -> int:
        """Return the number of epochs of the three phases."""
        return self.dense_epochs + self.sparsify_epochs + self.finetune_epochs

    def quick(self) -> Sensitivity:
        """Return a version with few epochs on 6,000 images and a strength to match."""
        return self.reduced(
            dense_epochs=4,
            sparsify_epochs=16,
            finetune_epochs=4 if self.finetune_epochs else 0,
            strength=10 * self.strength,
            milestones=tuple(range(6, 6 + len(self.milestones))),
        )

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        method = self._method(seed)
        end = self.dense_epochs + self.sparsify_epochs
        falling = None
        if self.finetune_epochs:
            falling = schedules.geometric(end, self.total_epochs(), self.final_lr)
        stops = Milestones(self.milestones, lambda _: session.outcome(method.mask()))
        session.train(self.total_epochs(), [method, *([stops] if self.milestones else [])], falling)
        outcome = session.outcome(method.mask(), history=session.history, points=stops.points())
        session.close()
        return outcome

    def _method(self, seed: int) -> InsensitivityPruning:
        start, length = self.dense_epochs, self.sparsify_epochs
        threshold = self.threshold if self.fixed else Ramp(start, length, self.threshold)
        times: dict[str, Any] = {
            "start": start,
            "stop": start + length,
            "regrow": self.regrow,
        }
        if self.variant == "none":
            return PlainDecay(self.strength, threshold, **times)
        options: dict[str, Any] = {
            "variant": self.variant,
            "form": self.form,
            "output": self.output,
            "examples": self.examples,
        }
        whose: dict[str, Any] = {"dose": self.dose, "identity": self.identity, "shuffle": seed}
        return DosedSensitivity(self.strength, threshold, **times, **options, **whose)


class PlainDecay(InsensitivityPruning):
    """The rule with S = 0: every weight shrinks by lambda w."""

    def after_backward(self, run: Any) -> None:
        """Let every weight shrink in full."""
        if self.shrinks(run):
            self.shrink({name: 0 * p.array for name, p, _ in self.mask().parameters(run.model)})

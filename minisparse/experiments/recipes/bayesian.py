"""Bayesian methods under one protocol, each with its controls from the same seed.

A short dense training, then the method's: its noise and its divergence, warmed up, with a learning
rate that falls in the last epochs.  The controls have as many epochs, the same optimizer and the same
fall: the gradual magnitude pruning that leaves as much in each layer as the method did, and what the
method found (a mask, or widths) trained from new weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minisparse.experiments.calibration import (
    calibration_error,
    negative_log_likelihood,
    probabilities,
)
from minisparse.experiments.recipe import Outcome, Progress, Work
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.gradual import Gradual
from minisparse.experiments.recipes.scratch import SCRATCH, from_scratch, units_mask
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.nn import Module, harden
from minisparse.optim import schedules
from minisparse.prune.bayesian_compression import BayesianCompression, add_normal_scales
from minisparse.prune.l0_arm import L0ARM, add_binary_gates
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.prune.nodes import remove_dead_nodes
from minisparse.prune.posterior import PosteriorTraining
from minisparse.prune.sparse_variational_dropout import SparseVariationalDropout, add_variances
from minisparse.prune.structured_bayesian import StructuredBayesianPruning, add_log_normal_noise
from minisparse.prune.structured_variational_dropout import (
    StructuredVariationalDropout,
    add_unit_alphas,
)
from minisparse.prune.vibnet import VIBNet, add_bottlenecks

DRAWN, MAGNITUDE = "drawn", "magnitude"  # names of points
# method -> what puts it into layers, and what trains it
NOISE: dict[str, tuple[Callable[..., None], type[PosteriorTraining[Any]]]] = {
    "sparse-variational-dropout": (add_variances, SparseVariationalDropout),
    "structured-variational-dropout": (add_unit_alphas, StructuredVariationalDropout),
    "structured-bayesian-pruning": (add_log_normal_noise, StructuredBayesianPruning),
    "bc-gnj": (add_normal_scales, BayesianCompression),
    "vibnet": (add_bottlenecks, VIBNet),
}
ARM = "l0-arm"
METHODS = (*NOISE, ARM)
WEIGHTS = "sparse-variational-dropout"  # the one that removes single weights


@dataclass(frozen=True)
class Bayesian(Classifier):
    """A Bayesian method after a short dense training.

    What is measured is the network that is left: means, or expected factors, multiplied in, and
    whatever has no effect set to zero.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    strength : float
        beta or gamma, 1 is Bayes' rule; lambda of L0-ARM, before the division by N.
    initial : float or None
        Where the noise starts, as the method's `add_...` means it; None is its default.
    dense_epochs, noise_epochs : int
    warm_up : float
        Epochs in which beta rises, from the first with noise on.
    decay_epochs : int
        At the end, so many epochs in which the learning rate falls geometrically.
    final_lr : float
        Factor of the learning rate at the very end.
    draws : int
        Average so many draws of the noise on the images that are measured: the point "drawn".
    controls : bool
        Train the controls, too: the points "magnitude" and "from scratch".
    """

    lr: float = 3e-3
    optimizer: str = "adam"
    method: str = WEIGHTS
    strength: float = 1.0
    initial: float | None = None
    dense_epochs: int = 4
    noise_epochs: int = 12
    warm_up: float = 4.0
    decay_epochs: int = 4
    final_lr: float = 0.05
    draws: int = 0
    controls: bool = False

    def total_epochs(self) -> int:
        """Return the number of epochs, those of the controls included."""
        return (3 if self.controls else 1) * (self.dense_epochs + self.noise_epochs)

    def work(self) -> dict[Work, float]:
        """Return the steps with noise, and those without."""
        rest = self.total_epochs() - self.noise_epochs
        return self.steps({"dense": rest, self.method: self.noise_epochs})

    def quick(self) -> Bayesian:
        """Return a version with few epochs on 6,000 images."""
        return self.reduced(
            dense_epochs=1, noise_epochs=4, warm_up=1.0, decay_epochs=1, draws=min(self.draws, 2)
        )

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        session.train(self.dense_epochs)
        names, n = ["fc1", "fc2", "fc3"], len(session.training)
        method = put_noise(
            *(session.model, names, session.rng, n),
            *(self.method, self.strength, self.warm_up, self.initial),
        )
        falling = schedules.geometric(
            self.noise_epochs - self.decay_epochs, self.noise_epochs, self.final_lr
        )
        session.train(self.noise_epochs, [method], falling)
        plain, _ = harden(session.model)
        remove_dead_nodes(plain, session.training.images[:2].astype("float32"))
        end = session.outcome(model=plain, history=session.history)
        points = {}
        if self.draws:
            points[DRAWN] = self._drawn(session, end)
        if self.controls:
            points |= self._controls(session, plain)
        session.close()
        return replace(end, points=points)

    def _drawn(self, session: Session, end: Outcome) -> Outcome:
        """Measure the average of draws: of all weights, since noise removes none."""
        labels = session.measured.labels
        p = probabilities(session.model, session.measured, self.draws)
        return Outcome(
            error=100 * float((p.argmax(axis=1) != labels).mean()),
            loss=negative_log_likelihood(p, labels),
            kept=end.total,
            total=end.total,
            extra={"ece": calibration_error(p, labels)},
        )

    def _controls(self, session: Session, found: Module) -> dict[str, Outcome]:
        epochs = self.dense_epochs + self.noise_epochs
        shared = {name: getattr(self, name) for name in _SHARED}
        again = Dense(
            **shared, epochs=epochs, decay_epochs=self.decay_epochs, final_lr=self.final_lr
        )
        single = self.method == WEIGHTS
        mask = Mask.of_nonzeros(found) if single else units_mask(found)
        points = {SCRATCH: from_scratch(session, again, mask)}
        gradual = Gradual(
            **shared,
            keep=tuple(int((m if single else m.any(axis=-1)).sum()) for _, m in mask.items()),
            granularity="weight" if single else "input",
            dense_epochs=self.dense_epochs,
            sparsify_epochs=self.noise_epochs - self.decay_epochs,
            finetune_epochs=self.decay_epochs,
            final_lr=self.final_lr,
        )
        place = session.checkpoint.with_name(f"{session.checkpoint.name}.magnitude.npz")
        done, total = session.done, session.total

        def progress(fraction: float, note: str) -> None:
            session.progress((done + fraction * epochs) / total, f"magnitude: {note}")

        pruned = gradual.run(session.seed, checkpoint=place, progress=progress)
        own = {"train_error": pruned.history[-1]["train_error"]}
        points[MAGNITUDE] = replace(pruned, history=(), extra={**pruned.extra, **own})
        return points


def put_noise(
    model: Module,
    names: list[str],
    rng: np.random.Generator,
    n: int,
    method: str,
    strength: float = 1.0,
    warm_up: float = 4.0,
    initial: float | None = None,
) -> Method:
    """Put a method's noise into layers, and return what trains it.

    Parameters
    ----------
    model : Module
    names : list of str
        Of the layers.
    rng : numpy.random.Generator
    n : int
        Training images.
    method, strength, warm_up, initial
        Of `Bayesian`.
    """
    start = {} if initial is None else {"initial": initial}
    if method == ARM:
        add_binary_gates(model, names, rng, **start)
        return L0ARM(strength, n)
    add, training = NOISE[method]
    add(model, names, rng, **start)
    return training(n, warm_up, strength)


_SHARED = ("model", "dataset", "optimizer", "lr", "batch_size", "images", "hold_out")

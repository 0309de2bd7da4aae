"""One trained network, pruned once by every method: what it is worth at once, and trained on.

All arms of a seed begin at the same trained weights, look at the same training images, keep as many
weights of each layer as magnitude over all layers does (`own shares` excepted), and are trained on by
the same images in the same order.  So what differs between two of them is which weights stay, and what
these are changed to.

Two kinds of arms take a method apart:

    "X, its mask alone"          the weights that X keeps, unchanged: without its compensation
    "magnitude, reconstructed"   what magnitude keeps, changed by least squares on each layer's inputs
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minisparse.autodiff import no_grad
from minisparse.data import batches
from minisparse.experiments.recipe import Outcome, Progress, Work
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.nn import Module
from minisparse.nn.names import joined
from minisparse.optim import SGD, schedules
from minisparse.prune.batch import Batch
from minisparse.prune.compensation import least_squares
from minisparse.prune.fisher import FisherPruning
from minisparse.prune.layerwise import LayerwisePruning, damped, hessian
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.magnitude import MagnitudePruning, magnitude_mask
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask
from minisparse.prune.obc import OBCPruning
from minisparse.prune.obd import OBDPruning
from minisparse.prune.random_pruning import RandomPruning, densities_of
from minisparse.prune.schedule import one_shot
from minisparse.prune.score import ScorePruning
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.wanda import WandaPruning
from minisparse.prune.woodfisher import WoodFisherPruning
from minisparse.train import evaluate

ALONE, OWN, RECONSTRUCTED = "its mask alone", "own shares", "magnitude, reconstructed"
DENSE = "dense, trained on"
METHODS: dict[str, Callable[..., ScorePruning]] = {
    "magnitude": MagnitudePruning,
    "random": RandomPruning,
    "OBD": OBDPruning,
    "empirical Fisher": FisherPruning,
    "WoodFisher": WoodFisherPruning,
    "L-OBS": LayerwiseOBSPruning,
    "OBC": OBCPruning,
    "SparseGPT": SparseGPTPruning,
    "Wanda": WandaPruning,
}
ARMS = (
    "magnitude",
    "random",
    "OBD",
    f"OBD, {OWN}",
    "empirical Fisher",
    *(arm for m in ("WoodFisher", "L-OBS", "OBC", "SparseGPT") for arm in (m, f"{m}, {ALONE}")),
    "Wanda",
    RECONSTRUCTED,
)


@dataclass(frozen=True)
class OneShot(Classifier):
    """Train, and for each arm and compression prune the trained network once and train it on.

    Parameters
    ----------
    arms : tuple of str
        Of `ARMS`.
    compressions : tuple of float
        All weights / kept weights.
    dense_epochs : int
        Before the pruning; the learning rate falls in the second half, to `final_lr` times the first.
    retrain_epochs : int
        After it, with the learning rate falling from `retrain_lr` to `final_lr` times that.
    scored : int
        Training images that the methods look at.
    fisher_damping : float
        lambda of WoodFisher.  The layer-wise methods keep their own.
    """

    arms: tuple[str, ...] = ARMS
    compressions: tuple[float, ...] = (4, 12.5, 40)
    dense_epochs: int = 20
    retrain_epochs: int = 3
    retrain_lr: float = 0.1
    final_lr: float = 0.01
    scored: int = 2000
    fisher_damping: float = 1e-5

    def total_epochs(self) -> int:
        """Return the number of epochs of all arms together."""
        return self.dense_epochs + self.retrain_epochs * (
            1 + len(self.arms) * len(self.compressions)
        )

    def work(self) -> dict[Work, float]:
        """Return nothing: pruning takes as long as training, and is not counted in steps."""
        return {}

    def epoch_of(self, point: str | None) -> int:
        """Return the last epoch of an arm; 0, which no line of the history has, for one at once."""
        if point is None:
            return self.dense_epochs
        arms = [f"{arm}, {c:g}x, trained on" for c in self.compressions for arm in self.arms]
        trained = [DENSE, *arms]
        if point not in trained:
            return 0
        return self.dense_epochs + self.retrain_epochs * (1 + trained.index(point))

    def quick(self) -> OneShot:
        """Return a version with few epochs on 6,000 images, which looks at few of them."""
        return self.reduced(dense_epochs=3, retrain_epochs=1, scored=200)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train; measure each arm at once and trained on.  The outcome itself is the dense network."""
        if unknown := set(self.arms) - set(ARMS):
            raise ValueError(f"unknown arms {sorted(unknown)}; there are {', '.join(ARMS)}")
        session = Session(self, seed, checkpoint, progress)
        dense = self.dense_epochs
        session.train(dense, schedule=schedules.geometric(dense / 2, dense, self.final_lr))
        first, start = session.outcome(), _Start(session, self)
        points = {DENSE: start.trained_on(None)}
        for compression in self.compressions:
            for arm in self.arms:
                mask = start.prune(arm, 1 / compression)
                fits = evaluate(session.model, session.training, normalize=session.normalize)
                at_once = session.outcome(mask, extra={"train_error": fits.error_percent})
                trained = replace(start.trained_on(mask), extra={"at_once": at_once.error})
                points[f"{arm}, {compression:g}x, at once"] = at_once
                points[f"{arm}, {compression:g}x, trained on"] = trained
        outcome = replace(first, history=session.history, points=points)
        session.close()
        return outcome


class _Start:
    """The trained network that all arms begin with, and the images that they look at."""

    def __init__(self, session: Session, recipe: OneShot) -> None:
        self.session, self.recipe = session, recipe
        self.weights = session.model.state_dict()
        self.rng_state = session.rng.bit_generator.state
        split = session.training
        order = np.random.default_rng([session.seed, 11]).permutation(len(split))[: recipe.scored]
        self.images = next(batches(split, recipe.scored, normalize=session.normalize, order=order))
        self.masks: dict[tuple[str, float], Mask] = {}

    def prune(self, arm: str, density: float) -> Mask:
        """Prune the session's model, from the start, and return what is left."""
        model, (method, _, how) = self.session.model, arm.partition(", ")
        model.load_state_dict(self.weights)
        if arm == RECONSTRUCTED:
            mask = magnitude_mask(model, density)
            reconstruct(model, mask, Batch(model, self.images))
        elif how == ALONE:
            if (method, density) not in self.masks:
                self.prune(method, density)
                model.load_state_dict(self.weights)
            mask = self.masks[method, density]
            mask.apply(model)
        else:
            mask = self._by_method(method, density, own=how == OWN)
        self.masks[arm, density] = mask
        return mask

    def trained_on(self, mask: Mask | None) -> Outcome:
        """Train the session's model on: all arms by the same images in the same order."""
        session, recipe = self.session, self.recipe
        if mask is None:
            session.model.load_state_dict(self.weights)
        session.rng.bit_generator.state = self.rng_state
        falling = schedules.geometric(0, recipe.retrain_epochs, recipe.final_lr)
        session.train(
            recipe.retrain_epochs,
            [] if mask is None else [FixedMask(mask)],
            lambda t: recipe.retrain_lr / recipe.lr * falling(t),
        )
        return session.outcome(mask)

    def _by_method(self, name: str, density: float, *, own: bool) -> Mask:
        model = self.session.model
        scope: Any = "global" if own else densities_of(magnitude_mask(model, density))
        rest = {"damping": self.recipe.fisher_damping} if name == "WoodFisher" else {}
        method = METHODS[name](one_shot(1 - density), scope=scope, **rest)
        method.attach(model, SGD(model, 0.1), np.random.default_rng([self.session.seed, 12]))
        method.prune(density, Batch(model, self.images))
        return method.mask()


def reconstruct(model: Module, mask: Mask, batch: Batch) -> None:
    """Change the weights that a mask keeps, by least squares on the inputs of each layer.

    As in OBC the inputs are those that the unpruned network sends, and the damping is the same.
    """
    with no_grad():
        _, records = batch.layers()
    weights = dict(model.named_parameters())
    for record in records:
        name = joined(record.name, "weight")
        h = damped(hessian([record]), LayerwisePruning.usual_damping)
        columns = zip(weights[name].numpy().astype(np.float64).T, mask[name].T, strict=True)
        with weights[name].writing() as w:
            w[...] = np.stack([least_squares(c, h, kept) for c, kept in columns], axis=1)

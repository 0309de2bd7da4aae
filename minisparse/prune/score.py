"""A method is its score.

    score  x  granularity  x  scope  x  schedule   ->   mask

    score        how much a weight is worth keeping              the method: `score` of a subclass
    granularity  what is removed together                        granularity.py
    scope        what is compared with what                      scope.py
    schedule     how much is to be gone, and when                schedule.py

A method that ranks weights says in `ScorePruning.score` how; the rest is here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import to_numpy
from ..optim import SGD
from .batch import Batch
from .granularity import Granularity
from .mask import Mask
from .masked import MaskedTraining
from .method import Run
from .schedule import Sparsity, end_of, wanted
from .scope import Scope, keep_largest


class ScorePruning(MaskedTraining):
    """Prune to a given sparsity at given times, the lowest scores first.

    A subclass says `score`.  The schedule is asked before the first step and after every epoch; what
    was removed stays removed.

    Parameters
    ----------
    sparsity : function of time
        Wanted sparsity when so many epochs are finished; see `minisparse.prune.schedule`.
    scope, granularity : see `minisparse.prune.scope.keep_largest`
        Sparsity is counted in groups, of all layers together or of each one.  Where all weights of
        a unit go, its bias stays and trains on: name it in `names` or let `sparse.shrink` fold it.
    every : int, optional
        Ask the schedule every so many steps as well.
    images : int, optional
        How many training images the score is measured on, drawn anew each time; as many as in a
        batch if left out.  Scores that look at no image draw none.
    names : list of str, optional
        Parameters to prune; all weights (no biases) if left out.
    """

    training = False  # the mode in which `score` finds the model; see `Batch`

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "global",
        granularity: Granularity = "weight",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        for what, value, unit in (("every", every, "steps"), ("images", images, "images")):
            if value is not None and value < 1:
                raise ValueError(f"{what} is a number of {unit} >= 1, got {value}")
        self.sparsity, self.scope, self.granularity = sparsity, scope, granularity
        self.every, self.images = every, images

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return how much each weight is worth keeping.

        Parameters
        ----------
        weights : mapping from parameter name to array
            The present weights, on the model's device; not to be changed.
        batch : Batch
            The model and some training images.

        Returns
        -------
        mapping from parameter name to array of the same shape
        """
        raise NotImplementedError(f"{type(self).__name__} says no score")

    def ask(self, batch: Batch, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
        """Return the scores of a model that is not in training; it stays as it is.

        The method is attached to the model anew, so that what it has noted while training is gone.

        Parameters
        ----------
        batch : Batch
            The model and some images.
        rng : np.random.Generator, optional
            For scores that are drawn; a new one with seed 0 if left out.

        Returns
        -------
        dict from parameter name to array in main memory

        Examples
        --------
        >>> from minisparse.nn import Linear
        >>> from minisparse.prune.schedule import one_shot
        >>> from minisparse.prune.snip import SNIP
        >>> model = Linear(2, 2, rng=np.random.default_rng(0))
        >>> batch = Batch(model, (np.array([[1, 0]], np.float32), np.array([0])))
        >>> s = SNIP(one_shot(0.5)).ask(batch)["weight"]
        >>> float(s[0].sum().round(6)), s[1].tolist()  # nothing comes in at the second input
        (1.0, [0.0, 0.0])
        """
        rng = np.random.default_rng(0) if rng is None else rng
        self.attach(batch.model, SGD(batch.model, 1.0), rng)
        return {name: to_numpy(s) for name, s in self._scores(batch).items()}

    def _scores(self, batch: Batch) -> Mapping[str, Any]:
        weights = {name: p.array for name, p, _ in self.mask().parameters(self.model)}
        return self.score(weights, batch)

    def planned_until(self) -> float:
        """Return the end of the schedule, if it says one."""
        return end_of(self.sparsity)

    def begin(self, run: Run) -> None:
        """Prune what is due before the first step."""
        self.update(run)

    def after_step(self, run: Run) -> None:
        """Hold the mask; tighten it if this step is one of `every`."""
        super().after_step(run)
        if self.every is not None and run.step % self.every == 0:
            self.update(run)

    def after_epoch(self, run: Run) -> None:
        """Tighten the mask to what the schedule asks for now."""
        self.update(run)

    def update(self, run: Run) -> None:
        """Remove what the schedule asks for at this time, if it is more than is gone."""
        sparsity = wanted(self.sparsity, run.finished)
        if sparsity == 0:
            return
        batch = run.draw(self.images or run.batch_size, training=self.training)
        self.prune(1 - sparsity, batch)

    def prune(self, density: float, batch: Batch) -> None:
        """Keep no more than `density`: of what is left, the highest scores."""
        self.tighten(self.choose(density, batch))

    def choose(self, density: float, batch: Batch) -> Mask:
        """Return the mask with the highest scores of what the present mask keeps."""
        scores = {name: to_numpy(s) for name, s in self._scores(batch).items()}
        return keep_largest(scores, density, self.scope, self.granularity, within=self.mask())


__all__ = ["ScorePruning"]

"""One protocol for what goes by a score: magnitude or chance, weights or units, a penalty beside it.

Dense training, then for each layer a cubic descent (Zhu and Gupta 2017) to the number that is asked
for, then training of what is left: the three phases of the sensitivity recipe, with its epochs.  So
these are its controls: as much is left, in the same layers, after the same training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minisparse.arrays import to_numpy
from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.session import Classifier, Session, by_layer
from minisparse.nn import Module
from minisparse.optim import Optimizer, schedules
from minisparse.prune.granularity import group_scores, ungroup
from minisparse.prune.mask import Mask
from minisparse.prune.masked import MaskedTraining
from minisparse.prune.method import Method
from minisparse.prune.nodes import remove_dead_nodes
from minisparse.prune.penalties import GroupLasso
from minisparse.prune.schedule import cubic_sparsity
from minisparse.prune.scope import keep_largest, top_k

CHOICES = ("magnitude", "random")


@dataclass(frozen=True)
class Gradual(Classifier):
    """Prune gradually to a compression of all weights, or to a number for each layer.

    Parameters
    ----------
    choose : {"magnitude", "random"}
        What goes first: the small, or what a random order says that is drawn once.
    compression : float
        All weights / kept weights at the end, the layers competing; 0 if `keep` says it.
    keep : tuple of int
        How many groups each layer keeps: of weights, or of what `granularity` says.
    granularity : {"weight", "input", "unit"}
        What goes as a whole; see `minisparse.prune.granularity`.  The score of a group is the sum
        of its squares.
    group_lasso : tuple of float
        lambda of a group lasso on the same groups while they go; none if it is empty.
    dense_epochs, sparsify_epochs, finetune_epochs : int
        Lengths of the three phases.
    final_lr : float
        Factor of the learning rate at the end of the last phase.
    """

    choose: str = "magnitude"
    compression: float = 0.0
    keep: tuple[int, ...] = ()
    granularity: str = "weight"
    group_lasso: tuple[float, ...] = ()
    dense_epochs: int = 10
    sparsify_epochs: int = 60
    finetune_epochs: int = 20
    final_lr: float = 0.01

    def total_epochs(self) -> int:
        """Return the number of epochs of the three phases."""
        return self.dense_epochs + self.sparsify_epochs + self.finetune_epochs

    def quick(self) -> Gradual:
        """Return a version with few epochs on 6,000 images."""
        return self.reduced(dense_epochs=2, sparsify_epochs=6, finetune_epochs=2)

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure."""
        session = Session(self, seed, checkpoint, progress)
        layers = [name for name, p in session.model.named_parameters() if p.ndim > 1]
        start, end = self.dense_epochs, self.dense_epochs + self.sparsify_epochs
        method = GradualPruning(
            self._target(layers), start, end, self.choose, self.granularity, order=seed
        )
        methods: list[Method] = [method]
        if self.group_lasso:
            strengths = by_layer("group_lasso", self.group_lasso, layers)
            methods = [
                *(
                    GroupLasso(s, self.granularity, [name], start=start, stop=end)
                    for name, s in strengths.items()
                    if s
                ),
                method,
            ]
        falling = schedules.geometric(end, self.total_epochs(), self.final_lr)
        session.train(self.total_epochs(), methods, falling)
        if self.granularity != "weight":
            remove_dead_nodes(session.model, session.training.images[:1].astype("float32"))
        outcome = session.outcome(method.mask(), history=session.history)
        session.close()
        return outcome

    def _target(self, layers: list[str]) -> float | dict[str, int]:
        if bool(self.keep) == bool(self.compression):
            raise ValueError(
                f"give a compression or what each layer keeps, got {self.compression} and {self.keep}"
            )
        if self.keep:
            if len(self.keep) != len(layers):
                raise ValueError(f"keep is a number for each of {layers}, got {self.keep}")
            return dict(zip(layers, self.keep, strict=True))
        if self.granularity != "weight" or self.compression < 1:
            raise ValueError(
                f"a compression, at least 1, is of single weights; got {self.compression} of "
                f"{self.granularity!r}"
            )
        return 1 / self.compression


class GradualPruning(MaskedTraining):
    """After each epoch between two, tighten the mask along the cubic schedule.

    Parameters
    ----------
    target : float or dict from parameter name to int
        The density of all weights at the end, or the groups that each layer keeps.
    start, end : int
        The epochs between which the mask tightens.
    choose : {"magnitude", "random"}
    granularity : str
    order : int
        Seed of the random order.
    """

    def __init__(
        self,
        target: float | Mapping[str, int],
        start: int,
        end: int,
        choose: str = "magnitude",
        granularity: str = "weight",
        order: int = 0,
    ) -> None:
        super().__init__(list(target) if isinstance(target, Mapping) else None)
        if choose not in CHOICES:
            raise ValueError(f"choose is one of {', '.join(CHOICES)}, got {choose!r}")
        self.target = dict(target) if isinstance(target, Mapping) else target
        self.start, self.end, self.choose, self.granularity = start, end, choose, granularity
        self.order = order
        self._random: dict[str, np.ndarray] = {}

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Draw the random order: from a generator of its own, so that all arms see one order."""
        super().attach(model, optimizer, rng)
        own = np.random.default_rng([self.order, 5])
        self._random = {
            name: own.random(group_scores(np.ones(m.shape), self.granularity).shape)
            for name, m in self.mask().items()
        }
        if isinstance(self.target, dict):
            for name, count in self.target.items():
                if not 0 < count <= self._random[name].size:
                    raise ValueError(
                        f"{name} has {self._random[name].size} groups and cannot keep {count}"
                    )

    def after_epoch(self, run: Any) -> None:
        """Tighten the mask."""
        t = run.epoch + 1
        if not self.start < t <= self.end:
            return
        scores = self._scores()
        if isinstance(self.target, dict):
            entries = {}
            for name, score in scores.items():
                share = self.target[name] / score.size
                removed = cubic_sparsity(t, self.start, self.end, 1 - share)
                count = self.target[name] if t == self.end else round((1 - removed) * score.size)
                shape = self.mask()[name].shape
                entries[name] = ungroup(top_k(score, count), shape, self.granularity)
            self.tighten(Mask(entries))
        else:
            removed = cubic_sparsity(t, self.start, self.end, 1 - self.target)
            self.tighten(keep_largest(scores, 1 - removed))

    def _scores(self) -> dict[str, np.ndarray]:
        """Return the scores of the groups; what is removed ranks below everything."""
        found = {}
        for name, p, m in self.mask().parameters(self.model):
            left = group_scores(m.astype(float), self.granularity) > 0
            score = self._random[name]
            if self.choose == "magnitude":
                score = group_scores(to_numpy(p.array).astype(float) ** 2, self.granularity)
            found[name] = np.where(left, score, -1.0)
        return found

"""Pruning large, small or random weights while training, so that every arm can fit its images."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minisparse.experiments.recipe import Outcome, Progress
from minisparse.experiments.recipes.own_scale import OwnScale, Turning
from minisparse.experiments.recipes.session import Classifier, Session
from minisparse.nn import NormCNN, num_parameters
from minisparse.optim import schedules
from minisparse.prune.large_weights import LargeWeightPruning, kept_after
from minisparse.prune.nodes import remove_dead_nodes
from minisparse.train import evaluate

# Layer -> the batch norm behind it; conv1 and the last layer hold less than a hundredth.
LAYERS = {"conv2": "norm2", "conv3": "norm3", "fc1": "norm4"}


@dataclass(frozen=True)
class LargeWeightsFair(Classifier):
    """One arm of a comparison in which batch norm and time let every network fit.

    Single weights of conv2, conv3 and fc1 go, the same share of each, measured by |w| over what is
    usual for their unit (`minisparse.prune.large_weights.sizes`); or filters of conv2 and conv3 and
    nodes of fc1, measured by what their batch norm sends (`large_weights.mean_sent`).

    Parameters
    ----------
    dropout : float
        Of the hidden units of fc1, for the rival that keeps all parameters.
    target : {"none", "largest", "smallest", "random"}
        What goes; none for the arms that keep all parameters.
    granularity : {"weight", "unit"}
    fraction : float
        Share of all parameters that is gone at the end; of units, those that nobody reads any more
        included.
    epochs : int
    first, every : float
    events : int
        The events come after epochs first, first + every, ...
    decay_epochs : int
        At the end, so many epochs in which the learning rate falls geometrically.
    final_lr : float
        Factor of the learning rate at the very end.
    watch : int
        How many images, of those not trained on, each event's instability is measured on.
    own_scale : bool
        A control: the weights that are left into a unit get the rms that they had, so that no step
        becomes larger (`minisparse.experiments.recipes.own_scale`).
    """

    model: str = "norm-cnn"
    dataset: str = "cifar-10"
    optimizer: str = "adam"
    lr: float = 1e-3
    inputs: tuple[float, ...] = (0.4734, 0.2516)  # of all channels
    images: int | None = 45_000
    dropout: float = 0.0
    target: str = "none"
    fraction: float = 0.0
    epochs: int = 24
    first: float = 1
    every: float = 1
    events: int = 12
    decay_epochs: int = 9
    final_lr: float = 0.03
    watch: int = 2000
    own_scale: bool = False
    granularity: str = "weight"

    def total_epochs(self) -> int:
        """Return the number of epochs."""
        return self.epochs

    def network(self) -> dict[str, Any]:
        """Return widths and dropout."""
        return {**super().network(), "dropout": self.dropout}

    def quick(self) -> LargeWeightsFair:
        """Return a version with few epochs on 2,000 images."""
        return replace(
            self, images=2000, epochs=5, first=1, every=1, events=2, decay_epochs=2, watch=500
        )

    def run(self, seed: int, *, checkpoint: Path, progress: Progress) -> Outcome:
        """Train and measure; the training error is that of the finished network, without dropout."""
        session = Session(self, seed, checkpoint, progress)
        method = self._method(session)
        falling = schedules.geometric(self.epochs - self.decay_epochs, self.epochs, self.final_lr)
        turning = Turning([*LAYERS])
        session.train(self.epochs, [method, turning] if method else [turning], falling)
        fitted = evaluate(session.model, session.training, normalize=session.normalize)
        extra: dict[str, Any] = {"train_error": fitted.error_percent}
        if method is not None and method.events:  # none before training are measured
            extra |= {"stability": method.stability(), "events": method.events}
        if self.granularity == "unit":  # nobody receives from a unit that is gone
            remove_dead_nodes(session.model, session.training.images[:1].astype("float32"))
        mask = method.mask() if method else None
        outcome = session.outcome(mask, history=session.history, extra=extra)
        session.close()
        return outcome

    def _method(self, session: Session) -> LargeWeightPruning | None:
        if (self.target == "none") != (self.fraction == 0):
            raise ValueError(f"target {self.target!r} with the fraction {self.fraction}")
        if self.target == "none":
            return None
        apart = session.measured if self.hold_out else session.spare  # in a trial nothing is tested
        if apart is None or len(apart) < self.watch:
            raise ValueError(
                f"instability is measured on {self.watch} images that are not trained on: let "
                "`images` leave so many over"
            )
        layers = [f"{layer}.weight" for layer in LAYERS]
        whole = self.granularity == "unit"
        if self.own_scale and whole:
            raise ValueError("own_scale is a control of single weights")
        kind = partial(OwnScale, norms=LAYERS) if self.own_scale else LargeWeightPruning
        return kind(
            self._share_of_units(session) if whole else self._share_of_weights(session),
            [self.first + self.every * i for i in range(self.events)],
            apart.subset(np.arange(self.watch)),
            target=self.target,
            granularity=self.granularity,
            relative=not whole,
            measure="E[BN]" if whole else "weights",
            normalize=session.normalize,
            names=layers,
        )

    def _share_of_weights(self, session: Session) -> float:
        """Return the share of the layers' weights that is the fraction of all parameters."""
        sizes = {name: p.size for name, p in session.model.named_parameters()}
        return self.fraction * sum(sizes.values()) / sum(sizes[f"{layer}.weight"] for layer in LAYERS)

    def _share_of_units(self, session: Session) -> float:
        """Return the smallest share of the layers' units, in thousandths, that is enough."""
        shape, rng = session.training.images.shape[1:], np.random.default_rng(0)
        first, *widths = (len(session.model.state_dict()[f"norm{i}.bias"]) for i in range(1, 5))
        aim = (1 - self.fraction) * num_parameters(session.model)

        def left(share: float) -> int:
            second, third, hidden = (kept_after(width, share, 1)[0] for width in widths)
            net = NormCNN(shape, widths=(first, second, third, hidden), rng=rng)
            return num_parameters(net)

        enough = bisect_left(range(1000), True, key=lambda k: left(k / 1000) <= aim)
        if enough == 1000:
            raise ValueError(f"the units of {', '.join(LAYERS)} hold less than {self.fraction:.0%}")
        return enough / 1000

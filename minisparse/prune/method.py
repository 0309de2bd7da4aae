"""What takes part in training: the hooks of a method, and the run that they are given."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..autodiff import Tensor, cross_entropy
from ..checkpoint import State, plain
from ..data import Split, batches, count_batches
from ..data.batching import Normalization
from ..doors import open_door
from ..evaluation import Evaluation, Loss, home
from ..nn import LayerRecord, Module
from ..nn.chain import Chain
from ..optim import EMA, Optimizer
from .batch import Batch
from .mask import Mask


class Method:
    """Base class of everything that acts on a network while it is trained.

    A subclass overrides the hooks that it needs; `minisparse.train.train` calls them in this
    order (what is not overridden costs nothing):

    ====================  =====================================================================
    `attach`              once, before the first step, and again when a run is resumed
    `begin`               once, at the start of a fresh run: the images are at hand here
    `before_loss`         every step, after the forward: may return a penalty for the loss
    `after_backward`      every step: ``p.grad`` is there, the parameters are still the old ones
    `after_step`          every step, after the optimizer: masks act here
    `after_epoch`         before the evaluation and the line of the history
    ====================  =====================================================================

    All hooks but the first get the `Run`: its model, optimizer, present batch, time, and
    ``run.metrics``, whose entries go into the history of the epoch.

    Two rules make a method safe.  What it zeroes in `after_step` it also resets in the optimizer
    (``run.optimizer.reset_state``), or momentum revives it.  And whatever changes during the run
    is in `state_dict`, or a resumed run takes another path; random numbers come from ``run.rng``.

    A method may hold an optimizer of its own, for scores or for parameters that the run's optimizer
    does not have: training clears and fills the gradients of all parameters of the model, whoever
    updates them.  It steps that optimizer in `after_step`, and has its state in `state_dict`.

    Attributes
    ----------
    wants_layers : bool
        Record the input and the pre-activation of every layer of the model in ``run.layers``.
    reads_chain : bool
        `before_loss` can do with ``run.chain`` in place of ``run.layers``, and returns no
        penalty.  It is called after the loss then, at the same weights.

    Examples
    --------
    Decay towards zero, apart from the gradient:

    >>> class Shrink(Method):
    ...     def __init__(self, rate):
    ...         self.rate = rate
    ...     def after_step(self, run):
    ...         for p in run.model.parameters():
    ...             with p.writing() as w:
    ...                 w *= 1 - self.rate
    """

    wants_layers: bool = False
    reads_chain: bool = False

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        open_door(cls, kept=True)

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Check names, shapes and settings against the model, and make what depends on them.

        Also called when a run is resumed, before `load_state_dict`.
        """

    def begin(self, run: Run) -> None:
        """Act before the first step of a fresh run, e.g. prune at initialization."""

    def planned_until(self) -> float:
        """Return the time of the last thing that is planned, in epochs.

        Training warns before its first step if it ends earlier.
        """
        return 0.0

    def before_loss(self, run: Run) -> Tensor | None:
        """Act between forward and loss; a scalar returned is added to the loss."""

    def after_backward(self, run: Run) -> None:
        """Act on the gradients."""

    def after_step(self, run: Run) -> None:
        """Act on the parameters that the optimizer has just changed."""

    def after_epoch(self, run: Run) -> None:
        """Act at the end of an epoch."""

    def mask(self) -> Mask:
        """Return which weights are kept now.

        Raises
        ------
        NotImplementedError
            The method keeps no mask, e.g. a penalty.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no mask")

    def state_dict(self) -> dict[str, Any]:
        """Return what changes during a run: NumPy arrays, numbers, strings, None, nested."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if state:
            raise KeyError(f"{type(self).__name__} keeps no state, got {sorted(state)}")


def _whole(images: Any) -> int:
    if not hasattr(images, "__index__") or images < 1:
        raise TypeError(f"a number of images is a whole number >= 1, got {images!r}")
    return operator.index(images)


@dataclass
class Totals:
    """Sums over the images seen in this epoch."""

    images: int = 0
    loss: float = 0.0
    penalty: float | None = None
    wrong: int = 0


@dataclass(eq=False, repr=False)
class Run:
    """A training under way, as the hooks of a method see it, and what `train` returns.

    Attributes
    ----------
    model, optimizer, rng, methods, average
        As given to `train`.
    split : Split
        The images that are trained on, and `normalize`, as given to `train`.
    loss_function : function of (logits, labels)
        As given to `train`: the mean over a batch, without penalties.
    batch_size, epochs, steps_per_epoch : int
    epoch : int
        Epochs completed; so in a hook the number of the present epoch, from 0.
    step : int
        Optimizer steps taken since the beginning; so 1 in the first `Method.after_step`.
    time : float
        When the step under way began, in epochs from 0: the same in all hooks of a step.  Between
        two epochs it is a whole number: 0.0 in `Method.begin`, 1.0 in the first
        `Method.after_epoch`.  Schedules of whatever acts at every step are functions of it.
    finished : float
        ``step / steps_per_epoch``: the epochs that the optimizer has finished, so in
        `Method.after_step` one step more than `time`, and elsewhere the same.  Schedules of what
        has to be reached by then, such as a sparsity, are functions of it.
    history : list of dict
        For each epoch: epoch (from 1), train_loss (mean over the images, each at the time it was
        used), penalty (mean of what `Method.before_loss` returned, if anything), train_error (in
        percent), validation_loss and validation_error (if evaluated), lr (of the last step),
        seconds, and what methods put into `metrics`.
    metrics : dict
        What methods want in the history of this epoch: numbers or strings.
    seconds : float
        Time spent in `train`, that of earlier processes included.
    x, y : Tensor [batch, height, width, channels], array [batch]
        The present batch.
    logits : Tensor [batch, classes]
    loss : Tensor
        With penalties; exists from `Method.after_backward` on.
    layers : list of LayerRecord
        The layers of the present forward, if a method has `wants_layers`.
    chain : Chain or None
        Instead of that, where the step was taken in one call and every method that looks at layers
        has `reads_chain`.
    """

    model: Module
    optimizer: Optimizer
    rng: np.random.Generator
    methods: tuple[Method, ...]
    split: Split
    epochs: int
    batch_size: int = 100
    normalize: Normalization = "unit"
    loss_function: Loss = cross_entropy
    average: EMA | None = None
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    epoch_began: float = 0.0  # in `seconds`
    epoch_rng: Any = None  # the generator before it drew the order of this epoch
    time: float = field(init=False, default=0.0)

    x: Tensor = field(init=False)
    y: Any = field(init=False)
    logits: Tensor = field(init=False)
    loss: Tensor = field(init=False)
    layers: list[LayerRecord] = field(init=False)
    chain: Chain | None = field(init=False, default=None)

    def __repr__(self) -> str:
        return f"Run({self.step} steps, {self.epoch} of {self.epochs} epochs)"

    @cached_property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in a pass over the images."""
        return count_batches(len(self.split), self.batch_size)

    @property
    def finished(self) -> float:
        """Return how many epochs the optimizer has finished: an int if it is a whole number."""
        whole, rest = divmod(self.step, self.steps_per_epoch)
        return self.step / self.steps_per_epoch if rest else whole

    def draw(self, images: int, *, training: bool = False) -> Batch:
        """Return a `Batch` of training images, to be drawn from `rng` when it is first looked at.

        Parameters
        ----------
        images : int
            How many; all different, and at most all there are.
        training : bool
            Whether the model is to be in training mode when it is asked; see `Batch`.
        """
        return Batch(
            self.model, partial(self._draw, _whole(images)), loss=self.loss_function, training=training
        )

    def _draw(self, images: int) -> tuple[Any, Any]:
        xp, dtype = home(self.model)
        chosen = self.rng.choice(len(self.split), min(images, len(self.split)), replace=False)
        x, y = next(
            batches(self.split, images, normalize=self.normalize, dtype=dtype, order=chosen)
        )
        return xp.asarray(x), xp.asarray(y)

    def present(self, *, training: bool = False) -> Batch:
        """Return the present batch as a `Batch`."""
        return Batch(
            self.model, lambda: (self.x.array, self.y), loss=self.loss_function, training=training
        )

    def position(self) -> str:
        """Say where the run is."""
        step = self.step - self.epoch * self.steps_per_epoch
        return f"epoch {self.epoch + 1} of {self.epochs}, step {step} of {self.steps_per_epoch}"

    def glance(self) -> str:
        """Say where the run is, and how it goes."""
        return f"{self.position()}, loss {self.totals.loss / max(self.totals.images, 1):.4g}"

    def close_epoch(self, evaluation: Evaluation | None) -> None:
        """Add the line of this epoch to the history, and begin the next."""
        t = self.totals
        record: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "train_loss": t.loss / t.images,
            "train_error": 100 * t.wrong / t.images,
        }
        if t.penalty is not None:
            record["penalty"] = t.penalty / t.images
        if evaluation is not None:
            record["validation_loss"] = evaluation.loss
            record["validation_error"] = evaluation.error_percent
        record["lr"] = float(self.optimizer.lr)
        record["seconds"] = self.seconds - self.epoch_began
        if taken := record.keys() & self.metrics.keys():
            raise ValueError(f"run.metrics: the history has its own {sorted(taken)}")
        self.history.append(record | {key: plain(value) for key, value in self.metrics.items()})
        self.epoch += 1
        self.epoch_began, self.metrics, self.totals = self.seconds, {}, Totals()

    def state_dict(self) -> State:
        """Return everything that a process needs to go on from here."""
        return {
            **{key: getattr(self, key) for key in _POSITION},
            "totals": asdict(self.totals),
            "rng": self.rng.bit_generator.state,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "methods": [method.state_dict() for method in self.methods],
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Go back to what `state_dict` returned."""
        done = state["step"] - state["epoch"] * self.steps_per_epoch
        if not (0 <= done <= self.steps_per_epoch and 0 <= state["epoch"] <= self.epochs):
            raise ValueError(f"there is no step {state['step']} in epoch {state['epoch']}")
        for key in _POSITION:
            setattr(self, key, state[key])
        self.time = self.finished
        self.totals = Totals(**state["totals"])
        self.rng.bit_generator.state = state["rng"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for method, part in zip(self.methods, state["methods"], strict=True):
            method.load_state_dict(part)
        if self.average is not None:
            self.average.load_state_dict(state["average"])


_POSITION = ("epoch", "step", "seconds", "history", "metrics", "epoch_began", "epoch_rng")


__all__ = ["Method", "Run", "Totals"]

r"""A threshold that is found, not given: at a plateau of the validation loss, by bisection.

LOBSTER and SeReNe (Tartaglione, Bragagnolo, Fiandrotti, Grangetto and others 2020, 2021) choose T
by what it costs.  Training goes on until the loss on validation images, V, has not improved for
`patience` epochs; then

    T = the largest threshold with  V(w [|w| >= T]) <= (1 + tolerance) V(w),

one for all layers, is applied, and training goes on to the next plateau.  It is over when there is
a plateau at which nothing can be removed, or when the epochs are used up: whatever was shrunk but
not yet thresholded by then stays.  Each search starts from the loss of its own plateau, so over many
the loss may grow further than the tolerance, as far as training does not win it back.  At a plateau
right at the start, where the network is no better than chance, everything goes: let the method
start later.

The tolerance is relative to the loss, and the weights go back to the best epoch of the plateau
before the search, as in the authors' code.  That code differs in this: an epoch up to 1 % worse than
the best still counts as good; it halves an interval of real numbers, ends when the losses at its
ends differ by less than 5 % of the limit, and takes a T that need not keep to the limit.  Here the
candidates are the magnitudes themselves, so the result is exact.

The validation images decide what is removed, so what is measured on them afterwards is biased.  Set
them aside from the training images (``train, validation = data.train.split_validation(n, rng)``)
and train on the rest.  Never use the test images here: they are for one evaluation at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import cross_entropy
from ..data import Split, batches
from ..data.batching import Normalization
from ..doors import door
from ..evaluation import Loss, measure
from ..nn import Module
from .mask import Mask
from .method import Run

# ---- the search ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes
    ----------
    threshold : float
        T.  It removes what is smaller.
    removed : int
        How many nonzero magnitudes are smaller.
    loss : float or None
        The loss with T; None if T removes nothing, which is taken to be within the limit.
    evaluations : int
        How many losses were computed.
    """

    threshold: float
    removed: int
    loss: float | None
    evaluations: int


@door
def largest_threshold(loss_of: Callable[[float], float], magnitudes: Any, limit: float) -> Found:
    """Return the largest T with loss_of(T) <= limit, by bisection over the sorted magnitudes.

    Between two neighbouring magnitudes v_j < v_{j+1} every T removes the same; the largest of these
    is v_{j+1}.  So with n different nonzero magnitudes the candidates are v_1 (removes nothing),
    ..., v_n, and the next number above v_n (removes everything), and T is found with at most
    ceil(log2(n + 1)) losses.

    This takes the loss to grow with T.  Where it does not, T is still within the limit, and the next
    candidate above T is not: T is the end of a stretch of good thresholds, but there may be another
    stretch above it.

    Parameters
    ----------
    loss_of : function of T
        A loss that is NaN counts as too large.  Not called for what removes nothing.
    magnitudes : array of float
        |w|, any shape.  Zeros are already removed and do not count.
    limit : float

    Raises
    ------
    ValueError
        A magnitude is negative, NaN or infinite, or the limit is NaN.

    Examples
    --------
    >>> w = np.array([0.1, -0.2, 0.3, 0.0, 0.4])
    >>> largest_threshold(lambda t: np.sum(w[np.abs(w) < t] ** 2), np.abs(w), limit=0.06)
    Found(threshold=0.3, removed=2, loss=0.05..., evaluations=2)
    """
    v = np.asarray(magnitudes).ravel()
    if not (np.isfinite(v).all() and (v >= 0).all()):
        raise ValueError("magnitudes are finite numbers >= 0: take the absolute values")
    if math.isnan(limit):
        raise ValueError("the limit of the loss is NaN")
    v = np.sort(v[v > 0])
    if not v.size:
        return Found(0.0, 0, None, 0)
    different = np.unique(v)
    candidates = np.append(different, np.nextafter(different[-1], np.inf, dtype=v.dtype))
    good, bad = 0, len(candidates)  # indices: the best known to be good, the first known to be bad
    loss, evaluations = None, 0
    while bad - good > 1:
        middle = (good + bad) // 2
        now = loss_of(float(candidates[middle]))
        evaluations += 1
        if now <= limit:
            good, loss = middle, float(now)
        else:
            bad = middle
    removed = int(np.searchsorted(v, candidates[good]))
    return Found(float(candidates[good]), removed, loss, evaluations)


class Plateau:
    """Watch a loss for epochs without improvement.

    Parameters
    ----------
    patience : int
        How many epochs in a row, none of which is below the lowest loss before, make a plateau.
        With 0 every epoch ends one.

    Attributes
    ----------
    best : float
        The lowest loss so far.
    waited : int
        How many epochs ago that was.

    Examples
    --------
    >>> plateau = Plateau(2)
    >>> for loss in (0.5, 0.4, 0.4, 0.45):
    ...     print(plateau.improves(loss), plateau.reached)
    True False
    True False
    False False
    False True
    """

    def __init__(self, patience: int) -> None:
        if type(patience) is not int or patience < 0:
            raise ValueError(f"patience is a number of epochs >= 0, got {patience!r}")
        self.patience = patience
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.best, self.waited = math.inf, 0

    def improves(self, loss: float) -> bool:
        """Take in the loss of the next epoch, and say whether it is the lowest so far."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return True
        self.waited += 1
        return False

    @property
    def reached(self) -> bool:
        """Whether the loss is on a plateau."""
        return self.waited >= self.patience


# ---- of a whole model ---------------------------------------------------------------------------


@door
def thresholded_loss(
    model: Module, mask: Mask, loss_of: Callable[[], float]
) -> tuple[Callable[[float], float], np.ndarray]:
    """Return the loss of a model as a function of T, and the magnitudes that T is about.

    Parameters
    ----------
    model : Module
    mask : Mask
        Names the parameters that T acts on, all together.
    loss_of : function without arguments
        The loss of the model as it is.

    Returns
    -------
    function of T
        The loss without the weights below T.  The model has all its weights back afterwards.
    array, [weights]

    Raises
    ------
    TypeError
        `loss_of` is no function.
    """
    if not callable(loss_of):
        raise TypeError(f"'loss_of' is a function without arguments, got {loss_of!r}")
    own = [(p, p.array.copy()) for _, p, _ in mask.parameters(model)]

    def loss_at(threshold: float) -> float:
        try:
            for p, _ in own:
                with p.writing() as w:
                    w *= array_module(w).abs(w) >= threshold
            return loss_of()
        finally:
            for p, full in own:
                with p.writing() as w:
                    w[...] = full

    return loss_at, np.concatenate([np.abs(to_numpy(full)).ravel() for _, full in own])


# ---- in training --------------------------------------------------------------------------------


class PlateauThreshold:
    """The search of this file, given to a method in place of its threshold.

    ``SensitivityPruning(1e-4, PlateauThreshold(validation))``, and in the same way `LobsterPruning`
    and `SerenePruning`.  It costs one pass over the validation images after every epoch, and at
    a plateau about log2(number of weights) more.

    The history gets ``loss_before_threshold``, the loss on the validation images after each epoch,
    and ``threshold`` where one was applied.

    Parameters
    ----------
    validation : Split
        Images that are trained on nowhere, set aside from the TRAINING images.  Not the test
        images: an error measured on images that chose the threshold says nothing.
    tolerance : float
        How much the loss may grow, relative to the loss at the plateau: 0.05 is 5 %.
    patience : int
        Epochs without a new lowest loss that make a plateau.
    restore : bool
        Before the search, put back the weights of the epoch with the lowest loss since the last
        one, as the authors' code does.  What the regularizer did in the epochs after that is then
        lost.  The optimizer keeps its state.  False searches from the present weights and their loss.
    batch_size, normalize, loss : see `minisparse.train.evaluate`
        As in training.

    Attributes
    ----------
    finished : bool
        There was a plateau at which nothing could be removed.

    Raises
    ------
    TypeError, ValueError
        No Split; a tolerance that is not a finite number >= 0; a patience that is no number of
        epochs; a batch size below 1; a normalization that does not fit the images.
    """

    def __init__(
        self,
        validation: Split,
        tolerance: float = 0.05,
        patience: int = 20,
        *,
        restore: bool = True,
        batch_size: int = 1000,
        normalize: Normalization = "unit",
        loss: Loss = cross_entropy,
    ) -> None:
        if not isinstance(validation, Split):
            raise TypeError(
                "validation must be a Split, e.g. the second of load(name).train."
                f"split_validation(n, rng), got {type(validation).__name__}"
            )
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"tolerance is a finite number >= 0, got {tolerance}")
        batches(validation, batch_size, normalize=normalize)  # complains about bad settings now
        self.validation, self.tolerance, self.patience = validation, tolerance, patience
        self.restore, self.batch_size = restore, batch_size
        self.normalize, self.loss = normalize, loss
        self._plateau = Plateau(patience)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._plateau.reset()
        self._best: dict[str, np.ndarray] | None = None  # the weights of the best epoch
        self.finished = False

    def after_epoch(self, run: Run, mask: Mask) -> float | None:
        """Return the threshold to apply after this epoch, if any.

        Parameters
        ----------
        run : Run
        mask : Mask
            Names the parameters that the threshold is for.

        Raises
        ------
        FloatingPointError
            The loss on the validation images is NaN or infinite.
        """
        if self.finished:
            return None
        model = run.model
        loss = self._loss_of(model)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss on the validation images is {loss} after epoch {run.epoch + 1}. "
                "A smaller learning rate is the usual remedy"
            )
        run.metrics["loss_before_threshold"] = loss
        if self._plateau.improves(loss) and self.restore:
            self._best = model.state_dict()
        if not self._plateau.reached:
            return None
        if self._best is not None:
            model.load_state_dict(self._best)
            loss = self._plateau.best
        loss_at, magnitudes = thresholded_loss(model, mask, lambda: self._loss_of(model))
        found = largest_threshold(loss_at, magnitudes, loss + self.tolerance * abs(loss))
        self.reset()
        self.finished = not found.removed
        if self.finished:
            return None
        run.metrics["threshold"] = found.threshold
        return found.threshold

    def _loss_of(self, model: Module) -> float:
        found = measure(model, self.validation, self.batch_size, self.normalize, loss=self.loss)
        return found.loss

    def _settings(self) -> str:
        return (
            f"tolerance {self.tolerance}, patience {self.patience}, restore {self.restore}, "
            f"batch size {self.batch_size}, normalize {self.normalize}, "
            f"{self.validation!r}, checksum {self.validation.checksum():08x}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return where the search is, and what it was told."""
        return {
            "best": self._plateau.best,
            "waited": self._plateau.waited,
            "weights": self._best,
            "finished": self.finished,
            "settings": self._settings(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        ValueError
            It was searched with other settings or other images.
        """
        if state["settings"] != self._settings():
            raise ValueError(f"the search had {state['settings']}; this one has {self._settings()}")
        self._plateau.best, self._plateau.waited = state["best"], state["waited"]
        self._best, self.finished = state["weights"], state["finished"]


__no_gradient__ = ("largest_threshold", "thresholded_loss")
__all__ = [
    "Found",
    "Plateau",
    "PlateauThreshold",
    "largest_threshold",
    "thresholded_loss",
]

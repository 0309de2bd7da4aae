r"""AC/DC and DSD: phases of training, dense and compressed, in turns.

    AC/DC  dense - compressed - dense - ... - compressed    (Peste et al. 2021)
    DSD    dense - sparse - dense                           (Han et al. 2017)

    compress    w <- T_k(w): the k largest |w| of all layers stay, the others are 0 and do not learn
    restore     all learn again; what was gone starts at 0

AC/DC ends compressed, and the sparse and the dense network come out of one training: before the
last compression stands a dense one.  DSD ends dense; sparsity is its regularizer.  "Iterative hard
thresholding" for networks (Jin, Yuan, Feng and Yan 2016) has the same two phases in turns.

The paper's times: ResNet-50, 100 epochs: compress after 10, 20, ..., 70 and 85, restore after 15,
25, ..., 65 and 75; CIFAR-100, 200 epochs: compress after 10, 50, 90, 130, 170, restore after 30,
70, 110, 150.  The switch to dense leaves the outputs as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .about import About
from .magnitude import magnitude_mask
from .mask import Mask
from .masked import MaskedTraining
from .method import Run
from .scope import Scope

ABOUT = (
    About(
        "ac-dc",
        "AC/DC, alternating compressed and decompressed training",
        "dynamic",
        2021,
        "Peste, Iofinova, Vladu and Alistarh, NeurIPS 2021 (arXiv 2106.12379)",
        formula="is_compressed",
        code="ACDC",
        removes="weights, and all come back",
        when="in turns; compressed at the end",
        chapter="13",
    ),
    About(
        "dsd",
        "DSD, dense-sparse-dense",
        "magnitude",
        2016,
        "Han, Pool, Narang, Mao, Gong, Tang, Elsen, Vajda, Paluri, Tran, Catanzaro and Dally, "
        "ICLR 2017 (arXiv 1607.04381)",
        formula="is_compressed",
        code="DSD",
        removes="weights, and all come back",
        when="once; dense at the end",
        chapter="13",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def is_compressed(t: float, compress: Sequence[float], restore: Sequence[float]) -> bool:
    """Return whether the last switch up to time t was a compression.

    Examples
    --------
    >>> [is_compressed(t, compress=[10, 20], restore=[15]) for t in (5, 10, 14.9, 15, 20, 99)]
    [False, True, True, False, True, True]
    """
    last = {
        what: max((moment for moment in times if moment <= t), default=-math.inf)
        for what, times in (("compress", compress), ("restore", restore))
    }
    return last["compress"] > last["restore"]


# ---- in training --------------------------------------------------------------------------------


class ACDC(MaskedTraining):
    """Compress and restore at given times, in turns.

    Parameters
    ----------
    sparsity : float
        When compressed.
    compress, restore : sequence of int
        After how many finished epochs; 0 is before the first step.
    scope : see `minisparse.prune.scope.keep_largest`
    names : list of str, optional
        Parameters to prune; all weights (no biases) if left out.

    Raises
    ------
    ValueError
        A sparsity outside of [0, 1], or times that are not whole epochs, in turns.
    """

    def __init__(
        self,
        sparsity: float,
        compress: Sequence[int],
        restore: Sequence[int] = (),
        scope: Scope = "global",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(names)
        if not 0 <= sparsity <= 1:
            raise ValueError(f"expected a sparsity in [0, 1], got {sparsity}")
        times = sorted([*compress, *restore])
        turns = [t in compress for t in times]
        if (
            not all(t >= 0 and t == int(t) for t in times)
            or len(times) != len(set(times))
            or turns != [i % 2 == 0 for i in range(len(times))]
        ):
            raise ValueError(
                "expected whole numbers of epochs, compress and restore in turns, beginning with "
                f"compress; got {list(compress)} and {list(restore)}"
            )
        self.sparsity, self.scope = sparsity, scope
        self.compress, self.restore = tuple(compress), tuple(restore)

    def planned_until(self) -> float:
        """Return the time of the last switch."""
        return max([*self.compress, *self.restore], default=0)

    def begin(self, run: Run) -> None:
        """Compress if the first time is 0."""
        self.switch(run)

    def after_epoch(self, run: Run) -> None:
        """Switch if this epoch ends a phase."""
        self.switch(run)

    def switch(self, run: Run) -> None:
        """Bring the mask to the phase that begins now, if one does."""
        if run.finished not in (*self.compress, *self.restore):
            return
        if is_compressed(run.finished, self.compress, self.restore):
            names = list(self.mask())
            self.tighten(magnitude_mask(run.model, 1 - self.sparsity, self.scope, names=names))
        else:
            self.set_mask(Mask.full(run.model, self.names))


class DSD(ACDC):
    """Sparse for some epochs in the middle.

    Parameters
    ----------
    sparsity : float
        In the middle; 0.25 to 0.5 in the paper.
    start, end : int
        After how many epochs it becomes sparse, and dense again.
    scope, names : see `ACDC`
        The paper prunes each layer to the same sparsity.
    """

    def __init__(
        self,
        sparsity: float,
        start: int,
        end: int,
        scope: Scope = "layer",
        names: list[str] | None = None,
    ) -> None:
        super().__init__(sparsity, [start], [end], scope, names)
        self.start, self.end = start, end


__no_gradient__ = ("is_compressed",)
__all__ = ["ACDC", "DSD", "is_compressed"]

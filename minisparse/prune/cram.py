r"""CrAM, compression-aware minimization (Peste, Vladu, Kurtic, Lampert and Alistarh, ICLR 2023).

Train a dense network that can be pruned afterwards in one shot.  Look from a point that is worse
than the present one, compress there, and step as the gradient there says:

    w'  = T_k(w + rho dL/dw)                        T_k keeps the k largest |w| of all layers
    w   <- w - eta (dL/dw(w') + dL/dw(w))           CrAM+; CrAM has the first gradient alone

rho = 0.05, and dL/dw is not normalized, which is the difference to SAM.  k is drawn anew at each
step, of the sparsities 50, 70 and 90 %; so no sparsity has to be known in advance.  A step takes
two gradients.

In the paper the gradient at w' is masked as w' is (M in the authors' code): removed weights do not
learn from it.  That is what we do.  Biases take part in the ascent and are never pruned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..nn import Module
from ..optim import Optimizer
from .about import About
from .magnitude import magnitude
from .mask import Mask, prunable
from .method import Method, Run
from .scope import keep_largest

ABOUT = (
    About(
        "cram",
        "CrAM, compression-aware minimization",
        "magnitude",
        2022,
        "Peste, Vladu, Kurtic, Lampert and Alistarh, ICLR 2023 (arXiv 2207.14200)",
        formula="ascended",
        code="CrAM",
        removes="nothing by itself: the network is pruned once, afterwards",
        when="at each step",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def ascended(w: Any, g: Any, rho: float) -> Any:
    """Return w + rho g: the worse point that is compressed."""
    return w + rho * g


# ---- in training --------------------------------------------------------------------------------


class CrAM(Method):
    """Add the gradient at the compressed point to the gradient.

    Parameters
    ----------
    rho : float
        Length of the ascent.
    sparsities : sequence of float
        Of which one is drawn for each step.
    plus : bool
        Whether the gradient at w itself counts, too (CrAM+).
    names : list of str, optional
        Parameters to compress; all weights (no biases) if left out.

    Raises
    ------
    ValueError
        A negative rho, a sparsity outside of [0, 1], or none.
    """

    model: Module

    def __init__(
        self,
        rho: float = 0.05,
        sparsities: Sequence[float] = (0.5, 0.7, 0.9),
        plus: bool = True,
        names: list[str] | None = None,
    ) -> None:
        if not (rho >= 0 and len(sparsities) and all(0 <= s <= 1 for s in sparsities)):
            raise ValueError(
                f"expected rho >= 0 and sparsities in [0, 1], got {rho} and {list(sparsities)}"
            )
        self.rho, self.sparsities, self.plus, self.names = rho, tuple(sparsities), plus, names

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Check the names."""
        self.model = model
        prunable(model, self.names)

    def after_backward(self, run: Run) -> None:
        """Ascend, compress, and take the gradient there."""
        parameters = {n: p for n, p in run.model.named_parameters() if p.grad is not None}
        here = {n: p.grad.array for n, p in parameters.items() if p.grad is not None}
        before = {n: p.array.copy() for n, p in parameters.items()}
        there, mask = self.compressed(run, before, here)
        try:
            self._write(parameters, there)
            found = run.present(training=True).gradients(list(parameters))
        finally:
            self._write(parameters, before)
        for name, g in found.items():
            if name in mask:
                mask.clear(name, g)
            here[name][...] = g + here[name] if self.plus else g

    def compressed(
        self, run: Run, weights: Mapping[str, Any], gradients: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mask]:
        """Return T_k(w + rho g) and what it keeps."""
        there = {n: ascended(w, gradients[n], self.rho) for n, w in weights.items()}
        sparsity = self.sparsities[int(run.rng.integers(len(self.sparsities)))]
        names = prunable(run.model, self.names)
        mask = keep_largest(
            {n: to_numpy(magnitude(there[n])) for n in names if n in there}, 1 - sparsity
        )
        for name in mask:
            mask.clear(name, there[name])
        return there, mask

    @staticmethod
    def _write(parameters: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        for name, p in parameters.items():
            with p.writing() as w:
                w[...] = array_module(w).asarray(values[name])

    def mask(self) -> Mask:
        """Return which weights are not zero now."""
        return Mask.of_nonzeros(self.model, self.names)


__no_gradient__ = ("ascended",)
__all__ = ["CrAM", "ascended"]

r"""Layer by layer: keep what a layer computes, on the inputs that it sees.

    min over W' under the mask of  (1/n) ||X W' - X W||_F^2,          H = (2/n) X^T X

X [n, in] are the inputs of the layer for some training images, W [in, out] its weights; of a
convolution X holds the patches under the kernel, at all positions.  With dW = W' - W the error is
tr(dW^T H dW) / 2: quadratic without any approximation, no labels, no backward pass, and one H for all
units of the layer.  So each of the methods of second order has a form here that is exact for the layer:

    what is taken of H         ranks by                     changes others      method
    its diagonal               W_ij^2 H_ii                  no                  Wanda (wanda.py)
    H^-1 of the start          W_ij^2 / [H^-1]_ii           as if each alone    L-OBS (layerwise_obs.py)
    H^-1, inputs in turn       W_ij^2 / [(H_i:,i:)^-1]_11   those behind        SparseGPT (sparsegpt.py)
    H^-1, reduced each time,   w_i^2 / [H^-1]_ii,           exactly             OBC (obc.py)
      for each unit              the least each time

from the diagonal of H to all of it.  Wanda and SparseGPT are the two ends at which all units of a layer
can share what is computed of H: its diagonal, or one factorization.

The target is always the layer's own present output, from its present weights.  A layer is treated after
those before it, and sees what they send now (`sequential`), or all see what the network sent before any
was pruned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import no_grad
from ..doors import door
from ..nn import Conv2d, LayerRecord, Linear, Module
from ..nn.hardening import refuse_parametrizations
from ..nn.names import joined
from ..optim import Optimizer
from .batch import Batch
from .compensation import CompensatedPruning
from .mask import Mask, prunable
from .schedule import Sparsity
from .scope import Scope, count_for, layer_densities
from .single_gradients import unrolled

AT_ONCE = 100  # images

# ---- formulas -----------------------------------------------------------------------------------


def hessian(records: list[LayerRecord], ones: bool = False) -> np.ndarray:
    """Return H = (2/n) X^T X of a layer.

    Parameters
    ----------
    records : list of LayerRecord
        The applications of the layer.
    ones : bool
        Append a column of ones to X, the bias's input.

    Returns
    -------
    float64 array, [in, in], or [in + 1, in + 1]
    """
    total, n = np.zeros(()), 0
    for record in records:
        for start in range(0, len(record.input), AT_ONCE):
            x = unrolled(record, start, start + AT_ONCE)
            x = x.reshape(-1, x.shape[-1])
            if ones:
                x = np.concatenate([x, np.ones_like(x[:, :1])], axis=1)
            total, n = total + (x.T @ x).astype(np.float64), n + len(x)
    return total * (2 / n)


@door
def damped(h: np.ndarray, share: float) -> np.ndarray:
    """Return H + share mean(diag H) I, which has an inverse although some inputs are always 0.

    If all inputs are, there is nothing to tell the weights by but their size: H = I then.
    """
    scale = float(np.mean(np.diag(h)))
    found: np.ndarray = h + np.eye(len(h)) * (share * scale if scale else 1.0)
    return found


# ---- in training --------------------------------------------------------------------------------


class LayerwisePruning(CompensatedPruning):
    """Prune the layers one by one; a subclass says `reconstruct`, and `saliency`, what it begins with.

    Parameters
    ----------
    sparsity, every, images, names : see `CompensatedPruning`
        More images than a layer has inputs make a good H.
    scope : {"layer", "erk"} or mapping from name to density
        Errors of different layers are not compared.
    damping : float, optional
        See `damped`; the method's own if left out.

    Attributes
    ----------
    usual_damping : float
    sequential : bool
        A layer sees what the pruned layers before it send.
    ones : bool
        The bias takes part, as a last row of the weights that always stays.

    Raises
    ------
    ValueError
        A global scope, a damping below 0; when attached, a parameter that is no weight of a Linear or
        Conv2d, or a layer with a parametrization.
    """

    usual_damping: ClassVar[float] = 0.01
    sequential: ClassVar[bool] = True
    ones: ClassVar[bool] = False

    def __init__(
        self,
        sparsity: Sparsity,
        scope: Scope = "layer",
        every: int | None = None,
        images: int | None = None,
        names: list[str] | None = None,
        *,
        damping: float | None = None,
    ) -> None:
        super().__init__(sparsity, scope, every, images, names)
        if scope == "global":
            raise ValueError("errors of different layers are not compared: scope is layer or erk")
        self.damping = self.usual_damping if damping is None else damping
        if not self.damping >= 0:
            raise ValueError(f"damping, a share of the mean of diag H, is >= 0, got {damping}")

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Refuse weights that are not what a layer multiplies its input with."""
        refuse_parametrizations(model)
        super().attach(model, optimizer, rng)

    def treated(self) -> list[str]:
        """Return the weights of the layers."""
        layers = [n for n, m in self.model.named_modules() if isinstance(m, Linear | Conv2d)]
        known = [joined(n, "weight") for n in layers]
        own = dict(self.model.named_parameters())
        chosen = list(prunable(self.model, self.names or [n for n in known if n in own]))
        if unknown := sorted(set(chosen) - set(known)):
            raise ValueError(
                f"layers are reconstructed on their inputs: expected some of {known}, got {unknown}"
            )
        return chosen

    def saliency(self, w: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Return what the weights of a layer are ranked by while all of them are there.

        Parameters
        ----------
        w : float64 array, [in, out]
            Without the biases.
        h : float64 array
            See `reconstruct`.

        Returns
        -------
        array, [in, out]
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it ranks by")

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return `saliency` of each layer; all see what the network sends now."""
        found = {}
        for name, records in self._records(batch).items():
            if name in weights:
                w = to_numpy(weights[name]).astype(np.float64)
                h = hessian(records, self.ones and records[0].module.bias is not None)
                found[name] = self.saliency(w.reshape(-1, w.shape[-1]), h).reshape(w.shape)
        return found

    def reconstruct(
        self, w: np.ndarray, h: np.ndarray, kept: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the new weights of a layer, and which of them are kept.

        Parameters
        ----------
        w : float64 array, [in, out]
            With `ones` [in + 1, out], the biases last.
        h : float64 array, [in, in]
            H, or that of ``[X, 1]``.
        kept : bool array, [in, out]
            The present mask.
        k : int
            How many of them are to stay; fewer than there are.

        Returns
        -------
        w : array of the same shape
        kept : bool array, [in, out]
            Within the present one.
        """
        raise NotImplementedError(f"{type(self).__name__} reconstructs nothing")

    def solve(self, density: float, batch: Batch) -> Mask:
        """Reconstruct layer after layer, in the order of the forward."""
        entries = dict(self.mask().items())
        densities = layer_densities(self.mask().shapes(), density, self.scope)
        seen = self._records(batch)
        for name in [n for n in seen if n in entries]:
            k, kept = count_for(densities[name], entries[name].size), entries[name]
            if k >= np.count_nonzero(kept):
                continue
            records = (self._records(batch) if self.sequential else seen)[name]
            entries[name] = self._layer(name, records, kept, k)
        return Mask(entries)

    def _records(self, batch: Batch) -> dict[str, list[LayerRecord]]:
        with no_grad():
            _, layers = batch.layers()
        found: dict[str, list[LayerRecord]] = {}
        for record in layers:
            found.setdefault(joined(record.name, "weight"), []).append(record)
        return found

    def _layer(self, name: str, records: list[LayerRecord], kept: np.ndarray, k: int) -> np.ndarray:
        bias = records[0].module.bias if self.ones else None
        n_out = kept.shape[-1]
        w = self.read()[name].reshape(-1, n_out)
        if bias is not None:
            w = np.concatenate([w, to_numpy(bias.array)[None]])
        new, left = self.reconstruct(
            w, hessian(records, bias is not None), kept.reshape(-1, n_out), k
        )
        self.write(name, np.where(left, new[: len(left)], 0).reshape(kept.shape))
        if bias is not None:
            with bias.writing() as b:
                b[...] = array_module(b).asarray(new[-1].astype(b.dtype))
        return left.reshape(kept.shape)


__no_gradient__ = ("damped",)
__all__ = ["LayerwisePruning", "damped", "hessian"]

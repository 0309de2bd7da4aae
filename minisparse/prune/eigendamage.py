r"""EigenDamage (Wang, Grosse, Fidler and Zhang, ICML 2019): turn the weights until OBD is right.

OBD leaves out what couples two weights.  K-FAC's approximation of the Hessian of a layer, with inputs x
[in] and delta = dl/da [out] of images n at positions p,

    H = A (x) G,      A = (1/B) sum_np x x^T,      G = (1/(B P)) sum_np delta delta^T,

has eigenvectors that are known from those of its factors, A = Q_A D_A Q_A^T and G = Q_G D_G Q_G^T.  In
this basis nothing is coupled, and OBD's saliency is right:

    W' = Q_A^T W Q_G,             s_ij = W'_ij^2 (d_A)_i (d_G)_j / 2

A row of W' is a direction of the inputs and a column one of the outputs: the paper removes whole rows
and columns (``granularity="input"``, ``"unit"``), and the layer becomes three smaller ones,
Q_A[:, rows] W'[rows, columns] Q_G[:, columns]^T.

What a mask can be here.  Zeros of W' are no zeros of W.  So the layer is given a parametrization
(`Rotation`): its weight is W', which is what is trained and masked, and the layer computes with
Q_A W' Q_G^T.  The hardened model has full matrices, of a rank that is at most the number of rows or
columns left; `shrink` finds no zeros in it.  `bottleneck` returns the three factors.  Both bases are
found at the first pruning, and stay: later scores take the diagonal of A and G in them.  Turning the
weights back at each step costs more than the step: training LeNet-300-100 takes several times as long.

Where units have to go, K-FAC still says what the couplings within a unit cost: with w_k the weights
into unit k, its removal costs G_kk w_k^T A w_k / 2 (`KroneckerOBDPruning`, the paper's C-OBD).  The
authors' code has a sum of w_i^2 A_ij in its place, without the products of two weights: that is not this
quadratic form.

A and G are those of the Gauss-Newton matrix (single_gradients.py), all classes weighted by p: the paper
draws labels from p, which is the same on the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor, gradients, softmax
from ..doors import door
from ..nn import Conv2d, Linear, Module, Parametrization, parametrize, parametrized
from ..nn.names import joined
from ..nn.weighted import Weighted
from ..optim import Optimizer
from .about import About
from .batch import Batch
from .parametrized import require_parametrized
from .score import ScorePruning
from .single_gradients import class_seeds, unrolled

_PAPER = "Wang, Grosse, Fidler and Zhang, ICML 2019 (arXiv 1905.05934)"

ABOUT = (
    About(
        "eigendamage",
        "EigenDamage",
        "second order",
        2019,
        _PAPER,
        formula="saliency",
        code="EigenDamagePruning",
        removes="directions of a layer's inputs and outputs; single weights in the rotated basis",
        when="any schedule, after training to a minimum",
        chapter="11",
    ),
    About(
        "kronecker-obd",
        "Kron-OBD, optimal brain damage with K-FAC",
        "second order",
        2019,
        _PAPER,
        formula="kronecker_saliency",
        code="KroneckerOBDPruning",
        removes="units",
        when="any schedule, after training to a minimum",
        chapter="11",
    ),
)

# ---- formulas -----------------------------------------------------------------------------------


def kronecker_factors(x: np.ndarray, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A [in, in] and G [out, out] of a layer.

    Parameters
    ----------
    x : array, [B, P, in]
    delta : array, [..., B, P, out]
        Of single images, dl/da; a sum over what comes before B: the classes.
    """
    b, p, n_in = x.shape
    x, d = x.reshape(-1, n_in), delta.reshape(-1, delta.shape[-1])
    return x.T @ x / b, d.T @ d / (b * p)


@door
def eigenbasis(a: np.ndarray) -> np.ndarray:
    """Return the eigenvectors of a symmetric matrix as columns.

    The largest entry of each is positive, so that rounding does not turn it round.  Where eigenvalues
    meet (zeros do, of dead units or with fewer images than inputs), any basis would do; which one is
    decided by 1e-6 of the mean eigenvalue, added along the diagonal in a ramp.

    Parameters
    ----------
    a : array, [n, n]
    """
    ramp = np.linspace(0, 1e-6 * np.mean(np.diag(a)), len(a))
    q = np.linalg.eigh(a + np.diag(ramp))[1]
    q *= np.sign(q[abs(q).argmax(axis=0), np.arange(len(q))])
    return q


def saliency(w: np.ndarray, a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return s = W'^2 d_A d_G / 2.

    Parameters
    ----------
    w : array, [in, out]
        W', in the basis of a and g.
    a, g : arrays, [in] and [out]
        The diagonals of A and G in that basis; in the eigenbasis their eigenvalues.
    """
    s: np.ndarray = w**2 * np.multiply.outer(a, g) / 2
    return s


@door
def kronecker_saliency(w: np.ndarray, a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Return w_ik (A w_k)_i G_kk / 2: summed over a unit's weights, G_kk w_k^T A w_k / 2.

    Parameters
    ----------
    w : array, [in, out]
    a : array, [in, in]
    g : array, [out, out]
    """
    s: np.ndarray = w * (a @ w) * np.diag(g) / 2
    return s


# ---- of a whole model ---------------------------------------------------------------------------


@door
def layer_factors(batch: Batch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return A and G of each layer, by the name of its weight.

    Of the matrix product that the layer computes: a parametrization makes no difference.
    """
    logits, layers = batch.layers()
    seeds = class_seeds(to_numpy(softmax(logits).array))
    seeds = array_module(batch.x).asarray(seeds.astype(logits.dtype))
    deltas = gradients(logits, [r.output for r in layers], seeds, batched=True)
    found = {}
    for record, d in zip(layers, deltas, strict=True):
        name = joined(record.name, "weight")
        if name in found:
            raise ValueError(
                f"'{record.name}' is applied more than once: K-FAC has no form for that"
            )
        x, delta = unrolled(record).astype(np.float64), to_numpy(d.array).astype(np.float64)
        found[name] = kronecker_factors(x, delta.reshape(len(delta), *x.shape[:2], -1))
    return found


class Rotation(Parametrization):
    """Q_A W' Q_G^T in the place of W; made by `add_rotations`.

    Attributes
    ----------
    q_in, q_out : buffers, [in, in] and [out, out]
        Q_A and Q_G; at first both are I.
    """

    q_in: Any
    q_out: Any

    def __init__(self, weight: Tensor) -> None:
        xp, n_out = array_module(weight.array), weight.shape[-1]
        self.register_buffer("q_in", xp.eye(weight.size // n_out, dtype=weight.dtype))
        self.register_buffer("q_out", xp.eye(n_out, dtype=weight.dtype))

    def forward(  # type: ignore[override]
        self, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Turn the weight back."""
        flat = weight.reshape(-1, weight.shape[-1])
        turned = Tensor(self.q_in) @ flat @ Tensor(self.q_out.T)
        return turned.reshape(*weight.shape), bias

    def turn(self, layer: Weighted, q_in: np.ndarray, q_out: np.ndarray) -> None:
        """Take new bases; the weight changes, and what the layer computes does not."""
        w = to_numpy(self.forward(layer.weight, None)[0].array).astype(np.float64)
        new = q_in.T @ w.reshape(len(q_in), -1) @ q_out
        with layer.weight.writing() as own:
            xp, dtype = array_module(own), own.dtype
            own[...] = xp.asarray(new.reshape(w.shape).astype(dtype))
        self.q_in = xp.asarray(q_in.astype(dtype))
        self.q_out = xp.asarray(q_out.astype(dtype))


@door
def add_rotations(model: Module, names: list[str] | None = None) -> None:
    """Let layers compute with rotated weights: all Linear and Conv2d, or the named ones."""
    layers = [n for n, m in model.named_modules() if isinstance(m, Linear | Conv2d)]
    parametrize(model, {n: lambda layer: Rotation(layer.weight) for n in names or layers})


def bottleneck(layer: Weighted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the three matrices that a rotated layer is the product of, without empty rows or columns.

    Returns
    -------
    first : array, [in, r]
    middle : array, [r, c]
    last : array, [c, out]

    Raises
    ------
    TypeError
        The layer has no rotation.
    """
    held = layer.parametrization
    if not isinstance(held, Rotation):
        raise TypeError("this layer has no rotation: call add_rotations first")
    w = to_numpy(layer.weight.array)
    w = w.reshape(-1, w.shape[-1])
    rows, columns = w.any(axis=1), w.any(axis=0)
    q_in, q_out = to_numpy(held.q_in), to_numpy(held.q_out)
    return q_in[:, rows], w[np.ix_(rows, columns)], q_out[:, columns].T


# ---- in training --------------------------------------------------------------------------------


class EigenDamagePruning(ScorePruning):
    """Prune in the eigenbasis of K-FAC; call `add_rotations` before the optimizer is made.

    The settings are `ScorePruning`'s.  The loss of the training is taken to be the cross-entropy.
    """

    def attach(self, model: Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Find the rotations."""
        require_parametrized(model, Rotation, "minisparse.prune.eigendamage.add_rotations")
        super().attach(model, optimizer, rng)
        self.turned = False

    @property
    def rotations(self) -> dict[str, tuple[Weighted, Rotation]]:
        """The layers to prune and their rotations, by the name of the weight."""
        found = {joined(n, "weight"): v for n, v in parametrized(self.model, Rotation).items()}
        return {n: v for n, v in found.items() if self.names is None or n in self.names}

    def treated(self) -> list[str]:
        """Return the weights of the layers that hold a rotation."""
        return list(self.rotations)

    def prune(self, density: float, batch: Batch) -> None:
        """Find the bases, if this is the first time; then as any other score."""
        if not self.turned:
            factors = layer_factors(batch)
            for name, (layer, held) in self.rotations.items():
                a, g = factors[name]
                held.turn(layer, eigenbasis(a), eigenbasis(g))
                xp = array_module(layer.weight.array)
                everywhere = xp.ones(layer.weight.shape, dtype=bool)
                self.optimizer.reset_state(layer.weight, everywhere)  # it is in the old basis
            self.turned = True
        super().prune(density, batch)

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return W'^2 d_A d_G / 2."""
        factors, found = layer_factors(batch), {}
        for name, (_, held) in self.rotations.items():
            q_in, q_out = (to_numpy(q).astype(np.float64) for q in (held.q_in, held.q_out))
            a, g = factors[name]
            w = to_numpy(weights[name]).astype(np.float64).reshape(len(a), -1)
            s = saliency(w, (q_in * (a @ q_in)).sum(axis=0), (q_out * (g @ q_out)).sum(axis=0))
            found[name] = s.reshape(weights[name].shape)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the mask, and whether the bases have been found; they are the model's buffers."""
        return {"mask": super().state_dict(), "turned": self.turned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state["mask"])
        self.turned = state["turned"]


class KroneckerOBDPruning(ScorePruning):
    """Prune units by K-FAC's quadratic form; the settings are `ScorePruning`'s, for units.

    A weight's score is its share of its unit's saliency, which may be negative: meant for
    ``granularity="unit"``.  The loss of the training is taken to be the cross-entropy.
    """

    def score(self, weights: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Return the shares of G_kk w_k^T A w_k / 2."""
        factors = layer_factors(batch)
        return {
            name: kronecker_saliency(
                to_numpy(w).astype(np.float64).reshape(-1, w.shape[-1]), *factors[name]
            ).reshape(w.shape)
            for name, w in weights.items()
        }


__no_gradient__ = ("bottleneck", "eigenbasis", "kronecker_factors", "layer_factors", "saliency")
__all__ = [
    "EigenDamagePruning",
    "KroneckerOBDPruning",
    "Rotation",
    "add_rotations",
    "bottleneck",
    "eigenbasis",
    "kronecker_factors",
    "kronecker_saliency",
    "layer_factors",
    "saliency",
]

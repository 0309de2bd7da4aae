"""Gradients that are known to be wrong, and right ones that look wrong: the checker's own test.

The first thirteen mutants and five innocents are a fixed list on which twelve published checkers
were compared; no other names a cause, and all but two accuse a correct relu at exact zeros.  The
rest are the building blocks of pruning.
"""

# ruff: noqa: ARG005  (a wrong gradient forgets its arguments)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Specimen:
    """A function with a gradient whose verdict is known.

    Attributes
    ----------
    name : str
    f, inputs, backward
        What `gradcheck` takes; backward is None for functions of tensors.
    cause : str or None
        What the checker has to say; None: the gradient is right.
    stored : dict
        Masks of parameters of which only some entries are stored.
    """

    name: str
    f: Formula
    inputs: tuple[Any, ...]
    backward: Formula | None
    cause: str | None
    stored: dict[str | int, Any] | None = None


def specimens() -> list[Specimen]:
    """Return all specimens, on fixed data."""
    return [*_published(), *_pruning(), *_straight_through()]


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _assigned(g: Any, x: Any, index: Any) -> Any:
    d = np.zeros_like(x)
    d[index] = g
    return d


def _one_wrong(g: Any, x: Any) -> Any:
    d = g * np.cos(x)
    d[1234] = 0
    return d


def _published() -> list[Specimen]:
    rng = np.random.default_rng(20)
    x, y = rng.standard_normal((2, 3, 4))
    square, cube, bias = rng.standard_normal((4, 4)), rng.standard_normal((3, 3, 3)), x[0] - y[0]
    sample, many = rng.standard_normal(200), rng.standard_normal(2000)
    index = np.array([0, 2, 2, 3])
    zeros = np.where(rng.random((6, 5)) < 0.7, 0.0, rng.standard_normal((6, 5)))
    wrong: list[tuple[str, Formula, tuple[Any, ...], Formula, str]] = [
        (
            "mul: forgot the other factor",
            np.multiply,
            (x, y),
            lambda g, x, y: (g, g * x),
            "missing-factor",
        ),
        (
            "matmul: missing transpose (square)",
            np.matmul,
            (x, square),
            lambda g, x, w: (g @ w, x.T @ g),
            "transposed",
        ),
        (
            "bias: mean instead of sum",
            np.add,
            (x, bias),
            lambda g, x, b: (g, g.mean(axis=0)),
            "constant-factor",
        ),
        (
            "sigmoid: upstream gradient ignored",
            lambda x: 1 / (1 + np.exp(-x)),
            (x,),
            lambda g, x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
            "upstream-ignored",
        ),
        ("relu: mask missing", lambda x: np.maximum(x, 0), (x,), lambda g, x: g, "wrong-region"),
        ("softmax: backward returns zeros", _softmax, (x,), lambda g, x: 0 * g, "zero-gradient"),
        (
            "softmax: diagonal only, s(1-s)g",
            _softmax,
            (x,),
            lambda g, x: g * _softmax(x) * (1 - _softmax(x)),
            "missing-terms",
        ),
        (
            "transpose: same permutation, not the inverse",
            lambda x: x.transpose(1, 2, 0),
            (cube,),
            lambda g, x: g.transpose(1, 2, 0),
            "transposed",
        ),
        (
            "reshape: wrong order (F)",
            lambda x: x.reshape(2, 6),
            (x,),
            lambda g, x: g.reshape(x.shape, order="F"),
            "transposed",
        ),
        (
            "getitem with repeated indices: = not +=",
            lambda x, i: x[i],
            (bias, index),
            lambda g, x, i: (_assigned(g, x, i), None),
            "wrong-region",
        ),
        (
            "var: N for N-1 (N = 200, 0.5 % off)",
            lambda x: x.var(ddof=1),
            (sample,),
            lambda g, x: 2 * g * (x - x.mean()) / 200,
            "constant-factor",
        ),
        ("one wrong element of 2000", np.sin, (many,), _one_wrong, "wrong-elements"),
        (
            "gradients of two equal-shape arguments swapped",
            lambda x, y: x * y**2,
            (x, y),
            lambda g, x, y: (2 * g * x * y, g * y**2),
            "swapped-arguments",
        ),
    ]
    right: list[tuple[str, Formula, tuple[Any, ...], Formula]] = [
        (
            "correct relu, x has exact zeros",
            lambda x: np.maximum(x, 0),
            (zeros,),
            lambda g, x: g * (x > 0),
        ),
        (
            "correct relu, x 1e-7 from the kink",
            lambda x: np.maximum(x, 0),
            (1e-7 * x,),
            lambda g, x: g * (x > 0),
        ),
        ("correct square in float32", np.square, (x.astype(np.float32),), lambda g, x: 2 * g * x),
        ("correct exp, values about 1e6", np.exp, (np.log(1e6) + x,), lambda g, x: g * np.exp(x)),
        (
            "correct top-1 of abs, with a tie",
            lambda x: np.abs(x).max(),
            (np.array([1.0, -2.0, 2.0, 0.5]),),
            lambda g, x: g * np.array([0.0, -1.0, 0.0, 0.0]),
        ),
    ]
    return [Specimen(*w) for w in wrong] + [Specimen(*r, None) for r in right]


def _soft_threshold(w: Any, amount: Any) -> Any:
    return np.sign(w) * np.maximum(np.abs(w) - amount, 0)


def _gate(a: Any, u: Any) -> Any:
    s = 1 / (1 + np.exp(-(np.log(u / (1 - u)) + a) * 1.5))
    return np.clip(1.2 * s - 0.1, 0, 1)


def _gate_slope(a: Any, u: Any, rectified: bool = True, temperature: float = 1.5) -> Any:
    s = 1 / (1 + np.exp(-(np.log(u / (1 - u)) + a) * 1.5))
    inside = (1.2 * s > 0.1) & (1.2 * s < 1.1)
    return 1.2 * temperature * s * (1 - s) * (inside if rectified else 1)


def _top3(x: Any) -> Any:
    keep = np.zeros(x.size, bool)
    keep[np.argsort(-np.abs(x), kind="stable")[:3]] = True
    return x * keep


def _sensitivity_step(w: Any, s: Any) -> Any:
    return w - 0.1 * w * np.maximum(0, 1 - s)


def _pruning() -> list[Specimen]:
    rng = np.random.default_rng(21)
    w = np.array([0.5, -0.3, 0.1, 0.25, -0.25, 0.0, -1.2, 0.2])  # two at the threshold, one at 0
    amount, a, u = np.array(0.25), 2 * rng.standard_normal(8), rng.uniform(0.1, 0.9, 8)
    x, dense, mask = (
        rng.standard_normal((5, 4)),
        rng.standard_normal((4, 3)),
        rng.random((4, 3)) < 0.5,
    )
    ties = np.array([3.0, -1.0, 1.0, 2.0, -1.0, 0.5, 0.0])
    sensitive = rng.uniform(0, 2, 8)

    def soft(g: Any, w: Any, amount: Any) -> Any:
        far = np.abs(w) > amount
        return g * far, -(g * np.sign(w) * far).sum()

    def masked(g: Any, x: Any, w: Any, m: Any) -> Any:
        return g @ (w * m).T, (x.T @ g) * m, None

    def masked_dense(g: Any, x: Any, w: Any, m: Any) -> Any:
        return g @ (w * m).T, x.T @ g, None

    def linear(x: Any, w: Any, m: Any) -> Any:
        return x @ (w * m)

    def step(g: Any, w: Any, s: Any) -> Any:
        return g * (1 - 0.1 * np.maximum(0, 1 - s)), g * 0.1 * w * (s < 1)

    return [
        Specimen("soft threshold", _soft_threshold, (w, amount), soft, None),
        Specimen(
            "soft threshold: passes where it is closed",
            _soft_threshold,
            (w, amount),
            lambda g, w, t: (g, soft(g, w, t)[1]),
            "wrong-region",
        ),
        Specimen(
            "soft threshold: sum over the weights missing",
            _soft_threshold,
            (w, amount),
            lambda g, w, t: (soft(g, w, t)[0], -g * np.sign(w) * (np.abs(w) > t)),
            "missing-broadcast-sum",
        ),
        Specimen("hard-concrete gate", _gate, (a, u), lambda g, a, u: _gate_both(g, a, u), None),
        Specimen(
            "hard-concrete gate: rectification forgotten",
            lambda a: _gate(a, u),
            (a,),
            lambda g, a: g * _gate_slope(a, u, rectified=False),
            "wrong-region",
        ),
        Specimen(
            "hard-concrete gate: temperature forgotten",
            lambda a: _gate(a, u),
            (a,),
            lambda g, a: g * _gate_slope(a, u, temperature=1.0),
            "constant-factor",
        ),
        Specimen("|w|", lambda w: np.abs(w).sum(), (w,), lambda g, w: g * np.sign(w), None),
        Specimen(
            "|w|: sign forgotten",
            lambda w: np.abs(w).sum(),
            (w,),
            lambda g, w: g * (w != 0),
            "wrong-region",
        ),
        Specimen(
            "|w|: 2 at zero",
            lambda w: np.abs(w).sum(),
            (w,),
            lambda g, w: g * np.where(w == 0, 2.0, np.sign(w)),
            "kink",
        ),
        Specimen("top-3 of |x|, with ties", _top3, (ties,), lambda g, x: g * (_top3(x) != 0), None),
        Specimen("top-3: gradient for all", _top3, (ties,), lambda g, x: g, "wrong-region"),
        Specimen("masked linear", linear, (x, dense, mask), masked, None),
        Specimen(
            "masked linear: mask forgotten", linear, (x, dense, mask), masked_dense, "wrong-region"
        ),
        Specimen(
            "masked linear: dense gradient, only stored entries declared",
            linear,
            (x, dense, mask),
            masked_dense,
            None,
            {"w": mask},
        ),
        Specimen("sensitivity step", _sensitivity_step, (w, sensitive), step, None),
        Specimen(
            "sensitivity step: bound forgotten",
            _sensitivity_step,
            (w, sensitive),
            lambda g, w, s: (step(g, w, s)[0], g * 0.1 * w),
            "wrong-region",
        ),
        Specimen(
            "sensitivity step: shrinkage left out",
            _sensitivity_step,
            (w, sensitive),
            lambda g, w, s: (g * 1.0, step(g, w, s)[1]),
            "wrong-region",
        ),
    ]


def _gate_both(g: Any, a: Any, u: Any) -> Any:
    slope = g * _gate_slope(a, u)
    return slope, slope / (u * (1 - u))


def _straight_through() -> list[Specimen]:
    from .. import autodiff as ad

    class Undeclared(ad.Op):
        """y = round(x), trained as if it were x, without saying so."""

        def forward(self, x: Any) -> Any:
            return np.round(x)

        def backward(self, grad: ad.Tensor, y: ad.Tensor, *inputs: ad.Tensor) -> Any:
            del y, inputs
            return grad

    class Rounded(Undeclared):
        """y = round(x), trained as if it were x."""

        def surrogate(self, x: ad.Tensor) -> ad.Tensor:
            return x

    class Doubled(Rounded):
        """Claims twice what it declares."""

        def backward(self, grad: ad.Tensor, y: ad.Tensor, *inputs: ad.Tensor) -> Any:
            del y, inputs
            return grad * 2.0

    x = np.random.default_rng(22).standard_normal((3, 4))
    return [
        Specimen(
            "straight-through, declared", lambda x: ad.tanh(Rounded()(x) * x), (x,), None, None
        ),
        Specimen(
            "straight-through: not what it declares", Doubled(), (x,), None, "constant-factor"
        ),
        Specimen("straight-through: not declared", Undeclared(), (x,), None, "wrong-structure"),
    ]

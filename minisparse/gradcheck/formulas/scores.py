"""Scores that state a derivative: of the loss by a gate, of the gradient, of the flow of paths."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for these formulas, under their names in ``minisparse.prune``.

    A gate c = 1 on a weight, on what enters a unit, or on a whole unit, turns a score into the
    derivative by c: w g of SNIP is dL(c w)/dc.  Where a formula takes magnitudes, its network has
    weights, inputs and a loss that are all positive.
    """
    from ... import nn
    from ...prune import (
        batch,
        deep_r,
        eigendamage,
        force,
        grasp,
        l0_arm,
        n_of_m,
        obd,
        single_gradients,
        skeletonization,
        snip,
        synflow,
        taylor,
    )

    def asked(model: Any, shape: tuple[int, ...], **options: Any) -> batch.Batch:
        x, y = rng.random(shape), rng.integers(0, 2, shape[0])
        return batch.Batch(model.to(np.float64), (x, y), **options)

    def hidden() -> Any:
        return nn.Sequential(nn.Linear(3, 3, rng=rng), nn.ReLU(), nn.Linear(3, 2, rng=rng))

    def filters() -> Any:
        """Return a convolution whose outputs are the logits."""
        return nn.Sequential(nn.Conv2d(1, 2, 2, rng=rng), nn.Flatten())

    def positive(model: Any, shape: tuple[int, ...]) -> batch.Batch:
        found = asked(model, shape, loss=lambda logits, _: logits.mean())
        for p in model.parameters():
            p.data = abs(p.numpy()) + 0.1
        return found

    whole, convolved = asked(hidden(), (4, 3)), asked(filters(), (3, 3, 2, 1))
    last = asked(nn.Sequential(nn.Linear(3, 2, rng=rng)), (4, 3))
    bright, bright_filters = positive(hidden(), (4, 3)), positive(filters(), (3, 3, 2, 1))
    one, one_image = asked(hidden(), (1, 3)), asked(filters(), (1, 3, 2, 1))
    linear = asked(hidden(), (4, 3), loss=skeletonization.linear_error)
    cool = grasp.cooled(whole, 3.0)

    def by_weight(ask: batch.Batch, slope: Callable[[batch.Batch], Any]) -> Sample:
        """Let the loss be a function of the first weight."""
        w = _first(ask)

        def backward(g: Any, value: Any) -> Any:
            return g * _at(ask, {"0.weight": value}, lambda: slope(ask))

        return lambda v: np.asarray(ask.loss_at({"0.weight": v})), (w,), backward

    def by_gate(ask: batch.Batch, slope: Callable[..., Any], axis: str = "weight") -> Sample:
        """Let it be a function of gates: of the weights, of the inputs, or of the units."""
        w, b = (p.numpy().copy() for p in ask.parameters(["0.weight", "0.bias"]))
        shape = {"weight": w.shape, "input": w.shape[-2:-1], "unit": w.shape[-1:]}[axis]

        def gated(c: Any) -> dict[str, Any]:
            if axis == "unit":
                return {"0.weight": c * w, "0.bias": c * b}
            return {"0.weight": (c[:, None] if axis == "input" else c) * w}

        def backward(g: Any, c: Any) -> Any:
            return g * _at(ask, gated(c), lambda: slope(ask, w, b))

        gates = 1 + 0.1 * rng.standard_normal(shape)
        return lambda c: np.asarray(ask.loss_at(gated(c))), (gates,), backward

    def gradient(ask: batch.Batch, name: str = "0.weight") -> Any:
        return ask.gradients([name])[name]

    def connection(ask: batch.Batch, w: Any, _: Any) -> Any:
        g = gradient(ask)
        return snip.connection_sensitivity({"w": w}, {"w": g})["w"] * abs(w * g).sum()

    def foresight(ask: batch.Batch, w: Any, _: Any) -> Any:
        return force.foresight({"w": w}, {"w": gradient(ask)})["w"]

    def relevance(ask: batch.Batch, w: Any, _: Any) -> Any:
        return -skeletonization.relevance(w, gradient(ask)).sum(axis=-1)

    def products(ask: batch.Batch, w: Any, b: Any) -> Any:
        return taylor.products([w, b], [gradient(ask), gradient(ask, "0.bias")])

    def gate_sum(ask: batch.Batch, w: Any, b: Any) -> Any:
        return products(ask, w, b).sum(axis=0)

    def gate_form(ask: batch.Batch, w: Any, b: Any) -> Any:
        rows = products(ask, w, b)
        return np.sign(rows.sum(axis=0)) * np.sqrt(taylor.gate_form(rows))

    def activation_form(ask: batch.Batch, w: Any, _: Any) -> Any:
        record, delta = ask.losses_by_layer()[0]
        signal = record.output.numpy()
        gates = ask.parameters(["0.weight"])[0].numpy()[0] / w[0]  # the signal has them in it
        return taylor.activation_form(signal, delta) / gates

    def root_of_squares(ask: batch.Batch) -> Any:
        return np.sign(gradient(ask)) * np.sqrt(ask.squares()["0.weight"])

    def of_gradient(ask: batch.Batch, product: Callable[[batch.Batch, Any], Any]) -> Sample:
        """Let g . v be the function: its gradient is H v."""
        w = _first(ask)
        v = rng.standard_normal(w.shape)

        def forward(value: Any) -> Any:
            return np.asarray(_at(ask, {"0.weight": value}, lambda: (gradient(ask) * v).sum()))

        def backward(g: Any, value: Any) -> Any:
            return g * _at(ask, {"0.weight": value}, lambda: product(ask, v))

        return forward, (w,), backward

    def hessian(ask: batch.Batch, v: Any) -> Any:
        return ask.hessian_vector({"0.weight": v})["0.weight"]

    def gauss_newton(ask: batch.Batch, v: Any) -> Any:
        found = single_gradients.curvature_factors(ask, ["0.weight"])["0.weight"]
        rows = found.rows().reshape(-1, v.size)
        return (rows.T @ (rows @ v.reshape(-1)) / len(ask)).reshape(v.shape)

    def diagonal(ask: batch.Batch, curvatures: Callable[[Any], Any]) -> Sample:
        """Let each component of the gradient be a function of its own weight alone."""
        w = _first(ask)

        def forward(value: Any) -> Any:
            slopes = np.empty(w.size)
            for i in range(w.size):
                moved = w.copy()
                moved.flat[i] = value.flat[i]
                slopes[i] = _at(ask, {"0.weight": moved}, lambda: gradient(ask)).flat[i]
            return slopes.reshape(w.shape)

        return forward, (w,), lambda g, _: g * curvatures(ask)["0.weight"]

    def flow() -> Sample:
        def forward(c: Any) -> Any:
            found = _at(whole, {"0.weight": c * w}, lambda: gradient(cool))
            return np.asarray((found**2).sum() / 2)

        def backward(g: Any, c: Any) -> Any:
            def slope() -> Any:
                hg = cool.hessian_vector(cool.gradients(["0.weight"]))
                return -grasp.flow_without({"0.weight": w}, hg)["0.weight"]

            return g * _at(whole, {"0.weight": c * w}, slope)

        w = _first(whole)
        return forward, (1 + 0.1 * rng.standard_normal(w.shape),), backward

    def paths(ask: batch.Batch) -> Sample:
        twin = synflow.absolute_model(ask.model)
        held = batch.Batch(twin, (ask.x, ask.y))
        w = _first(held)

        def at(c: Any) -> tuple[float, dict[str, Any]]:
            found: tuple[float, dict[str, Any]] = _at(
                held,
                {"0.weight": c * w},
                lambda: synflow.synaptic_flow(twin, ask.x.shape[1:], ["0.weight"]),
            )
            return found

        gates = rng.random(w.shape) + 0.5
        return (
            lambda c: np.asarray(at(c)[0]),
            (gates,),
            lambda g, c: g * at(c)[1]["0.weight"] / c,
        )

    def kronecker() -> Sample:
        """Let w dE/dw be twice the saliency: E is quadratic in w."""
        w, x, d = (rng.standard_normal(s) for s in ((3, 2), (5, 3), (5, 2)))
        a, k = x.T @ x, d.T @ d

        def forward(w: Any) -> Any:
            return (np.diag(k) * np.einsum("ik,ij,jk->k", w, a, w) / 2).sum()

        return forward, (w,), lambda g, w: g * 2 * eigendamage.kronecker_saliency(w, a, k) / w

    w, mask = rng.standard_normal((4, 3)), (rng.random((4, 3)) < 0.5) * 1.0
    values, phi = rng.standard_normal((2, 5)), rng.standard_normal(5)
    return {
        "batch.Batch.gradients": [by_weight(ask, gradient) for ask in (whole, convolved)],
        "batch.Batch.hessian_vector": [of_gradient(ask, hessian) for ask in (whole, convolved)],
        # of one image the mean of squares is the square
        "batch.Batch.squares": [by_weight(ask, root_of_squares) for ask in (one, one_image)],
        # where the logits are linear in the weight, Gauss and Newton leave nothing out
        "obd.curvatures": [diagonal(ask, obd.curvatures) for ask in (last, convolved)],
        "obd.recursion_curvatures": [diagonal(last, obd.recursion_curvatures)],
        "single_gradients.curvature_factors": [
            of_gradient(ask, gauss_newton) for ask in (last, convolved)
        ],
        "eigendamage.kronecker_saliency": [kronecker()],
        "snip.connection_sensitivity": [
            by_gate(ask, connection) for ask in (bright, bright_filters)
        ],
        "force.foresight": [by_gate(ask, foresight) for ask in (bright, bright_filters)],
        "grasp.flow_without": [flow()],
        "synflow.synaptic_flow": [paths(whole), paths(convolved)],
        "skeletonization.relevance": [by_gate(linear, relevance, "input")],
        "taylor.products": [by_gate(ask, gate_sum, "unit") for ask in (whole, convolved)],
        "taylor.gate_form": [by_gate(ask, gate_form, "unit") for ask in (whole, convolved)],
        "taylor.activation_form": [by_gate(bright, activation_form, "unit")],
        "l0_arm.arm_gradient": [
            (
                lambda p: values[0] + (values[1] - values[0]) / (1 + np.exp(-p)),
                (phi,),
                lambda g, p: g * _arm(l0_arm, values, p),
            )
        ],
        # what is added to the gradient is that of a penalty
        "n_of_m.sr_ste": [
            (
                lambda w: 0.3 * ((1 - mask) * w * w).sum() / 2,
                (w,),
                lambda g, w: g * n_of_m.sr_ste(0 * w, w, mask, 0.3),
            )
        ],
        "deep_r.walk": [
            (
                lambda w: 0.3 * w.sum(),
                (w,),
                lambda g, w: g * (w - deep_r.walk(w, 0.1, 0.3, 0.0, 0 * w)) / 0.1,
            )
        ],
    }


def _first(ask: Any) -> Any:
    return ask.parameters(["0.weight"])[0].numpy().copy()


def _at(ask: Any, values: dict[str, Any], compute: Callable[[], Any]) -> Any:
    """Return what is computed with these parameters, and put back the old ones."""
    parameters = ask.parameters(list(values))
    before = [p.numpy().copy() for p in parameters]
    try:
        for p, value in zip(parameters, values.values(), strict=True):
            p.data = value
        return compute()
    finally:
        for p, value in zip(parameters, before, strict=True):
            p.data = value


def _arm(l0_arm: Any, values: Any, phi: Any) -> Any:
    """Return the mean of ARM's estimate over u, exactly: it is linear between its two steps."""
    found = np.zeros_like(phi)
    p = 1 / (1 + np.exp(-phi))
    for i in range(phi.size):
        ends = np.sort([0.0, p[i], 1 - p[i], 1.0])
        for lo, hi in pairwise(ends):
            u = np.array((lo + hi) / 2)
            first, second = (values[int(z), i] for z in l0_arm.two_samples(p[i], u))
            found[i] += (hi - lo) * l0_arm.arm_gradient(first, second, u)
    return found

"""Formulas of the four papers at the core, and of the penalties that they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..samples import Sample


def formulas(rng: np.random.Generator) -> dict[str, list[Sample]]:
    """Return samples for the methods' formulas, under their names in ``minisparse.prune``.

    Some are functions of tensors; others state a derivative, which is checked as the backward of
    what it is the derivative of.
    """
    from ... import nn
    from ...prune import hard_concrete, insensitivity, l0, penalties, sensitivity, stochastic
    from ...prune import sparse_variational_dropout as vd

    log_alpha, theta = 3 * rng.standard_normal(6), rng.standard_normal((6, 4))
    u = rng.uniform(0.05, 0.95, 6)
    weights = np.where(rng.random((4, 3)) < 0.4, 0.0, rng.standard_normal((4, 3)))
    sensitive = rng.random((4, 3)) * 1.5

    def on(f: Callable[..., Any], *inputs: Any) -> Sample:
        return f, inputs, None

    gated = nn.Sequential(nn.Linear(4, 3, rng=rng), nn.ReLU(), nn.Linear(3, 2, rng=rng))
    l0.add_gates(gated, {"0": 0.5, "2": 0.3}, rng)
    noisy = nn.Sequential(nn.Conv2d(1, 2, 2, rng=rng), nn.Flatten(), nn.Linear(8, 2, rng=rng))
    vd.add_variances(noisy, ["0", "2"], rng, initial=-1.0)
    hidden = nn.Sequential(nn.Linear(4, 3, rng=rng), nn.ReLU(), nn.Linear(3, 2, rng=rng))
    filters = nn.Sequential(
        nn.Conv2d(1, 2, 2, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2, rng=rng)
    )
    vectors, images = rng.random((5, 4)), rng.random((5, 3, 3, 1))
    found: dict[str, list[Sample]] = {
        "l0.add_gates": [on(gated, rng.standard_normal((5, 4)))],
        "hard_concrete.sample": [on(lambda a: hard_concrete.sample(a, u), log_alpha)],
        "hard_concrete.sample_derivative": [
            (
                lambda a: hard_concrete.sample(a, u),
                (log_alpha,),
                lambda g, a: g * hard_concrete.sample_derivative(a, u),
            )
        ],
        "hard_concrete.evaluation_gate": [on(hard_concrete.evaluation_gate, log_alpha)],
        "hard_concrete.prob_nonzero": [on(hard_concrete.prob_nonzero, log_alpha)],
        "hard_concrete.prob_zero": [on(hard_concrete.prob_zero, log_alpha)],
        "hard_concrete.prob_one": [on(hard_concrete.prob_one, log_alpha)],
        "hard_concrete.expected_l0": [on(lambda a: hard_concrete.expected_l0(a, 5), log_alpha)],
        "hard_concrete.expected_l2": [on(hard_concrete.expected_l2, log_alpha[:, None], theta)],
        "sparse_variational_dropout.add_variances": [on(noisy, images)],
        "sparse_variational_dropout.log_alpha": [on(vd.log_alpha, theta, 3 * theta - 1)],
        "sparse_variational_dropout.divergence": [on(vd.divergence, 3 * theta)],
        "sparse_variational_dropout.pre_activation": [
            on(vd.pre_activation, theta, theta**2, rng.standard_normal(theta.shape))
        ],
        # a step is w - amount * R'(w): R' is what the step takes away from w
        "penalties.l2_step": [_penalty(lambda w: (w * w).sum() / 2, penalties.l2_step, weights)],
        "penalties.l1_subgradient_step": [
            _penalty(lambda w: np.abs(w).sum(), penalties.l1_subgradient_step, weights)
        ],
        # a proximal step takes away the gradient of the penalty's Moreau envelope
        "penalties.l1_step": [
            _penalty(lambda w: _huber(np.abs(w), 0.4), penalties.l1_step, weights, 0.4)
        ],
        "penalties.group_lasso_step": [_group_lasso(weights, amount) for amount in (0.1, 0.8)],
        "l0.L0Method.penalty": [on(_l0_penalty(gated, rng))],
        "sensitivity.sensitivity": [
            _sensitivity(model, x, form)
            for model, x in ((hidden, vectors), (filters, images))
            for form in sensitivity.FORMS
        ],
        # R = (w^2 / 2) Sbar with Sbar held fixed
        "insensitivity.shrinkage": [
            (
                lambda w: (w * w / 2 * insensitivity.insensitivity(sensitive)).sum(),
                (weights,),
                lambda g, w: g * insensitivity.shrinkage(w, sensitive, 1.0),
            )
        ],
        "lobster.loss_sensitivity": [
            _loss_sensitivity(model, x) for model, x in ((hidden, vectors), (filters, images))
        ],
        "serene.neuron_sensitivities": [
            _neuron_sensitivities(model, x) for model, x in ((hidden, vectors), (filters, images))
        ],
    }
    for name, form in stochastic.FORMS.items():
        # P(T > w) falls as fast as the density of T says; erfc is an approximation, to 1.5e-7
        if form.density is not None and name != "erfc":
            p, density = form.probability, form.density
            found[f"stochastic.FORMS[{name!r}]"] = [
                (
                    lambda w, p=p: p(w, 0.7),
                    (rng.random(5) + 0.1,),
                    lambda g, w, density=density: -g * density(w, 0.7),
                )
            ]
    return found


def _penalty(
    penalty: Callable[..., Any],
    step: Callable[..., Any],
    weights: np.ndarray[Any, Any],
    amount: float = 1.0,
) -> Sample:
    return penalty, (weights,), lambda g, w: g * (w - step(w, amount))


def _group_lasso(weights: np.ndarray[Any, Any], amount: float) -> Sample:
    from ...prune import granularity, penalties

    def envelope(w: Any) -> Any:
        norms = np.sqrt(granularity.group_scores(w * w, "unit"))
        return _huber(norms, amount * np.sqrt(len(w)))

    def step(w: Any, amount: float) -> Any:
        return penalties.group_lasso_step(w, amount, "unit")

    return _penalty(envelope, step, weights, amount)


def _huber(size: Any, reach: float) -> Any:
    """Return min_v (size - v)^2 / 2 + reach |v|, summed: the Moreau envelope of reach |.|."""
    return np.where(size <= reach, size**2 / 2, reach * size - reach**2 / 2).sum()


def _sensitivity(model: Any, x: np.ndarray[Any, Any], form: str) -> Sample:
    """Let S stand for a gradient.

    With inputs and weights that are all positive no absolute value does anything, and S is the
    gradient of the mean output.
    """
    from ...autodiff import Tensor
    from ...nn import record_layers
    from ...prune import sensitivity

    _make_positive(model)
    name, weight = next(iter(model.named_parameters()))
    labels = np.zeros(len(x), np.int64)

    def forward(w: Any) -> Any:
        weight.data = w
        return model(Tensor(x)).numpy().mean()

    def backward(g: Any, w: Any) -> Any:
        weight.data = w
        with record_layers(model) as layers:
            logits = model(Tensor(x))
        return g * sensitivity.sensitivity(logits, layers, labels, form=form)[name]

    return forward, (weight.numpy(),), backward


def _loss_sensitivity(model: Any, x: np.ndarray[Any, Any]) -> Sample:
    """Let |dL/dw| stand for a gradient: with everything positive the mean output grows with w."""
    from ...autodiff import Tensor, gradients
    from ...prune import lobster

    _make_positive(model)
    _, weight = next(iter(model.named_parameters()))

    def loss(w: Any) -> Any:
        weight.data = w
        return model(Tensor(x)).mean()

    def backward(g: Any, w: Any) -> Any:
        return g * lobster.loss_sensitivity(gradients(loss(w), [weight])[0].numpy())

    return lambda w: loss(w).numpy(), (weight.numpy(),), backward


def _neuron_sensitivities(model: Any, x: np.ndarray[Any, Any]) -> Sample:
    """Let S of the first layer stand for a gradient, that by its bias.

    A bias moves the pre-activation at every position, S is the mean over them.
    """
    from ...autodiff import Tensor
    from ...nn import record_layers
    from ...prune import serene

    _make_positive(model)
    name, bias = list(model.named_parameters())[1]

    def forward(b: Any) -> Any:
        bias.data = b
        return model(Tensor(x)).numpy().mean()

    def backward(g: Any, b: Any) -> Any:
        bias.data = b
        with record_layers(model) as layers:
            logits = model(Tensor(x))
        positions = layers[0].output.size / (len(x) * len(b))
        s = serene.neuron_sensitivities(logits, layers)[name.removesuffix(".bias")]
        return g * positions * s

    return forward, (bias.numpy(),), backward


def _make_positive(model: Any) -> None:
    for p in model.to(np.float64).parameters():
        p.data = np.abs(p.numpy()) + 0.1


def _l0_penalty(model: Any, rng: np.random.Generator) -> Any:
    """Return a module with the parameters of `model` and the value of its penalty."""
    from ... import nn, optim
    from ...prune import l0

    method = l0.L0Method(0.3, n=7, weight_decay=0.2)
    method.attach(model, optim.SGD(model, 0.1), rng)

    class Penalty(nn.Module):
        def __init__(self) -> None:
            self.model = model

        def forward(self) -> Any:  # type: ignore[override]
            return method.penalty()

    return Penalty()

"""Gated layers in few operations: the same as the chain of small ones, gradients included."""

from dataclasses import astuple

import numpy as np
import pytest

from minisparse.autodiff import Tensor, gradients
from minisparse.prune import hard_concrete as hc
from minisparse.prune import l0
from minisparse.prune.gate_ops import GatePenalty, GroupProduct, HardConcrete, other_axes

CASES = [
    ((6, 5), "input"),
    ((6, 5), "unit"),
    ((6, 5), "weight"),
    ((3, 2, 4, 5), "unit"),
    ((3, 2, 4, 5), "weight"),
]
cases = pytest.mark.parametrize(("shape", "group"), CASES)


def drawn(shape, group):
    """Draw a weight, log alpha of its groups, and noise."""
    rng = np.random.default_rng(0)
    w = Tensor(rng.standard_normal(shape), requires_grad=True)
    groups = l0.Gates(w, 0.5, group, *astuple(hc.LAW), rng=rng).log_alpha.shape
    log_alpha = Tensor(2 * rng.standard_normal(groups), requires_grad=True)
    return w, log_alpha, hc.noise(rng, groups)


def pairs(shape, group):
    """Return what the operations compute, each beside what the formulas do, and the inputs."""
    w, log_alpha, u = drawn(shape, group)
    axes = other_axes(w.ndim, group)
    z = HardConcrete(u, hc.LAW)(log_alpha)
    by_formula = w * l0.spread(hc.sample(log_alpha, u), w.shape, group)
    found = [(GroupProduct(axes)(w, z), by_formula)]
    for a, b in ((0.3, 0.2), (0.3, 0.0), (0.0, 0.2)):
        penalty = a * hc.expected_l0(log_alpha, w.size // log_alpha.size)
        penalty += b / 2 * hc.expected_l2(l0.spread(log_alpha, w.shape, group), w)
        found.append((GatePenalty(axes, a, b, hc.LAW)(log_alpha, w), penalty))
    return found, [w, log_alpha]


def assert_alike(got, want):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)


@cases
def test_values_and_gradients(shape, group):
    for (y, want), inputs in ((pair, i) for found, i in [pairs(shape, group)] for pair in found):
        assert_alike([y], [want])
        v = np.random.default_rng(1).standard_normal(y.shape)
        own = gradients(y, inputs, v, allow_unused=True)  # without decay the weights have no part
        assert_alike(own, gradients(want, inputs, v))


@cases
def test_gradients_of_gradients(shape, group):
    for (y, want), inputs in ((pair, i) for found, i in [pairs(shape, group)] for pair in found):
        v = np.random.default_rng(1).standard_normal(y.shape)
        both = []
        for each in (y, want):
            first = gradients(each, inputs, v, create_graph=True)
            both.append(gradients(sum((g * g).sum() for g in first), inputs))
        assert_alike(*both)


@cases
def test_several_cotangents_at_once(shape, group):
    for (y, want), inputs in ((pair, i) for found, i in [pairs(shape, group)] for pair in found):
        v = np.random.default_rng(1).standard_normal((3, *y.shape))
        assert_alike(*(gradients(each, inputs, v, batched=True) for each in (y, want)))


@pytest.mark.parametrize("group", ["kernel", (2, 2)])
def test_other_groups_are_left_to_the_formulas(group):
    assert other_axes(4, group) is None

"""What a solution of a6 must do: judged by what a proximal step is, the least of a function."""

import math
from fractions import Fraction

import numpy as np

from minisparse.classroom.properties import array, close, gradient_holds, prop, refuses

GROUPS = {"unit": (0,), "input": (1,)}  # of a matrix: the axes that a group runs over


def weights(rng):
    """Return a matrix with zeros among its weights, and with small and large ones of both signs."""
    w = rng.standard_normal(rng.integers(3, 7, 2))
    w = np.where(rng.random(w.shape) < 0.2, 0.0, w)
    small, large = rng.uniform(0.05, 0.15, 2), rng.uniform(1, 2, 2)
    planted = [0.0, small[0], -small[1], large[0], -large[1]]
    w.ravel()[rng.choice(w.size, 5, replace=False)] = planted
    return w


def amount_for(rng):
    return float(rng.uniform(0.2, 0.8))


def float32_stays(function, rng, *settings):
    w = weights(rng).astype(np.float32)
    array(function(w, 0.25, *settings), w.shape, "the step of float32 weights", np.float32)


# ---- 6.1 ----------------------------------------------------------------------------------------


@prop("6.1", "forward", points=1, name="each step takes the same share")
def decay(student, reference, rng, level):
    w, amount, steps = weights(rng), amount_for(rng), 3
    got = w
    for _ in range(steps):
        got = student.frozen.l2_step(got, amount)
    close(got, w * (1 - amount) ** steps, rtol=1e-9, what=f"the weights after {steps} steps")


@prop("6.1", "gradient", points=1, name="the step is that of |w|^2 / 2")
def of_half_the_square(student, reference, rng, level):
    amount = amount_for(rng)
    gradient_holds(
        lambda w: (w * w).sum() / 2,
        lambda g, w: g * (w - student.l2_step(w, amount)) / amount,
        weights(rng),
    )


@prop("6.1", "edge", points=1, name="amount 0 changes nothing; float32 stays float32")
def no_decay(student, reference, rng, level):
    w = weights(rng)
    close(student.l2_step(w, 0.0), w, rtol=0, atol=0, what="the step with amount 0")
    float32_stays(student.l2_step, rng)


# ---- 6.2 ----------------------------------------------------------------------------------------


@prop("6.2", "forward", points=1, name="against the sign", function="l1_subgradient_step")
def subgradient(student, reference, rng, level):
    w, amount = weights(rng), amount_for(rng)
    got = student.frozen.l1_subgradient_step(w, amount)
    want = [v - amount if v > 0 else v + amount if v < 0 else 0.0 for v in w.ravel()]
    close(got, np.reshape(want, w.shape), rtol=1e-12, what="the subgradient step")
    float32_stays(student.l1_subgradient_step, rng)


@prop("6.2", "forward", points=2, name="the least of (z - w)^2 / 2 + a |z|", function="l1_step")
def least(student, reference, rng, level):
    """z is the least if and only if w - z = a sign(z), or z = 0 and |w| <= a."""
    w, amount = weights(rng), amount_for(rng)
    z = array(student.frozen.l1_step(w, amount), w.shape, "the soft threshold")
    close(z == 0, np.abs(w) <= amount, what="which weights are zero after the step")
    moved = z != 0
    pull = (w - z)[moved] * np.sign(z[moved])
    close(pull, np.full(pull.shape, amount), rtol=1e-9, what="how far other weights moved to zero")


@prop("6.2", "gradient", points=2, name="w - prox(w) is a gradient", function="l1_step")
def moreau(student, reference, rng, level):
    """(w - prox(w)) / a is the gradient of the least value itself, which is Huber's function."""
    amount = amount_for(rng)

    def least_value(w):
        size = np.abs(w)
        return np.where(size < amount, w * w / (2 * amount), size - amount / 2).sum()

    gradient_holds(
        least_value, lambda g, w: g * (w - student.l1_step(w, amount)) / amount, weights(rng)
    )


@prop("6.2", "edge", points=1, name="at the threshold, at zero, and far beyond", function="l1_step")
def edges(student, reference, rng, level):
    amount = int(rng.integers(1, 1000)) / 1024
    w = np.array([amount, -amount, 0.0, amount / 2, 3 * amount, -3 * amount])
    want = np.array([0.0, 0.0, 0.0, 0.0, 2 * amount, -2 * amount])
    close(
        student.l1_step(w, amount), want, atol=0, what="weights at, below and above the threshold"
    )
    close(student.l1_step(w, 0.0), w, atol=0, what="the step with amount 0")
    close(student.l1_step(w, 100.0), np.zeros(6), atol=0, what="the step with a large amount")
    float32_stays(student.l1_step, rng)


# ---- 6.3 ----------------------------------------------------------------------------------------


@prop("6.3", "forward", points=1, name="as many as it takes")
def counted(student, reference, rng, level):
    for sign in (-1, 1, -1, 1, 1):
        w, amount = (
            sign * Fraction(int(rng.integers(1, 2000)), 512),
            Fraction(int(rng.integers(1, 400)), 512),
        )
        left, steps = abs(w), 0
        while left > 0:
            left, steps = max(left - amount, Fraction(0)), steps + 1
        got = student.l1_steps_to_zero(float(w), float(amount))
        close(got, steps, what=f"the steps from {float(w):g} with {float(amount):g} each")


@prop("6.3", "edge", points=1, name="zero, whole numbers of steps, and no pull")
def whole(student, reference, rng, level):
    steps, size = int(rng.integers(2, 30)), int(rng.integers(1, 1000)) / 1024
    close(student.l1_steps_to_zero(0.0, size), 0, what="the steps from 0")
    close(student.l1_steps_to_zero(-steps * size, size), steps, what="a whole number of steps")
    for amount in (0.0, -size):
        refuses(student.l1_steps_to_zero, 1 + size, amount, because=f"steps of {amount:g}")


# ---- 6.4 ----------------------------------------------------------------------------------------


def check_groups(z, w, amount, axes, size):
    """Demand of every group that w_g - z_g = a sqrt(n) z_g / |z_g|, or z_g = 0, |w_g| <= a sqrt(n)."""
    reach = amount * math.sqrt(size)
    norm = np.sqrt((w * w).sum(axis=axes, keepdims=True))
    left = np.sqrt((z * z).sum(axis=axes, keepdims=True))
    close(left == 0, norm <= reach, what="which groups are zero after the step")
    moved = np.broadcast_to(left > 0, w.shape)
    direction = z / np.where(left > 0, left, 1.0)
    want = np.where(moved, reach * direction, w)
    close(w - z, want, rtol=1e-9, atol=1e-12, what="how far weights moved")


@prop("6.4", "forward", points=3, name="the least of |z - w|^2 / 2 + a R(z)")
def least_groups(student, reference, rng, level):
    for granularity, axes in GROUPS.items():
        w, amount = weights(rng), amount_for(rng)
        # The first group falls below the threshold, the last one stays above it.
        others = tuple(i for i in (0, 1) if i not in axes)
        w = np.moveaxis(w, others[0], 0)
        w[0], w[-1] = 0.01 * rng.standard_normal(w[0].shape), 5 + rng.random(w[-1].shape)
        w = np.ascontiguousarray(np.moveaxis(w, 0, others[0]))
        z = array(student.frozen.group_lasso_step(w, amount, granularity), w.shape, "the step")
        check_groups(z, w, amount, axes, w.shape[axes[0]])


@prop("6.4", "forward", points=1, name="filters, kernels and blocks")
def other_groups(student, reference, rng, level):
    amount, w = 0.3, rng.standard_normal((3, 2, 4, 5))
    for granularity, axes in {"unit": (0, 1, 2), "kernel": (0, 1), "input": (0, 1, 3)}.items():
        got = student.group_lasso_step(w, amount, granularity)
        z = array(got, w.shape, f"the step by {granularity}")
        check_groups(z, w, amount, axes, math.prod(w.shape[a] for a in axes))
    w = rng.standard_normal((4, 6))
    z = array(student.group_lasso_step(w, amount, (2, 3)), w.shape, "the step by blocks")
    blocks = (2, 2, 2, 3)
    check_groups(z.reshape(blocks), w.reshape(blocks), amount, (1, 3), 6)


@prop("6.4", "gradient", points=2, name="w - prox(w) is a gradient")
def moreau_groups(student, reference, rng, level):
    w, amount = rng.standard_normal((3, 4)) + 0.2, amount_for(rng)
    reach = amount * math.sqrt(3)

    def least_value(w):
        norm = np.sqrt((w * w).sum(axis=0))
        return np.where(norm < reach, norm * norm / 2, reach * norm - reach**2 / 2).sum()

    gradient_holds(
        least_value, lambda g, w: g * (w - student.group_lasso_step(w, amount, "unit")), w
    )


@prop("6.4", "edge", points=1, name="groups of zeros, amount 0, groups of one weight")
def group_edges(student, reference, rng, level):
    w = rng.standard_normal((3, 4))
    w[:, 1] = 0
    got = array(student.group_lasso_step(w, 0.2, "unit"), w.shape, "the step with a group of zeros")
    close(got[:, 1], np.zeros(3), atol=0, what="a group of zeros")
    close(student.group_lasso_step(w, 0.0, "unit"), w, atol=0, what="the step with amount 0")
    single = np.sign(w) * np.clip(np.abs(w) - 0.2, 0, None)
    close(
        student.group_lasso_step(w, 0.2, "weight"), single, rtol=1e-9, what="groups of one weight"
    )
    float32_stays(student.group_lasso_step, rng, "unit")

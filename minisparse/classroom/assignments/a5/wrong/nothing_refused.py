"""Computes something for whatever it is given."""

import math

import numpy as np

LOSES = ("no_choice", "no_density", "no_schedule", "no_shares")


def top_k(scores, k):
    order = np.argsort(-scores.reshape(-1), kind="stable")
    keep = np.zeros(scores.size, bool)
    keep[order[: max(k, 0)]] = True
    return keep.reshape(scores.shape)


def count_for(density, n):
    return math.floor(density * n + 0.5)


def cubic_sparsity(t, start, end, final, initial=0.0):
    done = min(max((t - start) / max(end - start, 1e-9), 0.0), 1.0)
    return final + (initial - final) * (1 - done) ** 3


_right = layer_densities


def layer_densities(shapes, density, scope):
    if isinstance(scope, dict):
        return dict(scope)
    return _right(shapes, density, "erk") if scope == "erk" else dict.fromkeys(shapes, density)

"""Draws from a generator of its own, so no run can be repeated."""

import numpy as np

LOSES = ("given_generator",)

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    _right_choose(scores, count, target, among, rng)  # refuses what is to be refused
    return _right_choose(scores, count, target, among, np.random.default_rng())

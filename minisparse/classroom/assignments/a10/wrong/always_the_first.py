"""The first candidates are random enough."""

import numpy as np

LOSES = ("same_chance", "given_generator")

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    _right_choose(scores, count, target, among, rng)  # refuses what is to be refused
    if target == "random":
        return among & (np.cumsum(among).reshape(among.shape) <= count)
    return _right_choose(scores, count, target, among, rng)

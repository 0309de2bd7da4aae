"""A random place to begin, and from there on one after the other."""

import numpy as np

LOSES = ("same_chance",)

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    _right_choose(scores, count, target, among, rng)  # refuses what is to be refused
    if target != "random":
        return _right_choose(scores, count, target, among, rng)
    chosen = np.zeros(scores.shape, bool)
    places = np.flatnonzero(among)
    chosen.flat[np.roll(places, rng.integers(places.size))[:count]] = True
    return chosen

"""Draws with replacement: some twice, and so too few."""

import numpy as np

LOSES = ("random_candidates", "same_chance", "given_generator")

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    _right_choose(scores, count, target, among, rng)  # refuses what is to be refused
    if target != "random":
        return _right_choose(scores, count, target, among, rng)
    chosen = np.zeros(scores.shape, bool)
    chosen.flat[rng.choice(np.flatnonzero(among), count)] = True
    return chosen

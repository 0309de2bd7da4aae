"""Chooses among all."""

import numpy as np

LOSES = ("candidates", "ties", "random_candidates", "same_chance")

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    _right_choose(scores, count, target, among, rng)  # refuses what is to be refused
    return _right_choose(scores, count, target, np.ones(scores.shape, bool), rng)

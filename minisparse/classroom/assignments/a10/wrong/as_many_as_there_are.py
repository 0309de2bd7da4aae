"""Gives all candidates where more are wanted."""

LOSES = ("no_targets",)
_right_choose = choose


def choose(scores, count, target, among, rng=None):
    return _right_choose(scores, min(count, int(among.sum())), target, among, rng)

"""Mistakes one for the other."""

LOSES = ("by_size", "candidates", "ties")

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    other = {"largest": "smallest", "smallest": "largest"}.get(target, target)
    return _right_choose(scores, count, other, among, rng)

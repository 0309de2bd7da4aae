"""Gives a score of 0 to who is no candidate, which candidates may have too."""

LOSES = ("candidates", "ties")

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    _right_choose(scores, count, target, among, rng)  # refuses what is to be refused
    if target == "random":
        return _right_choose(scores, count, target, among, rng)
    rank = scores if target == "largest" else -scores
    return top_k(rank * among, count)

"""The smallest as those that are not among the largest: the last of the ties."""

LOSES = ("ties",)

_right_choose = choose


def choose(scores, count, target, among, rng=None):
    if target != "smallest":
        return _right_choose(scores, count, target, among, rng)
    return among & ~_right_choose(scores, int(among.sum()) - count, "largest", among)

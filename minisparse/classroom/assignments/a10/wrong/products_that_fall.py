"""Lets a test pass whose predecessor does not."""

LOSES = ("never_falls",)
_right_holm = holm


def holm(p):
    _right_holm(p)  # refuses what is to be refused
    order = sorted(range(len(p)), key=p.__getitem__)
    found = [0.0] * len(p)
    for i, k in enumerate(order):
        found[k] = min(1.0, (len(p) - i) * p[k])
    return found

"""Products above 1."""

LOSES = ("at_most_one",)
_right_holm = holm


def holm(p):
    _right_holm(p)  # refuses what is to be refused
    adjusted, before = [0.0] * len(p), 0.0
    for i, k in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        before = max(before, (len(p) - i) * p[k])
        adjusted[k] = before
    return adjusted

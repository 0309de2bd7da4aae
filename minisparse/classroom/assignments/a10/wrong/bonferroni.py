"""All of them times their number."""

LOSES = ("steps_of_holm", "never_falls")
_right_holm = holm


def holm(p):
    _right_holm(p)  # refuses what is to be refused
    return [min(1.0, len(p) * q) for q in p]

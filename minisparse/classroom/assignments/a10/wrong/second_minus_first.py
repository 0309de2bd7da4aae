"""b - a."""

LOSES = ("mean_difference", "in_common", "few_seeds")

_right_paired = paired


def paired(a, b):
    return _right_paired(b, a)

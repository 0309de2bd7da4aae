"""1.96, however few the seeds are."""

LOSES = ("interval", "in_common", "few_seeds")

_right_paired = paired


def paired(a, b):
    mean, half = _right_paired(a, b)
    return mean, half and half / student(len(a)) * 1.96

"""p^n, the chance to be zeroed every time."""

LOSES = ("survived",)


def survival(p, n):
    return p**n

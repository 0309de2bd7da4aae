"""Takes a negative factor for a standard deviation."""

from statistics import NormalDist

LOSES = ("negative_factor",)

_right_sent = mean_sent


def mean_sent(beta, gamma):
    normal = NormalDist()
    found = _right_sent(beta, gamma)
    for k, (b, g) in enumerate(zip(beta.tolist(), gamma.tolist(), strict=True)):
        if g < 0:
            found[k] = b * normal.cdf(b / g) + g * normal.pdf(b / g)
    return found

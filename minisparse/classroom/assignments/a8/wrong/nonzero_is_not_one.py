"""P(z < 1): mixes up the two atoms; expectations inherit it."""

LOSES = ("nonzero", "count", "norm")


def prob_nonzero(log_alpha, law=LAW):
    return 1 - prob_one(log_alpha, law)

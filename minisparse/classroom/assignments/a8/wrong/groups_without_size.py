"""Counts gates, not weights."""

LOSES = ("count",)


def expected_l0(log_alpha, size, law=LAW):
    return prob_nonzero(log_alpha, law).sum()

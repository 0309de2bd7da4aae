"""Multiplies weights by the evaluation gate and squares that."""

LOSES = ("norm",)


def expected_l2(log_alpha, theta, law=LAW):
    z = evaluation_gate(log_alpha, law)
    return ((z * theta) ** 2).sum()

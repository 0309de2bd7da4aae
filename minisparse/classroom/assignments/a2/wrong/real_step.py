"""A forward difference with a small real step."""

LOSES = ("without_difference", "not_analytic")


def complex_step(line):
    return (line(1e-8) - line(0.0)) / 1e-8

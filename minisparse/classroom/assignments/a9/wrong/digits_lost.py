"""1 - chance^(1/n): after very many steps no digit is left; takes everything."""

import math
import statistics

LOSES = ("many_steps",)


def effective_threshold(sigma, n, form="gaussian", chance=0.5):
    p = max(1 - chance ** (1 / n), 1e-300)
    if form == "gaussian":
        return sigma * math.sqrt(-2 * math.log(p))
    if form == "exponential":
        return -sigma * math.log(p)
    return sigma if form == "hard" else -sigma * statistics.NormalDist().inv_cdf(p / 2)

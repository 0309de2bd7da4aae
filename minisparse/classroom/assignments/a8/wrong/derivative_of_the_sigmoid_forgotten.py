"""s where s (1 - s) belongs: the sigmoid is not derived."""

import numpy as np

LOSES = ("derivative", "unbiased", "stuck")
SAYS = {"derivative": "the mistake is in the formula, not in a special case"}


def sample_derivative(log_alpha, u, law=LAW):
    s = sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha) / law.beta)
    sbar = s * (law.zeta - law.gamma) + law.gamma
    inside = (sbar > 0) & (sbar < 1)
    return np.where(inside, (law.zeta - law.gamma) / law.beta * s, 0)

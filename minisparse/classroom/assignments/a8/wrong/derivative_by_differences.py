"""Difference quotients in place of the derivative: seven digits, and no formula."""

import numpy as np

LOSES = ("derivative",)


def sample_derivative(log_alpha, u, law=LAW):
    h = 1e-5
    up, down = (
        np.clip(
            sigmoid_array((np.log(u) - np.log1p(-u) + log_alpha + d) / law.beta)
            * (law.zeta - law.gamma)
            + law.gamma,
            0,
            1,
        )
        for d in (h, -h)
    )
    return (up - down) / (2 * h)

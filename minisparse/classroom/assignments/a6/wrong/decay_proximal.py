"""The proximal step, which differs in second order."""

import numpy as np

LOSES = ("decay", "of_half_the_square", "no_decay")


def l2_step(w, amount):
    return w / np.float64(1 + amount)

"""Steps along the sign, away from zero."""

import numpy as np

LOSES = ("subgradient",)


def l1_subgradient_step(w, amount):
    return w + amount * np.sign(w)

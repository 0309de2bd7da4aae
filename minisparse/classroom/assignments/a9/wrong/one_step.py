"""The weight whose p is the chance: forgets the steps."""

import math

LOSES = ("threshold", "many_steps")


def effective_threshold(sigma, n, form="gaussian", chance=0.5):
    if n < 1 or form not in ("gaussian", "exponential", "erfc", "hard") or not 0 < chance < 1:
        raise ValueError("n, form, chance")
    return sigma if form == "hard" else sigma * math.sqrt(-2 * math.log(chance))

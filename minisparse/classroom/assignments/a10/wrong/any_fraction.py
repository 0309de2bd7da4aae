"""Computes with any fraction and without units."""

import math

LOSES = ("no_schedule",)


def kept_after(n_units, fraction, events):
    last = math.ceil(round((1 - fraction) * n_units, 9))
    return [last - (n_units - last) * (i - events) // events for i in range(1, events + 1)]

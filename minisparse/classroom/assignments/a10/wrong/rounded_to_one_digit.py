"""Rounds much too coarsely before the ceiling."""

import math

LOSES = ("whole_at_the_end",)
_right_kept = kept_after


def kept_after(n_units, fraction, events):
    _right_kept(n_units, fraction, events)  # refuses what is to be refused
    last = math.ceil(round((1 - fraction) * n_units, 1))
    return [last - (n_units - last) * (i - events) // events for i in range(1, events + 1)]

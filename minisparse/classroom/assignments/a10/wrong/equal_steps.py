"""Takes the same rounded number each time: at the end too many are gone."""

import math

LOSES = ("straight_line",)
_right_kept = kept_after


def kept_after(n_units, fraction, events):
    _right_kept(n_units, fraction, events)  # refuses what is to be refused
    last = math.ceil(round((1 - fraction) * n_units, 9))
    step = math.ceil((n_units - last) / events)
    return [n_units - i * step for i in range(1, events + 1)]

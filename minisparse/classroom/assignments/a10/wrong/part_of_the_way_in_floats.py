"""(1 - i / n) (F - kept_n): 1 - 0.7 is more than 0.3."""

import math

LOSES = ("whole_on_the_way",)
_right_kept = kept_after


def kept_after(n_units, fraction, events):
    _right_kept(n_units, fraction, events)  # refuses what is to be refused
    last = math.ceil(round((1 - fraction) * n_units, 9))
    return [math.ceil(last + (1 - i / events) * (n_units - last)) for i in range(1, events + 1)]

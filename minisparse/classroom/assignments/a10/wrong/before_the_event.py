"""What is left before each event."""

import math

LOSES = ("straight_line", "whole_at_the_end", "whole_on_the_way")
_right_kept = kept_after


def kept_after(n_units, fraction, events):
    _right_kept(n_units, fraction, events)  # refuses what is to be refused
    last = math.ceil(round((1 - fraction) * n_units, 9))
    return [last - (n_units - last) * (i - events) // events for i in range(events)]

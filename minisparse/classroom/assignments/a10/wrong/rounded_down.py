"""Rounds down."""

LOSES = ("straight_line", "whole_at_the_end")
_right_kept = kept_after


def kept_after(n_units, fraction, events):
    _right_kept(n_units, fraction, events)  # refuses what is to be refused
    last = int(round((1 - fraction) * n_units, 9))
    return [last + (n_units - last) * (events - i) // events for i in range(1, events + 1)]

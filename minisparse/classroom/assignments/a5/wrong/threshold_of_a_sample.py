"""Divides by n - 1; a layer without weights gives NaN."""

LOSES = ("standard_deviation", "zeros_are_left_out")


def han_threshold(w, quality):
    return float(quality * w[w != 0].std(ddof=1))

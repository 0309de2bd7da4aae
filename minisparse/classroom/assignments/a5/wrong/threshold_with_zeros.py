"""Pruned weights count among the weights: the threshold sinks with every pruning."""

LOSES = ("zeros_are_left_out",)


def han_threshold(w, quality):
    return float(quality * w.std())

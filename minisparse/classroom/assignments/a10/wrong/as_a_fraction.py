"""A stability of 1 for 100 %."""

LOSES = ("stability_of_a_run",)
_right_stability = mean_stability


def mean_stability(instabilities):
    _right_stability(instabilities)  # refuses what is to be refused
    return 1 - sum(instabilities) / len(instabilities)

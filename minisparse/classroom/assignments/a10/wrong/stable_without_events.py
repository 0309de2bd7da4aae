"""Takes a run without events for a stable one."""

LOSES = ("nothing_to_lose",)
_right_stability = mean_stability


def mean_stability(instabilities):
    return _right_stability(instabilities) if instabilities else 100.0

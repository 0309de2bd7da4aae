"""An event that helps has no instability."""

LOSES = ("other_events",)
_right_instability = instability


def instability(before, after):
    _right_instability(before, after)  # refuses what is to be refused
    return max((before - after) / before, 0.0)

"""The points that are lost, relative to nothing."""

LOSES = ("share_lost", "other_events")
_right_instability = instability


def instability(before, after):
    _right_instability(before, after)  # refuses what is to be refused
    return before - after

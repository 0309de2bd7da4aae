"""A unit's size as a mean: small where many weights are gone."""

LOSES = ("norms",)

_right_sizes = sizes


def sizes(w, granularity, relative=False):
    if granularity == "unit":
        return rms(w)
    return _right_sizes(w, granularity, relative)

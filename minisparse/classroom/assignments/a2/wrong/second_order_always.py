"""Always takes four: steps halved, and an error like t^2."""

LOSES = ("cancelled", "factors")


def extrapolate(coarse, fine, factor):
    return (4 * fine - coarse) / 3

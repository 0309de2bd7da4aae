"""Only the two derivatives themselves are legal."""

import numpy as np

LOSES = ("legal",)


def between(claimed, one, other, slack):
    near = np.minimum(np.abs(claimed - one), np.abs(claimed - other))
    return near <= slack

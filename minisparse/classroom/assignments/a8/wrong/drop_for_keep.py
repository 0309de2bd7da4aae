"""log(p / (1 - p)): starts with the gates the wrong way round; takes any rate."""

import numpy as np

LOSES = ("start", "no_rate")


def initial_log_alpha(shape, drop, rng, dtype=np.float64):
    with np.errstate(all="ignore"):
        return rng.normal(np.log(drop / (1 - drop)), 0.01, shape).astype(dtype)

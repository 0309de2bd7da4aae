"""Label -1 becomes the last class."""

import numpy as np

LOSES = ("no_class",)


def cotangents(labels, classes, variant, dtype):
    one = np.eye(classes, dtype=dtype)
    if variant == "specific":
        return one[labels][None]
    if variant != "unspecific":
        raise ValueError("no such variant")
    return np.repeat(one[:, None], len(labels), axis=1)

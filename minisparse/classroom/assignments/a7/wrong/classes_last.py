"""Repeats whole identity matrices: example n, not cotangent k, decides where the 1 stands."""

import numpy as np

LOSES = ("unit_vectors", "no_class")


def cotangents(labels, classes, variant, dtype):
    if variant == "specific":
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError("no class")
        return np.eye(classes, dtype=dtype)[labels][None]
    one = np.eye(classes, dtype=dtype)[np.arange(len(labels)) % classes]
    return np.repeat(one[None], classes, axis=0)

"""The distance of S from 1: very sensitive weights are shrunk most."""

import numpy as np

LOSES = ("bounded", "of_the_regularizer", "extremes")


def insensitivity(s):
    return np.abs(1 - s)

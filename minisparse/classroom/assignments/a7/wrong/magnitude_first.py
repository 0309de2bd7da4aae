"""Takes the magnitude of every example: exercise 7.2 in place of 7.3."""

import numpy as np

LOSES = ("batch_mean", "what_cancels")


def linear_batch_mean(x, delta, alpha):
    return alpha / len(x) * np.abs(x).T @ np.abs(delta).sum(axis=0)

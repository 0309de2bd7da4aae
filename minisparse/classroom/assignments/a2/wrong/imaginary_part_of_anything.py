"""Takes the imaginary part of real numbers: 0, a derivative that is not there."""

import warnings

import numpy as np

LOSES = ("not_analytic",)


def complex_step(line):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.imag(line(1e-20j)) / 1e-20

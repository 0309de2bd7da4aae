"""A step of 1e-3, as if something were subtracted."""

import warnings

import numpy as np

LOSES = ("without_difference", "not_analytic")


def complex_step(line):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.asarray(line(1e-3j))
        except (TypeError, ValueError, RuntimeWarning):
            return None
    fine = values.dtype.kind == "c" and np.isfinite(values).all()
    return values.imag / 1e-3 if fine else None

"""Calls with a law of other constants, which travels as three numbers, and with extreme noise."""

import numpy as np


def with_law(student, name, law, *args):
    """Return what a function gives for Law(beta, gamma, zeta)."""
    return getattr(student, name)(*args, student.Law(*law))


class _Constant:
    """A generator that always draws the same number."""

    def __init__(self, value):
        self.value = value

    def random(self, size=None, dtype=float, out=None):
        """Draw."""
        return np.full(size, self.value, dtype)

    def uniform(self, low=0.0, high=1.0, size=None):
        """Draw from an interval."""
        return low + (high - low) * self.random(size)


def extreme_noise(student):
    """Return the noise where the generator draws its smallest and its largest number."""
    return tuple(
        float(student.noise(_Constant(v), (1,), "float64")[0]) for v in (0.0, 1 - 2.0**-53)
    )

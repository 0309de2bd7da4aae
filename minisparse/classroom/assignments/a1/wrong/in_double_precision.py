"""Computes in float64 whatever it is given, and returns that."""

LOSES = ("in_float32",)


def backward(self, grad, y, x):
    return grad / x.astype(np.float64)


Log.backward = backward

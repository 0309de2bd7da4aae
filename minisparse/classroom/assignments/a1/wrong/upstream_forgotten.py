"""Returns the derivative, not its product with the cotangent."""

LOSES = ("logarithm", "together")


def backward(self, grad, y, x):
    return 1.0 / x + 0.0 * grad


Log.backward = backward

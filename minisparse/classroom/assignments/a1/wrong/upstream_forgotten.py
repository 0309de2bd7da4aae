"""Returns the derivative, not its product with the cotangent."""

LOSES = ("logarithm", "together", "in_float32")


def backward(self, grad, y, x):
    return 1.0 / x + 0.0 * grad


Log.backward = backward

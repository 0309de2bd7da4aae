"""Turns all axes around, not the last two."""

LOSES = ("squares_and_stacks",)


def backward(self, grad, y, a, b):
    return matmul(grad, b.T), matmul(a.T, grad)


MatMul.backward = backward

"""Forgets the transposition; it fits for square matrices."""

LOSES = ("factors", "squares_and_stacks", "together")


def backward(self, grad, y, a, b):
    return matmul(grad, b), matmul(a, grad)


MatMul.backward = backward

"""Gives each factor the other one's gradient, in some order of axes."""

LOSES = ("factors", "squares_and_stacks", "together")


def backward(self, grad, y, a, b):
    return matmul(b, grad.mT).mT, matmul(grad.mT, a)


MatMul.backward = backward

"""Loses the sign of the second gradient."""

LOSES = ("quotient", "together")


def backward(self, grad, y, a, b):
    return grad / b, grad * y / b


Div.backward = backward

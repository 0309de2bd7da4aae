"""Loses the sign of the second gradient."""

LOSES = ("quotient", "together", "in_float32")


def backward(self, grad, y, a, b):
    return grad / b, grad * y / b


Div.backward = backward

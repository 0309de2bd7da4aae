"""Forgets that b stands in the denominator twice."""

LOSES = ("quotient", "together", "in_float32")


def backward(self, grad, y, a, b):
    return grad / b, -grad * a / b


Div.backward = backward

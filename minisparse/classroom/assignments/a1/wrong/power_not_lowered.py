"""p x^p."""

LOSES = ("constant_power", "power_at_zero", "together", "in_float32")


def backward(self, grad, y, x):
    return grad * (self.p * power(x, self.p))


PowConstant.backward = backward

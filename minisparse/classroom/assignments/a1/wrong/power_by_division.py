"""p y / x: not a number at 0."""

LOSES = ("power_at_zero",)


def backward(self, grad, y, x):
    with np.errstate(all="ignore"):
        return grad * (self.p * y / x)


PowConstant.backward = backward

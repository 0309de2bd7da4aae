"""p x^(p-1) for p = 0 too: 0 times infinity at 0."""

LOSES = ("power_at_zero",)


def backward(self, grad, y, x):
    with np.errstate(all="ignore"):
        return grad * (float(self.p) * power(x, self.p - 1.0))


PowConstant.backward = backward

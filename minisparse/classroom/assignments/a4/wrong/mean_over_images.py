"""The mean over images, not the sum."""

LOSES = ("weight_gradient", "odd_weight_gradients")
SAYS = {"weight_gradient": "the length of axis 0 of the output (a mean for a sum?)"}

_right = conv2d_weight_grad


def conv2d_weight_grad(x, g, kernel_shape, stride=(1, 1), padding=(0, 0)):
    return _right(x, g, kernel_shape, stride, padding) / x.dtype.type(len(x))

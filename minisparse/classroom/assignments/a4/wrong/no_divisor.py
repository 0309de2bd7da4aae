"""The sum, not the mean."""

LOSES = ("means", "odd_means")

_right = avg_pool2d


def avg_pool2d(x, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    return kernel[0] * kernel[1] * _right(x, kernel, stride, padding)

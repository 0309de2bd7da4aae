"""Takes (down, across) for (across, down)."""

LOSES = ("forward",)

_right = conv2d


def conv2d(x, w, stride=(1, 1), padding=(0, 0), bias=None, relu=False):
    return _right(x, w, stride[::-1], padding, bias, relu)

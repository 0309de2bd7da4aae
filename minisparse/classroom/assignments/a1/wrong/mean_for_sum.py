"""The mean over what was repeated."""

LOSES = ("undone", "adjoint", "leading_axes", "together")

_right = Unbroadcast.forward


def forward(self, g):
    out = _right(self, g)
    return out * out.dtype.type(out.size / g.size)


Unbroadcast.forward = forward

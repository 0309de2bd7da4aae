"""Writes into the gradient that it was given."""

LOSES = ("input_gradient", "weight_gradient", "bias_gradient")


def linear_backward(g, x, w, y=None, wants=(True, True, True)):
    if len(g) != len(x) or g.shape[1] != w.shape[1]:
        raise ValueError("shapes")
    if y is not None:
        g[y <= 0] = 0
    return (
        g @ w.T if wants[0] else None,
        x.T @ g if wants[1] else None,
        g.sum(axis=0) if wants[2] else None,
    )

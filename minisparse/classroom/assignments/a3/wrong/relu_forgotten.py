"""Lets everything pass through the rectifier, and returns more than is wanted."""

LOSES = ("input_gradient", "weight_gradient", "bias_gradient", "wanted")


def linear_backward(g, x, w, y=None, wants=(True, True, True)):
    if len(g) != len(x) or g.shape[1] != w.shape[1]:
        raise ValueError("shapes")
    return g @ w.T, x.T @ g, g.sum(axis=0)

"""The mean over examples, for the bias."""

LOSES = ("bias_gradient", "wanted", "odd_gradients")


def linear_backward(g, x, w, y=None, wants=(True, True, True)):
    if len(g) != len(x) or g.shape[1] != w.shape[1]:
        raise ValueError("shapes")
    g = g if y is None else g * (y > 0)
    return (
        g @ w.T if wants[0] else None,
        x.T @ g if wants[1] else None,
        g.mean(axis=0) if wants[2] else None,
    )

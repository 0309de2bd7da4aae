"""The mean over a filter's places; there are kh kw of them."""

LOSES = ("filter_reader",)


def folded_bias(bias, values, w):
    return bias + values @ w.mean(axis=tuple(range(w.ndim - 2)))

"""The square ranks weights as |w| does, but it is another score."""

LOSES = ("absolute_value", "score_of_float32")


def magnitude(w):
    return w * w

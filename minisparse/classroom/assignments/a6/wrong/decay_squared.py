"""The gradient of w^2, not of w^2 / 2."""

LOSES = ("decay", "of_half_the_square")


def l2_step(w, amount):
    return w - 2 * amount * w

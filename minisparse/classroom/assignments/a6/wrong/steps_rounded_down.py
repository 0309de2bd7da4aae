"""Forgets the last, shorter step."""

LOSES = ("counted",)


def l1_steps_to_zero(w, amount):
    if amount <= 0:
        raise ValueError("never")
    return int(abs(w) / amount)

"""Takes P(z = 1) for P(z != 0)."""

LOSES = ("one",)


def prob_one(log_alpha, law=LAW):
    return prob_nonzero(log_alpha, law)

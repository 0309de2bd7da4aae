"""P(sbar <= 1/2): a gate that is half closed counts as closed."""

LOSES = ("zero",)


def prob_zero(log_alpha, law=LAW):
    return sigmoid_array(-log_alpha) + 0 * law.beta

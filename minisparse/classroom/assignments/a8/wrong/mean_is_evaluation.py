"""Takes the evaluation gate for the mean."""

LOSES = ("mean_gate",)


def mean(log_alpha, law=LAW):
    return evaluation_gate(log_alpha, law)

"""Folds b, not relu(b)."""

LOSES = ("same_outputs", "as_small_as_can_be", "chain_of_deaths", "empty_layers")


def shrink_perceptron(weights, biases):
    w, b = list(weights), list(biases)
    for _ in w:
        for i in range(len(w) - 1):
            incoming, outgoing = w[i].any(axis=0), w[i + 1].any(axis=1)
            constant, stays = ~incoming & outgoing, incoming & outgoing
            b[i + 1] = b[i + 1] + b[i][constant] @ w[i + 1][constant]
            w[i], b[i], w[i + 1] = w[i][:, stays], b[i][stays], w[i + 1][stays]
    return tuple(w), tuple(b)

"""The spread of the values: it sees the function, not the noise."""

LOSES = ("by_definition", "of_known_noise", "without_noise")


def difference_noise(values):
    return values.std(axis=0)

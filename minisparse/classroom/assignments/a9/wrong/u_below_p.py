"""u < p: u = 0 zeroes weights of any size."""

LOSES = ("extreme_noise",)


def zeroed(p, u):
    return u < p

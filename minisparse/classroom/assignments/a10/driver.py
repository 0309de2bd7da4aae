"""Many draws in one call, from one generator, as the events of a run have them."""


def draws(student, scores, count, among, rng, n):
    """Return the random targets of n events that take nothing away."""
    return [student.choose(scores, count, "random", among, rng) for _ in range(n)]


draws.about = "choose"

"""Takes units for rows and inputs for columns."""

LOSES = ("sums", "square", "blocks_that_do_not_fit")


def group_scores(scores, granularity):
    if granularity == "weight":
        return scores.copy()
    axes = tuple(range(scores.ndim))
    if granularity == "unit":
        return scores.sum(axis=(*axes[:-2], -1))
    if granularity == "input":
        return scores.sum(axis=axes[:-1])
    if granularity == "kernel":
        return scores.sum(axis=axes[:-2])
    r, c = granularity
    *field, n_in, n_out = scores.shape
    return scores.reshape(*field, n_in // r, r, n_out // c, c).sum(axis=(-3, -1))

"""The mean over a group, so that large groups lose their weight; checks nothing."""

LOSES = ("sums", "square", "blocks_that_do_not_fit")


def group_scores(scores, granularity):
    if granularity == "weight":
        return scores.copy()
    if granularity == "unit":
        return scores.mean(axis=tuple(range(scores.ndim - 1)))
    if granularity == "input":
        return scores.mean(axis=(*range(scores.ndim - 2), -1))
    if granularity == "kernel":
        return scores.mean(axis=tuple(range(scores.ndim - 2)))
    r, c = granularity
    *field, n_in, n_out = scores.shape
    return scores.reshape(*field, n_in // r, r, n_out // c, c).mean(axis=(-3, -1))

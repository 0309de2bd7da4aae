r"""What shrinking means, for a perceptron given as arrays: the definition of `shrink` in small.

`minisparse.sparse.shrink` follows any model through its graph.  For layers that feed each other one
after another,

    h_0 = x,      h_l = relu(h_{l-1} W_l + b_l)  for l < L,      y = h_{L-1} W_L + b_L,

all that it does fits on this page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..prune.nodes import folded_bias, has_incoming, reads


def shrink_perceptron(
    weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Return the arrays of a smaller perceptron that computes the same.

    Hidden unit j of layer l matters no more if its outgoing weights, row j of W_{l+1}, are all
    zero, or if its incoming weights, column j of W_l, are: then it is the constant relu(b_l[j]),
    which the next bias takes over,

        b_{l+1} <- b_{l+1} + sum_j relu(b_l[j]) W_{l+1}[j]            j without incoming weights.

    To take a unit out may leave others without weights, so this is repeated until all hidden units
    have both.  Inputs and outputs stay, whatever their weights are.

    Parameters
    ----------
    weights : sequence of arrays, [n_0, n_1], [n_1, n_2], ..., [n_{L-1}, n_L]
    biases : sequence of arrays, [n_1], [n_2], ..., [n_L]

    Returns
    -------
    weights, biases : tuples of arrays
        New ones; what was given is not changed.  A layer may lose all its units: an axis then has
        length 0, and the outputs do not depend on the inputs.

    Examples
    --------
    >>> first, second = np.array([[1.0, 0.0, 2.0]]), np.array([[1.0], [3.0], [0.0]])
    >>> weights, biases = shrink_perceptron([first, second], [np.array([0.0, 5.0, 0.0]), np.zeros(1)])
    >>> weights
    (array([[1.]]), array([[1.]]))
    >>> biases
    (array([0.]), array([15.]))
    """
    w, b = list(weights), list(biases)
    changing = True
    while changing:
        changing = False
        for i in range(len(w) - 1):
            incoming, outgoing = has_incoming(w[i]), reads(w[i + 1])
            constant, stays = ~incoming & outgoing, incoming & outgoing
            if not stays.all():
                values = np.maximum(b[i][constant], 0)
                b[i + 1] = folded_bias(b[i + 1], values, w[i + 1][constant])
                w[i], b[i], w[i + 1] = w[i][:, stays], b[i][stays], w[i + 1][stays]
                changing = True
    return tuple(w), tuple(b)


__all__ = ["shrink_perceptron"]

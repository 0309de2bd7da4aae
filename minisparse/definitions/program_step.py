"""Loss and gradients of a whole program in one call.

With a_0 = x, a_l the result of layer l (after relu and pool), and z = a_L, in a batch of n images::

    forward    a_l = relu(a_{l-1} W_l + b_l)
    loss       L = mean_i (log sum_j exp z_ij - z_i,label)
    backward   delta_L = dL/dz,      delta_{l-1} = delta_l W_l^T  where a_{l-1} > 0
    gradients  dL/dW_l = a_{l-1}^T delta_l,      dL/db_l = sum of the rows of delta_l
"""

from typing import Any, NamedTuple

import numpy as np

from .conv import conv2d, conv2d_backward
from .conv_pool import conv2d_pool, conv2d_pool_backward
from .linear import linear_backward, matmul
from .loss import cross_entropy
from .program import Program, check_images

Array = Any


class Step(NamedTuple):
    """What `run_step` needs besides the program; made by `kernels.program_step.build_step`.

    Attributes
    ----------
    program : Program
    table : int64 array, [layers, columns]
    places : int64 array
        Where the rows of the weights' gradients begin, in their factor and in the gradient.
    sizes : (int, ...)
        Numbers of an image before a pool, and padded, at most; entries and counts of the lists of
        `gradients_of_image`; weights and biases of all convolutions.
    """

    program: Program
    table: Array
    places: Array
    sizes: tuple[int, int, int, int, int]


def run_step(
    x: Array, labels: Array, step: Step, given: list[Any] | None = None
) -> tuple[float, Array, Array, int]:
    """Take a batch through a program, its softmax cross-entropy, and back.

    Parameters
    ----------
    x : ndarray, shape (n, *in_shape), n >= 1
        Of the program's dtype.
    labels : ndarray of int, shape (n,)
    step : Step
    given : list, optional
        Gets for each layer its input, [n, ...], and the winners of its pool, or None: see
        `conv2d_pool`.  Not to be written to.

    Returns
    -------
    loss : float
        The mean over the batch, in nats.
    logits : ndarray, shape (n, classes)
    gradients : ndarray
        Of the loss, in the places of ``program.numbers``; for a layer without a bias too.
    wrong : int
        How many images have their largest logit elsewhere than at the label.

    Raises
    ------
    ValueError
        Shapes or the dtype do not fit, or a label is out of range.
    """
    program = step.program
    check_images(x, program)
    a, kept = x.reshape(len(x), *program.in_shape), []
    for layer in program.layers:
        winner, geometry = None, (layer.stride, layer.padding)
        if layer.w.ndim == 2:
            a = a.reshape(len(x), -1)
            y = matmul(a, layer.w, layer.bias, layer.relu)
        elif layer.pool:
            y, winner = conv2d_pool(a, layer.w, *geometry, layer.bias, layer.relu)
        else:
            y = conv2d(a, layer.w, *geometry, layer.bias, layer.relu)
        kept.append((a, y, winner))
        if given is not None:
            given.append((a, winner))
        a = y
    losses, g = cross_entropy(a, labels)
    g = (g / len(x)).astype(x.dtype)
    gradients: list[Array] = []
    for layer, (a, y, winner) in zip(reversed(program.layers), reversed(kept), strict=True):
        masked, geometry = y if layer.relu else None, (layer.stride, layer.padding)
        g = g.reshape(y.shape)
        if layer.w.ndim == 2:
            g, gw, gb = linear_backward(g, a, layer.w, masked)
        elif winner is not None:
            g, gw, gb = conv2d_pool_backward(g, winner, a, layer.w, *geometry)
        else:
            g, gw, gb = conv2d_backward(g, a, layer.w, *geometry, masked)
        assert gw is not None
        gradients = [gw.reshape(-1), gb, *gradients]
    logits = kept[-1][1]
    wrong = int((logits.argmax(axis=1) != labels).sum())
    return float(losses.mean()), logits, np.concatenate(gradients), wrong

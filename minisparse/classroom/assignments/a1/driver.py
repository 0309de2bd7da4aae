"""The student's parts, alone and inside the engine; arrays in, arrays out."""

import numpy as np
from engine.autodiff import chain_rule
from engine.autodiff.ops import (
    arithmetic,
    broadcast,
    elementwise,
    linalg,
    methods,  # noqa: F401 - gives Tensor its operators
)
from engine.autodiff.tape import Tensor, no_grad

# ---- one part by itself -------------------------------------------------------------------------


def rule(student, name, settings, g, *arrays):
    """Return what a backward rule sends to each input, for the cotangent g of the result."""
    with no_grad():
        op = getattr(student, name)(*settings)
        inputs = [Tensor(a) for a in arrays]
        found = op.backward(Tensor(g), op(*inputs), *inputs)
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        if len(found) != len(inputs):
            raise TypeError(f"{name}.backward returned {len(found)} for {len(inputs)} inputs")
        found = tuple(r() if callable(r) and not isinstance(r, Tensor) else r for r in found)
        if not all(isinstance(r, Tensor) for r in found):
            raise TypeError(f"{name}.backward should return a Tensor for each input")
        return tuple(r.numpy() for r in found)


def summed(student, g, shape, ndim):
    """Return g, the cotangent of a result with ndim axes, summed down to a shape."""
    return student.Unbroadcast(tuple(shape), ndim).forward(g)


def graph(program):
    """Return the tensors of a program: (-1, wants a gradient) is a leaf, (i, j) a sum of two."""
    tensors = []
    for i, j in program.tolist():
        leaf = i < 0
        tensors.append(
            Tensor(np.ones(1), requires_grad=bool(j)) if leaf else tensors[i] + tensors[j]
        )
    return tensors


def order(student, program):
    """Return the order, as positions in the program, in which its last tensor's backward goes."""
    tensors = graph(program)
    place = {id(t): k for k, t in enumerate(tensors)}
    found = student._order(tensors[-1])
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"_order returned {type(found).__name__}; expected a list of tensors")
    return [place.get(id(t), -1) for t in found]


order.about = "_order"


# ---- all parts together -------------------------------------------------------------------------


def complete(student):
    """Put the student's parts into the engine."""
    chain_rule._order = student._order
    arithmetic.Div, arithmetic.PowConstant = student.Div, student.PowConstant
    elementwise.Log, linalg.MatMul = student.Log, student.MatMul
    broadcast.Unbroadcast = student.Unbroadcast


def function(x, w, b):
    """Return a number that depends on everything."""
    h = (x @ w + b) ** 2 / (1.0 + b * b)
    return ((h + 1.5).log() * h.sum(axis=0)).sum() / x.sum()


def gradients(student, *arrays):
    """Return the function's value and its gradients."""
    complete(student)
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    y = function(*leaves)
    return y.item(), tuple(g.numpy() for g in chain_rule.gradients(y, leaves))


def hessian_product(student, v, *arrays):
    """Return the derivative of the gradient with respect to x along v, again with respect to x."""
    complete(student)
    x, *others = (Tensor(a, requires_grad=True) for a in arrays)
    (g,) = chain_rule.gradients(function(x, *others), [x], create_graph=True)
    return chain_rule.gradients((g * Tensor(v)).sum(), [x])[0].numpy()

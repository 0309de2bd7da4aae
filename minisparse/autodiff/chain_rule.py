"""The chain rule, backwards through a graph.

For a number L write

    xbar = dL/dx                          the cotangent ("gradient") of a tensor x.

If x is used by operations with results y_1, ..., y_m, the chain rule is the sum over the uses,

    xbar = sum_i  (dy_i/dx)^T  ybar_i,

so a tensor's cotangent is complete once every use has contributed.  `_order` lists the graph in
exactly such an order; each operation supplies its own product ybar -> (dy/dx)^T ybar.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ..arrays import array_module
from ..switches import recording
from .tape import GraphError, Op, Tensor, as_tensor, is_recording, wrap

plus: Callable[[Any, Any], Any] = operator.add  # the library gives large arrays to a kernel


def walk(
    graph: list[Tensor],
    seed: Tensor,
    ends: set[Tensor],
    wanted: set[Tensor] | None = None,
    retain_graph: bool = True,
) -> list[tuple[Tensor, Tensor]]:
    """Send `seed`, the cotangent of ``graph[0]``, back; return (tensor, cotangent) of all `ends`."""
    grads = {graph[0]: seed}
    found = []
    for t in graph:
        g = grads.pop(t, None)
        if g is not None:  # complete: every use of t has contributed
            if t in ends:
                found.append((t, g))
            contribute(t, g, grads, wanted)
        if not retain_graph:
            free(t)
    return found


def contribute(
    t: Tensor, g: Tensor, grads: dict[Tensor, Tensor], wanted: set[Tensor] | None = None
) -> None:
    """Add to `grads` what `t`, whose cotangent is `g`, passes on to each of its inputs.

    If `wanted` is given, only to inputs among them.
    """
    op, inputs = t.op, t.inputs
    if op is None or (wanted is not None and op is not _FREED and wanted.isdisjoint(inputs)):
        return  # a leaf, or a target that leads to no other
    if t._saved is not None:
        t._saved.check(t, inputs)
    if op.joint:
        op.wants = tuple(x.requires_grad and (wanted is None or x in wanted) for x in inputs)
    rules = op.backward(g, t, *inputs)
    if rules.__class__ is not tuple:
        rules = tuple(rules) if isinstance(rules, list | tuple) else (rules,)
    if len(rules) != len(inputs):
        raise GraphError(
            f"backward of {op.name} returned {len(rules)} gradients for {len(inputs)} inputs"
        )
    ahead = g._array.ndim - t._array.ndim
    lead = g._array.shape[:ahead] if ahead else ()  # further cotangents, side by side
    for x, r in zip(inputs, rules):  # noqa: B905 - compared above, and this is the inner loop
        if r is None or not x.requires_grad or (wanted is not None and x not in wanted):
            continue
        if r is not g or x._array.shape != t._array.shape or x._array.dtype is not t._array.dtype:
            if r.__class__ is not Tensor and callable(r):
                r = r()
            r = _checked(r, x, lead, op)  # what comes through as it is fits already
        before = grads.get(x)
        if before is None:
            grads[x] = r
        elif is_recording():
            grads[x] = before + r
        else:
            grads[x] = wrap(plus(before._array, r._array))


def _checked(r: Any, x: Tensor, lead: tuple[int, ...], op: Op) -> Tensor:
    """Return what a rule of `op` gave for `x`, if that can be a cotangent of it."""
    if not isinstance(r, Tensor):
        raise GraphError(f"backward of {op.name} returned {type(r).__name__}, not a Tensor")
    have, expected = r._array, x._array
    if have.shape != (lead + expected.shape if lead else expected.shape):
        raise GraphError(
            f"backward of {op.name} returned a gradient of shape {r.shape[len(lead) :]} for "
            f"an input of shape {x.shape}"
            + (f", with leading axes {r.shape[: len(lead)]} for {lead}" if lead else "")
        )
    if have.dtype is not expected.dtype and have.dtype != expected.dtype:
        return r.astype(x.dtype)  # a rule that computed with constants of another type
    return r


# ---- in which order, and how far ----------------------------------------------------------------


def _order(y: Tensor) -> list[Tensor]:
    """Return y and all tensors that it depends on, each after every tensor that uses it.

    Only tensors that require gradients count.  Iterative, and linear in the number of operations: a
    first sweep counts the uses of every tensor, where an operation that is applied to a tensor twice
    uses it twice; a second one takes a tensor when as many uses of it have been seen.
    """
    uses: dict[Tensor, int] = {y: 0}
    stack = [y]
    while stack:
        for x in stack.pop().inputs:
            if x.requires_grad:
                if x in uses:
                    uses[x] += 1
                else:
                    uses[x] = 1
                    if x.op is not None:
                        stack.append(x)
    order: list[Tensor] = []
    ready = [y]
    while ready:
        t = ready.pop()
        order.append(t)
        for x in t.inputs:
            if x.requires_grad:
                left = uses[x] - 1
                if left:
                    uses[x] = left
                else:
                    ready.append(x)
    return order


def _on_the_way(graph: list[Tensor], targets: set[Tensor]) -> set[Tensor]:
    """Return the tensors that lie between the result and a target: only they are worth computing.

    What an earlier backward has freed is among them, since it may have led to a target.
    """
    wanted = targets.intersection(graph)
    for t in reversed(graph):  # inputs come before what is made of them
        if t.op is _FREED or not wanted.isdisjoint(t.inputs):
            wanted.add(t)
    return wanted


# ---- the two doors ------------------------------------------------------------------------------


def backward(
    y: Tensor,
    cotangent: Any = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Add to ``x.grad`` of every leaf x the product of dy/dx (transposed) and `cotangent`.

    Parameters
    ----------
    y : Tensor
        The result to differentiate, usually a loss.
    cotangent : array-like of y's shape, optional
        May be left out for a single number, whose cotangent is 1.
    retain_graph : bool
        Keep the graph for another backward.
    create_graph : bool
        Record the backward itself, for gradients of gradients.  Implies `retain_graph`.
        ``x.grad`` then leads back to x, a cycle that Python's garbage collector must find;
        `gradients` makes none.

    Raises
    ------
    GraphError
        Nothing was recorded, the graph was freed by an earlier backward, or the tensor has
        more than one element and no cotangent is given.
    WriteError
        An array that the backward needs was written to since the forward.
    """
    seed = _seed(y, cotangent, lead=0)
    with recording(create_graph):
        for leaf, g in _run(y, seed, None, create_graph or retain_graph):
            before = leaf.grad
            if before is not None and getattr(before, "shape", ()) not in ((), g.shape):
                raise ValueError(
                    f"{leaf._label()} of shape {leaf.shape} has a .grad of shape {before.shape}, to "
                    "which its gradient cannot be added: set it to None, or to a Tensor of its shape"
                )
            leaf.grad = g if before is None else before + g


def gradients(
    y: Tensor,
    xs: Sequence[Tensor],
    cotangent: Any = None,
    *,
    batched: bool = False,
    create_graph: bool = False,
    retain_graph: bool = False,
    allow_unused: bool = False,
    apart: bool = True,
) -> list[Tensor]:
    """Return (dy/dx)^T v for every x in `xs`, leaving all ``.grad`` alone.

    Parameters
    ----------
    y : Tensor
        The result to differentiate.
    xs : sequence of Tensor
        Leaves or intermediate tensors.
    cotangent : array-like, optional
        v, of y's shape; 1 for a single number.
    batched : bool
        `cotangent` has one more axis in front, [k, *y.shape]: k cotangents go through the graph
        in one pass, and each result has shape [k, *x.shape].
    create_graph : bool
        Record the backward, so that the results can be differentiated.  Implies `retain_graph`.
    retain_graph : bool
        Keep the graph for another backward.
    allow_unused : bool
        Return zeros for an x that y does not depend on, instead of raising.
    apart : bool
        Give each result memory of its own.  False saves a copy now and then, for whoever only
        reads them: two results may be one array, or the cotangent itself.

    Raises
    ------
    GraphError
        Nothing was recorded, the graph was freed, or y does not depend on one of the `xs`.
    """
    lead = 1 if batched else 0
    if batched and cotangent is None:
        raise ValueError(f"batched=True needs a cotangent of shape {('k', *y.shape)}")
    if isinstance(xs, Tensor):
        raise TypeError("xs is a sequence of tensors: write gradients(y, [x])")
    seed = _seed(y, cotangent, lead)
    with recording(create_graph):
        found = dict(_run(y, seed, set(xs), create_graph or retain_graph, apart))
    out = []
    for i, x in enumerate(xs):
        g = found.get(x)
        if g is None:
            if not allow_unused:
                raise GraphError(
                    f"the result does not depend on xs[{i}] ({x._label()} of shape {x.shape}); "
                    "pass allow_unused=True to get zeros"
                )
            g = wrap(array_module(x._array).zeros(seed.shape[:lead] + x.shape, dtype=x.dtype))
        out.append(g)
    return out


def _seed(y: Tensor, cotangent: Any, lead: int) -> Tensor:
    """Check and convert the cotangent of the result that a backward starts from."""
    if not y.requires_grad:
        raise GraphError(
            f"no gradient can be computed for {y._label()} of shape {y.shape}: it does not depend "
            "on a tensor with requires_grad=True, or it was computed inside no_grad()"
        )
    if cotangent is None:
        if y.size != 1:
            raise GraphError(
                f"backward() starts from a single number, but this tensor has shape {y.shape}: "
                "reduce it first (y.sum().backward()), or give a cotangent of that shape "
                "(y.backward(v) computes v^T dy/dx)"
            )
        return wrap(array_module(y._array).ones_like(y._array))
    v = as_tensor(cotangent, like=y)
    array_module(y._array, v._array)
    if v.shape[lead:] != y.shape or v.ndim != lead + y.ndim:
        wanted = ("k", *y.shape) if lead else y.shape
        raise ValueError(f"the cotangent has shape {v.shape}, expected {wanted}")
    if lead and v.shape[0] == 0:
        raise ValueError(f"batched=True needs at least one cotangent, got shape {v.shape}")
    return v if v.dtype == y.dtype else v.astype(y.dtype)


def _run(
    y: Tensor, seed: Tensor, targets: set[Tensor] | None, retain_graph: bool, apart: bool = True
) -> list[tuple[Tensor, Tensor]]:
    """Return the cotangents of the targets, or of all leaves."""
    graph = _order(y)
    if targets is None:
        leaves = {t for t in graph if t.op is None}
        found = walk(graph, seed, leaves, None, retain_graph)
    else:
        found = walk(graph, seed, targets, _on_the_way(graph, targets), retain_graph)
    return _apart(found, seed) if apart else found


def _apart(found: list[tuple[Tensor, Tensor]], seed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Give every gradient memory of its own: rules may pass on one array (both sides of a sum).

    Otherwise a clip or a mask applied to one gradient in place would reach another.
    """
    apart: list[tuple[Tensor, Tensor]] = []
    given = {id(seed)}
    for x, g in found:
        if id(g) in given or g._memory is not None:
            g = g * 1.0 if is_recording() else wrap(g._array.copy())
        else:
            given.add(id(g))
        apart.append((x, g))
    return apart


# ---- what a backward has used up ----------------------------------------------------------------


class _Freed(Op):
    """Stands where an operation was, once a backward has used up its graph."""

    def backward(self, grad: Tensor, y: Tensor, *inputs: Tensor) -> Any:  # noqa: ARG002
        raise GraphError(
            "this part of the graph was used by an earlier backward and freed; "
            "pass retain_graph=True to the first backward, or compute the result again"
        )


_FREED = _Freed()


def free(t: Tensor) -> None:
    """Cut `t` from its inputs; what its operation saved may be written to again."""
    if t.op is not None:
        t.op, t.inputs = _FREED, ()
        if t._saved is not None:
            t._saved = None


__all__ = ["backward", "contribute", "free", "gradients", "walk"]

"""Stochastic gradient descent and Adam.

The formulas are in `minisparse.definitions.steps`; compiled, each is one pass over memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..arrays import array_module, to_numpy
from ..autodiff import Tensor
from ..doors import door, open_door
from ..kernels.dispatch import kernel
from ..nn import Module, Parameter

NamedParameters = Module | Iterable[tuple[str, Parameter]] | Iterable[Parameter]


class Optimizer:
    """What optimizers share: parameters, a learning rate, and state arrays for each parameter.

    Attributes
    ----------
    lr : float
        The learning rate of the next step; schedules set it.
    params : list of (str, Parameter)
    """

    slots: ClassVar[tuple[str, ...]] = ()  # names of the state arrays

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        open_door(cls)

    @door
    def __init__(self, params: NamedParameters, lr: float) -> None:
        if isinstance(params, Module):
            params = params.named_parameters()
        named = [p if isinstance(p, tuple) else (getattr(p, "name", None) or "", p) for p in params]
        if not named:
            raise ValueError("the optimizer got no parameters")
        if isinstance(params, set | frozenset):
            raise TypeError("a set has no order, and the state is kept by position: give a list")
        for i, (_, p) in enumerate(named):
            if not isinstance(p, Parameter):
                raise TypeError(f"parameter {i} is a {type(p).__name__}, expected a Parameter")
            if any(p is q for _, q in named[:i]):
                raise ValueError(f"parameter {i} ('{p.name}') is there twice, and would move twice")
        self.params: list[tuple[str, Parameter]] = named
        self.lr = _at_least_0("the learning rate", lr)
        self.steps = 0
        self.state: dict[str, list[Any]] = {
            slot: [array_module(p.array).zeros_like(p.array) for _, p in named]
            for slot in self.slots
        }

    def step(self) -> None:
        """Change every parameter that has a gradient."""
        self.steps += 1
        for i, (_, p) in enumerate(self.params):
            if p.grad is not None:
                if not isinstance(p.grad, Tensor):
                    raise TypeError(
                        f"a gradient is a Tensor, and that of '{p.name}' is a "
                        f"{type(p.grad).__name__}: assign Tensor(array)"
                    )
                p.memory.version += 1  # what `p.writing()` does, without its price
                self.update(p.array, p.grad.array, *self._state_beside(i, p.array))

    def _state_beside(self, i: int, w: Any) -> list[Any]:
        """Return the state of a parameter, where the parameter is: ``model.to`` may have moved it."""
        state = [self.state[slot][i] for slot in self.slots]
        if any(a.dtype != w.dtype or type(a) is not type(w) for a in state):
            for slot in self.slots:
                moved = array_module(w).asarray(to_numpy(self.state[slot][i]), dtype=w.dtype)
                self.state[slot][i] = moved
            state = [self.state[slot][i] for slot in self.slots]
        return state

    def update(self, w: Any, g: Any, *state: Any) -> None:
        """Change one array in place: the optimizer's formula, which a subclass writes.

        Parameters
        ----------
        w, g : array
            A parameter and its gradient.
        *state : array
            Those that `slots` names, each of the parameter's shape.
        """
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for _, p in self.params:
            p.grad = None

    def state_of(self, param: Parameter) -> list[Any]:
        """Return the state arrays of a parameter, each of its shape; to be changed in place.

        Raises
        ------
        ValueError
            The parameter is not one of this optimizer's.
        """
        for i, (_, p) in enumerate(self.params):
            if p is param:
                return self._state_beside(i, p.array)
        raise ValueError(f"parameter '{param.name}' does not belong to this optimizer")

    def reset_state(self, param: Parameter, where: Any) -> None:
        """Zero the state of single weights, e.g. of weights that were pruned or regrown.

        Without this, momentum revives a pruned weight and carries old speed into a new one.

        Parameters
        ----------
        param : Parameter
        where : bool array of its shape

        Raises
        ------
        ValueError
            The parameter is not one of this optimizer's, or `where` does not select its elements.
        """
        if where.dtype != bool or where.shape != param.shape:
            raise ValueError(
                f"where selects elements of a parameter of shape {param.shape} and needs a bool "
                f"array of that shape, got {where.dtype} of shape {where.shape}"
            )
        for array in self.state_of(param):
            array[where] = 0

    def reset(self) -> None:
        """Forget the state of all parameters, and the number of steps."""
        self.steps = 0
        for slot in self.slots:
            for array in self.state[slot]:
                array[...] = 0

    def state_dict(self) -> dict[str, Any]:
        """Return step count, learning rate and state arrays (copies, on the host)."""
        state: dict[str, Any] = {"steps": self.steps, "lr": self.lr}
        for slot in self.slots:
            for i, array in enumerate(self.state[slot]):
                state[f"{slot}.{i}"] = np.array(to_numpy(array))
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; nothing is changed if something does not fit."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise KeyError(
                f"this state does not belong to {type(self).__name__} with "
                f"{len(self.params)} parameters: {sorted(own.keys() ^ state.keys())} differ"
            )
        for key, value in own.items():
            if np.shape(value) != np.shape(state[key]):
                raise ValueError(f"{key} is {np.shape(state[key])}, expected {np.shape(value)}")
        self.steps, self.lr = int(state["steps"]), float(state["lr"])
        for slot in self.slots:
            for i, array in enumerate(self.state[slot]):
                array[...] = array_module(array).asarray(state[f"{slot}.{i}"])


class SGD(Optimizer):
    """Stochastic gradient descent with momentum; see `minisparse.definitions.sgd_step`.

    Parameters
    ----------
    params : Module, or list of (name, Parameter)
    lr : float
    momentum : float
        0 for plain descent.
    nesterov : bool
        Look ahead (Sutskever et al. 2013).
    weight_decay : float
        Added to the gradient as ``weight_decay * w`` (an L2 penalty of half that strength), or,
        if `decoupled`, taken from the weight directly (Loshchilov and Hutter 2019).
    """

    def __init__(
        self,
        params: NamedParameters,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum lies in [0, 1), got {momentum}")
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs momentum > 0")
        self.slots = ("velocity",) if momentum else ()  # type: ignore[misc]
        super().__init__(params, lr)
        self.momentum, self.nesterov = momentum, nesterov
        self.weight_decay = _at_least_0("weight_decay", weight_decay)
        self.decoupled = decoupled

    def update(self, w: Any, g: Any, *state: Any) -> None:
        """Change one array in place; see :meth:`Optimizer.update`."""
        kernel("sgd_step", w)(
            *(w, g, state[0] if state else None, self.lr, self.momentum, 0.0),
            *(self.nesterov, self.weight_decay, self.decoupled),
        )


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); see `minisparse.definitions.adam_step`.

    Parameters
    ----------
    params : Module, or list of (name, Parameter)
    lr : float
    betas : (float, float)
        Decay of the running mean of g and of g^2; both are bias-corrected.
    eps : float
        Added to the root of the latter.
    weight_decay : float
        An L2 penalty through the gradient; `AdamW` decouples it.
    """

    slots = ("m", "v")
    decoupled = False

    def __init__(
        self,
        params: NamedParameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not all(0 <= b < 1 for b in betas):
            raise ValueError(f"both betas lie in [0, 1), got {betas}")
        if not eps > 0:
            raise ValueError(f"eps > 0 expected, got {eps}")
        super().__init__(params, lr)
        self.betas, self.eps = betas, eps
        self.weight_decay = _at_least_0("weight_decay", weight_decay)

    def update(self, w: Any, g: Any, *state: Any) -> None:
        """Change one array in place; see :meth:`Optimizer.update`."""
        kernel("adam_step", w)(
            *(w, g, *state, self.steps, self.lr, *self.betas, self.eps),
            *(self.weight_decay, self.decoupled),
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): w <- (1 - lr decay) w."""

    decoupled = True


def _at_least_0(what: str, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{what} is a finite number >= 0, got {value}")
    return float(value)

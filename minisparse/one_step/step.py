"""Loss and gradients of a training step in one compiled call, where that is the same as the tape's.

A reader's model is not changed by it, nor what a step means: `train` asks here first, and records
the forward as usual where this has no answer.  It answers for networks of the package's own modules
that stand one after another, under softmax cross-entropy; a module of somebody else's may compute
something new at every call, which a program that was written down once would miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np

from .. import kernels, nn
from ..autodiff import Tensor
from ..autodiff.tape import wrap
from ..definitions.program_step import Step
from ..nn import Module, Parameter
from ..nn.chain import Chain, ChainLayer
from ..optim import Optimizer
from ..sparse.program import ModelProgram, NotCompilableError
from .joined import JoinedUpdate


class OneStep:
    """Takes a batch there and back, and gives every parameter its gradient.

    Parameters
    ----------
    model : Module
    parameters : sequence of Parameter
        All that is trained.

    Attributes
    ----------
    why_not : str
        Why the tape has to do it; empty as long as nothing is known.
    gradients : array or None
        Of the last batch: those of all parameters, one after another.  Each parameter's is a part.
    chain : Chain or None
        The layers' inputs of the last batch, if they were asked for.
    """

    def __init__(self, model: Module, parameters: Sequence[Parameter]) -> None:
        self.model, self.parameters, self.why_not = model, list(parameters), ""
        self.gradients: Any = None
        self.chain: Chain | None = None
        self._names: dict[int, str] = {}
        for name, module in model.named_modules():
            self._names.setdefault(id(module), name)
        self._given: list[Tensor] = []
        self._packing: ModelProgram | None = None
        self._step: Step | None = None
        self._joined: JoinedUpdate | None = None
        for name, module in model.named_modules():
            if not type(module).__module__.startswith(f"{nn.__name__}."):
                self.why_not = f"'{name}' is a {type(module).__name__}, no module of the package"

    def __call__(
        self, x: Any, labels: Any, *, layers: bool = False
    ) -> tuple[Tensor, Tensor, int] | None:
        """Return loss, logits and how many are wrong, or None if the tape has to do it.

        Parameters
        ----------
        x : array, [n, ...]
        labels : array of int, [n]
        layers : bool
            Keep what went into each layer, in `chain`; no answer if a ReLU or a pool ends the network.
        """
        self.chain = None
        if self.why_not or type(x) is not np.ndarray:
            return None
        try:
            step = self._current(x)
        except NotCompilableError as error:
            self.why_not = str(error)
            return None
        if step is None:
            return None
        program = step.program
        if program.in_shape != x.shape[1:] or program.numbers.dtype != x.dtype:
            return None
        packing = self._packing
        assert packing is not None
        if layers and not packing.ends_linear:
            return None
        kept: list[Any] | None = [] if layers else None
        loss, logits, gradients, wrong = kernels.run_step(x, labels, step, kept)
        self.gradients = gradients
        if kept is not None:
            given = zip(packing.modules, program.layers, kept, strict=True)
            chained = [ChainLayer(self._names[id(m)], layer, *more) for m, layer, more in given]
            self.chain = Chain(tuple(chained), logits)
        self._given = [
            wrap(gradients[start:stop].reshape(p.shape))
            for p, (start, stop) in zip(packing.parameters, packing.places, strict=True)
        ]
        for p, grad in zip(packing.parameters, self._given, strict=True):
            p.grad = grad
        return wrap(np.asarray(loss, x.dtype)), wrap(logits), wrong

    def update(self, optimizer: Optimizer) -> None:
        """Take the optimizer's step; at once if its parameters are the model's, in this order."""
        packing, program = self._packing, self._step and self._step.program
        assert packing is not None
        assert program is not None
        own = [p for _, p in optimizer.params]
        at_once = (
            type(optimizer).step is Optimizer.step
            and packing.current() is program  # no hook has exchanged an array meanwhile
            and packing.is_shared
            and packing.is_full
            and len(own) == len(packing.parameters)
            and all(map(is_, own, packing.parameters))
            and all(p.grad is grad for p, grad in zip(own, self._given, strict=True))
        )
        if at_once:
            if self._joined is None or self._joined.optimizer is not optimizer:
                self._joined = JoinedUpdate(optimizer)
            self._joined(program.numbers, self.gradients)
        else:
            optimizer.step()

    def _current(self, x: np.ndarray) -> Step | None:
        """Return the step as the network is now, if every parameter asks for its gradient."""
        if self._packing is None:
            self._packing = ModelProgram(self.model, x)
        packing = self._packing
        program = packing.current()
        if program is None or not all(p.requires_grad for p in packing.parameters):
            return None
        if self._step is None or self._step.program is not program:
            if packing.dropouts:
                raise NotCompilableError("dropout draws anew at every step")
            if {id(p) for p in self.parameters} != {id(p) for p in packing.parameters}:
                raise NotCompilableError("other parameters are trained than those of the layers")
            from ..kernels.program_step import build_step  # Numba: only when it is needed

            self._step = build_step(program)
        return self._step


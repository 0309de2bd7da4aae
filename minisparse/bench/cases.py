"""The cases, and who can take part in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from . import growth


@dataclass(frozen=True)
class Task:
    """One thing to measure; a worker gets it as JSON.

    Attributes
    ----------
    case : str
    batch : int
        Images at a time.
    net : "lenet300", "lenet5" or ""
    training : bool
        A whole training step; otherwise the forward alone, or what else the case is about.
    sparsity : float, optional
        Share of the weights that is zero.
    chain : int
        For the overhead: how many additions follow one another.
    variant : str
        The name of one of `growth.VARIANTS`, or of a method.
    """

    case: str
    batch: int
    net: str = ""
    training: bool = False
    sparsity: float | None = None
    chain: int = 0
    variant: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a dict."""
        return asdict(self)

    @property
    def images(self) -> bool:
        """Whether the batch counts images."""
        return bool(self.net)

    def __str__(self) -> str:
        parts = [self.case]
        if self.sparsity is not None:
            parts.append(f"{100 * self.sparsity:g} % sparse")
        if self.variant:
            parts.append(self.variant)
        if self.chain:
            parts.append("one addition" if self.chain == 1 else f"chain of {self.chain}")
        return ", ".join([*parts, f"batch {self.batch}"] if self.images else parts)


@dataclass(frozen=True)
class Case:
    """A case of the command line.

    Attributes
    ----------
    name, title : str
    peers : tuple of str
        In the order of the tables.
    batches : tuple of int
        By default.
    one_thread : bool
        Whether one thread is all that is measured by default.
    kind : {"net", "growth", "methods"}
        Where its tasks are from: the fields here, `growth.VARIANTS`, or `methods.COSTS`.
    """

    name: str
    title: str
    peers: tuple[str, ...]
    batches: tuple[int, ...] = ()
    net: str = ""
    training: bool = False
    sparsities: tuple[float | None, ...] = (None,)
    break_even: tuple[float, ...] = ()  # more sparsities, at batch 100 and against "dense" alone
    chains: tuple[int, ...] = (0,)
    one_thread: bool = False
    kind: Literal["net", "growth", "methods"] = "net"

    def tasks(self, batches: Sequence[int] | None = None) -> Iterator[Task]:
        """Yield what is to be measured; `batches`, if given, in place of a net's own."""
        if self.kind == "growth":
            for v in growth.variants(self.name):
                yield Task(self.name, v.batch, training=v.training, variant=v.name)
            return
        if self.kind == "methods":
            from .methods import COSTS  # imports them all

            for net in ("lenet300", "lenet5"):
                for name, cost in COSTS.items():
                    if net in cost.nets:
                        yield Task(self.name, _BATCH, net, not cost.once, variant=name)
            return
        sizes = batches if batches and self.net else self.batches
        for sparsity in self.sparsities:
            for batch in sizes:
                for chain in self.chains:
                    yield Task(self.name, batch, self.net, self.training, sparsity, chain)
        for sparsity in self.break_even:
            if _BATCH in sizes:
                yield Task(self.name, _BATCH, self.net, sparsity=sparsity)

    def peers_of(self, task: Task) -> tuple[str, ...]:
        """Return who takes part in a task.

        The convolutions of autograd would need seconds for each batch of 1000 images.
        """
        if task.sparsity in self.break_even:
            return ("dense",)
        too_slow = task.net == "lenet5" and task.batch > _BATCH
        return tuple(p for p in self.peers if not (too_slow and p == "autograd"))


_BATCH = 100
_SPARSITIES = (0.9, 0.95, 0.99)
_MLP = ("torch-eager", "torch-compile", "jax", "autograd", "mygrad", "numpy")
_CONV = ("torch-eager", "torch-eager-channels-last", *_MLP[1:])
_TORCH = ("torch-eager", "torch-eager-channels-last", "torch-compile")
_STEP = "a training step, batch 128 of 32x32x3"

CASES = {
    case.name: case
    for case in (
        Case(
            "lenet300-train",
            "LeNet-300-100, a training step",
            _MLP,
            (_BATCH,),
            "lenet300",
            training=True,
        ),
        Case(
            "lenet300-infer",
            "LeNet-300-100, inference",
            (*_MLP, "dense"),
            (1, _BATCH, 1000),
            "lenet300",
        ),
        Case("lenet5-train", "LeNet-5, a training step", _CONV, (_BATCH,), "lenet5", training=True),
        Case("lenet5-infer", "LeNet-5, inference", (*_CONV, "dense"), (1, _BATCH, 1000), "lenet5"),
        Case(
            "op-overhead",
            "add two vectors of 10 numbers, forward and backward",
            ("torch-eager", "autograd", "mygrad"),
            (1,),
            chains=(1, 100),
            one_thread=True,
        ),
        Case(
            "sparse-csr",
            "LeNet-300-100 with scattered zeros, CSR, inference",
            ("dense", "dense-compiled", "scipy-csr", "torch-csr", "torch-eager"),
            (1, _BATCH, 1000),
            "lenet300",
            sparsities=_SPARSITIES,
            break_even=(0.5, 0.6, 0.7, 0.8),
            one_thread=True,
        ),
        Case(
            "shrunk",
            "LeNet-300-100 without its dropped units, inference",
            ("dense", "dense-compiled", "torch-eager"),
            (1, _BATCH, 1000),
            "lenet300",
            sparsities=_SPARSITIES,
            one_thread=True,
        ),
        Case("conv", "convolutions, forward and backward", _TORCH, kind="growth"),
        Case("batchnorm", "batch norm, forward and backward", _TORCH, kind="growth"),
        Case("relu", "ReLU, forward and backward", _TORCH, kind="growth"),
        Case(
            "mlp",
            "perceptrons, a training step",
            ("torch-eager", "torch-compile", "numpy"),
            kind="growth",
        ),
        Case("vgg16", f"VGG-16 with batch norm, {_STEP}", _TORCH, kind="growth"),
        Case("resnet20", f"a residual network of 20 layers, {_STEP}", _TORCH, kind="growth"),
        Case(
            "methods",
            "what pruning costs beside a dense step",
            ("dense",),
            kind="methods",
            one_thread=True,
        ),
    )
}

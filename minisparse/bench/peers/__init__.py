"""The peers: by which name, from which file, and what must be installed for each.

A file is imported by the peer's own worker only; it imports its framework when a job is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from ..cases import Task
from ..jobs import Job

OURS = "ours"


@dataclass(frozen=True)
class Peer:
    """Where a peer is built.

    Attributes
    ----------
    file : str
        Module of this package.
    build : str
        Function in it, from `Task` to `Job`.
    needs : str
        Module that must be installed.
    note : str
        What a reader of its times should know.
    """

    file: str
    build: str
    needs: str = "numpy"
    note: str = ""


PEERS = {
    OURS: Peer("ours", "build"),
    "torch-eager": Peer("torch", "eager", "torch", "SGD(fused=True)"),
    "torch-eager-channels-last": Peer(
        "torch", "channels_last", "torch", "SGD(fused=True), channels_last"
    ),
    "torch-compile": Peer(
        "torch", "compiled", "torch", "SGD(fused=True); in inference channels_last"
    ),
    "jax": Peer("jax", "build", "jax", "jit of the whole step, buffers donated"),
    "autograd": Peer("autograd", "build", "autograd"),
    "mygrad": Peer("mygrad", "build", "mygrad", "memory guarding off"),
    "numpy": Peer("numpy", "build", note="written by hand"),
    "scipy-csr": Peer("scipy", "csr", "scipy"),
    "torch-csr": Peer("torch", "csr", "torch"),
    "dense": Peer("ours", "dense", note="minisparse, all weights stored, layer by layer"),
    "dense-compiled": Peer(
        "ours", "dense_compiled", note="minisparse, all weights stored, in one call"
    ),
}


def is_installed(name: str) -> bool:
    """Tell whether what a peer needs can be found, without importing it."""
    return find_spec(PEERS[name].needs) is not None


def builder(name: str) -> Callable[[Task], Job]:
    """Return the function that builds a peer's jobs."""
    peer = PEERS[name]
    build: Callable[[Task], Job] = getattr(import_module(f"{__name__}.{peer.file}"), peer.build)
    return build

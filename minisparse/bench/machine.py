"""What bears on the times: the processor, versions, threads, vectors."""

from __future__ import annotations

import os
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from minisparse.experiments.environment import environment
from minisparse.kernels import in_use
from minisparse.machine import RESTRICTING
from minisparse.threads import blas_kernel

from .peers import OURS, PEERS


def describe() -> dict[str, Any]:
    """Describe the machine; see `minisparse.experiments.environment`.

    Threads are left out: each worker has its own number.  "unset" are the variables that no worker
    has, though they are set here; see `minisparse.machine.RESTRICTING`.
    """
    found = {k: v for k, v in environment().items() if k != "threads"}
    found["unset"] = {k: os.environ[k] for k in RESTRICTING if k in os.environ}
    found["variables"] = {
        k: v
        for k, v in found["variables"].items()
        if not k.endswith("_NUM_THREADS") and k not in found["unset"]
    }
    return found


def describe_worker(peer: str) -> dict[str, Any]:
    """Describe the process of a peer: package and kernels; of ours, how it computes."""
    if peer != OURS:
        name = PEERS[peer].needs
        return {"versions": {name: _version(name)}, "kernels": _kernels(peer)}
    if in_use() == "numpy":
        return {"versions": {}, "numba_layer": None, "vector_bits": 0, "blas": _blas()}
    from minisparse.kernels import simd

    numba: Any = import_module("numba")

    try:
        layer = numba.threading_layer()
    except ValueError:  # nothing ran in parallel
        layer = None
    return {
        "versions": {},
        "numba_layer": layer,
        "vector_bits": 8 * simd.VECTOR_BYTES,
        "blas": _blas(),
    }


def _kernels(peer: str) -> str | None:
    """Return for which processor a peer's kernels are, as far as it tells."""
    needs = PEERS[peer].needs
    if needs == "torch":
        torch: Any = import_module("torch")
        blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
        told = f"PyTorch's for {torch.backends.cpu.get_cpu_capability()}"
        return f"{told}, BLAS: {blas[1]}" if blas else told
    if PEERS[peer].file in ("numpy", "autograd", "mygrad") and blas_kernel():
        return f"OpenBLAS's for {blas_kernel()}"
    return None


def sentence(machine: dict[str, Any]) -> str:
    """Describe the machine in some lines."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)
    lines = [f"{machine['cpu']}, {machine['cores']} cores, {machine['platform']}", versions]
    if "vector_bits" in machine:
        bits = machine["vector_bits"]
        vectors = f"{bits}-bit vectors" if bits else "no vectors of its own (plain loops)"
        layer = machine["numba_layer"]
        layer = f"threading layer {layer}" if layer else "no parallel region"
        lines.append(f"Numba: {layer}, {vectors}; NumPy's BLAS: {machine['blas']}")
    for kernels in dict.fromkeys(machine.get("kernels", {}).values()):
        peers = [peer for peer, its in machine["kernels"].items() if its == kernels]
        lines.append(f"kernels of {', '.join(peers)}: {kernels}")
    if machine["variables"]:
        settings = ", ".join(f"{k}={v}" for k, v in machine["variables"].items())
        lines.append(f"set in the environment: {settings}")
    if machine["unset"]:
        settings = ", ".join(f"{k}={v}" for k, v in machine["unset"].items())
        lines.append(f"set here, but not for the processes that were timed: {settings}")
    return "\n".join(lines)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _blas() -> str:
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()

"""What bears on the times: the processor, versions, threads, vectors."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from minisparse.experiments.environment import environment
from minisparse.kernels import in_use
from minisparse.threads import blas_kernel

from .peers import OURS, PEERS


def describe() -> dict[str, Any]:
    """Describe the machine; see `minisparse.experiments.environment`.

    Threads are left out: each worker has its own number.
    """
    found = {k: v for k, v in environment().items() if k != "threads"}
    found["variables"] = {
        k: v for k, v in found["variables"].items() if not k.endswith("_NUM_THREADS")
    }
    return found


def describe_worker(peer: str) -> dict[str, Any]:
    """Describe the process of a peer: the version of its package; of ours, how it computes."""
    if peer != OURS:
        name = PEERS[peer].needs
        return {"versions": {name: _version(name)}, "kernel": _kernel_of(name)}
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


def _kernel_of(name: str) -> str | None:
    """Return for which processor the peer's products run, as far as it tells."""
    if name == "torch":
        torch: Any = import_module("torch")
        return f"PyTorch for {torch.backends.cpu.get_cpu_capability()}"
    return f"OpenBLAS for {blas_kernel()}" if name == "numpy" and blas_kernel() else None


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
    if machine.get("kernels"):
        told = ", ".join(f"{peer}: {kernel}" for peer, kernel in machine["kernels"].items())
        lines.append(f"products of the peers: {told}")
    if machine["variables"]:
        settings = ", ".join(f"{k}={v}" for k, v in machine["variables"].items())
        lines.append(f"set in the environment: {settings}")
    if machine["variables"].get("OPENBLAS_CORETYPE"):
        lines.append("OPENBLAS_CORETYPE is set here, and was not for the processes that were timed")
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

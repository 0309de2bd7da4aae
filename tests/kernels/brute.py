"""Convolution and pooling by hand, one number at a time; and what the tests of kernels share."""

import os
import platform
import subprocess
import sys
from itertools import product

import llvmlite.binding
import numpy as np
import pytest

from minisparse import definitions, kernels

BOTH = pytest.mark.parametrize("home", [kernels, definitions], ids=["compiled", "definition"])


# What Numba compiles for, in a process of its own: each a dict of variables.
HASWELL = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+sse4.2,+popcnt",
}
NO_VECTORS = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
NO_JIT = {"NUMBA_DISABLE_JIT": "1"}
_X86 = platform.machine().lower() in ("x86_64", "amd64")
_HOST = llvmlite.binding.get_host_cpu_features() if _X86 else {}


def assert_right_on(settings, code):
    """Run a program that can import the tests of kernels, and that prints "right" at its end."""
    if settings is HASWELL and not _HOST.get("avx2"):
        pytest.skip("needs an x86 CPU with AVX2")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={
            **os.environ,
            **settings,
            "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.strip() == "right", done.stderr


def brute_conv2d(x, w, stride, padding):
    (n, h, width, c), (kh, kw, _, o) = x.shape, w.shape
    ho = (h + 2 * padding[0] - kh) // stride[0] + 1
    wo = (width + 2 * padding[1] - kw) // stride[1] + 1
    y = np.zeros((n, ho, wo, o))
    for m, i, j, k in product(range(n), range(ho), range(wo), range(o)):
        for r, s, d in product(range(kh), range(kw), range(c)):
            row, column = i * stride[0] + r - padding[0], j * stride[1] + s - padding[1]
            if 0 <= row < h and 0 <= column < width:
                y[m, i, j, k] += float(x[m, row, column, d]) * float(w[r, s, d, k])
    return y


def windows(x_shape, kernel, stride, padding):
    """Yield (image, i, j, channel), and what its window sees: position -> pixel."""
    n, h, w, c = x_shape
    ho = (h + 2 * padding[0] - kernel[0]) // stride[0] + 1
    wo = (w + 2 * padding[1] - kernel[1]) // stride[1] + 1
    for m, i, j, o in product(range(n), range(ho), range(wo), range(c)):
        seen = {}
        for r, s in product(range(kernel[0]), range(kernel[1])):
            row, column = i * stride[0] + r - padding[0], j * stride[1] + s - padding[1]
            if 0 <= row < h and 0 <= column < w:
                seen[r * kernel[1] + s] = (m, row, column, o)
        yield (m, i, j, o), seen


def run_elsewhere(device, definition, *args):
    """Run a definition on arrays that are not NumPy's, and bring its results home."""
    moved = [device.asarray(a.copy()) if isinstance(a, np.ndarray) else a for a in args]
    result = definition(*moved)
    if result is None:  # it works in place: its arguments are the result
        result = tuple(m for m, a in zip(moved, args, strict=True) if isinstance(a, np.ndarray))
    if isinstance(result, tuple):
        return tuple(map(device.asnumpy, result))
    return device.asnumpy(result)

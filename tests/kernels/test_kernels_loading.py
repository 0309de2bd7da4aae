import os
import subprocess
import sys

import numpy as np
import pytest

from minisparse import kernels
from minisparse.threads import VARIABLE


def python(code, **environment):
    """Run code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={k: v for k, v in os.environ.items() if k != VARIABLE} | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_numba_is_imported_at_the_first_kernel():
    code = """
import sys
from minisparse import kernels
before = "numba" in sys.modules
kernels.sgd_step
print(before, "numba" in sys.modules, "sgd_step" in vars(kernels))
"""
    assert python(code) == "False True True"


def test_other_functions_compile_beside_the_kernels():
    code = """
import numba
from minisparse import kernels
kernels.sgd_step
scope = {}
exec("def double(x): return 2 * x", {"__builtins__": {}}, scope)
assert scope["double"].__module__ is None
print(numba.njit(scope["double"])(2))
"""
    assert python(code) == "4"


def test_select():
    fast = kernels.conv2d
    try:
        kernels.select("numpy")
        assert kernels.conv2d is kernels.conv2d_reference
    finally:
        kernels.select("numba")
    assert kernels.conv2d is fast
    with pytest.raises(ValueError, match="got 'cuda'"):
        kernels.select("cuda")


def test_the_environment_chooses():
    code = "from minisparse import kernels as k; print(k.conv2d is k.conv2d_reference)"
    assert python(code, MINISPARSE_KERNELS="numpy") == "True"
    assert python(code, MINISPARSE_KERNELS="") == "False"


def test_unknown_kernels():
    with pytest.raises(AttributeError, match="no kernel 'conv3d'"):
        _ = kernels.conv3d


def test_every_public_name_exists():
    for name in kernels.__all__:
        assert callable(getattr(kernels, name))
    assert dir(kernels) == sorted(kernels.__all__)
    for name in kernels.__all__:
        assert (
            name.endswith("_reference")
            or name + "_reference" in kernels.__all__
            or ("shape" in name or name in ("select", "selected"))
        )


def test_without_a_writable_cache_folder(tmp_path):
    """A read-only installation and no home: compile, do not cache, go on."""
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from minisparse import kernels
p = np.ones(3)
kernels.sgd_step(p, p.copy(), None, 0.25)
print(p.tolist())
"""
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "[0.75, 0.75, 0.75]"
    assert not list(tmp_path.rglob("*.nb*"))


def test_a_change_in_any_kernel_file_recompiles():
    """Numba itself looks only at the function's own file, and kernels are built of one another."""
    from minisparse.kernels import conv_loops, jit

    stamps = [name for name, _, _ in jit._STAMP]
    assert {"conv_loops.py", "product.py", "simd.py"} <= set(stamps)
    assert conv_loops._forward._cache._cache_file._source_stamp == jit._STAMP


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_number_of_threads_changes_rounding_at_most(threads):
    code = """
import numpy as np
from minisparse import kernels
from minisparse.kernels import threads
threads._LITTLE = 0
rng = np.random.default_rng(0)
x, w = rng.standard_normal((7, 9, 9, 3)), rng.standard_normal((3, 3, 3, 5))
g = kernels.conv2d(x, w)
print(*(float(np.vdot(a, a)) for a in (
    g, kernels.conv2d_input_grad(g, w, x.shape), kernels.conv2d_weight_grad(x, g, (3, 3)))))
"""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((7, 9, 9, 3)), rng.standard_normal((3, 3, 3, 5))
    g = kernels.conv2d_reference(x, w)
    gx = kernels.conv2d_input_grad_reference(g, w, x.shape)
    gw = kernels.conv2d_weight_grad_reference(x, g, (3, 3))
    np.testing.assert_allclose(
        [float(v) for v in python(code, NUMBA_NUM_THREADS=threads).split()],
        [np.vdot(a, a) for a in (g, gx, gw)],
        rtol=1e-12,
    )

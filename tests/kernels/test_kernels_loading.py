import ast
import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from minisparse import definitions, kernels
from minisparse.kernels.dispatch import by_definition, kernel
from minisparse.threads import VARIABLE


def python(code, **environment):
    """Run code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={k: v for k, v in os.environ.items() if k != VARIABLE} | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_numba_is_imported_at_the_first_kernel():
    code = """
import sys
from minisparse import definitions, kernels
before = "numba" in sys.modules
kernels.sgd_step
print(before, "numba" in sys.modules, "sgd_step" in vars(kernels))
"""
    assert python(code) == "False True True"


def test_other_functions_compile_beside_the_kernels():
    code = """
import numba
from minisparse import definitions, kernels
kernels.sgd_step
scope = {}
exec("def double(x): return 2 * x", {"__builtins__": {}}, scope)
assert scope["double"].__module__ is None
print(numba.njit(scope["double"])(2))
"""
    assert python(code) == "4"


def test_the_definitions_can_take_over():
    fast = kernels.conv2d
    try:
        kernels.use("numpy")
        assert kernels.in_use() == "numpy"
        assert kernels.conv2d is definitions.conv2d
    finally:
        kernels.use()
    assert kernels.in_use() == "numba"
    assert kernels.conv2d is fast
    with pytest.raises(ValueError, match="got 'cuda'"):
        kernels.use("cuda")


def test_the_environment_chooses():
    code = "from minisparse import definitions as d, kernels as k; print(k.conv2d is d.conv2d)"
    assert python(code, MINISPARSE_KERNELS="numpy") == "True"
    assert python(code, MINISPARSE_KERNELS="") == "False"


def test_unknown_kernels():
    with pytest.raises(AttributeError, match="no kernel 'conv3d'"):
        _ = kernels.conv3d
    with pytest.raises(AttributeError, match="no definition 'conv3d'"):
        _ = definitions.conv3d


@pytest.mark.parametrize("name", definitions.FILE_OF)
def test_a_definition_and_its_twin_have_one_name_one_file_name_and_the_same_arguments(name):
    definition, twin = getattr(definitions, name), getattr(kernels, name)
    assert name in dir(definitions)
    assert name in dir(kernels)
    file = definitions.FILE_OF[name]
    assert (definition.__module__, definition.__name__) == (f"minisparse.definitions.{file}", name)
    assert (twin.__module__, twin.__name__) == (f"minisparse.kernels.{file}", name)
    assert inspect.signature(twin) == inspect.signature(definition)


def test_definitions_need_no_compiler():
    """Their files import NumPy and `minisparse.arrays`, and one another."""
    for path in Path(definitions.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {a.name for a in node.names} <= {"numpy"}
            elif isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module == "arrays"
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.partition(".")[0] in sys.stdlib_module_names


def test_the_choice_holds_for_all_threads_and_a_block_by_definition_for_its_own():
    before = kernels.conv2d
    entered, left = threading.Event(), threading.Event()
    found = {}

    def inside():
        with by_definition():
            found["inside"] = kernel("conv2d", np.zeros(1))
            entered.set()
            left.wait(600)
            found["still inside"] = kernel("conv2d", np.zeros(1))

    thread = threading.Thread(target=inside)
    thread.start()
    entered.wait(600)
    found["beside"] = kernel("conv2d", np.zeros(1))
    with by_definition():
        left.set()
        thread.join()  # another block ends inside this one
        found["here"] = kernel("conv2d", np.zeros(1))
    found["behind"] = kernel("conv2d", np.zeros(1))
    defined = [where for where, f in found.items() if f is definitions.conv2d]
    assert sorted(defined) == ["here", "inside", "still inside"]
    assert found["beside"] is found["behind"] is before
    try:
        thread = threading.Thread(target=kernels.use, args=("numpy",))
        thread.start()
        thread.join()
        assert kernels.conv2d is definitions.conv2d
    finally:
        kernels.use()
    assert kernels.conv2d is before


def test_without_a_writable_cache_folder(tmp_path):
    """A read-only installation and no home: compile, do not cache, go on."""
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from minisparse import definitions, kernels
p = np.ones(3)
kernels.sgd_step(p, p.copy(), None, 0.25)
print(p.tolist())
"""
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "[0.75, 0.75, 0.75]"
    assert not list(tmp_path.rglob("*.nb*"))


def test_a_change_in_any_kernel_file_recompiles():
    """Numba itself looks only at the function's own file, and kernels are built of one another."""
    from minisparse.kernels import cache, conv_loops, program_step

    stamp = conv_loops._forward._cache._cache_file._source_stamp
    assert stamp == program_step._gradients_on_threads._cache._cache_file._source_stamp == cache.source_stamp()


def test_every_parallel_kernel_is_called_by_way_of_run():
    """There it learns how many threads it has, and whether it may have any at all."""
    trees = {
        path.stem: [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        for path in Path(kernels.__file__).parent.glob("*.py")
    }
    parallel = {
        stem: {
            node.name
            for node in nodes
            if isinstance(node, ast.FunctionDef)
            and "jit(parallel=True)" in map(ast.unparse, node.decorator_list)
        }
        for stem, nodes in trees.items()
    }
    assert sum(map(len, parallel.values())) > 15
    for stem, nodes in trees.items():
        known = set(parallel[stem])
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                there = parallel.get((node.module or "").rpartition(".")[2], set())
                known |= there & {name.name for name in node.names}
        called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
        assert not known & called, stem


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_number_of_threads_changes_rounding_at_most(threads):
    code = """
import numpy as np
from minisparse import definitions, kernels
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
    g = definitions.conv2d(x, w)
    gx = definitions.conv2d_input_grad(g, w, x.shape)
    gw = definitions.conv2d_weight_grad(x, g, (3, 3))
    np.testing.assert_allclose(
        [float(v) for v in python(code, NUMBA_NUM_THREADS=threads).split()],
        [np.vdot(a, a) for a in (g, gx, gw)],
        rtol=1e-12,
    )

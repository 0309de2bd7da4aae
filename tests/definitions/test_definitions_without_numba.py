"""A browser, a slim installation: no Numba, and all mathematics is there."""

import os
import subprocess
import sys

import pytest

BLOCKED = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None  # to import them is an ImportError
import numpy as np
"""

TRAIN = """
from minisparse import data, kernels, nn, optim
from minisparse.gradcheck import gradcheck
from minisparse.autodiff import conv2d, cross_entropy, max_pool2d, no_grad
from minisparse.prune.magnitude import magnitude_mask
from minisparse.sparse import compiled, sparsify
from minisparse.train import evaluate, train

mnist = data.load("mnist")
for net, images in ((nn.LeNet300, 500), (nn.LeNet5, 20)):
    rng = np.random.default_rng(0)
    model = net(rng=rng)
    some = mnist.train.subset(np.arange(images))
    before = evaluate(model, some)
    train(model, some, optim.SGD(model, 0.1, momentum=0.9), epochs=2, rng=rng, progress=False)
    assert evaluate(model, some).loss < before.loss, net
    x = some.images[:3] / np.float32(255)
    mask = magnitude_mask(model, 0.1)
    mask.apply(model)
    with no_grad():
        expected = model.eval()(x).numpy()
        for format in ("csr", "blocked"):
            found = sparsify(model, mask, format)(x).numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(compiled(model, x)(x).numpy(), expected, rtol=1e-6)

x, w = rng.standard_normal((2, 6, 5, 3)), rng.standard_normal((3, 2, 3, 4))
assert gradcheck(conv2d, x, w, 2, 1, order=2).ok
assert gradcheck(max_pool2d, x, 2).ok
assert gradcheck(lambda z: cross_entropy(z, np.array([1, 0])), x[:, 0, 0]).ok
print(kernels.in_use())
"""


def python(code, kernels):
    variables = {k: v for k, v in os.environ.items() if k != "MINISPARSE_KERNELS"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "default::RuntimeWarning", "-c", BLOCKED + code],
        env=variables | ({} if kernels is None else {"MINISPARSE_KERNELS": kernels}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("kernels", ["numpy", None])
def test_everything_computes_without_numba(kernels):
    done = python(TRAIN, kernels)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "numpy\n"
    if kernels == "numpy":
        assert not done.stderr
    else:
        assert done.stderr.count("Warning") == 1
        assert "Numba cannot be imported" in done.stderr
        assert "the kernels run as their NumPy definitions" in done.stderr


def test_compiled_kernels_that_are_asked_for_and_cannot_be_had_are_an_error():
    code = "from minisparse import kernels; kernels.matmul(np.ones((2, 2)), np.ones((2, 2)))"
    done = python(code, "numba")
    assert done.returncode == 1
    assert "ImportError: compiled kernels were asked for" in done.stderr
    assert "Numba cannot be imported" in done.stderr
    assert 'Install it, or ask for "numpy"' in done.stderr


def test_the_number_of_threads_is_blas_s_then():
    code = "from minisparse import threads as t; t.prepare(2); t.set_num_threads(2)\n"
    code += "from minisparse import kernels; kernels.matmul\n"
    code += "print(t.get_num_threads(), t.blas_threads())"
    done = python(code.replace("import numpy as np", ""), "numpy")
    assert done.stdout.split()[0] == "2", done.stderr
    assert done.stdout.split()[1] in ("2", "None")

import os
import signal

import hypothesis
import pytest
from strict import StrictArray, strict

from minisparse import arrays

# A program that is started in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test waits for a measurement of this machine, nor does a program that a test starts.
os.environ["MINISPARSE_MEASURE"] = "no"

# No test is about time, and a check that gates a change tries the same examples every time.
hypothesis.settings.register_profile(
    "minisparse", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("minisparse")


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def device(request, monkeypatch):
    """Give an array module that is not NumPy: a strict stand-in, and CuPy where there is a GPU."""
    if request.param == "strict":
        monkeypatch.setattr(arrays, "_modules", {**arrays._modules, StrictArray: strict})
        return strict
    cupy = pytest.importorskip("cupy")
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA device: {error}")
    return cupy

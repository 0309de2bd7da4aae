"""Training LeNet-5 on all of MNIST fits into less than 1 GB.

The peak is VmHWM, which counts from the start of the program. `ru_maxrss` would not do: a child
inherits in it the peak of the process that started it, here of the whole test run.
"""

import subprocess
import sys

import pytest

_SCRIPT = """
from pathlib import Path
import numpy as np
from minisparse import data, nn, optim
from minisparse.prune.method import Method
from minisparse.train import train

rng = np.random.default_rng(0)
mnist = data.load("mnist").train
model = nn.LeNet5(rng=rng)


class Enough(Exception):
    pass


class Stop(Method):
    def after_step(self, run):
        if run.step == 30:
            raise Enough


try:
    sgd = optim.SGD(model, lr=0.02, momentum=0.9)
    train(model, mnist, sgd, epochs=1, rng=rng, methods=[Stop()], progress=False)
except Enough:
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is Linux's")
def test_peak_memory_of_training_lenet5():
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=300
    )
    megabytes = int(done.stdout) / 1024
    print(f"peak memory of 30 steps of LeNet-5 on MNIST: {megabytes:.0f} MB")
    assert megabytes < 1000

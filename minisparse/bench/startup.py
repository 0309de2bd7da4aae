"""How long from the start of Python to the end of a first training step.

Run as a program, ``python -m minisparse.bench.startup lenet300``, it takes that step.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from .process import WorkerError, environment_for

_BATCH = 100
_PATIENCE = 600.0
_WARM_STARTS = 3


def cold_and_warm(net: str, threads: int) -> tuple[float, float]:
    """Measure a start with nothing compiled, and one with everything compiled.

    Parameters
    ----------
    net : "lenet300" or "lenet5"
    threads : int

    Returns
    -------
    (float, float)
        Seconds, of a whole process each; the warm one is the best of three.

    Raises
    ------
    WorkerError
        The process failed.
    """
    with tempfile.TemporaryDirectory(prefix="minisparse-bench-") as folder:
        variables = {**environment_for(threads), "NUMBA_CACHE_DIR": folder}

        def start() -> float:
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", "minisparse.bench.startup", net],
                env=variables,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
            if done.returncode:
                raise WorkerError(f"a first step failed: {done.stderr.strip()[-300:]}")
            return time.perf_counter() - begin

        return start(), min(start() for _ in range(_WARM_STARTS))


def main(arguments: Sequence[str]) -> None:
    """Take one training step of the net that is named."""
    from .cases import Task
    from .peers.ours import build

    (net,) = arguments
    build(Task("start", _BATCH, net, training=True)).call()


if __name__ == "__main__":
    main(sys.argv[1:])

"""The machine: its processor, and whether anybody else is using it (from /proc, where there is one)."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

BUSY = 0.12  # share of the cores that others use
# What may be set to keep a framework from its best kernels: where we time, everybody has them.
RESTRICTING = (
    *("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "ATEN_CPU_CAPABILITY"),
    *("MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
)
_STAT = Path("/proc/stat")


@functools.cache
def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def unrestricted() -> dict[str, str]:
    """Return the environment without what keeps a framework from its best kernels."""
    return {k: v for k, v in os.environ.items() if k not in RESTRICTING}


class Neighbours:
    """Watches what other processes take of the CPU.

    Parameters
    ----------
    per_wait, in_all : float
        Seconds to wait for quiet, at most: each time, and altogether.
    stat : Path
        The file with the times that all cores were busy and idle.
    clock, sleep : function
        For tests.
    """

    def __init__(
        self,
        per_wait: float = 1.0,
        in_all: float = 20.0,
        stat: Path = _STAT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_wait, self.left = per_wait, in_all
        self._stat, self._clock, self._sleep = stat, clock, sleep
        self.watch_cores(())

    def watch_cores(self, cores: Sequence[int]) -> None:
        """Look at these cores from now on; at all, if none are given."""
        self._lines = {f"cpu{core}" for core in cores} or {"cpu"}
        self.known = self._read() is not None

    def wait(self) -> None:
        """Wait until others use little of the machine, at most a while."""
        end = self._clock() + min(self.per_wait, self.left)
        start = self._clock()
        while self.known and self._clock() < end:
            before = self._read()
            self._sleep(0.05)
            if share(before, self._read(), 0.0) <= BUSY / 2:
                break
        self.left -= self._clock() - start

    def watch(self) -> Callable[[float], float]:
        """Begin to watch; the function returned takes the CPU seconds that are our own.

        It returns the share of the cores that others used meanwhile; 0 where that is not known.
        """
        before = self._read()
        return lambda own: share(before, self._read(), own)

    def _read(self) -> tuple[float, float] | None:
        """Return the seconds that the cores together were busy, and that passed on them."""
        try:
            lines = [line.split() for line in self._stat.read_text().splitlines()]
            ticks = [[int(f) for f in fields[1:9]] for fields in lines if fields[0] in self._lines]
            user, nice, system, idle, wait, interrupts, soft, stolen = map(
                sum, zip(*ticks, strict=True)
            )
        except (OSError, ValueError, IndexError):
            return None
        per_second = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + interrupts + soft + stolen
        return busy / per_second, (busy + idle + wait) / per_second


def least_used(
    cores: Iterable[int], stat: Path = _STAT, sleep: Callable[[float], None] = time.sleep
) -> list[int]:
    """Sort cores by how much of them is used at present, the quietest first.

    Where that is not known, the last come first: interrupts often go to core 0.
    """

    def used() -> dict[str, int]:
        try:
            lines = [line.split() for line in stat.read_text().splitlines()]
        except OSError:
            return {}
        return {f[0]: int(f[1]) + int(f[2]) + int(f[3]) for f in lines if f[0].startswith("cpu")}

    before = used()
    if before:
        sleep(0.2)
    after = used()

    def ticks(core: int) -> int:
        return after.get(f"cpu{core}", 0) - before.get(f"cpu{core}", 0)

    return sorted(sorted(cores, reverse=True), key=ticks)


def share(
    before: tuple[float, float] | None, after: tuple[float, float] | None, own: float
) -> float:
    """Return the share of the cores' time that was used, without our own seconds.

    Examples
    --------
    >>> share((10.0, 100.0), (13.0, 104.0), own=1.0)
    0.5
    """
    if before is None or after is None or after[1] <= before[1]:
        return 0.0
    return max(0.0, after[0] - before[0] - own) / (after[1] - before[1])

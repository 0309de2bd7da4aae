"""Where a run was done: versions, processor, threads, state of the source."""

import copy
import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import minisparse
from minisparse import threads
from minisparse.machine import cpu_name

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_OTHER_VARIABLES = (
    *("MINISPARSE_THREADS", "NUMBA_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"),
    *("OPENBLAS_CORETYPE", "MINISPARSE_KERNELS"),
)


def environment() -> dict[str, Any]:
    """Describe this process; the same seed gives the same bits where all of it is the same.

    Returns
    -------
    dict
        "versions", "platform", "cpu", "cores" (that this process may use), "threads" (of BLAS and
        of the kernels; None where unknown), "variables" (those set that bear on
        speed or bits), "git" (see `git_state`).
    """
    return copy.deepcopy(_found())  # whoever adds to it adds to a copy


@functools.cache
def _found() -> dict[str, Any]:
    variables = {
        name: os.environ[name]
        for name in (*_THREAD_VARIABLES, *_OTHER_VARIABLES)
        if name in os.environ
    }
    return {
        "versions": {
            "python": platform.python_version(),
            "minisparse": minisparse.__version__,
            **{name: _version(name) for name in ("numpy", "numba")},
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": threads.cores(),
        "threads": {"blas": threads.blas_threads(), "numba": threads.get_num_threads()},
        "variables": variables,
        "git": git_state(),
    }


def git_state(package: Path = Path(minisparse.__file__).parent) -> dict[str, Any] | None:
    """Return the commit of the checkout that holds the package's source.

    Parameters
    ----------
    package : Path
        Folder of the package.

    Returns
    -------
    dict or None
        "commit", and "dirty": whether the package's own files differ from it. None outside a
        checkout, or without git.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(package), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()

    try:
        # A package installed into an environment inside somebody's checkout is no part of it.
        git("ls-files", "--error-unmatch", "__init__.py")
        return {
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain", "--", ".")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

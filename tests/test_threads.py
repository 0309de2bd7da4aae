"""One setting for the threads of the kernels and of BLAS."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import minisparse
from minisparse import threads

TELL = """
import minisparse.threads as t
t.prepare()
import numpy as np
from minisparse import kernels
kernels.matmul(np.ones((64, 64)), np.ones((64, 64)))
print(t.get_num_threads(), t.blas_threads())
"""
NAMES = (
    *("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MINISPARSE_KERNELS"),
    *("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"),  # set by the kernels in this process already
)


def python(code, **variables):
    environment = {k: v for k, v in os.environ.items() if k not in (*NAMES, threads.VARIABLE)}
    environment["PYTHONPATH"] = str(Path(minisparse.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def blas(n):
    return "None" if threads.blas_threads() is None else str(n)


def test_the_environment_sets_both():
    assert python(TELL, MINISPARSE_THREADS="3").stdout.split() == ["3", blas(1)]


def test_on_the_definitions_blas_gets_the_threads():
    found = python(TELL, MINISPARSE_THREADS="2", MINISPARSE_KERNELS="numpy").stdout.split()
    assert found == ["2", blas(2)]


def test_without_a_setting_the_kernels_get_all_cores_and_blas_one():
    assert python(TELL).stdout.split() == [str(threads.cores()), blas(1)]


def test_set_while_running():
    code = "import minisparse as m; m.set_num_threads(1); m.set_num_threads(2)" + TELL
    assert python(code, NUMBA_NUM_THREADS="2").stdout.split() == ["2", blas(1)]


def test_a_setting_of_the_user_for_blas_stays():
    assert python(TELL, OPENBLAS_NUM_THREADS="2").stdout.split()[1] == blas(2)


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_setting_that_makes_no_sense_is_an_error(value):
    done = python(TELL, MINISPARSE_THREADS=value)
    assert done.returncode == 1
    assert f"MINISPARSE_THREADS is the number of threads, an integer >= 1, got '{value}'" in (
        done.stderr
    )


FROM_THREADS = """
import threading
import minisparse.threads as t
import numba
from minisparse import kernels
from minisparse.kernels.threads import run, threads_for

def there(work):
    run(threads_for(work), lambda: found.append(numba.get_num_threads()))
    found.append(numba.get_num_threads())  # Numba's own count of this thread is left as it was

def elsewhere(f, *args):
    thread = threading.Thread(target=f, args=args)
    thread.start()
    thread.join()

found = []
kernels.in_use()
for n in (None, 2, 1, 3):
    if n is not None:
        elsewhere(t.set_num_threads, n)
    elsewhere(there, 1 << 30)
    elsewhere(there, 1)
    there(1 << 30)
    print(t.get_num_threads(), t.blas_threads(), *found)
    found.clear()
"""


def test_the_setting_is_that_of_all_python_threads():
    """And BLAS has one of its own: of the whole process, too."""
    lines = python(FROM_THREADS, NUMBA_NUM_THREADS="3", OPENBLAS_NUM_THREADS="1").stdout
    assert [line.split() for line in lines.splitlines()] == [
        [n, blas(1), n, "3", "1", "3", n, "3"] for n in ("3", "2", "1", "3")
    ]


def test_who_does_the_work_gets_the_threads():
    code = """
from minisparse import kernels, threads as t
t.set_num_threads(2)
print(t.blas_threads())
for kind in ("numpy", "numba", "numpy"):
    kernels.use(kind)
    kernels.in_use()
    print(t.blas_threads())
"""
    done = python(code, NUMBA_NUM_THREADS="2")
    assert done.stdout.split() == [blas(1), blas(2), blas(1), blas(2)], done.stderr


def test_a_number_that_was_set_is_not_overruled_by_the_environment():
    code = "import minisparse as m; m.set_num_threads(1)" + TELL
    done = python(code, NUMBA_NUM_THREADS="2", MINISPARSE_THREADS="2")
    assert done.stdout.split()[0] == "1", done.stderr


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", 10_000])
def test_a_number_out_of_range_is_refused(n):
    before = numba.get_num_threads()
    with pytest.raises(ValueError, match="an integer from 1 to"):
        minisparse.set_num_threads(n)
    assert numba.get_num_threads() == before


def test_idle_threads_do_not_spin_for_long_unless_the_user_says_how():
    code = "import os; from minisparse.kernels import threads; print(os.environ['GOMP_SPINCOUNT'])"
    assert python(code).stdout == "300\n"
    assert python(code, GOMP_SPINCOUNT="7").stdout == "7\n"
    assert "KeyError" in python(code, OMP_WAIT_POLICY="active").stderr

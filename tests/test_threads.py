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


# ---- processes and Python threads --------------------------------------------------------------

WORK = """
import os, sys, threading, multiprocessing
import numpy as np
import minisparse
from minisparse import kernels, threads

def work(seed=0):
    x = np.arange(1 << 18, dtype=np.float64)
    kernels.sgd_step(x, x + seed, None, 0.25)
    y = kernels.matmul(np.full((200, 200), 2.0), np.full((200, 200), 3.0))
    return float(x.sum()), float(y.sum())
"""
RIGHT = [(0.75 * n * (n - 1) / 2 - 0.25 * n * seed, 48e6) for n in (1 << 18,) for seed in range(4)]
LAYERS = ("omp", "workqueue", "tbb")


@pytest.fixture(params=LAYERS)
def layer(request):
    """One of Numba's libraries of threads, if it is there."""
    code = "import numba; numba.set_num_threads(1); print(numba.threading_layer())"
    if python(code, NUMBA_THREADING_LAYER=request.param).stdout.strip() != request.param:
        pytest.skip(f"Numba has no {request.param} here")
    return request.param


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for the machine code of these processes, so that they compile once."""
    return str(tmp_path_factory.mktemp("cache"))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@needs_fork
def test_a_forked_process_computes_on_one_thread(layer, cache):
    """By hand, and a child of the child; what its parent does afterwards is as before."""
    code = f"""{WORK}
def fork(what):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        what()
        sys.stdout.flush()
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def child():
    print(work(1), threads.get_num_threads(), threads.is_forked())
    fork(lambda: print(work(2)))

print(work())
fork(child)
print(work(3), threads.get_num_threads(), threads.is_forked())
"""
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER=layer, NUMBA_CACHE_DIR=cache)
    assert done.stdout.splitlines() == [
        f"{RIGHT[0]}",
        f"{RIGHT[1]} 1 True",
        f"{RIGHT[2]}",
        f"{RIGHT[3]} 2 False",
    ], done.stderr
    assert not done.stderr


@needs_fork
@pytest.mark.parametrize("how", ["fork", "forkserver", "spawn"])
def test_a_pool_of_processes_computes_the_same_however_they_are_started(how, cache, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"""{WORK}
if __name__ == "__main__":
    print(work())
    with multiprocessing.get_context({how!r}).Pool(2) as pool:
        print(pool.map(work, range(4)))
"""
    )
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_CACHE_DIR=cache)
    assert done.stdout.splitlines() == [f"{RIGHT[0]}", f"{RIGHT}"], done.stderr


@needs_fork
def test_a_process_that_is_forked_before_the_first_kernel_has_all_threads(cache):
    code = f"""{WORK}
pid = os.fork()
line = f"{{work()}} {{threads.get_num_threads()}}\\n"
os.write(1, line.encode())  # print writes in pieces, which two processes could mix
if pid:
    os.waitpid(pid, 0)
else:
    os._exit(0)
"""
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_CACHE_DIR=cache)
    assert done.stdout.splitlines() == [f"{RIGHT[0]} 2"] * 2, done.stderr


@needs_fork
def test_more_threads_in_a_forked_process_are_refused_with_the_remedy(cache):
    code = f"""{WORK}
work()
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
else:
    minisparse.set_num_threads(1)
    try:
        minisparse.set_num_threads(2)
    except ValueError as error:
        print(error, flush=True)
    os._exit(0)
"""
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_CACHE_DIR=cache)
    assert "an integer from 1 to 1, got 2. This process was forked after" in done.stdout
    assert 'multiprocessing.get_context("spawn")' in done.stdout


@needs_fork
def test_no_lock_is_held_in_a_process_that_is_forked_while_others_work():
    """Each of them: compiling, choosing kernels, making tensors."""
    code = """
import os, threading
from numba.core.compiler_lock import global_compiler_lock
from minisparse import kernels
from minisparse.autodiff import saved
kernels.sgd_step
from minisparse.kernels import threads
locks = [kernels._choosing, threads._turns, global_compiler_lock, saved._one_book]
for lock in locks:
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            go_on.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = os.fork()
    if not pid:
        for other in locks:
            with other:
                pass
        os._exit(7)
    thread.join()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert python(code).stdout.split() == ["7"] * 4


def test_python_threads_compute_at_once(layer, cache):
    code = f"""{WORK}
found = {{}}

def several(seed):
    for _ in range(20):
        found.setdefault(seed, set()).add(work(seed))

running = [threading.Thread(target=several, args=(seed,)) for seed in range(4)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
print([found[seed] for seed in range(4)])
"""
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER=layer, NUMBA_CACHE_DIR=cache)
    assert done.stdout.strip() == f"{[{right} for right in RIGHT]}", done.stderr
    assert done.returncode == 0


CHOOSE = """
import threading
from minisparse.kernels import threads as t
from minisparse.threads import set_num_threads

def elsewhere(f, *args):
    thread = threading.Thread(target=f, args=args)
    thread.start()
    thread.join()
"""


def test_what_one_thread_measures_is_told_to_its_own_choice():
    """Another one asks about the same kernel, for more work, before the first one calls it."""
    code = f"""{CHOOSE}
def kernel():
    pass
few, many = 1 << 20, 1 << 25
threads = t.threads_for(few, kernel)
elsewhere(t.threads_for, many, kernel)
t.run(threads, kernel)
print([t._choices[kernel, work.bit_length(), 2]._warm for work in (few, many)])
"""
    assert python(code, NUMBA_NUM_THREADS="2").stdout == "[True, False]\n"


def test_threads_choose_at_once_and_their_numbers_change_nothing(layer, cache):
    """Many sizes, each looked at again and again, while the setting goes up and down."""
    code = f"""{WORK}{CHOOSE}
t._LOOK_AGAIN = 16
sizes = [1 << k for k in (16, 18, 19)]
found, used, failed = {{}}, set(), []
def seen(threads, *args, run=t._run):
    used.add(threads)
    run(threads, *args)
t._run = seen

def several(seed):
    for turn in range(60):
        n = sizes[(turn + seed) % 3]
        x = np.arange(n, dtype=np.float64)
        kernels.sgd_step(x, x + seed, None, 0.25)
        y = kernels.matmul(np.full((90 + n // 4096, 90), 2.0), np.full((90, 90), 3.0))
        found.setdefault((seed, n), set()).add((float(x.sum()), float(y.sum()), y.shape))

threading.excepthook = lambda args: failed.append(repr(args.exc_value))
running = [threading.Thread(target=several, args=(seed,)) for seed in range(4)]
for thread in running:
    thread.start()
for k in range(40):
    set_num_threads(1 + k % 2)
    running[0].join(0.01)
for thread in running:
    thread.join()
right = {{
    (seed, n): {{(0.375 * n * (n - 1) - 0.25 * n * seed, 540.0 * (90 + n // 4096) * 90, (90 + n // 4096, 90))}}
    for seed in range(4) for n in sizes
}}
choices = [c for c in t._choices.values() if c._warm]
print(found == right, failed, used, {{c.threads for c in choices}} <= {{1, 2}}, len(choices) > 1)
"""
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_THREADING_LAYER=layer, NUMBA_CACHE_DIR=cache)
    assert done.stdout.strip() == "True [] {1, 2} True True", done.stderr
    assert done.returncode == 0


# ---- an environment that is changed too late ----------------------------------------------------


# A function that is compiled on the spot; Numba reads the environment before it compiles.
COMPILE = """
from numba import njit
def twice(x):
    return 2 * x
twice.__module__ = "minisparse.kernels.late"
late = njit(twice)
"""


@pytest.mark.parametrize("after", ["kernels.in_use()", "kernels.sgd_step", "work()"])
def test_a_number_of_threads_that_comes_too_late_changes_nothing(after, cache):
    code = f"""{WORK}
{after}
from minisparse.kernels.jit import jit
{COMPILE}
for value, x in (("1", 1), ("3", 1.0), ("many", 1j)):
    os.environ["NUMBA_NUM_THREADS"] = value
    print(work(), late(x))
minisparse.set_num_threads(2)
del os.environ["NUMBA_NUM_THREADS"]
print(work(), late(np.ones(1)))
"""
    done = python(code, NUMBA_NUM_THREADS="2", NUMBA_CACHE_DIR=cache)
    assert done.stdout.splitlines() == [f"{RIGHT[0]} {y}" for y in ("2", "2.0", "2j", "[2.]")], (
        done.stderr
    )


@pytest.mark.parametrize("late", [True, False])
def test_the_command_line_can_be_called_after_kernels_have_run(late, cache):
    code = f"""{WORK}
from minisparse.cli import main
work()
os.environ["MINISPARSE_THREADS"] = "1"
main(["data", "mnist"])
{COMPILE}
print(work(), late(1), os.environ.get("NUMBA_NUM_THREADS"))
"""
    given = {} if late else {"MINISPARSE_THREADS": "1"}
    done = python(code, NUMBA_CACHE_DIR=cache, **given)
    assert done.stdout.splitlines()[-1] == f"{RIGHT[0]} 2 None", done.stderr


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_a_number_for_numba_that_makes_no_sense_is_an_error_of_ours(value):
    done = python(TELL, NUMBA_NUM_THREADS=value)
    assert done.returncode == 1
    assert (
        f"NUMBA_NUM_THREADS is the number of threads, an integer >= 1, got '{value}'" in done.stderr
    )

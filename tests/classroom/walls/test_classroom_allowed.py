"""What is loaded for a submission before its doors are closed."""

import os
import subprocess
import sys

import pytest

from minisparse.classroom.errors import CallFailed
from minisparse.classroom.walls import allowed
from minisparse.classroom.walls.remote import Remote

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs a POSIX system")

# Import all that may be loaded, and print what that does to the system, and who came along.
WATCHED = """
import importlib, importlib.util, os, pkgutil, sys, warnings
warnings.simplefilter("ignore")
sys.dont_write_bytecode = True
from minisparse.classroom.walls import allowed
import numpy
ACTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "os.exec", "os.mkdir", "os.remove",
        "os.rename", "os.kill", "pty.spawn", "tempfile.mkstemp", "tempfile.mkdtemp", "webbrowser.open")
done = []
def watch(event, args):
    written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if event in ACTS or event.startswith("socket.") or written:
        done.append((name, event, str(args)[:100]))
names = {*allowed.NUMPY, *allowed.ALWAYS}
for top in filter(allowed.may_be_loaded, sys.stdlib_module_names):
    names.add(top)
    found = importlib.util.find_spec(top)
    if found is not None and found.submodule_search_locations:
        path = found.submodule_search_locations
        names |= {m.name for m in pkgutil.walk_packages(path, f"{top}.", onerror=lambda n: None)}
name = ""
sys.addaudithook(watch)
for part in set(numpy.__numpy_submodules__) - set(vars(numpy)):
    if f"numpy.{part}" not in allowed.NUMPY:  # as the worker does
        sys.modules[f"numpy.{part}"] = vars(numpy)[part] = os
known = {m.partition(".")[0] for m in sys.modules}
loaded = 0
for name in sorted(n for n in names if allowed.may_be_loaded(n) or n in allowed.ALWAYS):
    try:
        loaded += bool(importlib.import_module(name))
    except ImportError:
        pass  # of another system, or not built
assert not done, done
strange = {m.partition(".")[0] for m in sys.modules} - known - set(sys.stdlib_module_names)
strange = {m for m in strange if not m.startswith(("_sysconfigdata", "_cython", "cython", "__mp_"))}
assert not strange, strange
assert loaded > 300, loaded
"""


def test_nothing_that_may_be_loaded_acts():
    """No process, no file, no folder, no connection; and nothing but NumPy and the library of Python."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1500:]


@pytest.mark.parametrize(
    "module",
    [
        "numpy.f2py", "numpy.f2py.tests.util", "numpy._core.tests.test_multiarray", "numpy.distutils",
        "numpy.distutils.cpuinfo", "numpy.random._examples.numba.extending", "numpy.conftest",
        "numpy.random.tests", "numpy.typing.tests.test_typing", "distutils.core", "lib2to3.pgen2",
        "idlelib.run", "test.support", "unittest.__main__", "ctypes.test", "ensurepip", "antigravity",
        "_testcapi", "scipy", "pytest", "torch", "minisparse", "__main__", "", "numpy.", ".numpy",
    ],
)  # fmt: skip
def test_what_is_not_loaded(module):
    assert not allowed.may_be_loaded(module)


def inside(text, *preload):
    return Remote({"a.py": text}, "a", None, 0, preload)


LAZY = {
    "numpy.typing": "import numpy as np\ndef f(): return str(np.typing.NDArray)[:5]",
    "every name of NumPy": "from numpy import *\ndef f(): return float(arange(3).sum())",
    "numpy.char and numpy.strings": "import numpy as np\nx = np.char.upper(['a'])\ndef f(): return str(np.strings.add('a', 'b'))",
    "numpy.matlib": "import numpy as np\ndef f(): return np.matlib.zeros(2)",
    "numpy.ctypeslib": "import numpy as np\ndef f(): return np.ctypeslib.__name__",
    "numpy.core": "import numpy as np\ndef f(): return np.core.__name__",
    "a memory map, not opened": "import numpy as np\ndef f(): return np.memmap.__name__",
    "dates": "from datetime import datetime\ndef f(): return datetime.strptime('2024-01-01', '%Y-%m-%d').year",
    "times": "import time\ndef f(): return time.strptime('2024', '%Y').tm_year",
    "executors": "from concurrent.futures import ThreadPoolExecutor\ndef f(): return ThreadPoolExecutor.__name__",
    "statistics": "import random, statistics\ndef f(): return random.Random(1).binomialvariate(3) if hasattr(random, 'binomialvariate') else statistics.mean([1, 2])",
    "a mock": "import unittest.mock\ndef f(): return str(type(unittest.mock.AsyncMock()).__name__)",
    "texts in other encodings": "def f(): return len('é'.encode('utf-16')) + len(b'x'.decode('idna'))",
    "encodings of other systems": "def f(): return len('é'.encode('cp1252') + 'é'.encode('cp437') + 'é'.encode('idna'))",
    "archives of arrays": "import io\nimport numpy as np\ndef f(): np.savez(b := io.BytesIO(), a=np.ones(2)); b.seek(0); return np.load(b)['a']",
}


@pytest.mark.parametrize("what", LAZY)
def test_what_is_loaded_late_is_there(what):
    from minisparse.classroom.grading.recognise import analyse

    found = analyse(LAZY[what], [])["imports"]
    named = [i["module"] for i in found if allowed.may_be_loaded(i["module"])]
    with inside(LAZY[what], *named) as r:
        r.f()


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("scipy", "only NumPy and Python's standard library"),
        ("wave", "Write `import wave` at the top"),
        ("numpy.lib.mixins", "Write `import numpy.lib.mixins` at the top"),
        ("idlelib", "is not loaded for submissions"),
        ("numpy.distutils", "is not loaded for submissions"),
    ],
)
def test_why_a_module_is_not_there(module, why):
    text = "import importlib, sys\ndef f(name):\n    sys.modules.pop(name, None)\n    importlib.import_module(name)"
    with inside(text, "importlib", "sys") as r:
        with pytest.raises(CallFailed) as error:
            r.f(module)
        assert why in str(error.value)

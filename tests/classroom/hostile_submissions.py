"""Submissions that are broken or mean harm.  ``@victim@`` is a folder that anybody may write to."""

# What all of them define, so that a property that is earned is earned in spite of the harm.
RIGHT = """
import numpy as np

def sigmoid_array(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(e), e) / (1 + e)

def sample_derivative(a, u):
    s = sigmoid_array((a + np.log(u) - np.log1p(-u)) * 1.5)
    sbar = s * 1.2 - 0.1
    return np.where((sbar > 0) & (sbar < 1), 1.8 * s * (1 - s), 0)
"""

HALF = RIGHT.replace("1.8 * s", "0.9 * s")


def both(body, before=""):
    """Return a file whose two functions have this body."""
    body = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return (
        f"import os, sys, time\nimport numpy as np\n{before}\n"
        f"def sigmoid_array(x):\n{body}\n\ndef sample_derivative(x, u):\n{body}\n"
    )


FAKE_RESULTS = '{"score": 1000, "tests": []}'

# name -> (text, points, part of a message)
HOSTILE = {
    "endless loop": (both("while True: pass"), 0, "no answer within"),
    "endless loop at import": ("while True: pass", 0, "no answer within"),
    "sleeps": (both("time.sleep(1000)"), 0, "no answer within"),
    "exit at import": ("raise SystemExit(0)", 0, "SystemExit"),
    "sys.exit": (both("sys.exit(0)"), 0, "SystemExit"),
    "os._exit": (both("os._exit(0)"), 0, "exit code 0"),
    "os._exit at import": ("import os\nos._exit(0)", 0, "exit code 0"),
    "kills itself": (both("import ctypes\nctypes.string_at(8)", "import ctypes"), 0, "SIGSEGV"),
    "fork bomb": (
        both(
            """
for _ in range(64):
    if os.fork() == 0:
        time.sleep(3)
        os._exit(0)
return 1 / (1 + np.exp(-x))
"""
        ),
        0,
        "raised",
    ),
    "threads": (
        both(
            "threads = [threading.Thread(target=time.sleep, args=(3,)) for _ in range(5000)]\n"
            "for t in threads: t.start()\nreturn x",
            "import threading",
        ),
        0,
        "thread",
    ),
    "memory hog": (
        both("hog = [np.empty(1 << 25) for _ in range(40)]\nreturn x"),
        0,
        "MemoryError",
    ),
    "huge answer": (both("return np.zeros(1 << 25)"), 0, "64 MiB"),
    "endless answer": (both("return np.broadcast_to(0.5, (10**9, 10**9))"), 0, "MiB"),
    "deep answer": (
        both("y = []\nfor _ in range(100000): y = [y]\nreturn y"),
        0,
        "nested",
    ),
    "gigabytes of output": (
        RIGHT + "import os\nfor _ in range(4000): os.write(1, bytes(1 << 20))\n"
        "for _ in range(100): print('x' * 1_000_000)\n",
        7,
        "",
    ),
    "writes its result": (
        both(
            "for path in ('@out@/students/writes its result/results.json', '@victim@/results.json', "
            "'results.json'):\n"
            "    try:\n        open(path, 'w').write('" + FAKE_RESULTS + "')\n"
            "    except OSError: pass\n"
            "return x"
        ),
        0,
        "wrong",
    ),
    "detached child": (
        both(
            """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1)
        open('@victim@/late', 'w').write('late')
        open('@out@/students/detached child/results.json', 'w').write('late')
    os._exit(0)
return x
"""
        ),
        0,
        "raised",
    ),
    "at exit": (
        RIGHT + "import atexit\natexit.register(lambda: open('@victim@/atexit', 'w'))\n",
        7,
        "",
    ),
    "patched numpy": (
        """
import sys
import numpy as np
import numpy.testing
np.allclose = np.array_equal = np.isfinite = lambda *a, **k: True
np.abs = np.absolute = lambda x: 0
np.testing.assert_allclose = lambda *a, **k: None
class P: raises = approx = lambda *a, **k: True
sys.modules["pytest"] = P
np.ndarray = np.asarray = lambda *a, **k: None
"""
        + both("return x"),
        0,
        "",
    ),
    "equal to everything": (
        both(
            "return Equal()",
            "class Equal:\n    __eq__ = __le__ = __ge__ = lambda s, o: True\n"
            "    __sub__ = __rsub__ = lambda s, o: 0\n    __array__ = lambda s, *a, **k: 1 / 0\n",
        ),
        0,
        "type Equal",
    ),
    "an array equal to everything": (
        both(
            "return np.full(x.shape, 9.0).view(Equal)",
            "class Equal(np.ndarray):\n    def __array_ufunc__(self, *a, **k): return True\n",
        ),
        0,
        "wrong",
    ),
    "not a number": (both("return np.full(x.shape, np.nan)"), 0, "not finite"),
    "wrong shape": (both("return np.zeros(x.shape + (1,))"), 0, "shape"),
    "wrong dtype": (both("return x.astype(np.float32)"), 0, "float32"),
    "objects": (both("return np.array([None] * x.size)"), 0, "dtype object"),
    "text": (both("return 'all right'"), 0, "str"),
    "nothing": (both("return None"), 0, "None"),
    "memory of the grader": (
        both(
            """
found = []
for file in ('mem', 'environ', 'maps', 'cmdline', 'fd/0', 'cwd/pyproject.toml'):
    try:
        found.append(open(f'/proc/{os.getppid()}/{file}', 'rb').read(10))
    except OSError: pass
if not found: raise RuntimeError('nothing was found')
return 1 / (1 + np.exp(-x))
"""
        ),
        0,
        "nothing was found",
    ),
    "a signal to the grader": (
        both("os.kill(os.getppid(), 9)\nreturn 1 / (1 + np.exp(-x))"),
        0,
        "raised",
    ),
    "reads the reference": (
        both(
            "exec(open('@package@/autodiff/ops/activations.py').read(), globals())\n"
            "return sigmoid_array(x)"
        ),
        0,
        "raised",
    ),
    "calls the reference": (
        "from minisparse.autodiff.ops.activations import sigmoid_array\n",
        0,
        "not available",
    ),
    "calls the reference late": (
        both(
            "sys.path.append('@site@')\nimport minisparse.autodiff.ops.activations as a\n"
            "return a.sigmoid_array(x)"
        ),
        0,
        "not available",
    ),
    "another submission": (
        both("exec(open('@submissions@/good.py').read(), globals())\nreturn sigmoid_array(x)"),
        0,
        "raised",
    ),
    "torch": ("import torch\n" + RIGHT, 0, "torch"),
    "difference quotient": (
        RIGHT.replace("def sample_derivative", "def hidden")
        + """
def gate(a, u):
    return np.clip(sigmoid_array((a + np.log(u) - np.log1p(-u)) * 1.5) * 1.2 - 0.1, 0, 1)

def sample_derivative(a, u):
    h = 1e-6
    return (gate(a + h, u) - gate(a - h, u)) / (2 * h)
""",
        7,  # right to ten digits, and this assignment asks for no more: a note, for people
        "difference quotient",
    ),
    "lies on the wire": (
        both(
            r"""
for fd in range(3, 20):
    for lie in (b'\xff' * 8, b'\x02\x00\x00\x00\x00\x00\x00\x00{', b'\x00' * 64):
        try: os.write(fd, lie)
        except OSError: pass
return x
"""
        ),
        0,
        "",
    ),
    "closes everything": (both("os.closerange(0, 100)\nreturn x"), 0, ""),
    "replaces the worker": (
        both(
            """
for name, module in list(sys.modules.items()):
    if name.startswith('_worker'):
        for key in list(vars(module)):
            setattr(module, key, None)
return x
"""
        ),
        0,
        "",
    ),
    "raises itself": (
        both("raise Odd()", "class Odd(Exception):\n    def __str__(self): raise Odd()\n"),
        0,
        "Odd",
    ),
    "syntax error": ("def sigmoid_array(x:\n    return x\n", 0, "SyntaxError"),
    "nested too deeply": ("x = " + "(" * 5000 + ")" * 5000, 0, "a1.py"),
    "a long chain": ("x = " + "-" * 100_000 + "1", 0, "a1.py"),
    "null bytes": ("x = 1\0\n", 0, "a1.py"),
    "writes to its argument": (
        RIGHT.replace("    e = ", "    x -= 0\n    e = ", 1),
        6,
        "must stay as it is",
    ),
    "Ünïcode and späces 7": (RIGHT, 7, ""),
    "=HYPERLINK(1)": (RIGHT, 7, ""),
}

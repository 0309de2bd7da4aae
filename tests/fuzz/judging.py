"""Whether an exception is the package's own: raised by a `raise` of its, of a kind that is for people."""

import ast
import collections
import functools
import traceback
from pathlib import Path

import minisparse

_HOME = str(Path(minisparse.__file__).parent)
_KINDS = (ValueError, TypeError, KeyError, IndexError, OSError)
NET = collections.Counter()  # errors that no line foresaw, retold by a door (minisparse/doors.py)


def foreign(error):
    """Return how an error came about that is no answer to bad input; "" for one that is."""
    if isinstance(error, MemoryError):
        return "" if "allocate" in str(error) else "MemoryError"  # NumPy says how much, for what shape
    if isinstance(error, OSError) and error.filename is not None:
        return ""  # "No such file or directory: ..." says it all
    frame = traceback.extract_tb(error.__traceback__)[-1]
    own = type(error).__module__.partition(".")[0] == "minisparse"
    if own or (isinstance(error, _KINDS) and is_ours(frame)):
        NET["could not do with what it was given" in str(error)] += 1
        return "" if str(error) else f"no words at {place(frame)}"
    inside = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(_HOME)]
    at = place(inside[-1]) if inside else place(frame)
    return f"{type(error).__name__} at {at}: {' '.join(str(error).split())[:100]}"


def is_ours(frame):
    """Tell whether the statement in this frame is a `raise` in the package."""
    return frame.filename.startswith(_HOME) and frame.lineno in _raises(frame.filename)


def place(frame):
    return f"{frame.filename.removeprefix(_HOME).lstrip('/')}:{frame.lineno} {frame.name}"


@functools.cache
def _raises(filename):
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            lines |= set(range(node.lineno, node.end_lineno + 1))
    return lines

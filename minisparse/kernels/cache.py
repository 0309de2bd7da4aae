# mypy: allow-untyped-defs, allow-untyped-calls, allow-subclassing-any
"""The machine code of the kernels on disk: Numba's cache, for disks and processes as they are.

Numba takes its files for what it wrote.  A file that was cut by a full disk ends every later process,
one with a wrong byte is run, and of two processes that write at once one may get the other's code.
So here a file begins with the SHA-256 of what follows, then with that of the source; what holds code
says which one; and whatever goes wrong costs a compilation and one line on stderr, no more.
"""

import contextlib
import functools
import hashlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

_MAGIC = pickle.dumps("minisparse")  # to Numba's own reader: of another version, so to be replaced
_SHA256 = 32  # bytes


def keep_on_disk(compilable: Any, function: Any, kind: str = "") -> None:
    """Keep the machine code beside the source, or in the user's cache folder, and find it there.

    Parameters
    ----------
    compilable : Dispatcher or CFunc of Numba
        What compiles the function, and asks the cache before.
    function : callable
    kind : str
        Tells apart what is compiled from one function with several options.
    """
    try:
        compilable._cache = _KernelCache(function, kind)
    except (OSError, RuntimeError) as error:  # "no locator available": no writable cache folder
        _say(error)


class _KernelCache(FunctionCache):
    def __init__(self, function: Any, kind: str) -> None:
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base + kind, source_stamp())

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001 - whatever it is, compiling is the way out
            _say(error)
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001 - it has been compiled, which is what was asked
            _say(error)


class _Files(IndexDataCacheFile):
    """An index (types -> name of a data file), and the data files; all of one function."""

    def save(self, key, data):
        super().save(key, (key, data))

    def load(self, key):
        found = super().load(key)
        if found is None or found[0] != key:  # another process had the same name for another code
            return None
        return found[1]

    def _load_index(self):
        try:
            return self._read(self._index_path) or {}
        except FileNotFoundError:
            return {}
        except Exception as error:  # noqa: BLE001 - it is written anew, with what is compiled now
            _say(error)
            return {}

    def _save_index(self, overloads):
        self._write(self._index_path, overloads)

    def _load_data(self, name):
        return self._read(self._data_path(name))

    def _save_data(self, name, data):
        self._write(self._data_path(name), data)

    def _write(self, path: str, content: Any) -> None:
        known = self._source_stamp + self._dump(content)
        with self._open_for_write(path) as file:
            file.write(_MAGIC + hashlib.sha256(known).digest() + known)

    def _read(self, path: str) -> Any:
        """Return what was written, or None if that was for another state of the source."""
        found = Path(path).read_bytes()
        known = found[len(_MAGIC) + _SHA256 :]
        if found != _MAGIC + hashlib.sha256(known).digest() + known:
            raise ValueError(f"{path} is damaged")
        if not known.startswith(self._source_stamp):
            return None
        return pickle.loads(known[_SHA256:])


@functools.cache
def source_stamp() -> bytes:
    """Return the SHA-256 of all that the machine code of any kernel depends on.

    Numba looks at the file of the function itself, and kernels contain code of one another.  By
    content: dates of files are lost in copies and archives, and clocks are set back.
    """
    found = hashlib.sha256(numba.__version__.encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.digest()


_said = False


def _say(error: Exception) -> None:
    """Tell the person, once per process; nothing more has happened."""
    global _said
    if _said or sys.stderr is None:
        return
    _said = True
    what = " ".join(str(error).split()) or type(error).__name__
    line = f"minisparse: the cache of compiled kernels: {what}; compiling anew"
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed, or on the full disk
        print(line, file=sys.stderr, flush=True)

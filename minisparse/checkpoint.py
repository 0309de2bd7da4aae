"""Checkpoints: the state of a run in one file that is never half written.

The file is an ``.npz`` (a zip archive, ``numpy.load`` opens it): the arrays, and ``state.json``
with everything else, where ``{"__array__": name}`` stands for an array.  Nothing is pickled, so
reading a file from elsewhere runs no code; zip's checksums find a flipped bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import inspect
import io
import json
import os
import secrets
import time
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .doors import door

FORMAT, VERSION = "minisparse checkpoint", 1
_DOCUMENT = "state.json"
_ARRAY = "__array__"

State = dict[str, Any]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, cannot be read, or belongs to another run.

    Attributes
    ----------
    run : Run or None
        The finished run, if only its last checkpoint could not be written.
    """

    run: Any = None


# ---- the file ---------------------------------------------------------------------------------


@door
def save(path: str | os.PathLike[str], state: State) -> None:
    """Write `state` to a file: all of it, or the old file stays as it was.

    The new content goes to a temporary file in the same folder, is forced to the disk, and takes
    the name of the old one in a single step of the file system.

    Parameters
    ----------
    path : path
    state : dict
        NumPy arrays, numbers, strings, bools and None, in dicts with string keys and lists.

    Raises
    ------
    TypeError, ValueError
        Something in `state` is none of these.
    CheckpointError
        The disk is full, the folder is missing, or the like.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/a.npz", {"w": np.arange(3.0), "steps": [1, 2], "name": None})
    ...     load(f"{folder}/a.npz")
    {'w': array([0., 1., 2.]), 'steps': [1, 2], 'name': None}
    """
    path = Path(path)
    content = encode(state)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            _write(file, content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        old = "The one written before is unchanged" if path.exists() else "There is none yet"
        raise CheckpointError(f"could not write the checkpoint {path}: {error}. {old}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    _remove_leftovers(path)


@door
def load(path: str | os.PathLike[str]) -> State:
    """Read what `save` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        The file is damaged, cut short, or no checkpoint of this version.
    """
    content = Path(path).read_bytes()
    try:
        return decode(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__


def encode(state: State) -> bytes:
    """Return the content of the file that `save` writes; equal states give equal bytes."""
    arrays: dict[str, np.ndarray] = {}
    document = {"format": FORMAT, "version": VERSION, "state": _pack(state, "", arrays)}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        # ZipInfo: a constant date instead of the present one
        archive.writestr(zipfile.ZipInfo(_DOCUMENT), json.dumps(document))
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    return content.getvalue()


def decode(content: bytes) -> State:
    """Invert `encode`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            document = json.loads(archive.read(_DOCUMENT))
            arrays = {
                name.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in archive.namelist()
                if name != _DOCUMENT
            }
        made_by, version = document["format"], document["version"]
        if (made_by, version) == (FORMAT, VERSION):
            state: State = _unpack(document["state"], arrays)
            if arrays:
                raise ValueError(f"arrays that nothing refers to: {sorted(arrays)}")
            return state
    except Exception as error:  # whatever a damaged archive makes zipfile, json or numpy say
        raise CheckpointError(
            f"damaged, cut short, or not a checkpoint ({type(error).__name__}: {error}). "
            "Delete it to start from the beginning, or give another path"
        ) from error
    raise CheckpointError(
        f"written in the format {made_by!r}, version {version!r}; this is {FORMAT!r}, version "
        f"{VERSION}. Delete it to start from the beginning, or give another path"
    )


def _pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Move the arrays inside `value` to `arrays`; `name` says where in the state `value` is."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    inside = f"{name}/" if name else ""
    if isinstance(value, list):
        return [_pack(v, f"{inside}{i}", arrays) for i, v in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == _ARRAY:
                raise TypeError(f"{name or 'the state'} has the key {key!r}, expected a name")
        return {k: _pack(v, inside + k, arrays) for k, v in value.items()}
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value)
        raise TypeError(
            f"{name} is {kind}; a checkpoint holds NumPy arrays of numbers, numbers, strings, "
            "None, and dicts and lists of them"
        )
    if name in arrays:
        raise ValueError(f"two arrays of the state are both called {name}")
    arrays[name] = value
    return {_ARRAY: name}


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays.pop(value[_ARRAY])
    return {k: _unpack(v, arrays) for k, v in value.items()}


def _write(file: io.BufferedWriter, content: bytes) -> None:
    file.write(content)


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk too; some file systems cannot, and need not be asked again."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Delete what processes that were killed while writing left, but not what one is writing."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 60:
                leftover.unlink()


# ---- whose file it is -------------------------------------------------------------------------


class RunFile:
    """The checkpoint of one run, recognised by the settings of the run.

    Parameters
    ----------
    path : path
    settings : dict
        Of what JSON can hold; see `describe`.
    seconds : float
        How long a checkpoint stays fresh.
    """

    def __init__(self, path: str | os.PathLike[str], settings: State, seconds: float) -> None:
        self.path, self.settings, self.seconds = Path(path), settings, seconds
        self._next = time.monotonic() + seconds

    def due(self) -> bool:
        """Whether the time has come for another checkpoint."""
        return time.monotonic() >= self._next

    def read(self) -> State | None:
        """Return the state of the run, or None if there is no file yet.

        Raises
        ------
        CheckpointError
            The file cannot be read, or was made with other settings.
        """
        try:
            saved = load(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"cannot read the checkpoint {self.path}: {error}") from error
        before, state = saved.get("settings"), saved.get("run")
        if not isinstance(before, dict) or not isinstance(state, dict):
            raise CheckpointError(f"{self.path} is not the checkpoint of a run: {sorted(saved)}")
        if changed := differences(before, self.settings):
            raise CheckpointError(
                f"{self.path} is the checkpoint of another run: {'; '.join(changed)}. Repeat the "
                "call with the settings of before, or give another path, or delete the file"
            )
        return state

    def write(self, state: State) -> None:
        """Replace the file; see `save`."""
        self._next = time.monotonic() + self.seconds
        save(self.path, {"settings": self.settings, "run": state})


def describe(thing: object) -> State:
    """Return the type of an object, and those constructor arguments that it keeps and are plain.

    Examples
    --------
    >>> from minisparse.nn import Dropout
    >>> describe(Dropout(0.5, rng=np.random.default_rng(0)))
    {'type': 'Dropout', 'p': 0.5}
    """
    settings: State = {"type": type(thing).__name__}
    for name in inspect.signature(type(thing).__init__).parameters:
        if hasattr(thing, name):
            with contextlib.suppress(TypeError):
                settings[name] = plain(getattr(thing, name))
    return settings


def plain(value: Any) -> Any:
    """Return a setting as JSON gives it back, or raise TypeError.

    A function becomes its name, with the plain variables that it closes over; an object that is
    called like one, with its plain fields if it is a dataclass.

    Examples
    --------
    >>> from minisparse.optim.schedules import exponential
    >>> plain((np.float32(0.5), exponential(0.9)))
    [0.5, 'exponential.<locals>.<lambda>(gamma=0.9)']
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(v) for v in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(v) for key, v in value.items()}
    if callable(value):
        return _plain_function(value)
    raise TypeError(
        f"expected a number, a string, None, or a list of them, got {type(value).__name__}"
    )


def _plain_function(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__name__)
    variables: dict[str, Any] = {}
    function = inspect.unwrap(function)  # a decorator does not make it another one
    if isinstance(function, types.FunctionType):
        variables = dict(inspect.getclosurevars(function).nonlocals)
    elif dataclasses.is_dataclass(function):
        variables = {f.name: getattr(function, f.name) for f in dataclasses.fields(function)}
    closed_over = []
    for variable, value in variables.items():
        with contextlib.suppress(TypeError):  # not plain
            closed_over.append(f"{variable}={plain(value)!r}")
    return f"{name}({', '.join(closed_over)})" if closed_over else name


def differences(before: State, now: State) -> list[str]:
    """Say in words what differs between two descriptions."""
    a, b = dict(_flat(before)), dict(_flat(now))
    return [
        f"{key} was {a.get(key, 'absent')!r}, is {b.get(key, 'absent')!r}"
        for key in a | b
        if a.get(key, "absent") != b.get(key, "absent")
    ]


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, settings


__all__ = [
    "CheckpointError",
    "RunFile",
    "describe",
    "differences",
    "load",
    "plain",
    "save",
]

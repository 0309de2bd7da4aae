"""Sparse models in files: what is zero is not written.

The file is an ``.npz`` as `minisparse.checkpoint` writes it: arrays and a JSON document, no pickle,
written whole or not at all, with checksums.  Weights with zeros are stored as the values of the
others and their places, in whichever is smallest:

    bits      one bit for each weight
    gaps      distances from one kept weight to the next, in 8, 16 or 32 bits
    dense     all the weights, if hardly any is zero

The document says how the model is built, of modules of this package; reading it calls nothing else.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, nn
from ..autodiff.ops.conv import as_pair
from ..doors import door
from ..nn import Module, Parameter, Selected
from ..nn.hardening import refuse_parametrizations
from .chain import Chain
from .layers import BlockedLinear, CSRLinear, SparseConv2d, SparseLayer
from .pattern import Pattern, on_host

FORMAT, VERSION = "minisparse sparse model", 1
State = dict[str, Any]


class SparseFileError(ValueError):
    """A file that is no readable sparse model of this version."""


@door
def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Write a model in its small form.

    Parameters
    ----------
    model : Module
        Made of the modules of this package: dense with zeros, shrunk, or sparse.
    path : path

    Raises
    ------
    TypeError
        It contains a class of another origin, which a file without code cannot bring back.
    minisparse.checkpoint.CheckpointError
        The disk is full, or the like.  A file that was there before is unchanged then.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Sequential(nn.Linear(3, 2, rng=np.random.default_rng(0)), nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/small.npz")
    ...     load(f"{folder}/small.npz")
    Sequential(
      0: Linear(3, 2, bias=True)
      1: ReLU()
    )
    """
    checkpoint.save(path, encode(model))


def encode(model: Module) -> State:
    """Return what `save` writes, in arrays and plain values."""
    refuse_parametrizations(model)
    return {"format": FORMAT, "version": VERSION, "model": _module(model, "the model")}


def size_on_disk(model: Module) -> int:
    """Return how many bytes `save` writes."""
    return len(checkpoint.encode(encode(model)))


@door
def load(path: str | os.PathLike[str], rng: np.random.Generator | None = None) -> Module:
    """Read what `save` wrote.

    Parameters
    ----------
    path : path
    rng : np.random.Generator, optional
        Of the run, for the noise of dropout if the model is trained further.

    Returns
    -------
    Module
        In training mode, like a new one.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    SparseFileError
        The file is damaged, cut short, of another version, or something else.
    """
    content = Path(path).read_bytes()
    name = os.fspath(path)
    try:
        state = checkpoint.decode(content)
    except checkpoint.CheckpointError as error:
        cause = error.__cause__ or error
        raise SparseFileError(
            f"{name} cannot be read as a sparse model: it is damaged, cut short, or another kind "
            f"of file ({type(cause).__name__}: {cause})"
        ) from error
    if state.get("format") != FORMAT or set(state) != {"format", "version", "model"}:
        raise SparseFileError(f"{name} is a file of this package, but not a sparse model")
    if state["version"] != VERSION:
        raise SparseFileError(
            f"{name} has version {state['version']!r} of the format; this program reads {VERSION}"
        )
    try:
        return _build(state["model"], rng or np.random.default_rng(0))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise SparseFileError(
            f"{name} does not describe a model ({type(error).__name__}: {error})"
        ) from error


# ---- modules ------------------------------------------------------------------------------------


def _examples() -> tuple[Module, ...]:
    """Return one module of each class with attributes of its own; they say which these are."""
    rng = np.random.default_rng(0)
    return (
        *(nn.Linear(1, 1, rng=rng), nn.Conv2d(1, 1, 1, rng=rng)),
        *(nn.BatchNorm1d(1), nn.BatchNorm2d(1), nn.Dropout(0.5, rng=rng)),
        *(nn.ReLU(), nn.Flatten(), nn.MaxPool2d(), nn.AvgPool2d()),
        *(nn.LeNet300(rng=rng, widths=(1, 1)), nn.LeNet5(rng=rng)),
        nn.SmallCNN((4, 4, 1), 1, rng=rng),
        Selected(nn.ReLU(), np.zeros(1, np.int64)),
    )


@functools.cache
def _attributes() -> dict[str, tuple[type[Module], dict[str, type]]]:
    """Return for each class name the class, its attributes and the types of their values."""
    return {
        type(m).__name__: (type(m), {k: type(v) for k, v in _own(m).items()}) for m in _examples()
    }


_SPARSE: dict[str, type[SparseLayer]] = {
    cls.__name__: cls for cls in (CSRLinear, BlockedLinear, SparseConv2d)
}


def _own(module: Module) -> dict[str, Any]:
    return {k: v for k, v in vars(module).items() if k != "training" and not k.startswith("_")}


def _module(module: Module, where: str) -> State:
    name = type(module).__name__
    if type(module) is _SPARSE.get(name):
        return {"type": name, **stored_layer(module)}
    if type(module) is nn.Sequential:
        return {"type": name, "parts": [_module(m, f"{where}[{i}]") for i, m in enumerate(module)]}
    if type(module) is Chain:
        return {
            "type": name,
            "names": list(module.names),
            "relus": list(module.relus),
            "flat": module.flat,
            "parts": [_module(m, k) for k, m in zip(module.names, module.layers, strict=True)],
        }
    if type(module) is not _attributes().get(name, (None,))[0]:
        raise TypeError(
            f"{where} is a {name}, and a file without code brings back modules of this package "
            "only; save its state_dict with minisparse.checkpoint.save instead"
        )
    return {"type": name} | {k: _value(v, f"{where}.{k}") for k, v in _own(module).items()}


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Module):
        return _module(value, where)
    if isinstance(value, Parameter):
        return stored_weights(on_host(value.array))
    if isinstance(value, np.random.Generator):
        return None
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float) else on_host(value)


def _build(state: Any, rng: np.random.Generator) -> Module:
    if not isinstance(state, dict) or not isinstance(state.get("type"), str):
        raise TypeError("a module is missing")
    state = dict(state)
    name = state.pop("type")
    if name in _SPARSE:
        return _build_sparse_layer(_SPARSE[name], state)
    if name == "Sequential":
        return nn.Sequential(*(_build(part, rng) for part in state["parts"]))
    if name == "Chain":
        parts = [_build(part, rng) for part in state["parts"]]
        if len(set(state["names"])) != len(parts) or not all(
            isinstance(part, CSRLinear) for part in parts
        ):
            raise ValueError("a chain has a name for each of its sparse linear layers")
        layers: dict[str, Any] = dict(zip(state["names"], parts, strict=True))
        return Chain(layers, state["relus"], bool(state["flat"]))
    if name not in _attributes():
        raise ValueError(f"there is no module called {name!r}")
    cls, types = _attributes()[name]
    if state.keys() != types.keys():
        raise ValueError(f"a {name} has {sorted(types)}, this one has {sorted(state)}")
    # As the class does it, but for drawing weights.
    module: Any = cls.__new__(cls)
    vars(module).update(training=True, _buffers=[], _sealed=False)
    for key, kind in types.items():
        value = _restored(state[key], kind, rng, may_be_none=key == "bias")
        if kind is np.ndarray:
            module.register_buffer(key, value)
        else:
            setattr(module, key, value)
    vars(module)["_sealed"] = True
    _check(module)
    return module  # type: ignore[no-any-return]


def _restored(value: Any, kind: type, rng: np.random.Generator, may_be_none: bool) -> Any:
    """Return an attribute that was stored by `_value`, of the type that it must have."""
    if issubclass(kind, Module):
        return _build(value, rng)  # of another class, perhaps: a sparse layer for a dense one
    if kind is Parameter:
        return None if value is None and may_be_none else Parameter(_unpacked(value))
    if kind is np.random.Generator:
        return rng
    elif kind is tuple:
        value = tuple(value)
    elif kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind):
        raise TypeError(f"a {kind.__name__} was expected, not a {type(value).__name__}")
    return value


def _check(module: Module) -> None:
    """Refuse a module whose arrays do not belong together."""
    own = _own(module)
    weight = own.get("weight")
    if weight is not None:
        axes = {"Linear": 2, "Conv2d": 4}.get(type(module).__name__, 1)
        vectors = [own[k] for k in ("bias", "running_mean", "running_var") if k in own]
        wrong = [tuple(v.shape) for v in vectors if v is not None and v.shape != weight.shape[-1:]]
        if weight.ndim != axes or wrong:
            raise ValueError(f"a {type(module).__name__} of shape {weight.shape}, with {wrong}")
    if isinstance(module, Selected):
        index = module.index
        if index.ndim != 1 or index.dtype.kind != "i" or (np.diff(index, prepend=-1) < 1).any():
            raise ValueError("the index of inputs does not rise from 0 on")
    for key, least in (("stride", 1), ("padding", 0), ("window", 1)):
        if key in own:
            as_pair(own[key], key, least)


# ---- arrays -------------------------------------------------------------------------------------


def _places(kept: np.ndarray) -> State:
    """Return which entries of a flat bool array are True, in the fewest bytes."""
    index = np.flatnonzero(kept)
    gaps = np.diff(index, prepend=-1) - 1
    widest = int(gaps.max(initial=0))
    small = next(
        t for t in (np.uint8, np.uint16, np.uint32, np.uint64) if widest <= np.iinfo(t).max
    )
    if index.size * np.dtype(small).itemsize < (kept.size + 7) // 8:
        return {"size": kept.size, "gaps": gaps.astype(small)}
    return {"size": kept.size, "bits": np.packbits(kept)}


def _kept(places: State) -> np.ndarray:
    """Invert `_places`."""
    size = places["size"]
    kept = np.zeros(size, bool)
    if "gaps" in places:
        gaps = places["gaps"]
        if gaps.dtype.kind != "u" or gaps.ndim != 1:
            raise ValueError(f"gaps are unsigned numbers, got {gaps.dtype}")
        index = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if index.size and not (index[-1] < size and index.min() >= 0):
            raise ValueError(f"the places of the weights reach {index[-1]}, beyond {size}")
        kept[index] = True
        return kept
    bits = places["bits"]
    if bits.dtype != np.uint8 or bits.shape != ((size + 7) // 8,):
        raise ValueError(f"{bits.size} bytes are not one bit for each of {size} weights")
    whole = np.unpackbits(bits)
    if whole[size:].any():
        raise ValueError("there are bits beyond the last weight")
    return whole[:size].astype(bool)


def stored_weights(array: np.ndarray) -> Any:
    """Store an array without its zeros, if that is smaller."""
    kept = (array != 0).reshape(-1)
    if array.ndim < 2 or kept.sum() * array.itemsize + kept.size / 8 >= array.nbytes:
        return array
    values = array.reshape(-1)[kept]
    return {"shape": list(array.shape), "values": values} | _places(kept)


def _unpacked(state: Any) -> np.ndarray:
    """Invert `_weights`."""
    if not isinstance(state, dict):
        array = state
    else:
        kept, values = _kept(state), state["values"]
        if math.prod(state["shape"]) != kept.size or values.shape != (int(kept.sum()),):
            raise ValueError(f"{values.shape} values do not fill a mask of {int(kept.sum())}")
        array = np.zeros(kept.size, values.dtype)
        array[kept] = values
        array = array.reshape(state["shape"])
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError("weights are floating-point numbers")
    return array


def stored_layer(layer: SparseLayer) -> State:
    """Store the places list by list, as they are in memory."""
    pattern = layer.pattern
    lists = pattern.starts.size - 1
    kept = np.zeros((lists, pattern.n_in), bool)
    kept[np.repeat(np.arange(lists), np.diff(pattern.starts)), pattern.columns] = True
    bias = layer.bias
    state: State = {
        "n_in": pattern.n_in,
        "n_out": pattern.n_out,
        "places": _places(kept.reshape(-1)),
        "values": on_host(layer.values.array),
        "bias": None if bias is None else on_host(bias.array),
    }
    if isinstance(layer, BlockedLinear):
        state["kept"] = _places(on_host(layer.kept).reshape(-1))
    if isinstance(layer, SparseConv2d):
        state["geometry"] = [list(layer.kernel), list(layer.stride), list(layer.padding)]
    return state


def _build_sparse_layer(cls: Any, state: State) -> Module:
    n_in, n_out, block = state["n_in"], state["n_out"], cls.block
    kept = _kept(state["places"]).reshape(-(-n_out // block), n_in)
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64)
    pattern = Pattern(np.nonzero(kept)[1].astype(np.int32), starts, n_in, n_out, block)
    values, bias = state["values"], state["bias"]
    if values.dtype.kind != "f" or (bias is not None and bias.dtype != values.dtype):
        raise ValueError("values and bias are floating-point numbers of one type")
    if cls is BlockedLinear:
        return BlockedLinear(pattern, values, bias, _kept(state["kept"]).reshape(values.shape))
    if cls is SparseConv2d:
        geometry = [(int(a), int(b)) for a, b in state["geometry"]]
        return SparseConv2d(pattern, values, bias, *geometry)
    made: Callable[..., Module] = cls
    return made(pattern, values, bias)


__all__ = ["SparseFileError", "load", "save"]

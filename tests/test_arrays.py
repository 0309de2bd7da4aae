import sys
from types import ModuleType

import numpy as np
import pytest

from minisparse import arrays


class Elsewhere:
    """An array of another library: knows its values, and nothing of NumPy."""

    def __init__(self, values):
        self.values = values


class Subclass(Elsewhere):
    pass


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr(arrays, "_modules", dict(arrays._modules))
    module = ModuleType("elsewhere")
    module.asnumpy = lambda a: np.array(a.values)
    arrays.register_array_type(Elsewhere, module)
    return module


def test_numpy_arrays_scalars_and_subclasses():
    assert arrays.array_module(np.zeros(2), np.float32(1), np.ma.zeros(2)) is np


def test_a_registered_type_and_its_subclasses(elsewhere):
    assert arrays.array_module(Elsewhere([1]), Subclass([2])) is elsewhere
    np.testing.assert_array_equal(arrays.to_numpy(Subclass([1, 2])), [1, 2])


@pytest.mark.usefixtures("elsewhere")
def test_mixing_two_libraries_is_refused():
    with pytest.raises(TypeError, match="numpy and elsewhere"):
        arrays.array_module(np.zeros(1), Elsewhere([1]))


@pytest.mark.parametrize("not_an_array", [1.0, [1.0], None, "x"])
def test_only_arrays_have_a_module(not_an_array):
    with pytest.raises(TypeError, match="expected an array"):
        arrays.array_module(not_an_array)


def test_no_array_at_all():
    with pytest.raises(TypeError, match="at least one"):
        arrays.array_module()


def test_cupy_is_recognised_by_its_name_alone(monkeypatch):
    monkeypatch.setattr(arrays, "_modules", dict(arrays._modules))
    cupy = ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    ndarray = type("ndarray", (), {"__module__": "cupy._core.core"})
    assert arrays.array_module(ndarray()) is cupy


def test_to_numpy_keeps_a_numpy_array():
    a = np.zeros(3)
    assert arrays.to_numpy(a) is a

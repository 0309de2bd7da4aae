import pytest
from strict_array import StrictArray, strict

from minisparse import arrays


@pytest.fixture
def twin_elsewhere(monkeypatch):
    """Run a twin on arrays that are not NumPy's, and bring its results home."""
    monkeypatch.setattr(arrays, "_modules", {**arrays._modules, StrictArray: strict})

    def run(twin, *args, **kwargs):
        moved = [StrictArray(a.copy()) if hasattr(a, "dtype") else a for a in args]
        result = twin(*moved, **kwargs)
        if result is None:  # in place: the changed arguments are the result
            result = tuple(a for a in moved if isinstance(a, StrictArray))
        if isinstance(result, tuple):
            return tuple(strict.asnumpy(a) for a in result)
        return strict.asnumpy(result)

    return run

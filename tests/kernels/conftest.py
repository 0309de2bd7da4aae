"""Kernels are tested on all threads, however small the arrays."""

import pytest

from minisparse.kernels import threads


@pytest.fixture(autouse=True, scope="module")
def threads_for_everything():
    before, threads._LITTLE = threads._LITTLE, 0
    yield
    threads._LITTLE = before

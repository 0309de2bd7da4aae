import math

import numpy as np
import pytest
from every_method import data, mlp
from hooks import begin

from minisparse.optim import SGD
from minisparse.prune.filter_norm import FilterNormPruning, filter_norm
from minisparse.prune.schedule import one_shot


@pytest.mark.parametrize("shape", [(7, 4), (3, 2, 5, 4)])
def test_the_norms_are_those_of_loops_over_all_weights_of_a_filter(shape):
    w = np.random.default_rng(0).standard_normal(shape)
    columns = [w[..., j].ravel().tolist() for j in range(4)]
    np.testing.assert_allclose(filter_norm(w), [sum(map(abs, c)) for c in columns])
    np.testing.assert_allclose(filter_norm(w, 2), [math.hypot(*c) for c in columns])


def test_a_filter_whose_weights_sum_to_0_is_not_small():
    assert filter_norm(np.array([[1.0], [-1.0]])) == 2.0


def test_the_two_norms_rank_differently():
    """One large weight, or several smaller ones of a larger sum."""
    w = np.array([[4.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    assert np.argmin(filter_norm(w, 1)) == 0
    assert np.argmin(filter_norm(w, 2)) == 1


@pytest.mark.parametrize("p", [1, 2])
def test_in_training_the_units_with_the_smallest_norms_go(p):
    model = mlp(np.random.default_rng(0))
    first = model.state_dict()
    method = FilterNormPruning(one_shot(0.5), p)
    begin(method, model, SGD(model, 0.1), data())
    for name, left in method.alive().items():
        norms = filter_norm(first[name], p)
        assert norms[left].min() > norms[~left].max()
    assert {n: int(a.sum()) for n, a in method.alive().items()} == {"1.weight": 6, "3.weight": 4}


def test_another_norm_is_refused():
    for call in (
        lambda: filter_norm(np.ones((2, 2)), 3),
        lambda: FilterNormPruning(one_shot(0.5), 0),
    ):
        with pytest.raises(ValueError, match="L1 or L2"):
            call()


def test_on_another_array_library(device):
    w = np.random.default_rng(0).standard_normal((3, 3, 2, 4))
    for p in (1, 2):
        np.testing.assert_allclose(
            device.asnumpy(filter_norm(device.asarray(w), p)), filter_norm(w, p)
        )

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_prune_dynamic import watched

from minisparse.prune.scope import layer_densities
from minisparse.prune.sparse_evolutionary import SET, erdos_renyi, survivors


def test_the_density_of_the_papers_layer():
    """784-300 with epsilon = 20: 20 * 1084 / 235200 = 9.22 %."""
    assert erdos_renyi(784, 300) == pytest.approx(20 * 1084 / 235200)
    assert erdos_renyi(784, 300) == pytest.approx(0.0922, abs=5e-5)
    assert erdos_renyi(100, 10) == 1  # there are not more than all


def test_the_scope_erk_is_the_papers_graph_with_an_epsilon_that_fits_the_sparsity():
    shapes = {"a": (784, 300), "b": (300, 100), "c": (100, 30)}
    epsilon = 5.0
    wanted = {n: erdos_renyi(*s, epsilon) for n, s in shapes.items()}
    total = sum(wanted[n] * np.prod(s) for n, s in shapes.items())
    found = layer_densities(shapes, total / sum(np.prod(s) for s in shapes.values()), "erk")
    assert found == pytest.approx(wanted)


def test_the_smallest_positive_and_the_largest_negative_weights_go():
    w = np.array([0.1, 0.2, 0.3, 0.4, -0.1, -5.0, -6.0, -7.0, 0.01, 0.0])
    kept = np.array([True] * 8 + [False, True])
    stay = survivors(w, kept, 0.25)
    assert stay.tolist() == [False, True, True, True, False, True, True, True, False, False]


def test_it_is_not_the_smallest_by_size_of_all():
    """Negative weights lose their share even if each is larger than any positive one."""
    w = np.array([0.1, 0.2, 0.3, 0.4, -1.0, -2.0, -3.0, -4.0])
    stay = survivors(w, np.ones(8, bool), 0.5)
    assert stay.tolist() == [False, False, True, True, False, False, True, True]


@given(st.integers(0, 999), st.floats(0, 1))
def test_the_numbers_that_go(seed, zeta):
    rng = np.random.default_rng(seed)
    w, kept = rng.standard_normal((6, 7)), rng.random((6, 7)) < 0.5
    stay = survivors(w, kept, zeta)
    for side in (w > 0, w < 0):
        n = (kept & side).sum()
        assert (stay & side).sum() == n - round(zeta * n)
    assert not (stay & ~kept).any()


def test_what_grows_starts_at_zero_and_the_last_epoch_ends_without_a_change():
    look = watched(SET(0.6, zeta=0.4))
    moments = [i for i in range(1, len(look.masks)) if look.masks[i] != look.masks[i - 1]]
    assert moments == [6, 13], "after epochs of 6 steps, not after the last"
    for i in moments:
        for name, m in look.masks[i].items():
            grown = m & (look.weights[i][name] == 0)
            before = look.weights[i - 1][name]
            stay = survivors(before, look.masks[i - 1][name], 0.4)
            np.testing.assert_array_equal(grown, m & ~stay)
            np.testing.assert_array_equal(look.weights[i][name][stay], before[stay])


def test_errors():
    with pytest.raises(ValueError, match="zeta"):
        SET(0.5, zeta=1.5)

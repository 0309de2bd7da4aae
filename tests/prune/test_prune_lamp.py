import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisparse.prune.lamp import LAMPPruning, lamp_score
from minisparse.prune.scope import keep_largest

LAYERS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6),
    elements=st.sampled_from([0.0, 1.0, -1.0, 2.0, -0.5, 3.0, 1e-3]),
)


def by_definition(w):
    """Sort, and divide by the sum of what is not smaller, itself included."""
    flat = w.ravel().astype(float)
    order = sorted(range(flat.size), key=lambda i: (abs(flat[i]), -i))
    found = np.zeros(flat.size)
    for place, u in enumerate(order):
        left = sum(flat[v] ** 2 for v in order[place:])
        found[u] = flat[u] ** 2 / left if flat[u] else 0
    return found.reshape(w.shape)


@given(LAYERS)
def test_the_score_is_the_share_in_what_is_left(w):
    np.testing.assert_allclose(lamp_score(w), by_definition(w), rtol=1e-12)


@given(LAYERS)
def test_the_largest_weight_of_a_layer_scores_exactly_1_and_no_other(w):
    s = lamp_score(w)
    assert (s == 1).sum() == (1 if w.any() else 0)
    if w.any():
        assert abs(w).ravel()[s.argmax()] == abs(w).max()


@given(LAYERS)
def test_in_a_layer_the_order_is_that_of_magnitude(w):
    s, size = lamp_score(w).ravel(), abs(w).ravel()
    larger = size[:, None] > size[None, :]
    assert (s[:, None] > s[None, :])[larger].all()


def test_a_layer_that_is_scaled_keeps_its_scores():
    w = np.random.default_rng(0).standard_normal((20, 30)).astype(np.float32)
    np.testing.assert_array_equal(lamp_score(w), lamp_score(w * np.float32(2.0**-7)))
    np.testing.assert_allclose(lamp_score(w), lamp_score(-3.7 * w), rtol=1e-5)


def test_the_score_is_the_relative_change_of_the_layer_when_the_weight_is_the_next_to_go():
    w = np.random.default_rng(1).standard_normal((4, 5))
    s = lamp_score(w)
    for u in np.argsort(abs(w).ravel()):
        before = np.linalg.norm(w)
        smaller = w.copy()
        smaller.ravel()[u] = 0
        assert s.ravel()[u] == pytest.approx((np.linalg.norm(w - smaller) / before) ** 2)
        w = smaller


def test_no_layer_is_emptied_before_all_others_are_down_to_one_weight():
    rng = np.random.default_rng(2)
    layers = {"a": rng.standard_normal((30, 30)), "b": 1e-6 * rng.standard_normal((3, 4))}
    scores = {n: lamp_score(w) for n, w in layers.items()}
    total = 912
    for kept in (2, 3, 10, 100):
        mask = keep_largest(scores, kept / total)
        assert mask.kept == kept
        assert all(m.any() for _, m in mask.items())
    plain = keep_largest({n: abs(w) for n, w in layers.items()}, 100 / total)
    assert not plain["b"].any(), "magnitude empties it"


def test_what_is_removed_counts_as_zero():
    w = np.random.default_rng(3).standard_normal((5, 6))
    w[::2] = 0
    rest = lamp_score(w)[1::2]
    np.testing.assert_allclose(rest, lamp_score(w[1::2]))
    assert not lamp_score(w)[::2].any()
    assert LAMPPruning.score(None, {"w": w}, None)["w"].dtype == np.float64

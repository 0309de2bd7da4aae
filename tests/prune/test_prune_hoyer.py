import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisparse.autodiff import Tensor
from minisparse.prune.hoyer import group_hoyer_square, hoyer, hoyer_square

FORMS = (hoyer, hoyer_square, group_hoyer_square)


def gradient(f, w):
    t = Tensor(w, requires_grad=True)
    f(t).backward()
    return t.grad.numpy()


def draw(seed, shape=(5, 4)):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.3, 0.0, rng.standard_normal(shape)) + np.eye(*shape)


@pytest.mark.parametrize("f", FORMS)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
def test_the_scale_does_not_matter_and_the_gradient_is_orthogonal_to_the_weights(f, seed, c, sign):
    w = draw(seed)
    assert f(sign * c * w).item() == pytest.approx(f(w).item())
    g = gradient(f, w)
    assert abs((w * g).sum()) < 1e-10 * np.linalg.norm(w) * (np.linalg.norm(g) + 1)


@given(st.integers(0, 1000))
def test_hoyer_square_lies_between_1_and_n(seed):
    w = draw(seed)
    assert 1 - 1e-12 <= hoyer_square(w).item() <= np.count_nonzero(w) + 1e-9
    assert hoyer(w).item() ** 2 == pytest.approx(hoyer_square(w).item())


@pytest.mark.parametrize("k", [1, 3, 20])
def test_k_equal_weights_count_k(k):
    w = np.zeros(20)
    w[:k] = -0.3
    assert hoyer_square(w).item() == pytest.approx(k)
    assert hoyer(w).item() == pytest.approx(np.sqrt(k))


def test_the_gradient_and_its_threshold():
    """dHs/dw = (2 S / Q^2) sign(w) (Q - S |w|): descent shrinks what has |w| < Q / S."""
    w = draw(3)
    s, q = np.abs(w).sum(), (w * w).sum()
    g = gradient(hoyer_square, w)
    np.testing.assert_allclose(g, 2 * s / q**2 * np.sign(w) * (q - s * abs(w)), atol=1e-12)
    moved = abs(w - 1e-4 * g)
    assert (moved < abs(w))[(w != 0) & (abs(w) < q / s)].all()
    assert (moved > abs(w))[abs(w) > q / s].all()


def test_equal_rows_and_columns_are_counted():
    """m x n equal weights: n columns of norm sqrt(m) and m rows of norm sqrt(n) count n + m."""
    assert group_hoyer_square(np.full((5, 3), 0.7)).item() == pytest.approx(8)
    w = np.zeros((5, 3))
    w[:2, 1] = 1
    assert group_hoyer_square(w).item() == pytest.approx(3)


def test_descent_on_the_square_makes_small_weights_smaller_until_one_is_left():
    w = np.array([0.5, 0.4, 0.3, 1.0])
    for _ in range(3000):
        w = w - 0.01 * gradient(hoyer_square, w)
    assert np.count_nonzero(abs(w) > 0.05) == 1
    assert hoyer_square(w).item() < 1.2

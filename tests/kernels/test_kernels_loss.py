import numpy as np
import pytest
from brute import BOTH, run_elsewhere

from minisparse import definitions, kernels


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (130, 10), (0, 10)])
def test_cross_entropy(home, dtype, shape):
    rng = np.random.default_rng(0)
    x = (5 * rng.standard_normal(shape)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    losses, gradient = home.cross_entropy(x, labels)
    assert (losses.dtype, gradient.dtype, losses.shape, gradient.shape) == (
        dtype,
        dtype,
        shape[:1],
        shape,
    )
    exact = x.astype(np.float64)
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}

    def loss(x):
        return np.logaddexp.reduce(x, axis=1) - x[np.arange(len(x)), labels]

    np.testing.assert_allclose(losses, loss(exact), **close)
    for j in range(shape[1]):
        moved = np.zeros(shape)
        moved[:, j] = 1e-6
        slope = (loss(exact + moved) - loss(exact - moved)) / 2e-6
        np.testing.assert_allclose(gradient[:, j], slope, rtol=1e-5, atol=1e-7)


@BOTH
def test_large_scores_do_not_overflow_and_nan_stays(home):
    cross_entropy = home.cross_entropy
    losses, gradient = cross_entropy(np.array([[1e4, 0.0], [-1e4, 1e4]]), np.array([0, 0]))
    np.testing.assert_allclose(losses, [0, 2e4])
    np.testing.assert_allclose(gradient, [[0, 0], [-1, 1]])
    for scores in ([np.nan, 0.0], [0.0, np.nan]):
        losses, gradient = cross_entropy(np.array([scores]), np.array([0]))
        assert np.isnan(losses).all()
        assert np.isnan(gradient).all()


def test_bad_labels():
    for home in (kernels, definitions):
        with pytest.raises(ValueError, match=r"got \[2, 3\] and \[3\]"):
            home.cross_entropy(np.zeros((2, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="labels go from 0 to 3, but there are 3 classes"):
        kernels.cross_entropy(np.zeros((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match="labels go from -1 to 0"):
        kernels.cross_entropy(np.zeros((2, 3)), np.array([0, -1]))


def test_the_definition_runs_elsewhere(device):
    x = np.random.default_rng(0).standard_normal((4, 3))
    labels = np.array([0, 2, 1, 1])
    for a, b in zip(
        run_elsewhere(device, definitions.cross_entropy, x, labels),
        definitions.cross_entropy(x, labels),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)

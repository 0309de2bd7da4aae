import numpy as np
import pytest
from every_method import cnn, mlp
from test_prune_batch import images

from minisparse.prune.batch import Batch
from minisparse.prune.mask import Mask
from minisparse.prune.net_trim import net_trim, projected, trimmed


def problem(n=20, n_in=30, out=4, seed=0):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((n, n_in)), rng.standard_normal((n_in, out))
    y = x @ w
    return x, np.maximum(y, 0), y > 0, w


def violation(x, v, y, is_open):
    made = x @ v
    return np.linalg.norm((made - y)[is_open]), np.maximum(made, 0)[~is_open].max(initial=0.0)


def test_where_the_inputs_are_the_axes_it_is_the_soft_threshold():
    """min |U|_1 with |U - Y| <= eps: all entries shrink by the same amount, until eps is used up."""
    y = np.array([[3.0, 1.0], [0.5, 0.2]])
    for amount in (0.1, 0.4):
        expected = np.sign(y) * np.maximum(y - amount, 0)
        eps = np.linalg.norm(y - expected)
        everything = np.ones_like(y, bool)
        v = trimmed(np.eye(2), y, eps, everything, np.ones(2, bool), 2.0, 3000)
        np.testing.assert_allclose(v, expected, atol=1e-5)
        assert ((v == 0) == (expected == 0)).all()


@pytest.mark.parametrize("eps", [0.0, 0.5, 3.0])
def test_the_constraint_holds_on_the_training_inputs(eps):
    x, y, is_open, _ = problem()
    v = trimmed(x, y, eps, is_open, np.ones(30, bool), 5.0, 8000)
    inside, outside = violation(x, v, y, is_open)
    assert inside <= eps + 1e-3
    assert outside <= 1e-3


def test_eps_0_keeps_the_responses_with_fewer_weights_and_a_smaller_norm():
    x, y, is_open, w = problem()
    v = trimmed(x, y, 0.0, is_open, np.ones(30, bool), 5.0, 4000)
    np.testing.assert_allclose(np.maximum(x @ v, 0), y, atol=1e-3)
    assert abs(v).sum() < abs(w).sum()
    assert (v == 0).mean() >= 1 / 3  # a vertex: no more entries than inputs


def test_what_the_relu_hides_is_free():
    x, y, is_open, w = problem()
    everything = np.ones_like(is_open)
    linear = trimmed(x, x @ w, 0.0, everything, np.ones(30, bool), 5.0, 4000)
    free = trimmed(x, y, 0.0, is_open, np.ones(30, bool), 5.0, 4000)
    assert abs(free).sum() < abs(linear).sum()
    assert np.count_nonzero(free) < np.count_nonzero(linear)


def test_the_norm_falls_as_more_change_is_allowed():
    x, y, is_open, _ = problem()
    norms = [
        abs(trimmed(x, y, eps, is_open, np.ones(30, bool), 5.0, 3000)).sum()
        for eps in (0.0, 1.0, 4.0, 100.0)
    ]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] == pytest.approx(0.0, abs=1e-9)


def test_no_feasible_weights_have_a_smaller_norm():
    """On the way to many others: around the weights that the layer had, which are feasible."""
    x, y, is_open, w = problem(n=12, n_in=8)
    v = trimmed(x, y, 1.0, is_open, np.ones(8, bool), 5.0, 6000)
    rng, seen = np.random.default_rng(1), 0
    for t in (0.02, 0.2, 1.0):
        for _ in range(300):
            other = (1 - t) * v + t * (w + 0.03 * rng.standard_normal(w.shape))
            inside, outside = violation(x, other, y, is_open)
            if inside <= 1.0 and outside <= 1e-6:
                seen += 1
                assert abs(other).sum() > abs(v).sum() - 1e-3
    assert seen > 100


def test_the_projection_is_the_nearest_point_of_the_constraint():
    rng = np.random.default_rng(0)
    z, y = rng.standard_normal((2, 5, 3))
    is_open = rng.random((5, 3)) < 0.6
    y = np.where(is_open, abs(y), 0)
    p = projected(z, y, 0.7, is_open)
    assert np.linalg.norm((p - y)[is_open]) == pytest.approx(0.7)
    assert (p[~is_open] <= 0).all()
    np.testing.assert_allclose(projected(p, y, 0.7, is_open), p)
    for _ in range(200):
        other = projected(p + 0.3 * rng.standard_normal((5, 3)), y, 0.7, is_open)
        assert np.linalg.norm(other - z) >= np.linalg.norm(p - z) - 1e-12


@pytest.mark.parametrize("net", [mlp, cnn])
def test_a_trimmed_model_does_nearly_the_same_with_fewer_weights(net):
    model = net(np.random.default_rng(0)).to(np.float64).eval()
    state = model.state_dict()
    x, y = images(30)
    batch = Batch(model, (x, y))
    before = model(x).numpy()
    mask = net_trim(model, batch, 0.02, 2000)
    assert mask == Mask.of_nonzeros(model, list(mask))
    assert mask.density < 0.8
    if net is cnn:
        np.testing.assert_array_equal(model.state_dict()["0.weight"], state["0.weight"])
        assert "0.weight" not in mask
    error = np.linalg.norm(model(x).numpy() - before) / np.linalg.norm(before)
    assert error < 0.15


def test_a_negative_eps_is_refused():
    model = mlp(np.random.default_rng(0))
    with pytest.raises(ValueError, match="eps"):
        net_trim(model, Batch(model, images(3)), -0.1)

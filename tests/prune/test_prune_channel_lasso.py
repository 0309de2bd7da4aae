import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images

from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.channel_lasso import ChannelLasso, lasso, lasso_path, refit
from minisparse.prune.schedule import one_shot


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((60, 9)) @ (np.eye(9) + 0.3 * rng.standard_normal((9, 9)))
    y = z @ rng.standard_normal(9) + 0.1 * rng.standard_normal(60)
    return z, y


def value(z, y, beta, alpha):
    return ((y - z @ beta) ** 2).sum() / (2 * len(y)) + alpha * abs(beta).sum()


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 3.0])
def test_the_solution_satisfies_the_kkt_conditions(problem, alpha):
    z, y = problem
    beta = lasso(z.T @ z, z.T @ y, len(y) * alpha)
    slope = z.T @ (y - z @ beta) / len(y)
    on = beta != 0
    np.testing.assert_allclose(slope[on], alpha * np.sign(beta[on]), rtol=1e-6)
    assert (abs(slope[~on]) <= alpha * (1 + 1e-9)).all()


def test_no_step_in_any_direction_lowers_the_objective(problem):
    z, y = problem
    beta = lasso(z.T @ z, z.T @ y, len(y) * 0.5)
    rng = np.random.default_rng(1)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(50):
            other = beta + size * rng.standard_normal(9)
            assert value(z, y, other, 0.5) > value(z, y, beta, 0.5)


def test_without_a_penalty_it_is_least_squares(problem):
    z, y = problem
    direct = np.linalg.lstsq(z, y, rcond=None)[0]
    np.testing.assert_allclose(lasso(z.T @ z, z.T @ y, 0.0), direct, rtol=1e-5)


@pytest.mark.parametrize("count", range(1, 9))
def test_as_many_channels_stay_as_asked_and_the_kkt_conditions_hold_at_that_alpha(problem, count):
    z, y = problem
    beta, reach = lasso_path(z.T @ z, z.T @ y, count)
    assert np.count_nonzero(beta) == count
    slope = z.T @ (y - z @ beta)
    assert (abs(slope[beta == 0]) <= reach * (1 + 1e-9)).all()
    np.testing.assert_allclose(slope[beta != 0], reach * np.sign(beta[beta != 0]), rtol=1e-6)


def test_two_equal_channels_do_not_keep_the_search_from_ending():
    z = np.random.default_rng(0).standard_normal((40, 3))[:, [0, 1, 1, 2]]
    beta, _ = lasso_path(z.T @ z, z.T @ z.sum(axis=1), 2)
    assert np.count_nonzero(beta) >= 2


def test_a_channel_that_is_zero_everywhere_has_no_part():
    assert lasso(np.diag([1.0, 0.0]), np.array([2.0, 0.0]), 0.5).tolist() == [1.5, 0.0]


@pytest.mark.parametrize("bias", [None, np.ones(2)])
def test_the_regression_has_no_better_weights(bias):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((30, 4)) + 1, rng.standard_normal((4, 2))
    y = x @ rng.standard_normal((4, 2)) + 0.5 + 0.1 * rng.standard_normal((30, 2))
    new, b = refit(x, y, w, bias)
    rest = y - x @ new - (0 if b is None else b)
    np.testing.assert_allclose(x.T @ rest, 0, atol=1e-10)
    assert (b is None) == (bias is None)
    if b is not None:
        np.testing.assert_allclose(rest.sum(axis=0), 0, atol=1e-10)


def test_of_many_solutions_it_takes_the_one_nearest_to_the_weights_as_they_are():
    rng = np.random.default_rng(0)
    x, w, truth = (
        rng.standard_normal((3, 6)),
        rng.standard_normal((6, 1)),
        rng.standard_normal((6, 1)),
    )
    new, _ = refit(x, x @ truth, w, None)
    np.testing.assert_allclose(x @ new, x @ truth)
    outside = np.eye(6) - np.linalg.pinv(x) @ x  # what the images say nothing of
    np.testing.assert_allclose(outside @ (new - w), 0, atol=1e-12)
    same, _ = refit(x, x @ w, w, None)
    np.testing.assert_allclose(same, w, atol=1e-12)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("last", [True, False])
def test_the_outputs_stay_nearer_than_without_the_regression(net, last):
    """Where only the last hidden layer is pruned the outputs are what the regression fits."""
    model = NETS[net](np.random.default_rng(1)).to(np.float64).eval()
    x, y = images(60)
    before, state = model(x).numpy(), model.state_dict()
    method = ChannelLasso(
        one_shot(0.0), names=["3.weight" if net == "mlp" else "4.weight"] if last else None
    )
    method.units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    mask = method.choose(0.3, Batch(model, (x, y)))
    with_it = ((model(x).numpy() - before) ** 2).sum()
    model.load_state_dict(state)
    mask.apply(model)
    without = ((model(x).numpy() - before) ** 2).sum()
    assert with_it < without

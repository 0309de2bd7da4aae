import numpy as np
import pytest
from every_method import NETS, data, layers_of
from hooks import after_step, begin

from minisparse.optim import SGD
from minisparse.prune.continuous_sparsification import (
    ContinuousSparsification,
    add_soft_masks,
    next_round,
    soft_mask,
    temperature,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("s0", [-0.3, 0.0, 0.2])
def test_the_mask_is_1_at_the_start_and_the_ticket_in_the_limit(s0):
    s = np.full(4, s0)
    np.testing.assert_allclose(soft_mask(s, 1.0, s0).numpy(), 1)
    s = np.array([-0.1, -1e-3, 1e-3, 0.4])
    far = soft_mask(s, 1e6, s0).numpy() * sigmoid(s0)
    np.testing.assert_allclose(far, s > 0, atol=1e-12)


@pytest.mark.parametrize("s0", [0.0, 0.2])
def test_what_is_evaluated_is_the_limit_of_what_is_trained(s0):
    model = NETS["mlp"](np.random.default_rng(0))
    add_soft_masks(model, ["1"], s0=s0)
    layer = model[1]
    with layer.parametrization.s.writing() as s:
        s[...] = np.random.default_rng(1).standard_normal(s.shape)
    layer.parametrization.beta = 1e7
    trained = layer.effective()[0].numpy()
    layer.eval()
    np.testing.assert_allclose(layer.effective()[0].numpy(), trained, rtol=1e-5, atol=1e-6)


def test_the_temperature_rises_by_a_constant_factor():
    b = [temperature(p, 200.0) for p in np.linspace(0, 1, 11)]
    assert (b[0], b[-1]) == (1, pytest.approx(200))
    np.testing.assert_allclose(np.array(b[1:]) / b[:-1], 200**0.1)


def test_between_rounds_what_was_kept_starts_anew_and_what_was_not_stays_away():
    s = np.array([-0.5, -1e-4, 0.01, 0.7])
    np.testing.assert_allclose(next_round(s, 200.0, 0.1), [-100, -0.02, 0.1, 0.1])


def test_in_training_beta_runs_through_its_rounds():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    add_soft_masks(model, layers_of(model), s0=0.1)
    method = ContinuousSparsification(end=2, rounds=2, strength=0.0)
    run = begin(method, model, SGD(model, 0.1), data(), rng=rng)
    with model[1].parametrization.s.writing() as s:
        s[0] = -0.2
    beta, first = [method.beta], []
    for _ in range(13):
        after_step(run)
        beta.append(method.beta)
        first.append(float(model[1].parametrization.s.numpy()[0, 0]))
    expected = [*200 ** (np.arange(6) / 6), *200 ** (np.arange(7) / 6), 200]
    np.testing.assert_allclose(beta, expected)
    np.testing.assert_allclose(first[:5], -0.2)  # nothing moves it here
    np.testing.assert_allclose(first[5:], -40)  # once, between the rounds


def test_the_penalty_counts_the_soft_masks():
    model = NETS["mlp"](np.random.default_rng(0))
    add_soft_masks(model, ["1"], s0=0.0)
    method = ContinuousSparsification(end=2, strength=0.1)
    run = begin(method, model, SGD(model, 0.1), data())
    assert method.before_loss(run).item() == pytest.approx(0.1 * 0.5 * 36 * 12, rel=1e-6)


def test_errors():
    for settings in ({"end": 0}, {"rounds": 0}, {"strength": -1}, {"final": 0.5}):
        with pytest.raises(ValueError, match=r"expected an end|beta_T"):
            ContinuousSparsification(**{"end": 2, **settings})
    with pytest.raises(ValueError, match="finite number"):
        add_soft_masks(NETS["mlp"](np.random.default_rng(0)), ["1"], s0=np.nan)

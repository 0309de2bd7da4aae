import numpy as np
import pytest

from minisparse import nn
from minisparse.optim import EMA


def rng(seed=0):
    return np.random.default_rng(seed)


def build(seed=0):
    return nn.Linear(3, 2, rng=rng(seed)).to(np.float64)


def wander(model, seed):
    for p in model.parameters():
        p.data[...] = rng(seed).normal(1, 2, p.shape)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_the_average_is_the_weighted_mean_from_the_first_step_on(decay):
    model = build()
    average = EMA(model, decay)
    visited = []
    for t in range(1, 8):
        wander(model, t)
        average.update()
        visited.append([p.numpy() for p in model.parameters()])
        weights = [decay ** (t - i) for i in range(1, t + 1)]
        for found, values in zip(average.average(), zip(*visited, strict=True), strict=True):
            expected = np.average(values, axis=0, weights=weights)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_constant_weights_are_their_own_average():
    model = build()
    average = EMA(model, 0.999)
    for _ in range(3):
        average.update()
        np.testing.assert_allclose(average.average()[0], model.weight.numpy(), rtol=1e-12)


def test_applied_gives_the_present_bits_back_even_after_an_error():
    model = build()
    average = EMA(model, 0.9)
    for seed in (1, 2):
        wander(model, seed)
        average.update()
    model.weight.data[0, 0] = -0.0
    model.bias.data[0] = np.nan
    before = [p.numpy().tobytes() for p in model.parameters()]
    expected = average.average()

    def fail():
        with average.applied():
            for p, a in zip(model.parameters(), expected, strict=True):
                np.testing.assert_array_equal(p.numpy(), a)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [p.numpy().tobytes() for p in model.parameters()] == before
    with average.applied():
        assert model.weight.numpy().tobytes() != before[0]
    assert [p.numpy().tobytes() for p in model.parameters()] == before


def test_an_empty_average_is_refused_and_nothing_is_changed():
    model = build()
    before = model.weight.numpy()
    average = EMA(model)
    with pytest.raises(RuntimeError, match="call update"), average.applied():
        pass
    np.testing.assert_array_equal(model.weight.numpy(), before)
    for bad in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=r"in \[0, 1\)"):
            EMA(model, bad)


def test_the_state_continues_where_it_was():
    model = build()
    whole, first = EMA(model, 0.8), EMA(model, 0.8)
    for seed in range(3):
        wander(model, seed)
        whole.update()
        first.update()
    state = first.state_dict()
    second = EMA(model, 0.8)
    second.load_state_dict(state)
    state["sum.0"] += 5
    for seed in range(3, 5):
        wander(model, seed)
        whole.update()
        second.update()
    assert [a.tobytes() for a in second.average()] == [a.tobytes() for a in whole.average()]
    for bad in (
        {"steps": 1, "sum.0": np.zeros((3, 2))},
        {"steps": 1, "sum.0": np.zeros((3, 2)), "sum.1": np.zeros(3)},
    ):
        with pytest.raises(ValueError, match="another model"):
            second.load_state_dict(bad)
    assert second.steps == 5


def test_a_float32_model_has_a_float32_average():
    model = nn.Linear(3, 2, rng=rng())
    average = EMA(model, 0.9)
    average.update()
    assert all(a.dtype == np.float32 for a in average.average())
    np.testing.assert_allclose(average.average()[0], model.weight.numpy(), rtol=1e-6)


def test_the_average_follows_a_model_that_is_converted():
    model = nn.Linear(3, 2, rng=rng())
    average = EMA(model, 0.5)
    average.update()
    model.to(np.float64)
    wander(model, 1)
    average.update()
    assert all(a.dtype == np.float64 for a in average.average())
    change = average.sums[0] - 0.5 * model.weight.numpy()  # what is left of the first weights
    np.testing.assert_array_equal(change + 0.5 * model.weight.numpy(), average.sums[0])
    assert not np.array_equal(average.sums[0], average.sums[0].astype(np.float32))

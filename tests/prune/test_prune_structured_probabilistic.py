import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, after_step, begin

from minisparse.optim import SGD
from minisparse.prune.structured_probabilistic import SPP, add_probabilities, increment, ranks


@pytest.mark.parametrize(("n", "ratio", "a", "u"), [(40, 0.5, 0.05, 0.25), (100, 0.8, 0.1, 0.1)])
def test_the_increment_falls_from_a_through_u_a_to_0_where_the_wanted_fraction_ends(n, ratio, a, u):
    """With decimal logarithms beside e, as in a released code, the zero is elsewhere."""
    middle = -np.log(u) * ratio * n / (np.log(2) - np.log(u))
    found = increment(np.array([0, middle - 1e-9, middle + 1e-9, ratio * n]), n, ratio, a, u)
    np.testing.assert_allclose(found, [a, u * a, u * a, 0], atol=1e-9)
    r = np.linspace(0, n - 1, 500)
    delta = increment(r, n, ratio, a, u)
    assert (np.diff(delta) < 0).all()
    np.testing.assert_array_equal(delta > 0, r < ratio * n)
    alpha = (np.log10(2) - np.log10(u)) / (ratio * n)
    slipped = 2 * u * a - a * np.exp(-alpha * (2 * middle - ratio * n))
    assert abs(slipped) > 0.1 * a


def test_the_two_parts_are_mirror_images_through_the_middle():
    middle = -np.log(0.25) * 20 / (np.log(2) - np.log(0.25))
    x = np.linspace(0, middle, 30)
    both = increment(middle - x, 40, 0.5) + increment(middle + x, 40, 0.5)
    np.testing.assert_allclose(both, 2 * 0.25 * 0.05)


def test_ranks_begin_with_0_for_the_smallest():
    assert ranks(np.array([[3.0, 1.0], [1.0, 9.0]])).tolist() == [[2, 0], [1, 3]]


def start(ratio=0.5, granularity="shape", net="cnn", **more):
    rng = np.random.default_rng(0)
    model = NETS[net](rng)
    add_probabilities(model, ["0" if net == "cnn" else "1"], ratio, rng, granularity=granularity)
    method = SPP(**{"at": 5, "every": 1, **more})
    run = begin(method, model, SGD(model, 0.1), data(), rng=rng)
    return model[0 if net == "cnn" else 1], method, run


def test_a_group_is_off_with_its_probability_and_no_decision_is_final_before_1():
    layer, _, _ = start(net="mlp")
    p = np.linspace(0, 1, 36).astype(np.float32)
    layer.parametrization.probabilities = p
    off = np.zeros(36)
    for _ in range(2000):
        on = layer.effective()[0].numpy() != 0
        assert (on.all(axis=1) == on.any(axis=1)).all()
        off += ~on.any(axis=1)
    np.testing.assert_allclose(off / 2000, p, atol=4.5 * 0.5 / np.sqrt(2000))
    layer.eval()
    assert (layer.effective()[0].numpy() != 0).all(axis=1).sum() == 35  # p < 1: in full


def test_probabilities_move_by_the_averaged_rank():
    layer, method, run = start()
    after_step(run)
    first = ranks(np.abs(layer.weight.numpy()).sum(axis=-1))
    expected = np.clip(increment(first, 9, 0.5), 0, 1)
    p = layer.parametrization.probabilities
    np.testing.assert_allclose(p.reshape(-1), expected.reshape(-1), rtol=1e-5)
    with layer.weight.writing() as w:
        w[...] = w[::-1].copy()
    after_step(run)
    second = ranks(np.abs(layer.weight.numpy()).sum(axis=-1))
    expected = np.clip(expected + increment((first + second) / 2, 9, 0.5), 0, 1)
    np.testing.assert_allclose(layer.parametrization.probabilities, expected, rtol=1e-5, atol=1e-7)
    assert method.updates == 2


@pytest.mark.parametrize("every", [1, 10_000])
def test_in_the_end_exactly_the_wanted_fraction_is_gone_and_nothing_is_open(every):
    layer, _, run = start(ratio=0.4, net="mlp", every=every, at=1)
    while run.step < 6:
        after_step(run)
    after_epoch(run)
    p = layer.parametrization.probabilities
    assert sorted(set(p.tolist())) == [0, 1]
    assert (p == 1).sum() == 14  # 0.4 of 36


def test_with_weights_at_rest_the_lowest_ranks_go():
    layer, _, run = start(ratio=0.5, net="mlp", a=0.2, at=50)
    size = np.abs(layer.weight.numpy()).sum(axis=1)
    for _ in range(200):
        after_step(run)
    gone = layer.parametrization.probabilities == 1
    assert gone.sum() == 18
    assert size[gone].max() < size[~gone].min()


def test_a_group_that_is_gone_stays_away():
    layer, _, run = start(net="mlp")
    p = np.zeros(36, np.float32)
    p[3] = 1
    layer.parametrization.probabilities = p
    with layer.weight.writing() as w:
        w[3] = 10
    after_step(run)
    assert layer.parametrization.probabilities[3] == 1


def test_errors():
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="ratio of groups"):
        add_probabilities(model, ["1"], 1.0, np.random.default_rng(0))
    for settings in ({"at": 0}, {"every": 0}, {"a": 0}, {"u": 1}):
        with pytest.raises(ValueError, match="expected at least one epoch"):
            SPP(**{"at": 1, **settings})

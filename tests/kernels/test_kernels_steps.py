import numpy as np
import pytest
from brute import BOTH, run_elsewhere

from minisparse import definitions, kernels
from minisparse.threads import get_num_threads, set_num_threads

SIZES = [(), (0,), (1,), (3, 5), (784, 300)]


def draw(shape, dtype, count, seed=0):
    rng = np.random.default_rng(seed)
    return [np.array(rng.standard_normal(shape), dtype) for _ in range(count)]


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov", "decay", "decoupled"),
    [
        (0.0, 0.0, False, 0.0, False),
        (0.0, 0.0, False, 0.3, False),
        (0.0, 0.0, False, 0.3, True),
        (0.9, 0.0, False, 0.0, False),
        (0.9, 0.4, False, 0.3, False),
        (0.9, 0.0, True, 0.3, False),
        (0.9, 0.4, True, 0.3, True),
    ],
)
def test_sgd(home, dtype, shape, momentum, dampening, nesterov, decay, decoupled):
    p, g, v = draw(shape, dtype, 3)
    before = [a.astype(np.float64) for a in (p, g, v)]
    expected, d, velocity = before
    if decoupled:
        expected = (1 - 0.1 * decay) * expected
    else:
        d = d + decay * expected
    velocity = momentum * velocity + (1 - dampening) * d
    moved = d + momentum * velocity if nesterov else velocity
    expected = expected - 0.1 * (moved if momentum else d)
    sgd_step = home.sgd_step
    sgd_step(p, g, v if momentum else None, 0.1, momentum, dampening, nesterov, decay, decoupled)
    np.testing.assert_allclose(p, expected, **tolerance(dtype))
    if momentum:
        np.testing.assert_allclose(v, velocity, **tolerance(dtype))
    np.testing.assert_array_equal(g, before[1])


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize(("decay", "decoupled"), [(0.0, False), (0.3, False), (0.3, True)])
@pytest.mark.parametrize("step", [1, 7])
def test_adam(home, dtype, shape, decay, decoupled, step):
    p, g, m, v = draw(shape, dtype, 4)
    np.abs(v, out=v)
    expected, d, mean, square = (a.astype(np.float64) for a in (p, g, m, v))
    if decoupled:
        expected = expected - 0.01 * decay * expected
    else:
        d = d + decay * expected
    mean = 0.8 * mean + 0.2 * d
    square = 0.95 * square + 0.05 * d**2
    unbiased_mean, unbiased_square = mean / (1 - 0.8**step), square / (1 - 0.95**step)
    expected = expected - 0.01 * unbiased_mean / (np.sqrt(unbiased_square) + 1e-3)
    adam_step = home.adam_step
    assert v.dtype == dtype
    adam_step(p, g, m, v, step, 0.01, 0.8, 0.95, 1e-3, decay, decoupled)
    np.testing.assert_allclose(p, expected, **tolerance(dtype))
    np.testing.assert_allclose(m, mean, **tolerance(dtype))
    np.testing.assert_allclose(v, square, **tolerance(dtype))


@BOTH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SIZES)
def test_average(home, dtype, shape):
    s, p = draw(shape, dtype, 2)
    expected = 0.99 * s.astype(np.float64) + 0.01 * p.astype(np.float64)
    home.average_step(s, p, 0.99)
    np.testing.assert_allclose(s, expected, **tolerance(dtype))
    with pytest.raises(ValueError, match="the average of a parameter of shape"):
        home.average_step(s[..., None], p, 0.99)


@BOTH
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("size", [10, 5000])
def test_a_velocity_that_nothing_feeds_ends_at_zero_and_is_never_denormal(home, nesterov, size):
    """0.9^830 is where float32 has no normal numbers left, and arithmetic gets slow."""
    p, g, v = np.ones(size, np.float32), np.zeros(size, np.float32), np.ones(size, np.float32)
    v[::2] = -1
    tiny, last = np.finfo(np.float32).tiny, 0
    assert 0 < np.float32(0.9**830) < tiny
    for step in range(1, 900):
        home.sgd_step(p, g, v, 1e-3, 0.9, 0.0, nesterov)
        assert ((v == 0) | (abs(v) >= tiny)).all()
        last = step if v.any() else last
    assert last == 655  # 0.9^656 < 1e-30
    assert abs(p[1] - (1 - 0.009 * (0.9 if nesterov else 1))) < 1e-6


@BOTH
@pytest.mark.parametrize("size", [10, 5000])
def test_the_state_of_adam_and_an_average_end_at_zero(home, size):
    p, g, m, v = (np.full(size, x, np.float32) for x in (1, 0, 1e-28, 1e-34))
    s, nothing = np.full(size, -1e-28, np.float32), np.zeros(size, np.float32)
    seen = []
    for step in range(1, 60):
        home.adam_step(p, g, m, v, step, 1e-3, 0.9, 0.9)
        home.average_step(s, nothing, 0.9)
        seen.append([float(abs(a).max()) for a in (m, v, s)])
    for values, limit in zip(np.transpose(seen), (1e-30, 1e-36, 1e-30), strict=True):
        kept = values[values > 0]
        assert len(kept) == 43  # 0.9^43 > 1 / 100 > 0.9^44
        assert (kept >= limit).all()
        assert not values[43:].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(dtype):
    def steps():
        p, g, v, m, s = draw((100_003,), dtype, 5)
        np.abs(s, out=s)
        for step in (1, 2):
            kernels.sgd_step(p, g, v, 0.1, 0.9, 0.0, True, 1e-4)
            kernels.adam_step(p, g, m, s, step, 0.1)
            kernels.average_step(s, p, 0.9)
        return p, v, m, s

    before = get_num_threads()
    try:
        set_num_threads(1)
        one = steps()
    finally:
        set_num_threads(before)
    for a, b in zip(one, steps(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_parameter_that_is_a_view_is_changed_in_place():
    whole, g, v, m, s = draw((6, 8), np.float32, 5)
    view, expected = whole[:, ::2], whole[:, ::2].copy()
    kernels.sgd_step(view, g[:, ::2], v[:, ::2], 0.1, 0.9)
    np.testing.assert_allclose(
        whole[:, ::2], expected - 0.1 * v[:, ::2], rtol=1e-6, err_msg="v is the new velocity"
    )
    before = whole.copy()
    kernels.adam_step(whole.T, g.T, m.T, np.abs(s).T, 1, 0.1)
    assert np.abs(whole - before).min() > 0


@BOTH
def test_a_locked_parameter_is_refused(home):
    p, g = draw((3, 5), np.float32, 2)
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        home.sgd_step(p, g, None, 0.1)


def test_the_definitions_run_elsewhere(device):
    p, g, v, s = draw((3, 5), np.float32, 4)
    s = np.abs(s)
    moved = run_elsewhere(device, definitions.sgd_step, p, g, v, 0.1, 0.9, 0.0, True, 0.1)
    definitions.sgd_step(p, g, v, 0.1, 0.9, 0.0, True, 0.1)
    for got, expected in zip(moved, (p, g, v), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    moved = run_elsewhere(device, definitions.adam_step, p, g, v, s, 3, 0.1)
    definitions.adam_step(p, g, v, s, 3, 0.1)
    for got, expected in zip(moved, (p, g, v, s), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@BOTH
def test_bad_arguments(home):
    p, g, v, m = draw((3, 5), np.float32, 4)
    sgd_step = home.sgd_step
    adam_step = home.adam_step
    with pytest.raises(ValueError, match=r"gradient of a parameter of shape \[3, 5\] must have"):
        sgd_step(p, g[0], v, 0.1)
    with pytest.raises(ValueError, match="v of a parameter"):
        sgd_step(p, g, v[:2], 0.1, 0.9)
    with pytest.raises(ValueError, match="needs a velocity"):
        sgd_step(p, g, None, 0.1, 0.9)
    with pytest.raises(ValueError, match="counts its steps from 1"):
        adam_step(p, g, m, v, 0, 0.1)
    with pytest.raises(ValueError, match="m of a parameter"):
        adam_step(p, g, m[:1], v, 1, 0.1)

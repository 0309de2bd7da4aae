import math

import numpy as np
import pytest
from hooks import after_epoch, after_step, begin

from minisparse.autodiff import Tensor
from minisparse.data import Split
from minisparse.nn import Flatten, LeNet300, Linear, ReLU, Sequential
from minisparse.optim import SGD, Adam, schedules
from minisparse.prune.method import Method
from minisparse.prune.penalties import L1, L2
from minisparse.prune.stochastic import (
    FORMS,
    StochasticPruning,
    effective_threshold,
    erfc,
    survival,
    zeroed,
)
from minisparse.train import train

SIGMA = 0.02


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# ---- p and the random threshold -----------------------------------------------------------------

# The laws, drawn without the package.
THRESHOLDS = {
    "gaussian": lambda rng, n: SIGMA * np.hypot(rng.standard_normal(n), rng.standard_normal(n)),
    "exponential": lambda rng, n: rng.gamma(1.0, SIGMA, n),
    "erfc": lambda rng, n: np.abs(SIGMA * rng.standard_normal(n)),
    "hard": lambda rng, n: np.full(n, SIGMA),  # noqa: ARG005
}


@pytest.mark.parametrize("name", FORMS)
def test_p_is_the_chance_that_the_threshold_is_larger(rng, name):
    n = 400_000
    form = FORMS[name]
    for t in (THRESHOLDS[name](rng, n), form.draw(rng, n, SIGMA)):
        for w in (0.0, -0.3 * SIGMA, 0.9 * SIGMA, 1.1 * SIGMA, -2.5 * SIGMA):
            p = float(form.probability(np.array([w]), SIGMA)[0])
            assert np.mean(t > abs(w)) == pytest.approx(
                p, abs=4 * math.sqrt(p * (1 - p) / n) + 1e-6
            )


@pytest.mark.parametrize("name", ["gaussian", "exponential", "erfc"])
def test_density_is_that_of_the_threshold(name):
    form = FORMS[name]
    edges = np.linspace(0, 20 * SIGMA, 200_001)
    middle, step = (edges[1:] + edges[:-1]) / 2, edges[1]
    tail = np.cumsum((form.density(middle, SIGMA) * step)[::-1])[::-1]  # P(T > left edge)
    at = [0, 1000, 5000, 20_000, 40_000]
    np.testing.assert_allclose(form.probability(edges[at], SIGMA), tail[at], rtol=3e-5, atol=3e-7)


def test_erfc_against_the_standard_library():
    w = np.linspace(-8 * SIGMA, 8 * SIGMA, 2001)
    exact = [math.erfc(abs(x) / (SIGMA * math.sqrt(2))) for x in w]
    np.testing.assert_allclose(erfc(w, SIGMA), exact, rtol=0, atol=2e-7)
    single = erfc(w.astype(np.float32), SIGMA)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_small_weights_are_zeroed_more_often(name):
    w = np.array([0, 0.5, 1.5, 4, 40]) * SIGMA
    p = FORMS[name].probability(w.astype(np.float32), SIGMA)
    assert p.dtype == np.float32
    assert p[0] == pytest.approx(1)
    assert (np.diff(p) <= 0).all()
    assert np.array_equal(FORMS[name].probability(-w.astype(np.float32), SIGMA), p)


def test_bernoulli_draws_have_their_probability(rng):
    n = 200_000
    for p in (0.0, 0.003, 0.4, 0.999, 1.0):
        u = rng.random(n, dtype=np.float32)
        found = zeroed(np.full(n, p, np.float32), u).mean()
        assert found == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))


def test_a_random_number_that_is_exactly_0_spares_large_weights():
    p = np.array([1.0, 0.5, 1e-12, 1e-30, 0.0], np.float32)
    lowest, highest = np.zeros(5, np.float32), np.full(5, 1 - 2.0**-24, np.float32)
    assert zeroed(p, lowest).tolist() == [True, False, False, False, False]
    assert zeroed(p, highest).tolist() == [True, True, False, False, False]


# ---- many steps ---------------------------------------------------------------------------------


def test_survival_of_constant_weights(rng):
    w = np.full(50_000, 2.2 * SIGMA)
    left = np.ones(w.size, bool)
    p = FORMS["gaussian"].probability(w, SIGMA)
    for n in range(1, 31):
        left &= ~zeroed(p, rng.random(w.size, dtype=np.float32))
        if n in (1, 7, 30):
            expected = survival(p[0], n)
            spread = math.sqrt(expected * (1 - expected) / w.size)
            assert left.mean() == pytest.approx(expected, abs=5 * spread)


@pytest.mark.parametrize("name", ["gaussian", "exponential", "erfc"])
def test_half_of_the_weights_at_the_effective_threshold_survive(name):
    for n in (1, 10, 600, 36_000):
        w = effective_threshold(SIGMA, n, name)
        p = FORMS[name].probability(np.array([w]), SIGMA)[0]
        if name == "erfc":
            p = math.erfc(w / (SIGMA * math.sqrt(2)))
        assert survival(p, n) == pytest.approx(0.5, rel=1e-9)


def test_the_effective_threshold_grows_with_the_root_of_the_logarithm():
    ratios = [
        effective_threshold(1.0, n) / math.sqrt(2 * math.log(n)) for n in (10**3, 10**6, 10**12)
    ]
    assert [abs(r - 1) for r in ratios] == sorted((abs(r - 1) for r in ratios), reverse=True)
    assert ratios[-1] == pytest.approx(1, abs=0.01)
    assert effective_threshold(SIGMA, 10**6, "hard") == SIGMA
    with pytest.raises(ValueError, match="expected n >= 1 steps"):
        effective_threshold(1.0, 0)


# ---- the two-weight net -------------------------------------------------------------------------
#
# y = v relu(w x + b) + c for the one input x = 1, trained towards 2 with eta = 0.1; an epoch is a
# step.

ETA = 0.1
ONE = Split(np.full((1, 1, 1, 1), 255, np.uint8), np.array([0]))


class Record(Method):
    def __init__(self):
        self.w, self.v = [], []

    def attach(self, model, optimizer, rng):  # noqa: ARG002
        self.after_step(type("Run", (), {"model": model}))

    def after_step(self, run):
        self.w.append(run.model[1].weight.numpy().item())
        self.v.append(run.model[3].weight.numpy().item())


def hold_at_zero(name):
    return StochasticPruning(1e9, "hard", count_nodes=False, names=[name])


def two_weights(w, v, b, steps, *methods):
    rng = np.random.default_rng(0)
    net = Sequential(Flatten(), Linear(1, 1, rng=rng), ReLU(), Linear(1, 1, rng=rng)).to(np.float64)
    for p, value in ((net[1].weight, w), (net[1].bias, b), (net[3].weight, v)):
        with p.writing() as a:
            a[...] = value
    record = Record()
    train(
        *(net, ONE, SGD(net, lr=ETA)),
        epochs=steps,
        rng=rng,
        methods=[*methods, record],
        loss=lambda y, labels: ((y - Tensor(np.full((1, 1), 2.0))) ** 2).sum(),  # noqa: ARG005
        progress=False,
    )
    return record, net


def test_without_outgoing_weight_no_regularizer_leaves_w_frozen():
    record, net = two_weights(0.237, 0.0, 0.5, 30, hold_at_zero("3.weight"))
    assert set(record.w) == {0.237}
    assert net[1].bias.item() == 0.5
    assert not any(record.v)


def test_without_outgoing_weight_l2_shrinks_w_geometrically():
    record, _ = two_weights(0.237, 0.0, 0.5, 30, L2(0.2), hold_at_zero("3.weight"))
    np.testing.assert_allclose(record.w, [0.237 * 0.98**t for t in range(31)], rtol=1e-12)


def test_without_outgoing_weight_l1_takes_w_to_exactly_zero():
    record, _ = two_weights(0.237, 0.0, 0.5, 30, L1(0.1), hold_at_zero("3.weight"))
    np.testing.assert_allclose(record.w[:24], [0.237 - 0.01 * t for t in range(24)], rtol=1e-9)
    assert record.w[23] > 0
    assert not any(record.w[24:])


@pytest.mark.parametrize("b", [0.0, -0.3])
def test_without_incoming_weight_only_the_regularizer_acts_on_v(b):
    none, _ = two_weights(0.0, 0.6, b, 20)
    assert set(none.v) == {0.6}
    l2, _ = two_weights(0.0, 0.6, b, 20, L2(0.2))
    np.testing.assert_allclose(l2.v, [0.6 * 0.98**t for t in range(21)], rtol=1e-12)
    l1, _ = two_weights(0.0, 0.6, b, 8, L1(1.0))
    np.testing.assert_allclose(l1.v, [max(0.6 - 0.1 * t, 0) for t in range(9)], atol=1e-12)
    assert l1.v[7] == 0
    for record in (none, l2, l1):  # relu'(0) = 0: nothing pulls w back either
        assert not any(record.w)


def test_a_node_with_a_positive_bias_is_a_constant_and_not_dead():
    record, net = two_weights(0.0, 0.0, 0.5, 20, hold_at_zero("1.weight"))
    assert record.v[1] == pytest.approx(ETA * 2 * 2 * 0.5)  # eta 2 (2 - y) relu(b) with y = 0
    assert record.v[-1] > record.v[1]
    assert net(np.ones((1, 1, 1, 1))).item() == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("b", [0.0, -0.3])
def test_both_zero_is_absorbing(b):
    record, net = two_weights(0.0, 0.0, b, 20)
    assert not any(record.w)
    assert not any(record.v)
    assert net[1].bias.item() == b


def test_an_alive_node_trains():
    record, _ = two_weights(0.237, 0.6, 0.0, 8)
    assert len(set(record.w)) == len(set(record.v)) == 9


# ---- in training --------------------------------------------------------------------------------


def small_data(rng, n=240):
    labels = np.arange(n) % 10
    images = rng.integers(0, 60, (n, 28, 28, 1), np.uint8)
    for i, c in enumerate(labels):
        images[i, 2 * c : 2 * c + 4] += 180
    return Split(images, labels)


def fit(method, epochs=3, *, before=(), after=(), optimizer=None, seed=1, **settings):
    rng = np.random.default_rng(seed)
    split = small_data(rng)
    model = LeNet300(rng=rng, widths=(20, 12))
    optimizer = SGD(model, lr=0.1, momentum=0.9) if optimizer is None else optimizer(model)
    run = train(
        *(model, split, optimizer),
        epochs=epochs,
        rng=rng,
        batch_size=20,
        methods=[*before, method, *after],
        progress=False,
        **settings,
    )
    return run


def test_every_step_zeroes_anew_and_the_history_counts():
    class Watch(Method):
        def __init__(self):
            self.kept = []

        def after_step(self, run):
            self.kept.append([np.count_nonzero(w) for w in weights(run.model)])
            if run.optimizer.slots:
                for (_, p), velocity in zip(
                    run.optimizer.params, run.optimizer.state["velocity"], strict=True
                ):
                    if p.ndim == 2:
                        assert not velocity[p.numpy() == 0].any()

    method, watch = StochasticPruning(SIGMA), Watch()
    run = fit(method, before=[L2(1e-3)], after=[watch])
    assert len(watch.kept) == run.step == 36
    for epoch, line in enumerate(run.history):
        assert line["weights_left"] == sum(watch.kept[12 * epoch + 11])
    assert run.history[0]["weights_left"] < 0.6 * sum(w.size for w in weights(run.model))
    w1, w2, w3 = weights(run.model)
    alive = {
        "nodes_left_fc1": sum(w1[:, j].any() and w2[j].any() for j in range(20)),
        "nodes_left_fc2": sum(w2[:, j].any() and w3[j].any() for j in range(12)),
    }
    assert {k: run.history[-1][k] for k in alive} == alive
    mask = method.mask()
    for (_, m), w in zip(mask.items(), (w1, w2, w3), strict=True):
        assert np.array_equal(m, w != 0)
    assert all(b.any() for b in (run.model.fc1.bias.numpy(), run.model.fc2.bias.numpy()))


def weights(model):
    return [p.numpy() for p in model.parameters() if p.ndim == 2]


def test_zeroing_follows_p_of_each_layer():
    class Stand(Method):  # puts the weights back: the same p at every step
        def attach(self, model, optimizer, rng):  # noqa: ARG002
            self.hits = {"fc1.weight": 0, "fc2.weight": 0}

        def after_step(self, run):
            for name in self.hits:
                p = dict(run.model.named_parameters())[name]
                with p.writing() as w:
                    self.hits[name] += np.count_nonzero(w == 0) / w.size
                    w[...] = 1.5 * SIGMA

    class Before(Method):
        def after_step(self, run):
            for p in (run.model.fc1.weight, run.model.fc2.weight):
                with p.writing() as w:
                    w[...] = 1.5 * SIGMA

    method = StochasticPruning(
        {"fc1.weight": SIGMA, "fc2.weight": lambda t: 0.5 * SIGMA if t < 1 else 0.0}
    )
    stand = Stand()
    run = fit(method, epochs=2, before=[Before()], after=[stand])
    p1, p2 = math.exp(-(1.5**2) / 2), math.exp(-(3.0**2) / 2)
    assert stand.hits["fc1.weight"] / 24 == pytest.approx(p1, abs=5 * (p1 / (24 * 784 * 20)) ** 0.5)
    assert stand.hits["fc2.weight"] / 12 == pytest.approx(p2, abs=5 * (p2 / (12 * 20 * 12)) ** 0.5)
    assert run.model.fc3.weight.numpy().all()
    assert list(method.mask()) == ["fc1.weight", "fc2.weight"]


def test_a_last_phase_without_zeroing_holds_the_mask():
    class Watch(Method):
        def __init__(self):
            self.zeros = []

        def after_step(self, run):
            self.zeros.append([w == 0 for w in weights(run.model)])

    watch = Watch()
    method = StochasticPruning(SIGMA, stop=1.5)
    fit(method, after=[watch])
    ends = 17  # 12 steps an epoch: the 18th, with index 17, is the last that zeroes
    for z in watch.zeros[ends + 1 :]:
        assert all(np.array_equal(a, b) for a, b in zip(z, watch.zeros[ends], strict=True))
    assert any(
        (a != b).any() for a, b in zip(watch.zeros[ends - 1], watch.zeros[ends], strict=True)
    )
    for (_, m), z in zip(method.mask().items(), watch.zeros[ends], strict=True):
        assert np.array_equal(m, ~z)


def test_a_sigma_of_zero_draws_nothing_and_changes_nothing():
    def end(*methods):
        rng = np.random.default_rng(2)
        split = small_data(rng, 60)
        model = LeNet300(rng=rng, widths=(6, 5))
        train(
            *(model, split, SGD(model, lr=0.1)), epochs=2, rng=rng, methods=methods, progress=False
        )
        return model.state_dict(), rng.bit_generator.state

    (a, rng_a), (b, rng_b) = end(), end(StochasticPruning(0.0))
    assert rng_a == rng_b
    assert all(np.array_equal(a[n], b[n]) for n in a)


def test_a_form_of_ones_own():
    method = StochasticPruning(0.5, lambda w, sigma: np.where(w < -sigma, 1.0, 0.0))
    run = fit(method, epochs=1, optimizer=lambda m: Adam(m, lr=1e-3))
    for w in weights(run.model):
        assert w.min() >= -0.5
        assert w.any()


@pytest.mark.parametrize("form", FORMS)
def test_on_a_device_the_same_weights_are_zeroed(form, device):
    def zeros(array_module):
        rng = np.random.default_rng(3)
        model = LeNet300(rng=rng, widths=(20, 12)).to(array_module=array_module)
        optimizer = SGD(model, lr=0.1, momentum=0.9)
        method = StochasticPruning(SIGMA, form)
        run = begin(method, model, optimizer, rng=rng)
        run.x = Tensor(array_module.asarray(np.ones((2, 28, 28, 1), np.float32)))
        after_step(run)
        after_epoch(run)
        return method.mask(), run.metrics

    (here, metrics), (there, metrics_there) = zeros(np), zeros(device)
    differing = sum(np.count_nonzero(m != there[name]) for name, m in here.items())
    assert differing <= 2  # exp may round otherwise
    assert 0.1 < here.sparsity < 0.5
    assert metrics_there.keys() == metrics.keys()
    assert metrics_there["nodes_left_fc1"] == 20


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop", [math.inf, 1.3])
def test_an_interrupted_run_ends_with_the_same_bits(tmp_path, stop):
    class Interrupt(Method):
        left = 21

        def after_step(self, run):  # noqa: ARG002
            self.left -= 1
            if self.left == 0:
                raise Stop

    def run(path, interrupt):
        method = StochasticPruning(lambda t: 0.01 + 0.005 * t, stop=stop)
        result = fit(
            method,
            before=[L1(1e-3)],
            after=[interrupt],
            checkpoint=path,
            checkpoint_seconds=0,
            schedule=schedules.cosine(3),
        )
        return result, method.mask()

    interrupt, none = Interrupt(), Interrupt()
    none.left = -1
    with pytest.raises(Stop):
        run(tmp_path / "a.npz", interrupt)
    (a, mask_a), (b, mask_b) = run(tmp_path / "a.npz", interrupt), run(tmp_path / "b.npz", none)
    state_a, state_b = a.model.state_dict(), b.model.state_dict()
    assert all(state_a[n].tobytes() == state_b[n].tobytes() for n in state_b)
    assert mask_a == mask_b
    strip = [[{k: v for k, v in h.items() if k != "seconds"} for h in r.history] for r in (a, b)]
    assert strip[0] == strip[1]
    assert a.rng.bit_generator.state == b.rng.bit_generator.state


def test_what_is_zero_before_the_end_of_zeroing_is_not_held_when_a_run_goes_on():
    method = StochasticPruning(SIGMA, stop=2)
    run = fit(method, epochs=1)
    assert method.mask().sparsity > 0.3
    assert all(m.all() for m in method.state_dict().values())
    for _ in range(12):
        after_step(run)  # to the end of zeroing
    after_step(run)
    assert {n: m.tolist() for n, m in method.state_dict().items()} == {
        n: m.tolist() for n, m in method.mask().items()
    }


# ---- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [-0.1, math.nan, math.inf, {"fc1.weight": -1.0}])
def test_sigmas_that_make_no_sense(sigma):
    with pytest.raises(ValueError, match="sigma is a finite number >= 0"):
        StochasticPruning(sigma)


def test_other_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="form is one of gaussian, exponential, erfc, hard"):
        StochasticPruning(0.1, "cauchy")
    for stop in (0, -1, math.nan):
        with pytest.raises(ValueError, match="stop, the time at which zeroing ends"):
            StochasticPruning(0.1, stop=stop)
    with pytest.raises(ValueError, match=r"sigma is given for \['fc1.weight'\]"):
        StochasticPruning({"fc1.weight": 0.1}, names=["fc2.weight"])
    with pytest.raises(KeyError, match="fc9"):
        fit(StochasticPruning({"fc9.weight": 0.1}))
    with pytest.raises(ValueError, match="got nan at time 0"):
        fit(StochasticPruning(lambda t: math.nan))  # noqa: ARG005

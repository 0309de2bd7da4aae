import numpy as np
import pytest
from every_method import NETS, data, layers_of, masks
from hooks import after_step, begin

from minisparse.optim import SGD
from minisparse.prune.method import Method
from minisparse.prune.network_surgery import NetworkSurgery, probability, surgery, thresholds
from minisparse.train import train


def begun(method, net="mlp"):
    model = NETS[net](np.random.default_rng(0))
    masks(model, None)
    return begin(method, model, SGD(model, 0.0), data(), batch_size=10)


def test_between_the_thresholds_the_mask_stays_as_it_is():
    w = np.array([0.1, -0.1, 0.5, -0.5, 1.0, -1.0])
    mask = np.array([True, False] * 3)
    assert surgery(w, mask, 0.3, 0.7).tolist() == [False, False, True, False, True, True]
    assert surgery(w, mask, 0.5, 0.5).tolist() == [False, False, True, True, True, True]


def test_the_thresholds_are_those_of_the_authors_code():
    w = np.random.default_rng(0).standard_normal((50, 40))
    a, b = thresholds(w, 1.5)
    middle = abs(w).mean() + 1.5 * abs(w).std()
    assert (a, b) == (pytest.approx(0.9 * middle), pytest.approx(1.1 * middle))
    assert thresholds(w, -10.0) == (0.0, 0.0)
    assert surgery(w, np.zeros(w.shape, bool), 0.0, 0.0).all()


def test_they_come_from_the_first_weights_and_stay():
    method = NetworkSurgery(0.5, gamma=0.0)
    run = begun(method)
    first = method.state_dict()
    for w in method.weights().values():
        with w.writing() as array:
            array *= 3
    after_step(run)
    assert method.state_dict() == first
    for name, w in method.weights().items():
        a, b = first[name]
        size, kept = abs(w.numpy()), method.mask()[name]
        assert kept[size >= b].all()
        assert not kept[size < a].any()


def test_a_removed_weight_that_the_loss_wants_comes_back():
    method = NetworkSurgery(0.8, gamma=0.0)
    seen = []

    class Look(Method):
        def after_step(self, _run):
            seen.append(method.mask())

    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    masks(model, rng)
    train(
        model, data(), SGD(model, 0.3), epochs=5, rng=rng, batch_size=10,
        methods=[method, Look()], progress=False,
    )  # fmt: skip
    assert any((seen[-1][n] & ~seen[0][n]).any() for n in seen[0])
    assert seen[0].density < 0.5


def test_masks_are_chosen_less_and_less_often():
    assert probability(0, 1e-4, 1) == 1
    assert probability(10_000, 1e-4, 1) == 0.5
    assert probability(10_000, 1e-4, 2) == 0.25
    method = NetworkSurgery(0.5, gamma=1.0)
    run = begun(method)
    chosen = np.zeros(400)
    operate = method.operate

    def count(which):
        chosen[run.step - 1] = np.mean(list(which.values()))
        operate(which)

    method.operate = count
    for _ in range(400):
        after_step(run)
    assert chosen[:20].mean() > 3 * chosen[20:].mean() > 0
    expected = sum(1 / (1 + t) for t in range(1, 401))
    assert chosen.sum() == pytest.approx(expected, abs=4 * np.sqrt(expected / 3))


def test_after_the_stop_the_masks_rest():
    method = NetworkSurgery(0.5, gamma=0.0, stop=1.0)
    run = begun(method)
    for step in range(8):
        for w in method.weights().values():
            with w.writing() as array:
                array[...] = np.roll(array, 1, axis=0)
        before = method.mask()
        after_step(run)
        assert (method.mask() == before) == (step >= 6)


def test_c_by_layer_and_errors():
    layers = [f"{n}.weight" for n in layers_of(NETS["mlp"](np.random.default_rng(0)))]
    method = NetworkSurgery(dict(zip(layers, (-9.0, 0.0, 9.0), strict=True)))
    begun(method)
    kept = [m.mean() for _, m in method.mask().items()]
    assert kept[0] == 1
    assert 0 < kept[1] < 1
    with pytest.raises(ValueError, match="c is given for"):
        begun(NetworkSurgery({"other": 1.0}))
    for settings in ({"gamma": -1}, {"power": -1}, {"stop": 0}):
        with pytest.raises(ValueError, match="expected gamma"):
            NetworkSurgery(1.0, **settings)
    with pytest.raises(KeyError, match="thresholds for"):
        method.load_state_dict({"other": [0, 1]})

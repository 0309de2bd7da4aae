"""What every pruning method of the package promises, whatever its mathematics."""

import warnings

import numpy as np
import pytest
from every_method import BATCH, EPOCHS, METHODS, NETS, data
from hooks import begin

from minisparse import nn
from minisparse.arrays import to_numpy
from minisparse.autodiff import no_grad
from minisparse.optim import Adam
from minisparse.prune.mask import Mask
from minisparse.prune.method import Method
from minisparse.sparse import shrink, sparsify
from minisparse.train import train

pytestmark = [pytest.mark.parametrize("net", NETS), pytest.mark.parametrize("name", METHODS)]


IMAGE = np.zeros((1, 6, 6, 1), np.float32)


def build(name, net, seed=0, **more):
    rng = np.random.default_rng(seed)
    model = NETS[net](rng, **more)
    METHODS[name].prepare(model, rng)
    return model, rng


def fit(name, net, method, *others, to=None, epochs=EPOCHS, optimizer=None, **more):
    model, rng = build(name, net)
    if to is not None:
        model.to(array_module=to)
    optimizer = (optimizer or METHODS[name].optimizer)(model)
    train(
        model, data(), optimizer, epochs=epochs, rng=rng, batch_size=BATCH,
        methods=[method, *others], progress=False, **more,
    )  # fmt: skip
    return model, optimizer


def same_bits(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def flat(state, prefix=""):
    """Return the arrays and numbers of a nested state, by path."""
    if isinstance(state, dict):
        parts = state.items()
    elif isinstance(state, list | tuple):
        parts = enumerate(state)
    else:
        return {prefix: state}
    return {k: v for key, part in parts for k, v in flat(part, f"{prefix}/{key}").items()}


class Stop(Exception):
    pass


class StopAt(Method):
    """End the training after a step, once."""

    def __init__(self, step):
        self.left = [step]

    def after_step(self, run):
        if run.step in self.left:
            self.left.clear()
            raise Stop


class Watch(Method):
    """Look at a method after each of its steps."""

    def __init__(self, look):
        self.look = look

    def after_step(self, run):
        self.look(run)


def outputs(model):
    x = np.random.default_rng(1).random((7, 6, 6, 1), np.float32)
    with no_grad():
        return to_numpy(model.eval()(x).numpy())


def left_over(model, method):
    """Return a plain model that computes what the trained one does, and its mask."""
    if nn.parametrized(model, nn.Parametrization):
        plain, kept = nn.harden(model)
        return plain, Mask(kept)
    return model, method.mask()


def test_a_resumed_run_ends_with_the_same_bits(name, net, tmp_path):
    case, stop = METHODS[name], 8  # in the middle of the second epoch
    whole, method = None, case.make()
    whole, optimizer = fit(name, net, method, StopAt(0))
    path = tmp_path / "run.npz"
    settings = {"checkpoint": path, "checkpoint_seconds": 0.0}
    with pytest.raises(Stop):
        fit(name, net, case.make(), StopAt(stop), **settings)
    again = case.make()
    resumed, optimizer_2 = fit(name, net, again, StopAt(0), **settings)
    same_bits(whole.state_dict(), resumed.state_dict())
    same_bits(optimizer.state_dict(), optimizer_2.state_dict())
    same_bits(flat(method.state_dict()), flat(again.state_dict()))


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_removed_weights_and_their_state_are_zero_after_each_step(name, net, kind):
    case, steps = METHODS[name], []
    if not case.holds:
        pytest.skip("what is removed is not held")
    method = case.make()

    def look(run):
        steps.append(method.mask().kept)
        for weight, p, kept in method.mask().parameters(run.model):
            assert not p.numpy()[~kept].any(), weight
            for state in run.optimizer.state_of(p):
                assert not state[~kept].any(), weight

    optimizer = {"sgd": case.optimizer, "adam": lambda m: Adam(m, 1e-2, weight_decay=0.1)}[kind]
    fit(name, net, method, Watch(look), optimizer=optimizer)
    assert len(steps) == EPOCHS * 6
    assert min(steps) < method.mask().total


def test_on_another_array_library(name, net, device):
    case = METHODS[name]
    here, there = case.make(), case.make()
    a, _ = fit(name, net, here, epochs=2)
    b, _ = fit(name, net, there, epochs=2, to=device)
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    for key in a:
        far = np.abs(a[key] - b[key]) > 1e-3 * np.abs(a[key]).max() + 1e-5
        assert far.mean() <= 0.05, key  # sums in another order: a few weights decide otherwise


def test_float32_stays(name, net):
    method = METHODS[name].make()
    model, optimizer = fit(name, net, method)
    arrays = {**model.state_dict(), **optimizer.state_dict(), **flat(method.state_dict())}
    for key, value in arrays.items():
        if isinstance(value, np.ndarray):
            assert value.dtype != np.float64, key


def test_attached_a_second_time_it_begins_anew(name, net):
    method, fresh = METHODS[name].make(), METHODS[name].make()
    fit(name, net, method)
    again, _ = fit(name, net, method)
    once, _ = fit(name, net, fresh)
    same_bits(once.state_dict(), again.state_dict())
    same_bits(flat(fresh.state_dict()), flat(method.state_dict()))


def test_the_state_of_another_model_is_refused(name, net):
    case = METHODS[name]
    method = case.make()
    fit(name, net, method, epochs=2)
    state = method.state_dict()
    if not any(isinstance(v, np.ndarray) and v.size > 1 for v in flat(state).values()):
        pytest.skip("its state does not depend on the model")
    wider, rng = build(name, net, width=16)
    other = case.make()
    begin(other, wider, case.optimizer(wider), data(), rng=rng)
    with pytest.raises((ValueError, KeyError)):
        other.load_state_dict(state)


@pytest.mark.filterwarnings("ignore:.*dead.*:UserWarning")
def test_the_small_and_the_sparse_model_compute_the_same(name, net):
    case = METHODS[name]
    method = case.make()
    model, _ = fit(name, net, method)
    plain, mask = left_over(model.eval(), method)
    assert isinstance(mask, Mask)
    assert mask.density > 0
    assert mask.density < 1 or not case.prunes
    expected = outputs(model)
    near = {"rtol": 1e-3, "atol": 1e-4 * max(1.0, np.abs(expected).max())}
    np.testing.assert_allclose(outputs(plain), expected, **near)
    small, report = shrink(plain, mask, example=IMAGE)
    np.testing.assert_allclose(outputs(small), expected, **near)
    for form in ("csr", "blocked"):
        np.testing.assert_allclose(outputs(sparsify(plain, mask, form, example=IMAGE)), expected, **near)
    np.testing.assert_allclose(outputs(sparsify(small, report.mask, "csr", example=IMAGE)), expected, **near)


def test_what_is_due_after_the_end_is_told_before_the_first_step(name, net):
    case = METHODS[name]
    if case.late is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(name, net, case.make())
        return
    steps = []
    with pytest.warns(RuntimeWarning, match="what is due later will not happen"):
        fit(name, net, case.late(), Watch(lambda run: steps.append(run.step)))

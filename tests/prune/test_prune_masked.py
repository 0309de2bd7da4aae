import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_step, begin

from minisparse.optim import SGD, Adam
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask, MaskedTraining, rewind
from minisparse.train import train


def some(model, seed, density=0.5):
    rng = np.random.default_rng(seed)
    return Mask({n: rng.random(p.shape) < density for n, p in model.named_parameters() if p.ndim > 1})


def begun(method, optimizer=Adam):
    model = NETS["mlp"](np.random.default_rng(0))
    run = begin(method, model, optimizer(model, 0.01))
    for state in run.optimizer.state.values():
        for array in state:
            array[...] = 7.0
    return run


def test_weights_may_go_and_come_back_and_start_without_a_past():
    method = MaskedTraining()
    run = begun(method)
    before, after = some(run.model, 1), some(run.model, 2)
    method.set_mask(before)
    run.optimizer.reset()
    for state in run.optimizer.state.values():
        for array in state:
            array[...] = 7.0
    method.set_mask(after)
    assert method.mask() == after
    for name, p, kept in after.parameters(run.model):
        assert not p.numpy()[~kept].any()
        assert not p.numpy()[kept & ~before[name]].any()  # comes back at 0
        assert p.numpy()[kept & before[name]].all()
        for state in run.optimizer.state_of(p):
            assert (state == 7.0 * (kept & before[name])).all()


def test_what_comes_back_may_keep_its_past_if_it_was_never_held():
    method = MaskedTraining()
    run = begun(method)
    method.set_mask(some(run.model, 1))
    for state in run.optimizer.state.values():
        for array in state:
            array[...] = 7.0
    after = some(run.model, 2)
    method.set_mask(after, fresh=False)
    for name, p, kept in after.parameters(run.model):
        for state in run.optimizer.state_of(p):
            assert (state == 7.0 * kept).all(), name


def test_tightening_keeps_only_what_both_keep():
    method = MaskedTraining()
    run = begun(method)
    first, second = some(run.model, 1), some(run.model, 2)
    method.tighten(first)
    method.tighten(second)
    assert method.mask() == first & second


def test_removed_weights_become_zero_even_from_what_is_not_finite():
    method = MaskedTraining()
    run = begun(method)
    mask = some(run.model, 1)
    method.set_mask(mask)
    for _, p, kept in mask.parameters(run.model):
        with p.writing() as w:
            w[~kept] = np.resize([np.nan, np.inf, -np.inf], np.count_nonzero(~kept))
        for state in run.optimizer.state_of(p):
            state[~kept] = np.nan
    after_step(run)
    for _, p, kept in mask.parameters(run.model):
        assert (p.numpy()[~kept] == 0).all()
        assert not np.signbit(p.numpy()[~kept]).any()
        assert all((s[~kept] == 0).all() for s in run.optimizer.state_of(p))


def test_a_mask_for_other_parameters_is_refused():
    method = MaskedTraining()
    run = begun(method)
    with pytest.raises(ValueError, match="expected a mask for"):
        method.set_mask(Mask({"1.weight": np.ones((36, 12), bool)}))
    with pytest.raises(ValueError, match="expected a mask for"):
        method.set_mask(some(NETS["mlp"](np.random.default_rng(0), width=13), 0))
    assert method.mask() == Mask.full(run.model)


def test_training_under_a_given_mask():
    model = NETS["mlp"](np.random.default_rng(0))
    mask = some(model, 1)
    method = FixedMask(mask)
    train(
        model, data(), SGD(model, 0.05, momentum=0.9), epochs=2, rng=np.random.default_rng(1),
        methods=[method], progress=False,
    )  # fmt: skip
    assert method.mask() == mask
    assert Mask.of_nonzeros(model) == mask
    with pytest.raises(KeyError, match="the model has no"):
        FixedMask(Mask({"9.weight": [1.0]})).attach(model, SGD(model, 0.1), None)


def test_rewinding_goes_back_to_the_bits_of_then_under_the_mask():
    model = NETS["cnn"](np.random.default_rng(0))
    first = model.state_dict()
    optimizer = Adam(model, 0.01)
    train(model, data(), optimizer, epochs=1, rng=np.random.default_rng(1), progress=False)
    assert optimizer.steps > 0
    mask = some(model, 3)
    rewind(model, first, mask, optimizer)
    for name, p in model.named_parameters():
        expected = first[name] * mask[name] if name in mask else first[name]
        np.testing.assert_array_equal(p.numpy(), expected)
    assert optimizer.steps == 0
    assert not any(array.any() for state in optimizer.state.values() for array in state)

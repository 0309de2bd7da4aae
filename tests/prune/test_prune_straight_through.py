import itertools

import numpy as np
import pytest
from every_method import NETS, data, layers_of

from minisparse import Tensor, nn
from minisparse.autodiff import cross_entropy
from minisparse.optim import SGD
from minisparse.prune.mask import Mask
from minisparse.prune.masked import FixedMask
from minisparse.prune.method import Method
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.straight_through import (
    DPF,
    MaskedForward,
    StraightThroughPruning,
    add_masks,
    through_mask,
)
from minisparse.train import train


def fit(method, *others, net="mlp", epochs=3, lr=0.1, mask=True):
    rng = np.random.default_rng(0)
    model = NETS[net](rng)
    if mask:
        add_masks(model, layers_of(model))
    train(
        model, data(), SGD(model, lr), epochs=epochs, rng=np.random.default_rng(3), batch_size=10,
        methods=[*others, method], progress=False,
    )  # fmt: skip
    return model


def test_the_gradient_of_a_masked_weight_is_not_zero():
    w = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    mask = np.array([1.0, 0.0, 1.0])
    y = through_mask(w, mask)
    assert y.numpy().tolist() == [1, 0, 3]
    (y * np.array([5.0, 7.0, 9.0])).sum().backward()
    assert w.grad.numpy().tolist() == [5, 7, 9]
    w.grad = None
    through_mask(w, mask, mask).sum().backward()
    assert w.grad.numpy().tolist() == [1, 0, 1]


@pytest.mark.parametrize("net", NETS)
def test_the_step_is_taken_at_the_masked_weights_by_all(net):
    """w <- w - eta g, with the gradient of a plain network whose weights are m w."""
    seen = []

    class Both(Method):
        def after_backward(self, run):
            seen.append((run.model.state_dict(), run.x, run.y))

    method = StraightThroughPruning(one_shot(0.6))
    model = fit(method, Both(), net=net, epochs=1)
    before, x, y = seen[-1]
    plain = NETS[net](np.random.default_rng(0))
    masks = {n.removesuffix("parametrization.mask"): m for n, m in before.items() if "mask" in n}
    for name, p in plain.named_parameters():
        prefix = name.removesuffix("weight")
        with p.writing() as w:
            w[...] = before[name] * masks.get(prefix, 1)
    cross_entropy(plain(x), y).backward()
    after = model.state_dict()
    for name, p in plain.named_parameters():
        np.testing.assert_allclose(
            after[name], before[name] - 0.1 * p.grad.numpy(), rtol=1e-4, atol=1e-6
        )
        assert "weight" not in name or (p.grad.numpy() != 0)[masks[name[:-6]] == 0].any()


def test_the_mask_in_use_is_that_of_the_largest_weights_of_now():
    method, looks = StraightThroughPruning(one_shot(0.7)), []

    class Look(Method):
        def after_step(self, _run):
            looks.append((method.mask(), {n: w.numpy() for n, w in method.weights().items()}))

    model = NETS["mlp"](np.random.default_rng(0))
    add_masks(model, layers_of(model))
    train(
        model, data(), SGD(model, 0.3), epochs=3, rng=np.random.default_rng(3), batch_size=10,
        methods=[method, Look()], progress=False,
    )  # fmt: skip
    for mask, weights in looks:
        assert mask.kept == round(0.3 * mask.total)
        least = min(abs(w[mask[n]]).min() for n, w in weights.items() if mask[n].any())
        most = max(abs(w[~mask[n]]).max() for n, w in weights.items())
        assert least >= most
    came_back = any(
        (later[0][n] & ~earlier[0][n]).any()
        for earlier, later in itertools.pairwise(looks)
        for n in later[0]
    )
    assert came_back


def test_a_mask_that_stays_with_gradients_that_do_not_pass_is_training_under_a_mask():
    """The weights in use take the same way as those of masked gradient descent."""
    rng = np.random.default_rng(1)
    net = NETS["mlp"](np.random.default_rng(0))
    mask = Mask({n: rng.random(p.shape) < 0.4 for n, p in net.named_parameters() if p.ndim > 1})

    class Given(MaskedForward):
        def begin(self, _run):
            self.use(mask)

    straight, masked = fit(Given()), fit(FixedMask(mask), mask=False)
    plain, kept = nn.harden(straight)
    assert Mask(kept) == mask
    for (name, a), (_, b) in zip(plain.named_parameters(), masked.named_parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6, err_msg=name)


def test_dpf_chooses_every_16_steps_along_the_schedule():
    method, kept = DPF(gradual(0.8, 0, 4)), []

    class Look(Method):
        def after_step(self, _run):
            kept.append(method.mask())

    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    add_masks(model, layers_of(model))
    train(
        model, data(), SGD(model, 0.1), epochs=6, rng=rng, batch_size=10,
        methods=[method, Look()], progress=False,
    )  # fmt: skip
    changes = [i + 1 for i in range(1, 36) if kept[i] != kept[i - 1]]
    while_it_grows = {7, 13, 19, 25}  # after an epoch, seen after the first step of the next
    assert set(changes) == {16, 32} | while_it_grows
    assert kept[-1].kept == round(0.2 * kept[-1].total)


def test_the_mask_that_is_evaluated_is_one_that_was_trained_under():
    """A new choice after the last step would throw away what was learned under the old one."""
    method, kept = DPF(one_shot(0.8), every=4), []

    class Look(Method):
        def after_step(self, _run):
            kept.append(method.mask())

    model = NETS["mlp"](np.random.default_rng(0))
    add_masks(model, layers_of(model))
    train(
        model, data(), SGD(model, 0.3), epochs=3, rng=np.random.default_rng(3), batch_size=10,
        methods=[method, Look()], progress=False,
    )  # fmt: skip
    assert method.mask() == kept[-1] == kept[15]
    assert kept[15] != kept[14]


def test_errors():
    with pytest.raises(ValueError, match="every"):
        DPF(one_shot(0.5), every=0)
    model = NETS["mlp"](np.random.default_rng(0))
    with pytest.raises(ValueError, match="call add_masks first"):
        DPF(one_shot(0.5)).attach(model, SGD(model, 0.1), np.random.default_rng(0))

import numpy as np
import pytest
from every_method import NETS, data, layers_of, masks_in_pairs

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.method import Method
from minisparse.prune.n_of_m import SRSTE, sr_ste
from minisparse.prune.straight_through import MaskedForward, add_masks
from minisparse.train import train


def fit(method, *others, net="mlp", epochs=2, optimizer=None, add=None, loss=None):
    model = NETS[net](np.random.default_rng(0))
    (add or (lambda m: add_masks(m, layers_of(m))))(model)
    more = {} if loss is None else {"loss": loss}
    train(
        model, data(), (optimizer or (lambda m: SGD(m, 0.1)))(model), epochs=epochs,
        rng=np.random.default_rng(3), batch_size=10, methods=[*others, method], progress=False, **more,
    )  # fmt: skip
    return model


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (3, 4)])
def test_exactly_n_of_every_m_inputs_are_in_use(n, m):
    method = SRSTE(n, m)
    model = fit(method)
    plain, kept = nn.harden(model)
    for name, p in plain.named_parameters():
        if name in kept:
            groups = p.numpy().reshape(-1, m, p.shape[-1])
            assert ((groups != 0).sum(axis=1) == n).all(), name
            size = abs(dict(model.named_parameters())[name].numpy()).reshape(groups.shape)
            least = np.where(groups != 0, size, np.inf).min(axis=1)
            most = np.where(groups == 0, size, 0).max(axis=1)
            assert (least >= most).all()


def test_convolutions_group_their_input_channels():
    method = SRSTE(1, 2)
    model = fit(method, net="cnn", add=lambda m: masks_in_pairs(m, None))
    assert method.mask().density == 0.5
    assert len(method.layers) == 2  # not the convolution of one channel
    del model


def test_without_a_gradient_what_is_not_in_use_decays_and_the_rest_does_not():
    """By (1 - eta lambda_W) at each step."""

    class Silent(Method):  # stands before the method: the data say nothing
        def after_backward(self, run):
            for p in run.model.parameters():
                p.grad.array[...] = 0

    method = SRSTE(2, 4, strength=0.3)
    first = NETS["mlp"](np.random.default_rng(0)).state_dict()
    model = fit(method, Silent(), epochs=2)
    decay = (1 - 0.1 * 0.3) ** 12
    for name, w in method.weights().items():
        kept = method.mask()[name]
        np.testing.assert_array_equal(w.numpy()[kept], first[name][kept])
        np.testing.assert_allclose(w.numpy()[~kept], decay * first[name][~kept], rtol=1e-5)
    del model


def test_with_strength_0_it_is_straight_through():
    class Plain(SRSTE):
        after_backward = MaskedForward.after_backward

    a, b = fit(SRSTE(2, 4, strength=0.0)), fit(Plain(2, 4))
    for (name, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy(), err_msg=name)


def test_the_decay_makes_the_masks_flicker_less():
    def flickering(strength):
        method, seen = SRSTE(2, 4, strength=strength), []

        class Look(Method):
            def after_step(self, _run):
                seen.append(method.mask())

        fit(method, Look(), epochs=6)
        return sum(
            (seen[i][n] != seen[i - 1][n]).sum() for i in range(6, len(seen)) for n in seen[0]
        )

    assert flickering(0.5) < flickering(0.0)


def test_the_formula_is_the_gradient_of_its_penalty():
    rng = np.random.default_rng(0)
    w, g, mask = rng.standard_normal((3, 4, 5))
    mask = (mask > 0) * 1.0

    def penalty(w):
        return 0.2 / 2 * ((1 - mask) * w * w).sum()

    h = 1e-6
    for i in np.ndindex(w.shape):
        e = np.zeros(w.shape)
        e[i] = h
        slope = (penalty(w + e) - penalty(w - e)) / (2 * h)
        assert sr_ste(g, w, mask, 0.2)[i] - g[i] == pytest.approx(slope, abs=1e-8)


def test_errors():
    for settings in ((0, 4), (5, 4), (2, 4, -1.0)):
        with pytest.raises(ValueError, match="N:M needs"):
            SRSTE(*settings)
    with pytest.raises(ValueError, match="1 inputs, which 4 does not divide"):
        fit(SRSTE(2, 4), net="cnn")

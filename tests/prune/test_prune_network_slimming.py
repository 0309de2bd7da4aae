import numpy as np
import pytest
from every_method import data, mlp, normalized
from hooks import after_epoch, begin

from minisparse import nn, sparse
from minisparse.autodiff import no_grad, relu
from minisparse.optim import SGD
from minisparse.prune.network_slimming import NetworkSlimming, factor_penalty

FACTORS = ("2.0.weight", "4.0.weight")


def slim(seed=0):
    rng = np.random.default_rng(seed)
    model = mlp(rng)
    normalized(model, rng)
    for name, p in model.named_parameters():
        if "0.weight" in name or "0.bias" in name:
            with p.writing() as a:
                a[...] = rng.standard_normal(a.shape)
    return model


def out(model, x):
    with no_grad():
        return model.eval()(x).numpy()


def test_the_penalty_is_l1_on_the_factors():
    assert factor_penalty(np.array([0.5, -2.0, 0.0])).item() == pytest.approx(2.5)
    model, method = slim(), NetworkSlimming(0.1, 1, 0.5)
    run = begin(method, model, SGD(model, 0.1), data())
    parameters = dict(model.named_parameters())
    total = sum(abs(parameters[name].numpy()).sum() for name in FACTORS)
    assert method.before_loss(run).item() == pytest.approx(0.1 * total, rel=1e-5)


def test_the_smallest_factors_of_all_layers_go_with_the_weights_of_their_channels():
    model, method = slim(), NetworkSlimming(0.1, 1, 0.4)
    run = begin(method, model, SGD(model, 0.1), data())
    gamma = np.concatenate([dict(model.named_parameters())[n].numpy() for n in FACTORS])
    after_epoch(run)
    kept = np.concatenate([method.mask()[n] for n in FACTORS])
    assert kept.sum() == 12  # 0.6 of 20
    assert abs(gamma[kept]).min() > abs(gamma[~kept]).max()
    np.testing.assert_array_equal(method.mask()["1.weight"].all(axis=0), kept[:12])
    np.testing.assert_array_equal(method.mask()["1.weight"].any(axis=0), kept[:12])


def test_a_channel_with_factor_0_is_a_constant_that_folds_exactly_into_the_next_bias():
    model = slim()
    x = np.random.default_rng(1).random((9, 6, 6, 1), np.float32)
    with model[2][0].weight.writing() as gamma:
        gamma[[1, 4, 7]] = 0
    expected = out(model, x)
    beta = model[2][0].bias.numpy()
    with no_grad():
        constant = relu(beta).numpy() * np.isin(np.arange(12), [1, 4, 7])
    reader = model[3]
    with reader.bias.writing() as b, reader.weight.writing() as w:
        b += constant @ w
        w[[1, 4, 7]] = 0
    np.testing.assert_allclose(out(model, x), expected, rtol=1e-5, atol=1e-5)


def test_what_is_removed_is_cut_out_without_a_change_although_beta_is_not_0():
    """The authors' code drops beta with the channel, and the output jumps."""
    model, method = slim(), NetworkSlimming(0.1, 1, 0.5)
    after_epoch(begin(method, model, SGD(model, 0.1), data()))
    x = np.random.default_rng(1).random((9, 6, 6, 1), np.float32)
    expected = out(model, x)
    small, _ = sparse.shrink(model, method.mask(), example=x[:1])
    np.testing.assert_allclose(out(small, x), expected, rtol=1e-4, atol=1e-5)
    left = sum(p.size for p in small.parameters())
    assert left < 0.7 * sum(p.size for p in model.parameters())
    dropped = slim()
    dropped.load_state_dict(model.state_dict())
    for i, name in ((2, FACTORS[0]), (4, FACTORS[1])):
        with dropped[i][0].bias.writing() as beta:
            beta *= method.mask()[name]
    assert abs(out(dropped, x) - expected).max() > 0.1


def test_another_scale_of_the_same_function_pays_otherwise():
    """Relu passes a factor c > 0 on: (c gamma, c beta) and the reader's weights / c."""
    model = slim()
    x = np.random.default_rng(1).random((9, 6, 6, 1), np.float32)
    before, expected = factor_penalty(model[2][0].weight).item(), out(model, x)
    for p, c in ((model[2][0].weight, 3), (model[2][0].bias, 3), (model[3].weight, 1 / 3)):
        with p.writing() as a:
            a *= c
    np.testing.assert_allclose(out(model, x), expected, rtol=1e-4, atol=1e-5)
    assert factor_penalty(model[2][0].weight).item() == pytest.approx(3 * before, rel=1e-5)


def test_errors():
    model = slim()
    with pytest.raises(ValueError, match="sparsity lies in"):
        NetworkSlimming(0.1, 1, 1.5)
    for norms, message in (({"2.0": "3"}, "12 channels"), ({"2.0": "fc"}, "no layer 'fc'")):
        with pytest.raises(ValueError, match=message):
            begin(NetworkSlimming(0.1, 1, 0.5, norms), model, SGD(model, 0.1), data())
    plain = mlp(np.random.default_rng(0))
    with pytest.raises(ValueError, match="no batch norm"):
        begin(NetworkSlimming(0.1, 1, 0.5), plain, SGD(plain, 0.1), data())


def test_the_layers_are_named_where_their_order_does_not_tell():
    model = nn.SmallCNN((8, 8, 1), 3, batch_norm=True, rng=np.random.default_rng(0))
    pairs = {"norm1": "conv1", "norm2": "conv2", "norm3": "fc1"}
    method = NetworkSlimming(0.1, 1, 0.5, pairs)
    begin(method, model, SGD(model, 0.1), data())
    assert set(method.mask()) == {f"{name}.weight" for pair in pairs.items() for name in pair}

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import ALL, images, model_of

from minisparse import nn
from minisparse.autodiff import no_grad
from minisparse.nn import record_layers
from minisparse.optim import SGD
from minisparse.prune.layerwise import LayerwisePruning, damped, hessian
from minisparse.prune.layerwise_obs import LayerwiseOBSPruning
from minisparse.prune.obc import OBCPruning
from minisparse.prune.schedule import gradual, one_shot
from minisparse.prune.sparse_variational_dropout import add_variances
from minisparse.prune.sparsegpt import SparseGPTPruning
from minisparse.prune.wanda import WandaPruning

KINDS = [WandaPruning, SparseGPTPruning, OBCPruning, LayerwiseOBSPruning]


def records_of(model, x):
    with no_grad(), record_layers(model) as records:
        model(x)
    return records


@pytest.mark.parametrize("net", ALL)
def test_half_of_h_in_the_norm_is_the_error_of_the_output(net):
    """tr(dW^T H dW) / 2 = mean over images and positions of the squared change, by brute force."""
    model = model_of(net)
    x, _ = images(5)
    rng = np.random.default_rng(0)
    for record in records_of(model, x):
        weight = record.module.weight
        h = hessian([record])
        d = rng.standard_normal(weight.shape)
        before = record.output.numpy()
        weight.data = weight.numpy() + d
        with no_grad():
            after = record.module(record.input).numpy()
        weight.data = weight.numpy() - d
        flat = d.reshape(-1, d.shape[-1])
        error = ((after - before) ** 2).sum() / (before.size / before.shape[-1])
        assert np.trace(flat.T @ h @ flat) / 2 == pytest.approx(error)


def test_with_ones_the_last_row_is_that_of_the_bias():
    model = model_of("mlp")
    (first, *_) = records_of(model, images(5)[0])
    h = hessian([first], ones=True)
    np.testing.assert_allclose(h[:-1, :-1], hessian([first]))
    np.testing.assert_allclose(h[-1, :-1], 2 * first.input.numpy().mean(axis=0))
    assert h[-1, -1] == 2.0


def test_many_images_and_several_uses_of_a_layer_are_added_up():
    model = model_of("cnn")
    x, _ = images(230)
    (whole, *_) = records_of(model, x)
    parts = [records_of(model, x[i : i + 115])[0] for i in (0, 115)]
    np.testing.assert_allclose(hessian([whole]), hessian(parts))
    patches = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), (1, 2)).reshape(-1, 9)
    np.testing.assert_allclose(hessian([whole]), patches.T @ patches * (2 / len(patches)))


def test_damping_is_a_share_of_the_mean_of_the_diagonal():
    h = np.diag([1.0, 3.0, 0.0])
    np.testing.assert_allclose(np.diag(damped(h, 0.3)), [1.4, 3.4, 0.4])
    np.testing.assert_array_equal(damped(np.zeros((2, 2)), 0.3), np.eye(2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("net", NETS)
def test_every_layer_keeps_its_share_and_biases_stay_or_move_with_their_layer(kind, net):
    model = NETS[net](np.random.default_rng(0)).to(np.float64)
    before = {n: p.numpy().copy() for n, p in model.named_parameters()}
    method = kind(one_shot(0.5), images=60)
    begin(method, model, SGD(model, 0.1), data())
    for name, m in method.mask().items():
        assert abs(m.sum() - m.size / 2) <= (m.shape[-1] / 2 if kind is WandaPruning else 0.5)
        assert not dict(model.named_parameters())[name].numpy()[~m].any()
    moved = [n for n, p in model.named_parameters() if p.ndim == 1 and (p.numpy() != before[n]).any()]
    assert bool(moved) == kind.ones


@pytest.mark.parametrize("kind", KINDS)
def test_weights_go_on_from_what_earlier_prunings_left(kind):
    model = NETS["mlp"](np.random.default_rng(0))
    method = kind(gradual(0.9, 0, 2), images=60)
    run = begin(method, model, SGD(model, 0.1), data())
    method.prune(0.6, run.draw(60))
    first = method.mask()
    method.prune(0.3, run.draw(60))
    assert method.mask() & first == method.mask()
    assert abs(method.mask().kept - 0.3 * first.total) <= (12 if kind is WandaPruning else 1.5)


def output_errors(kind, density, seed=0):
    """Return the error of the first layer's outputs on the images that it was pruned by."""
    model = NETS["mlp"](np.random.default_rng(seed)).to(np.float64)
    method = kind(one_shot(0.0), images=60, names=["1.weight"])
    run = begin(method, model, SGD(model, 0.1), data())
    batch = run.draw(60)
    (first, *_) = records_of(model, batch.x)
    before = first.output.numpy().copy()
    method.prune(density, batch)
    (first, *_) = records_of(model, batch.x)
    return ((first.output.numpy() - before) ** 2).mean()


def test_from_the_least_work_to_the_most_the_error_falls():
    """Wanda, which changes no weight; SparseGPT, one order for all units; OBC, each unit its own."""
    wanda, sparsegpt, obc = (output_errors(k, 0.3) for k in (WandaPruning, SparseGPTPruning, OBCPruning))
    assert obc < sparsegpt < wanda


@pytest.mark.parametrize("kind", KINDS)
def test_later_layers_see_what_the_pruned_ones_send_if_it_is_sequential(kind, monkeypatch):
    seen = {}

    def note(self, w, h, kept, k):  # noqa: ARG001
        seen.setdefault(len(kept), h[: len(kept), : len(kept)])
        return np.zeros_like(w), np.zeros_like(kept)

    monkeypatch.setattr(kind, "reconstruct", note)
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    begin(kind(one_shot(0.5), images=60), model, SGD(model, 0.1), data())
    assert (seen[12] == 0).all() == kind.sequential  # the first layer is all zeros now


def test_what_is_no_layers_weight_or_is_mapped_first_is_refused():
    model = NETS["mlp"](np.random.default_rng(0))
    opt, rng = SGD(model, 0.1), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"got \['1.bias'\]"):
        WandaPruning(one_shot(0.5), names=["1.bias"]).attach(model, opt, rng)
    with pytest.raises(ValueError, match="different layers are not compared"):
        WandaPruning(one_shot(0.5), scope="global")
    with pytest.raises(ValueError, match="damping"):
        SparseGPTPruning(one_shot(0.5), damping=-1.0)
    add_variances(model, ["1"], rng)
    with pytest.raises(ValueError, match="mapped by Variances"):
        WandaPruning(one_shot(0.5)).attach(model, opt, rng)


def test_a_dead_layer_is_pruned_by_size():
    """All inputs of the second layer are 0: nothing tells its weights apart but their size."""
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    model[1].bias.data = np.full(12, -100.0)
    w = model[3].weight.numpy().copy()
    for kind in (SparseGPTPruning, OBCPruning):
        fresh = nn.Sequential(*model)
        fresh[3].weight.data = w.copy()
        method = kind(one_shot(0.5), images=60, names=["3.weight"])
        begin(method, fresh, SGD(fresh, 0.1), data())
        kept = method.mask()["3.weight"]
        assert abs(w[kept]).min() >= abs(w[~kept]).max()


def test_a_subclass_has_to_say_how():
    with pytest.raises(NotImplementedError, match="reconstructs nothing"):
        LayerwisePruning(one_shot(0.5)).reconstruct(None, None, None, 0)

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import images
from test_prune_units import normed

from minisparse.autodiff import no_grad
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.schedule import one_shot
from minisparse.prune.taylor import (
    FORMS,
    TaylorPruning,
    activation_form,
    gate_form,
    normalized,
    products,
    weight_form,
)
from minisparse.prune.units import best_units, signals
from minisparse.train import train

ALL = {**NETS, "normed": normed}


def setting(net, **options):
    """Return a net, in float64 and with biases and norms that are not where they start."""
    rng = np.random.default_rng(0)
    model = ALL[net](rng)
    train(model, data(), SGD(model, 0.05), epochs=1, rng=rng, batch_size=10, progress=False)
    model.to(np.float64).eval()
    for p in model.parameters():
        if p.ndim == 1:
            p.data = p.numpy() + 0.1 * rng.standard_normal(p.shape)
    method = TaylorPruning(one_shot(0.0), **options)
    units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    return model, method, units


def test_the_square_of_the_sum_is_not_the_sum_of_the_squares():
    """The trap: two criteria, which rank these two units in opposite orders."""
    of_units = products([np.array([[3.0, 1.0], [1.0, 1.0]])], [np.array([[1.0, 1.0], [-3.0, 1.0]])])
    assert gate_form(of_units).tolist() == [0.0, 4.0]
    assert weight_form(of_units).tolist() == [18.0, 2.0]


def test_the_sum_of_squares_is_additive_over_weights():
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((2, 5, 3))
    both = np.concatenate([p, q])
    np.testing.assert_allclose(weight_form(both), weight_form(p) + weight_form(q))
    assert not np.allclose(gate_form(both), gate_form(p) + gate_form(q))


@pytest.mark.parametrize("net", ALL)
def test_the_gate_form_is_the_square_of_the_change_as_a_unit_is_scaled(net):
    """Scale the unit's last affine map by 1 - eps: (dL / eps)^2, by differences of the loss."""
    model, method, units = setting(net, form="gate")
    x, y = images(20)
    batch = Batch(model, (x, y))
    scores = method.unit_scores(units, batch)
    own = {n: p.numpy() for n, p in model.named_parameters()}
    for name, u in units.items():
        holder = (u.layer, *u.norms)[-1]
        for j in range(u.count):

            def loss(z, j=j, holder=holder):
                gate = np.ones(own[f"{holder}.bias"].shape)
                gate[j] = z
                return batch.loss_at(
                    {f"{holder}.{p}": gate * own[f"{holder}.{p}"] for p in ("weight", "bias")}
                )

            slope = (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5
            assert scores[name][j] == pytest.approx(slope**2, rel=1e-4, abs=1e-12)


def test_gradients_are_squared_for_each_mini_batch_and_averaged_afterwards():
    model, method, units = setting("mlp", form="gate", mini_batch=5)
    x, y = images(20)
    found = method.unit_scores(units, Batch(model, (x, y)))
    parts = [Batch(model, (x[i : i + 5], y[i : i + 5])) for i in range(0, 20, 5)]
    for name in units:
        each = [method.unit_scores(units, part)[name] for part in parts]
        np.testing.assert_allclose(found[name], np.mean(each, axis=0))
    whole = TaylorPruning(one_shot(0.0), mini_batch=20).unit_scores(units, Batch(model, (x, y)))
    assert not np.allclose(found["1.weight"], whole["1.weight"], rtol=0.01)


@pytest.mark.parametrize("net", ALL)
def test_the_activation_form_looks_at_each_image_by_itself(net):
    """Against gates on the signals of one image at a time, divided by the number of positions."""
    model, method, units = setting(net, form="activation")
    x, y = images(6)
    found = method.unit_scores(units, Batch(model, (x, y)))
    with no_grad():
        positions = {
            n: a[0].size // a.shape[-1] for n, a in signals(units, Batch(model, (x, y)))[1].items()
        }
    gate = TaylorPruning(one_shot(0.0), form="gate")
    for name in units:
        each = [
            np.sqrt(gate.unit_scores(units, Batch(model, (x[i : i + 1], y[i : i + 1])))[name])
            for i in range(6)
        ]
        raw = np.mean(each, axis=0) / positions[name]
        np.testing.assert_allclose(found[name], raw / np.linalg.norm(raw), rtol=1e-8)


def test_scores_of_a_layer_have_norm_1_in_the_activation_form():
    s = np.array([3.0, 4.0])
    assert normalized(s).tolist() == [0.6, 0.8]
    assert normalized(0 * s).tolist() == [0.0, 0.0]


def test_signs_cancel_within_a_map_and_not_between_images():
    a = np.array([[[1.0], [-1.0]], [[2.0], [2.0]], [[-2.0], [-2.0]]])  # 3 images, 2 positions
    assert activation_form(a, np.ones_like(a)).tolist() == [4 / 3]


@pytest.mark.parametrize("form", FORMS)
def test_the_units_with_the_lowest_scores_of_all_layers_go(form):
    model = NETS["cnn"](np.random.default_rng(0))
    first = model.state_dict()
    method = TaylorPruning(one_shot(0.5), form, mini_batch=10, images=30)
    run = begin(method, model, SGD(model, 0.1), data(), rng=np.random.default_rng(2))
    model.load_state_dict(first)
    run.rng = np.random.default_rng(2)
    scores = method.unit_scores(method.units, run.draw(30))
    everything = {n: np.ones(s.shape, bool) for n, s in scores.items()}
    expected = best_units(scores, 0.5, "global", everything)
    assert sum(a.sum() for a in expected.values()) == 5
    for name, left in method.alive().items():
        np.testing.assert_array_equal(left, expected[name])


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="gate, weight, activation"):
        TaylorPruning(one_shot(0.5), "sum")
    with pytest.raises(ValueError, match="mini_batch"):
        TaylorPruning(one_shot(0.5), mini_batch=0)

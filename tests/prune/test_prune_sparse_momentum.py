import numpy as np
import pytest
from every_method import NETS, data
from test_prune_dynamic import Look

from minisparse.optim import SGD
from minisparse.prune.method import Method
from minisparse.prune.sparse_momentum import SparseMomentum, contributions
from minisparse.train import train


def fit(method, *others, epochs=3):
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    train(
        model, data(), SGD(model, 0.1), epochs=epochs, rng=rng, batch_size=10,
        methods=[*others, method], progress=False,
    )  # fmt: skip
    return model


def test_contributions_are_means_over_the_kept_weights_and_sum_to_1():
    momenta = {"a": np.array([[3.0, -1.0, 100.0]]), "b": np.array([[-1.0, 9.0]])}
    kept = {"a": np.array([[True, True, False]]), "b": np.array([[True, False]])}
    assert contributions(momenta, kept) == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    nothing = {n: np.zeros_like(m) for n, m in momenta.items()}
    assert contributions(nothing, kept) == {"a": 0.5, "b": 0.5}
    kept["b"][:] = False
    assert contributions(momenta, kept) == {"a": 1.0, "b": 0.0}


def test_m_is_the_running_mean_of_the_dense_gradient():
    method = SparseMomentum(0.7, rate=0.0, beta=0.5)
    gradients = []

    class Gradients(Method):
        def after_backward(self, run):
            gradients.append({n: p.grad.numpy() for n, p in run.model.named_parameters()})

    fit(method, Gradients(), epochs=1)
    for name, kept in method.mask().items():
        expected = 0
        for g in gradients:
            expected = 0.5 * expected + 0.5 * g[name]
        np.testing.assert_allclose(method.state_dict()["momentum"][name], expected, rtol=1e-5)
        assert expected[~kept].any(), "known where no weight is"


def test_what_was_dropped_is_redistributed_and_grows_where_m_is_largest():
    method = SparseMomentum(0.6, rate=0.5)
    seen = []

    class Before(Method):
        def after_epoch(self, run):  # stands before the method
            seen.append((method.mask(), run.model.state_dict(), method.state_dict()["momentum"]))

    after = Look(method)
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    train(
        model, data(), SGD(model, 0.1), epochs=3, rng=rng, batch_size=10,
        methods=[Before(), method, after], progress=False,
    )  # fmt: skip
    old, weights, momentum = seen[0]
    new = after.masks[6]
    moved = dropped = 0
    for name, m in new.items():
        w, size = weights[name], np.abs(momentum[name])
        n = old[name].sum()
        p = 0.5 / 2 * (1 + np.cos(np.pi / 3))
        smallest = np.sort(np.abs(w[old[name]]))[round(p * n) :]
        stay = old[name] & (np.abs(w) >= smallest[0])
        assert stay.sum() == n - round(p * n)
        grown = m & ~stay
        assert (m & stay).sum() == stay.sum()
        if grown.any() and (~m).any():
            assert size[grown].min() >= size[~m].max()
        moved += abs(int(m.sum()) - int(n))
        dropped += n - stay.sum()
    assert new.kept == old.kept
    assert moved > 0, "layers' shares move"
    assert dropped > 0


def test_errors():
    for settings in ({"rate": 1.5}, {"beta": 1.0}):
        with pytest.raises(ValueError, match="expected a rate"):
            SparseMomentum(0.5, **settings)

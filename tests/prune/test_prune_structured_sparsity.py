import numpy as np
import pytest
from every_method import NETS, data
from hooks import after_epoch, after_step, begin

from minisparse.autodiff import Tensor
from minisparse.nn import Linear
from minisparse.optim import SGD
from minisparse.prune.granularity import group_scores, ungroup
from minisparse.prune.penalties import GroupLasso, group_lasso_step
from minisparse.prune.structured_sparsity import SSL, ProximalSSL, group_penalty, ssl_step


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def norms(w, granularity):
    return np.sqrt(group_scores(w * w, granularity))


def test_ssl_weighs_every_group_the_same_and_not_by_the_root_of_its_size(rng):
    """The authors' solver has lambda sum_g |w_g|; sqrt(|g|) is Yuan and Lin's."""
    w = rng.standard_normal((2, 3, 4, 5))
    by_hand = norms(w, "unit").sum() + norms(w, "input").sum()
    assert group_penalty(w, ["unit", "input"]).item() == pytest.approx(by_hand)
    by_size = np.sqrt(24) * norms(w, "unit").sum() + np.sqrt(30) * norms(w, "input").sum()
    assert group_penalty(w, ["unit", "input"], "size").item() == pytest.approx(by_size)


def test_the_subgradient_is_that_of_the_penalty_and_0_in_empty_groups(rng):
    w = rng.standard_normal((4, 3))
    w[:, 1] = 0
    t = Tensor(w, requires_grad=True)
    group_penalty(t, ["unit", "input"]).backward()
    expected = w / np.linalg.norm(w, axis=1, keepdims=True)
    expected[:, [0, 2]] += w[:, [0, 2]] / np.linalg.norm(w[:, [0, 2]], axis=0)
    np.testing.assert_allclose(t.grad.numpy(), expected)


@pytest.mark.parametrize("granularity", ["unit", "input", "kernel", "shape", (2, 5)])
def test_the_step_shortens_each_norm_by_exactly_eta_lambda_or_to_0(rng, granularity):
    w = rng.standard_normal((2, 3, 4, 5)) * np.linspace(0.1, 1.5, 5)
    before = norms(w, granularity)
    amount = float(np.median(before))
    after = norms(ssl_step(w, amount, granularity), granularity)
    np.testing.assert_allclose(after, np.maximum(before - amount, 0), atol=1e-12)
    assert (after[before < amount] == 0).all()


def test_the_step_is_the_argmin_of_the_proximal_problem():
    a = np.linspace(-2, 2, 1601)
    x, y = np.meshgrid(a, a, indexing="ij")
    for w in ([1.2, -0.4], [0.3, 0.25]):
        r = (x - w[0]) ** 2 / 2 + (y - w[1]) ** 2 / 2 + 0.4 * np.hypot(x, y)
        i, j = np.unravel_index(np.argmin(r), r.shape)
        found = ssl_step(np.array(w).reshape(2, 1), 0.4, "unit")
        np.testing.assert_allclose(found[:, 0], [a[i], a[j]], atol=2e-3)


def test_the_step_of_overlapping_groups_is_not_the_composition_of_the_steps(rng):
    w, amount = np.array([[1.0, 0.5], [0.4, -0.3]]), 0.4

    def objective(v):
        return ((v - w) ** 2).sum() / 2 + amount * group_penalty(v, ["unit", "input"]).item()

    composed = ssl_step(ssl_step(w, amount, "unit"), amount, "input")
    best = min(
        (composed + s * rng.standard_normal((2, 2)) for s in (0.3, 0.1, 0.03) for _ in range(300)),
        key=objective,
    )
    assert objective(best) < objective(composed) - 1e-3


def test_the_group_lasso_of_penalties_is_the_other_weighting(rng):
    w = rng.standard_normal((9, 4))
    np.testing.assert_allclose(ssl_step(w, 3 * 0.1, "unit"), group_lasso_step(w, 0.1, "unit"))
    model = Linear(9, 4, rng=rng)
    ours, other = ProximalSSL(0.3), GroupLasso(0.3)
    results = []
    for method in (ours, other):
        twin = Linear(9, 4, rng=np.random.default_rng(0))
        twin.load_state_dict(model.state_dict())
        after_step(begin(method, twin, SGD(twin, 0.5)))
        results.append(twin.weight.numpy())
    np.testing.assert_allclose(results[0], ssl_step(model.weight.numpy(), 0.15, "unit"), rtol=1e-6)
    assert not np.allclose(*results)


def test_shapes_are_the_columns_of_the_matrix_that_a_convolution_is_computed_as(rng):
    w = rng.standard_normal((3, 2, 4, 5))
    columns = group_scores(w, "shape")
    np.testing.assert_allclose(columns.reshape(-1), w.reshape(24, 5).sum(axis=1))
    again = ungroup(columns, w.shape, "shape")
    np.testing.assert_array_equal(again[..., 0], columns)
    np.testing.assert_array_equal(again[..., 4], columns)
    dense = rng.standard_normal((4, 5))
    np.testing.assert_array_equal(group_scores(dense, "shape"), group_scores(dense, "input"))


def test_the_cut_takes_whole_small_groups_of_any_grouping(rng):
    model = NETS["cnn"](rng)
    with model[0].weight.writing() as w:
        w[..., 2] *= 1e-3
        w[1, 2] *= 1e-3
    method = SSL(0.1, at=1, granularities=["unit", "shape"], quality=0.1)
    after_epoch(begin(method, model, SGD(model, 0.1), data()))
    kept = method.mask()["0.weight"]
    expected = np.ones(kept.shape, bool)
    expected[..., 2] = expected[1, 2] = False
    np.testing.assert_array_equal(kept, expected)


def test_errors():
    for settings in ({"granularities": []}, {"weighting": "two"}):
        with pytest.raises(ValueError, match="one grouping or more"):
            SSL(0.1, 1, **settings)

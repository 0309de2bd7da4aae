import numpy as np
import pytest
from every_method import cnn, data, mlp
from hooks import begin
from test_prune_batch import images

from minisparse import nn
from minisparse.optim import SGD
from minisparse.prune.batch import Batch
from minisparse.prune.nisp import NISP, infinite_feature_selection, propagated, rank_correlation
from minisparse.prune.schedule import one_shot


def deep(rng):
    """Two convolutions, a batch norm, a flattening, two linear layers before the outputs."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 2, rng=rng), nn.ReLU(), nn.Conv2d(4, 5, 2, rng=rng)),
        *(nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(20, 6, rng=rng), nn.ReLU(), nn.Linear(6, 5, rng=rng), nn.ReLU()),
        nn.Linear(5, 3, rng=rng),
    )


def setting(net, n=20):
    model = net(np.random.default_rng(0)).to(np.float64).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_var = np.linspace(0.2, 3.0, 5)
            m.weight.data = np.linspace(-2.0, 2.0, 5)
    method = NISP(one_shot(0.0))
    units = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    return model, units, method.unit_scores(units, Batch(model, images(n)))


def test_in_a_linear_net_with_weights_above_0_the_scores_are_the_product_of_the_matrices():
    rng = np.random.default_rng(0)
    w2, w3, w4 = rng.random((6, 5)), rng.random((5, 4)), rng.random((4, 3))
    s = rng.random(3)
    found = s
    for w in (w4, w3, w2):
        found = propagated(w, found, np.arange(len(w))[None])
    np.testing.assert_allclose(found, (w2 @ w3 @ w4) @ s)


def test_a_filter_has_the_sum_of_its_scores_over_the_positions():
    """Through a convolution and a flattening, against the matrices of the whole maps."""
    model, _, scores = setting(deep)
    fc1, fc2 = abs(model[7].weight.numpy()), abs(model[9].weight.numpy())
    by_input = fc1 @ (fc2 @ scores["9.weight"])
    filters = by_input.reshape(4, 5).sum(axis=0)  # height, width, channel
    np.testing.assert_allclose(scores["2.weight"], filters)
    slope = abs(model[3].weight.numpy()) / np.sqrt(model[3].running_var + model[3].eps)
    taps = abs(model[2].weight.numpy()).sum(axis=(0, 1))
    np.testing.assert_allclose(scores["0.weight"], taps @ (filters * slope))


@pytest.mark.parametrize("net", [mlp, cnn, deep])
def test_the_scores_bound_what_happens_to_the_final_responses(net):
    model, units, scores = setting(net)
    x, y = images(20)
    batch = Batch(model, (x, y))
    before = batch.inputs()
    last, largest = list(units.values())[-1], 0.0
    for name, u in list(units.items())[:-1]:
        own = {n: p.numpy() for n, p in model.named_parameters()}
        for j in range(u.count):
            changed = {n: own[n].copy() for n in own}
            for holder in (u.layer, *u.norms):
                changed[f"{holder}.weight"][..., j] = changed[f"{holder}.bias"][j] = 0
            model.load_state_dict(model.state_dict() | changed)
            after = batch.inputs()
            model.load_state_dict(model.state_dict() | own)
            moved = (
                abs(after[last.readers[0]] - before[last.readers[0]])
                @ scores[f"{last.layer}.weight"]
            )
            rows = u.where[0][:, j]
            gone = abs(before[u.readers[0]][..., rows]).reshape(20, -1).sum(axis=1)
            assert (moved <= scores[name][j] * gone * (1 + 1e-9)).all()
            largest = max(largest, moved.max())
    assert largest > 0


def test_the_final_scores_sum_all_paths_through_the_graph_of_features():
    x = np.random.default_rng(0).standard_normal((40, 5)) * [1, 2, 3, 4, 5]
    rho = rank_correlation(x)
    spread = x.std(axis=0) / x.std(axis=0).max()
    a = 0.5 * np.maximum.outer(spread, spread) + 0.5 * (1 - abs(rho))
    r = 0.9 / abs(np.linalg.eigvals(a)).max()
    total, power = 0.0, np.eye(5)
    for _ in range(400):
        power = power @ (r * a)
        total = total + power
    np.testing.assert_allclose(infinite_feature_selection(x), total.sum(axis=1))


def test_a_feature_that_varies_and_repeats_no_other_comes_first():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 200))
    s = infinite_feature_selection(np.column_stack([one, one + 1e-3, one, 3 * other, 0 * one]))
    assert s.argmax() == 3
    assert s.argmin() == 4


def test_ranks_do_not_see_a_monotone_map_and_ties_share_their_rank():
    x = np.random.default_rng(0).standard_normal((30, 2))
    rho = rank_correlation(x)
    np.testing.assert_allclose(rank_correlation(np.exp(x)), rho)
    np.testing.assert_allclose(rank_correlation(np.column_stack([x, -x[:, 0]]))[0, 2], -1)
    tied = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]])  # ranks 1.5, 1.5, 3
    assert rank_correlation(tied)[0, 1] == pytest.approx(
        np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1]
    )


def test_responses_that_never_change_have_no_score():
    assert infinite_feature_selection(np.ones((4, 3))).tolist() == [0.0, 0.0, 0.0]


def test_a_layer_that_is_not_treated_passes_the_scores_on():
    model, _, scores = setting(mlp)
    method = NISP(one_shot(0.0), names=["1.weight"])
    only = method.find_units(begin(method, model, SGD(model, 0.1), data()))
    alone = method.unit_scores(only, Batch(model, images(20)))
    assert list(alone) == ["1.weight"]
    np.testing.assert_array_equal(alone["1.weight"], scores["1.weight"])

import numpy as np
import pytest
from every_method import NETS
from test_prune_dynamic import watched

from minisparse.prune.granularity import group_scores
from minisparse.prune.hard_thresholding import (
    IterativeHardThresholding,
    SoftFilterPruning,
    support,
)
from minisparse.prune.method import Method
from minisparse.prune.schedule import gradual, one_shot


def test_the_projection_is_the_nearest_point_with_k_weights():
    rng = np.random.default_rng(0)
    w = rng.standard_normal(8)
    kept = support({"w": w}, 3 / 8)["w"]
    best = min(
        (((w - np.where(choice, w, 0)) ** 2).sum(), choice)
        for choice in (tuple(bool(i >> b & 1) for b in range(8)) for i in range(256))
        if sum(choice) == 3
    )
    assert tuple(kept) == best[1]
    again = support({"w": np.where(kept, w, 0)}, 3 / 8)["w"]
    np.testing.assert_array_equal(again, kept, "idempotent")


def test_filters_go_by_their_euclidean_norm():
    w = np.zeros((2, 2, 1, 3))
    w[..., 0], w[0, 0, :, 1], w[..., 2] = 0.6, 1.1, 0.5  # norms 1.2, 1.1, 1.0; sums 2.4, 1.1, 2.0
    kept = support({"w": w}, 2 / 3, "layer", "unit")["w"]
    assert kept.any(axis=(0, 1, 2)).tolist() == [True, True, False]


@pytest.mark.parametrize("net", NETS)
def test_k_weights_are_left_after_every_step_and_the_support_moves(net):
    look = watched(IterativeHardThresholding(one_shot(0.7)), net)
    k = look.masks[0].total - round(0.7 * look.masks[0].total)
    for mask, weights in zip(look.masks, look.weights, strict=True):
        assert mask.kept == k
        assert not any(weights[n][~m].any() for n, m in mask.items())
    returned = [
        (later[n] & ~earlier[n]).any()
        for earlier, later in zip(look.masks[:-1], look.masks[1:], strict=True)
        for n in later
    ]
    assert any(returned) or net == "cnn"  # a unit of which nothing is left has no gradient


def test_between_two_projections_all_learn():
    look = watched(IterativeHardThresholding(one_shot(0.7), every=3))
    full = [
        any(weights[n][~m].any() for n, m in mask.items())
        for mask, weights in zip(look.masks, look.weights, strict=True)
    ]
    assert full[:7] == [True, True, False, True, True, False, False]


def test_zeroed_filters_have_other_values_after_one_update():
    """Soft: what was set to 0 after an epoch is updated like all others."""

    class Awake(Method):  # a relu lets gradients through where its input is positive
        def after_epoch(self, run):
            for _, p in run.model.named_parameters():
                if p.ndim == 1:
                    with p.writing() as b:
                        b[...] = 0.5

    look = watched(SoftFilterPruning(one_shot(0.5)), "cnn", Awake())
    mask, before, after = look.masks[6], look.weights[6], look.weights[7]
    gone = 0
    for name, m in mask.items():
        units = ~m.any(axis=tuple(range(m.ndim - 1)))
        assert not before[name][..., units].any()
        gone += units.sum()
    assert gone == 2 + 3
    assert all(after[n][~m].any() for n, m in mask.items())
    last, weights = look.masks[-1], look.weights[-1]
    assert not any(weights[n][~m].any() for n, m in last.items()), "it ends sparse"


def test_soft_filters_are_those_of_smallest_norm_in_each_layer_but_the_last():
    look = watched(SoftFilterPruning(one_shot(0.5)), "mlp")
    names = list(NETS["mlp"](np.random.default_rng(0)).state_dict())
    assert list(look.masks[-1]) == [n for n in names if "weight" in n][:-1]
    for name, m in look.masks[-1].items():
        norms = group_scores(look.weights[-1][name] ** 2, "unit")
        assert (norms > 0).sum() == m.shape[-1] / 2


def test_the_schedule_is_reached_and_errors():
    look = watched(IterativeHardThresholding(gradual(0.8, 0, 2), every=None))
    sparsities = [m.sparsity for m in look.masks]
    assert sparsities[-1] == pytest.approx(0.8, abs=1e-3)
    assert sparsities[0] == 0
    with pytest.raises(ValueError, match="every"):
        IterativeHardThresholding(one_shot(0.5), every=0)

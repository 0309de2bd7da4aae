import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin
from test_prune_batch import ALL, images, model_of, weights_of

from minisparse.optim import SGD
from minisparse.prune import fisher
from minisparse.prune.batch import Batch
from minisparse.prune.mask import Mask
from minisparse.prune.obs import saliency, update, woodbury_inverse
from minisparse.prune.schedule import one_shot
from minisparse.prune.single_gradients import loss_factors
from minisparse.prune.woodfisher import (
    WoodFisherPruning,
    WoodTaylorPruning,
    by_unit,
    deletion,
    from_blocks,
    in_blocks,
    inverse_fisher,
    rows_in_blocks,
)


@pytest.mark.parametrize("n", [3, 20])  # fewer images than weights in a block, and more
def test_each_block_is_the_inverse_of_damping_and_mean_outer_product(n):
    rows = np.random.default_rng(0).standard_normal((n, 2, 5))
    found = inverse_fisher(rows, 0.01)
    for b in range(2):
        g = rows[:, b]
        expected = np.linalg.inv(0.01 * np.eye(5) + g.T @ g / n)
        np.testing.assert_allclose(found[b], expected, rtol=1e-8)
        np.testing.assert_allclose(found[b], woodbury_inverse(g, 0.01), rtol=1e-8)


@pytest.mark.parametrize("net", ALL)
@pytest.mark.parametrize(("block", "at_once"), [(1, 50), (7, 1), (7, 300), (10**6, 1)])
def test_blocks_hold_the_weights_of_a_unit_side_by_side(net, block, at_once):
    model = model_of(net)
    names = weights_of(model)
    for n, factors in loss_factors(Batch(model, images(4)), names).items():
        shape = dict(model.named_parameters())[n].shape
        kept = np.random.default_rng(0).random(shape) < 0.7
        b = min(block, kept.size)
        found = np.concatenate(list(rows_in_blocks(factors, kept, b, at_once)), axis=1)
        for i, row in enumerate(factors.rows().reshape(4, *shape)):
            np.testing.assert_allclose(found[i], in_blocks(by_unit(row * kept), b), atol=1e-15)
            np.testing.assert_allclose(from_blocks(found[i], shape), row * kept, atol=1e-15)
    w = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(in_blocks(by_unit(w), 4), [[0, 2, 4, 1], [3, 5, 0, 0]])


def test_a_block_of_one_weight_ranks_as_the_empirical_fisher_diagonal():
    model = model_of("mlp")
    batch, names = Batch(model, images(6)), weights_of(model)
    squares = batch.squares()
    for n, factors in loss_factors(batch, names).items():
        w = dict(model.named_parameters())[n].numpy()
        (rows,) = rows_in_blocks(factors, np.ones(w.shape, bool), 1)
        s = from_blocks(saliency(in_blocks(by_unit(w), 1), inverse_fisher(rows, 1e-12)[..., 0]), w.shape)
        np.testing.assert_allclose(s, fisher.saliency(w, squares[n]), rtol=1e-6, atol=1e-11)


def test_a_single_deletion_is_the_update_of_obs():
    rng = np.random.default_rng(0)
    rows, w = rng.standard_normal((9, 1, 6)), rng.standard_normal((1, 6))
    inverse = inverse_fisher(rows, 0.1)
    for q in range(6):
        gone = np.arange(6)[None] == q
        np.testing.assert_allclose(deletion(w, inverse, gone)[0], update(w[0], inverse[0], q))


def test_several_deletions_add_up_as_if_each_were_alone():
    rng = np.random.default_rng(0)
    rows, w = rng.standard_normal((9, 1, 6)), rng.standard_normal((1, 6))
    inverse = inverse_fisher(rows, 0.1)
    gone = np.array([[True, False, False, True, False, False]])
    alone = [update(w[0], inverse[0], q) - w[0] for q in (0, 3)]
    expected = np.where(gone[0], 0, w[0] + alone[0] + alone[1])
    np.testing.assert_allclose(deletion(w, inverse, gone)[0], expected)


def test_woodtaylor_is_the_change_of_a_quadratic_loss_whose_gradient_is_not_zero():
    """By brute force: the least value with w_q = 0, and where it is."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 6))
    f, g, w = x.T @ x / 20, rng.standard_normal(6), rng.standard_normal(6)
    inverse = np.linalg.inv(f)
    v = inverse @ g

    def change(d):
        return g @ d + d @ f @ d / 2

    for q in range(6):
        gone = np.arange(6) == q
        new = deletion(w[None], inverse[None], gone[None], v[None])[0]
        s = saliency(w[q] - v[q], inverse[q, q]) - g @ v / 2
        assert change(new - w) == pytest.approx(s)
        assert new[q] == 0
        for _ in range(20):
            assert change(new - w + rng.standard_normal(6) * ~gone) > s


def test_woodtaylor_with_no_gradient_is_woodfisher():
    rng = np.random.default_rng(0)
    inverse, w = inverse_fisher(rng.standard_normal((9, 2, 4)), 0.1), rng.standard_normal((2, 4))
    gone = rng.random((2, 4)) < 0.5
    zero = np.zeros((2, 4))
    np.testing.assert_array_equal(deletion(w, inverse, gone, zero), deletion(w, inverse, gone))


def test_the_newton_step_is_cut_to_a_share_of_the_weights():
    method, w = WoodTaylorPruning(one_shot(0.5)), np.array([[3.0, 4.0]])
    np.testing.assert_allclose(method.newton(np.array([[30.0, 40.0]]), w), [[0.03, 0.04]])
    np.testing.assert_array_equal(method.newton(np.array([[0.003, 0.004]]), w), [[0.003, 0.004]])
    np.testing.assert_array_equal(WoodFisherPruning(one_shot(0.5)).newton(w, w), 0)


@pytest.mark.parametrize("kind", [WoodFisherPruning, WoodTaylorPruning])
def test_in_training_the_lowest_saliencies_go_and_the_others_change(kind):
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    first = {n: p.numpy().copy() for n, p in model.named_parameters()}
    method = kind(one_shot(0.3), images=30, damping=0.01)
    run = begin(method, model, SGD(model, 0.1), data())
    mask = method.mask()
    assert mask.kept == round(0.7 * mask.total)
    assert Mask.of_nonzeros(model, list(mask)) == mask
    for n, m in mask.items():
        assert (dict(model.named_parameters())[n].numpy() != first[n])[m].mean() > 0.3
    gone = ~mask["1.weight"]
    method.prune(0.5, run.draw(30))  # what has gone asks for nothing any more
    assert (gone & method.mask()["1.weight"]).sum() == 0
    assert Mask.of_nonzeros(model, list(mask)) == method.mask()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="block of 1 weight or more"):
        WoodFisherPruning(one_shot(0.5), block=0)
    with pytest.raises(ValueError, match="damping > 0"):
        WoodFisherPruning(one_shot(0.5), damping=0.0)

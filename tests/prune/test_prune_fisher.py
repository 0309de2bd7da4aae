import numpy as np
import pytest
from every_method import NETS
from test_prune_batch import ALL, images, model_of, weights_of

from minisparse.prune.batch import Batch
from minisparse.prune.fisher import FisherPruning, saliency
from minisparse.prune.schedule import one_shot
from minisparse.prune.single_gradients import loss_factors


@pytest.mark.parametrize("net", ALL)
def test_the_score_is_half_the_diagonal_of_the_explicit_product(net):
    model = model_of(net)
    batch, names = Batch(model, images(6)), weights_of(model)
    weights = {n: p.numpy() for n, p in zip(names, batch.parameters(names), strict=True)}
    scores = FisherPruning(one_shot(0.5)).score(weights, batch)
    for n, factors in loss_factors(batch, names).items():
        a = factors.rows().reshape(6, -1)
        f = a.T @ a / 6
        expected = np.diag(f) * weights[n].ravel() ** 2 / 2
        np.testing.assert_allclose(scores[n].ravel(), expected, rtol=1e-9, atol=1e-15)


def test_it_is_not_the_square_of_the_mean_gradient():
    """Trap: squares are of single images; the batch's own gradient is 0 at a minimum."""
    model = NETS["mlp"](np.random.default_rng(0)).to(np.float64)
    batch = Batch(model, images(8))
    name = weights_of(model)[0]
    assert (batch.squares()[name] >= batch.gradients([name])[name] ** 2 - 1e-15).all()
    assert batch.squares()[name].sum() > 2 * (batch.gradients([name])[name] ** 2).sum()


def test_deleting_a_weight_costs_the_saliency_where_the_loss_is_quadratic():
    w, f = np.array([2.0, -1.0]), np.array([0.5, 3.0])
    np.testing.assert_allclose(saliency(w, f), [1.0, 1.5])

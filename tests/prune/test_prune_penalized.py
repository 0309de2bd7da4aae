import numpy as np
import pytest
from hooks import after_epoch, begin

from minisparse.autodiff import Tensor
from minisparse.nn import LeNet300
from minisparse.optim import SGD
from minisparse.prune.magnitude import han_threshold
from minisparse.prune.penalized import LayerPenalty, PenalizedTraining, group_norms


class Sum(LayerPenalty):
    def of_layer(self, w):
        return (w * w).sum()


def small():
    return LeNet300(rng=np.random.default_rng(0), widths=(6, 5))


@pytest.mark.parametrize(
    ("granularity", "axes"),
    [("unit", (0, 1, 2)), ("input", (0, 1, 3)), ("kernel", (0, 1)), ("shape", (3,))],
)
def test_the_norm_of_each_group_and_a_gradient_of_0_where_all_of_it_is_0(granularity, axes):
    w = np.random.default_rng(0).standard_normal((2, 2, 3, 4))
    w[:, :, 1, 2] = w[0, 1, 0] = 0
    w = Tensor(w, requires_grad=True)
    norms = group_norms(w, granularity)
    np.testing.assert_allclose(norms.numpy(), np.sqrt((w.numpy() ** 2).sum(axis=axes)))
    norms.sum().backward()
    full = np.sqrt((w.numpy() ** 2).sum(axis=axes, keepdims=True))
    expected = np.where(full > 0, w.numpy() / np.where(full > 0, full, 1), 0)
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)


def test_the_penalty_ends_with_the_cut_and_the_mask_is_held():
    model, method = small(), Sum(0.3, at=2, quality=0.7)
    run = begin(method, model, SGD(model, 0.1))
    weights = [p.numpy() for p in model.parameters() if p.ndim == 2]
    penalty = method.before_loss(run)
    assert penalty.item() == pytest.approx(0.3 * sum((w * w).sum() for w in weights), rel=1e-5)
    after_epoch(run)
    assert method.mask().density == 1
    after_epoch(run)
    for w, kept in zip(weights, dict(method.mask().items()).values(), strict=True):
        np.testing.assert_array_equal(kept, abs(w) >= han_threshold(w, 0.7))
    assert method.before_loss(run) is None
    assert method.planned_until() == 2


def test_errors():
    for settings in ({"strength": -1}, {"strength": np.nan}, {"at": 0}, {"at": 1.5}, {"quality": -1}):
        with pytest.raises(ValueError, match=r"strength|whole number|quality"):
            Sum(**{"strength": 1.0, "at": 1, **settings})
    silent = PenalizedTraining(1.0, 1)
    with pytest.raises(NotImplementedError, match="says no penalty"):
        silent.penalty()
    with pytest.raises(NotImplementedError, match="what to keep"):
        silent.choose()

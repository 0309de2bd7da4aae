"""Every method on real digits: the network learns, something goes, and what is left is as good."""

import warnings

import numpy as np
import pytest
from every_method import METHODS
from mnist_cases import BATCH, CASES, EPOCHS, network, split

from minisparse import data, nn
from minisparse.prune.mask import Mask
from minisparse.sparse import shrink
from minisparse.train import evaluate, train

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", METHODS)
def test_learns_digits_with_less(name):
    case, rng = CASES[name], np.random.default_rng(1)
    model = network(rng)
    case.prepare(model, rng)
    method, unseen = case.make(), data.load("mnist").test.subset(range(1000))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(dead|due later).*")
        train(
            model, split(), case.optimizer(model), epochs=EPOCHS, rng=rng, batch_size=BATCH,
            methods=[method], progress=False,
        )  # fmt: skip
    plain, mask = model, method.mask()
    if nn.parametrized(model, nn.Parametrization):
        plain, kept = nn.harden(model.eval())
        mask = Mask(kept)
    trained = evaluate(model, unseen)
    assert trained.error_percent < 50.0  # chance is 90
    assert mask.density < 1 or not case.prunes
    small, _ = shrink(plain, mask, example=unseen.images[:1].astype(np.float32))
    assert evaluate(small, unseen).loss == pytest.approx(trained.loss, rel=1e-3, abs=1e-4)

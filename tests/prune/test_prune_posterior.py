import math

import numpy as np
import pytest
from every_method import NETS, data
from hooks import begin

from minisparse.optim import Adam
from minisparse.prune.vibnet import VIBNet, add_bottlenecks
from minisparse.train import train


def prepared():
    rng = np.random.default_rng(0)
    model = NETS["mlp"](rng)
    add_bottlenecks(model, ["1", "3", "5"], rng)
    return model, Adam(model, 1e-3), rng


@pytest.mark.parametrize("strength", [1.0, 0.2])
def test_the_divergence_is_divided_by_the_number_of_images_and_warmed_up(strength):
    model, optimizer, rng = prepared()
    method = VIBNet(60, warm_up=2.0, strength=strength)
    run = begin(method, model, optimizer, data(), rng=rng)
    whole = sum(p.divergence(layer.weight).item() for layer, p in method.layers.values())
    for time, beta in ((0.0, 0.0), (0.5, 0.25), (2.0, 1.0), (7.0, 1.0)):
        run.time = time
        expected = strength * beta * whole / 60
        assert method.before_loss(run).item() == pytest.approx(expected, rel=1e-5)


def test_the_history_tells_the_architecture():
    model, optimizer, rng = prepared()
    with model[1].parametrization.log_sigma2.writing() as v:
        v[:30] = 3
    method = VIBNet(60)
    run = train(model, data(), optimizer, epochs=1, rng=rng, batch_size=10, methods=[method],
                progress=False)  # fmt: skip
    assert run.history[-1]["architecture"] == "6-12-8"
    assert run.history[-1]["weights_left"] == 6 * 12 + 12 * 8 + 8 * 3 == method.mask().kept


def test_what_does_not_fit_is_refused():
    for n, warm_up, strength in ((0, 0, 1), (60, -1, 1), (60, math.nan, 1)):
        with pytest.raises(ValueError, match="number of training images and a duration"):
            VIBNet(n, warm_up, strength)
    for strength in (-1.0, math.inf):
        with pytest.raises(ValueError, match="strength is a finite number >= 0"):
            VIBNet(60, strength=strength)
    model, optimizer, rng = prepared()
    run = begin(VIBNet(50), model, optimizer, data(), rng=rng)
    with pytest.raises(ValueError, match="n = 50, but this run trains on 60 images"):
        run.methods[0].before_loss(run)

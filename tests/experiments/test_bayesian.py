"""The recipe of the Bayesian methods: each with its controls from the same run."""

from dataclasses import replace

import numpy as np
import pytest

from minisparse.experiments.recipes.bayesian import (
    DRAWN,
    MAGNITUDE,
    NOISE,
    WEIGHTS,
    Bayesian,
    SparseVariationalDropout,
)
from minisparse.experiments.recipes.scratch import SCRATCH

FEW = Bayesian(
    images=600,
    hold_out=1000,
    lr=2e-2,
    dense_epochs=1,
    noise_epochs=3,
    warm_up=1.0,
    decay_epochs=1,
)


def weights(outcome):
    return [k for name, k in outcome.kept.items() if name.endswith("weight")]


def test_the_controls_of_weights_keep_as_many_in_each_layer(run):
    found = run(replace(FEW, controls=True, draws=2))
    assert sum(weights(found)) < 0.7 * 266_200
    assert weights(found.points[SCRATCH]) == weights(found)
    assert weights(found.points[MAGNITUDE]) == weights(found)
    assert sum(weights(found.points[DRAWN])) == 266_200  # noise removes nothing
    assert all(0 < p.extra["ece"] < 1 for p in (found, *found.points.values()))


def test_the_controls_of_units_keep_as_many_inputs(run):
    recipe = replace(FEW, method="vibnet", initial=-2.0, strength=3.0, noise_epochs=6)
    found = run(replace(recipe, controls=True))
    inputs, first, second = (int(n) for n in found.history[-1]["architecture"].split("-"))
    assert inputs < 784
    for control in (found.points[SCRATCH], found.points[MAGNITUDE]):
        assert weights(control)[0] <= inputs * first
        assert weights(control)[1] <= first * second
        assert weights(control) == pytest.approx(weights(found), rel=0.1)


@pytest.mark.parametrize("method", [*NOISE, "l0-arm"])
def test_without_a_price_hardly_anything_goes(run, method):
    found = run(replace(FEW, method=method, strength=0.0, lr=1e-3, noise_epochs=2))
    at_first = 0.06 if method == WEIGHTS else 0.0  # log alpha >= 3 before any step: small weights
    assert sum(weights(found)) > (0.99 - at_first) * 266_200
    assert np.isfinite(found.loss)


def test_a_run_goes_on_where_it_was_interrupted(run, tmp_path, monkeypatch):
    recipe = replace(FEW, controls=True)
    whole = run(recipe)
    steps = 0
    before = SparseVariationalDropout.before_loss

    def interrupted(self, run):
        nonlocal steps
        steps += 1
        if steps == 10:  # in the second epoch with noise, of six steps each
            raise KeyboardInterrupt
        return before(self, run)

    from minisparse import checkpoint

    monkeypatch.setattr(checkpoint.RunFile, "due", lambda self: True)  # noqa: ARG005
    with monkeypatch.context() as broken:
        broken.setattr(SparseVariationalDropout, "before_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(recipe)
    assert list(tmp_path.iterdir())
    resumed = run(recipe)
    for point in (SCRATCH, MAGNITUDE):
        assert resumed.points[point].loss == whole.points[point].loss
    assert (resumed.loss, resumed.kept) == (whole.loss, whole.kept)

"""Which images are wrong under which seed, and what it takes to see a difference."""

import math

import numpy as np
import pytest

from minisparse.experiments import plots_seeds
from minisparse.experiments.entries import same_digits
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.wrong_images import WrongImages

FEW = {"images": 600, "hold_out": 1000, "epochs": 2, "decay_epochs": 1}


def run(recipe, tmp_path):
    return recipe.run(0, checkpoint=tmp_path / "state.npz", progress=lambda *_: None)


def test_the_wrong_images_are_those_that_the_error_counts_and_nothing_else_changes(tmp_path):
    found = run(WrongImages(**FEW), tmp_path)
    wrong = found.extra["wrong"]
    assert len(set(wrong)) == len(wrong)
    assert len(wrong) / 1000 == pytest.approx(found.error / 100)
    plain = run(Dense(**FEW), tmp_path)
    assert (plain.error, plain.loss, plain.kept) == (found.error, found.loss, found.kept)


def test_details_count_images_that_are_always_and_sometimes_wrong():
    class Outcome:
        def __init__(self, wrong):
            self.extra = {"wrong": wrong}

    found = same_digits._details([Outcome([1, 2, 3]), Outcome([2, 3, 4]), Outcome([3])])
    assert (found["always_wrong"], found["sometimes_wrong"]) == (1, 3)


def test_times_wrong_add_up_and_a_binomial_law_is_found_where_images_are_alike():
    rng = np.random.default_rng(0)
    wrong = [np.flatnonzero(rng.random(10_000) < 0.05).tolist() for _ in range(20)]
    found, even = plots_seeds.times_wrong(wrong), plots_seeds.binomial(wrong)
    assert found.sum() == 10_000
    assert even.sum() == pytest.approx(10_000)
    assert (abs(found - even) < 5 * np.sqrt(even + 1)).all()
    sizes = plots_seeds.spreads(wrong)  # then it makes no difference whose images they are
    own, both = sizes["new images for each"], sizes["new images, the same for both"]
    assert both == pytest.approx(own, rel=0.02)
    assert sizes["these images, new seeds"] == pytest.approx(own, rel=0.5)


def test_the_power_is_that_of_the_t_test():
    assert plots_seeds.power(0.0, 1.0, 5) == pytest.approx(0.025, abs=0.004)  # one of two sides
    many = plots_seeds.power(0.3, 1.0, 50)  # nearly normal: P(z > 2.01 - 0.3 sqrt(50))
    assert many == pytest.approx(0.5 * math.erfc((2.01 - 0.3 * 50**0.5) / 2**0.5), abs=0.02)

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from fake_experiments import TOTAL, Fake

from minisparse.experiments.recipe import Outcome, Recipe
from minisparse.nn import LeNet300


class Idle(Recipe):
    def run(self, seed, *, checkpoint, progress):
        raise NotImplementedError

    def quick(self):
        raise NotImplementedError


@dataclass(frozen=True)
class Widths(Idle):
    needed: int
    widths: tuple[int, ...] = (300, 100)
    rate: float = 0.1
    start: Recipe | None = None
    extra: tuple[int, ...] = field(default_factory=tuple)


def test_the_key_is_the_hash_of_what_differs_from_the_defaults():
    text = '{"recipe":"Fake","seed":3,"settings":{"error":2.5,"points":["a"]}}'
    expected = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert Fake(error=2.5, points=("a",), kept=90).key(3) == expected


def test_a_new_setting_with_a_default_keeps_the_key():
    @dataclass(frozen=True)
    class Widths(Idle):
        needed: int
        younger: str = "no"

    old, new = globals()["Widths"](needed=1), Widths(needed=1)
    assert old.key(0) == new.key(0) != Widths(needed=1, younger="yes").key(0)


def test_every_setting_and_the_seed_change_the_key():
    start = Widths(2)
    recipes = [
        start,
        Widths(3),
        Widths(2, widths=(300,)),
        Widths(2, rate=0.2),
        Widths(2, start=start),
        Widths(2, start=Widths(3)),
        Widths(2, extra=(1,)),
    ]
    assert len({recipe.key(seed) for recipe in recipes for seed in (0, 1)}) == 2 * len(recipes)


def test_whole_numbers_are_the_same_setting_with_and_without_a_point():
    assert Widths(2, rate=1.0).key(0) == Widths(2, rate=1).key(0)


def test_settings_are_complete():
    assert Widths(2, start=Fake()).settings() == {
        "recipe": "Widths",
        "needed": 2,
        "widths": [300, 100],
        "rate": 0.1,
        "start": {"recipe": "Fake", **FAKE_DEFAULTS},
        "extra": [],
    }


FAKE_DEFAULTS = {
    "error": 1.5,
    "kept": 90,
    "steps": 1,
    "pause": 0,
    "points": [],
    "crash": "",
}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_setting_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="a setting must be finite, got"):
        Widths(2, rate=value).key(0)


@pytest.mark.parametrize("value", [[1], {"a": 1}, np.float32(0.5), print])
def test_a_setting_that_json_cannot_hold_is_refused(value):
    with pytest.raises(TypeError, match="a setting must be a number, a string"):
        Widths(2, rate=value).key(0)


def outcome(**changes):
    values = {"error": 1.5, "loss": 0.1, "kept": {"fc1.weight": 90, "fc1.bias": 10}, "total": TOTAL}
    return Outcome(**(values | changes))


def test_compression_with_and_without_biases():
    assert outcome().compression("all") == (900 + 100) / (90 + 10)
    assert outcome().compression("weights") == 900 / 90
    assert outcome(kept={"fc1.weight": 90, "fc1.bias": 0}).compression() == 1000 / 90


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"error": math.nan}, "error must be a percentage"),
        ({"error": 101}, "error must be a percentage"),
        ({"error": -0.1}, "error must be a percentage"),
        ({"loss": math.nan}, "training diverged"),
        ({"loss": math.inf}, "training diverged"),
        ({"kept": {"fc1.weight": 90}}, "must count the same parameters"),
        ({"kept": {}, "total": {}}, "must count the same parameters"),
        ({"kept": {"fc1.weight": 901, "fc1.bias": 0}}, "901 entries kept of 900"),
        ({"kept": {"fc1.weight": -1, "fc1.bias": 0}}, "-1 entries kept of 900"),
        ({"kept": {"fc1.weight": 0, "fc1.bias": 10}}, "no weight is left"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        outcome(**changes)


def test_counts_of_a_model():
    model = LeNet300(rng=np.random.default_rng(0))
    weight = model.fc2.weight
    with weight.writing() as w:
        w[:, :60] = 0
    found = Outcome.of(model, error=1.0, loss=0.1, extra={"a": 1})
    assert sum(found.total.values()) == 266_610
    assert found.kept["fc2.weight"] == 300 * 40
    assert found.kept["fc1.bias"] == 0  # biases start at 0
    assert found.extra == {"a": 1}
    assert found.compression("weights") == 266_200 / (266_200 - 300 * 60)

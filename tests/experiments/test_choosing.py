"""Settings that are chosen on held-out images: the rules, and the command that does the trials."""

from dataclasses import dataclass

import pytest
from fake_experiments import Fake

from minisparse.experiments import choose
from minisparse.experiments.choosing import chosen, matched, together
from minisparse.experiments.experiment import Row
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.sensitivity import Sensitivity

RECIPE = Sensitivity(hold_out=1000)


def trials_of(choosing, answer):
    """Play the part of whoever does the trials; return what was chosen and what was asked."""
    asked, outcomes = [], None
    try:
        while True:
            trials = choosing.send(outcomes)
            asked.append(trials)
            outcomes = [answer(recipe, seed) for recipe, seed in trials]
    except StopIteration as end:
        return end.value, asked


def curve(power):
    """40 (T / 0.1)^power times fewer of 1,000,000 weights."""

    def answer(recipe, seed):  # noqa: ARG001
        kept = round(25_000 / (recipe.threshold / 0.1) ** power)
        return Outcome(1.0, 0.1, {"fc1.weight": kept}, {"fc1.weight": 1_000_000})

    return answer


@pytest.mark.parametrize("power", [0.7, 1.5, 3.0])
def test_a_setting_is_matched_to_a_compression(power):
    found, asked = trials_of(matched(RECIPE, "threshold", (30, 100), (0.08, 0.17)), curve(power))
    for target, value in found["values"].items():
        assert 40 * (value / 0.1) ** power == pytest.approx(float(target), rel=0.03)
    assert 1 <= len(asked) <= 4


def test_several_choices_share_their_rounds():
    parts = {
        "a": matched(RECIPE, "threshold", (30,), (0.17,)),
        "b": matched(RECIPE, "threshold", (30,), (0.9,)),
    }
    found, asked = trials_of(together(parts), curve(1.5))
    assert len(asked[0]) == 2
    alone, _ = trials_of(matched(RECIPE, "threshold", (30,), (0.9,)), curve(1.5))
    assert found["b"] == alone
    assert list(found) == ["a", "b"]


calls = []


@dataclass(frozen=True)
class Tried(Fake):
    def run(self, seed, *, checkpoint, progress):
        calls.append((self.error, seed))
        return super().run(seed, checkpoint=checkpoint, progress=progress)


def best_of(*errors):
    outcomes = yield [(Tried(error=e), 0) for e in errors]
    return min(outcomes, key=lambda o: o.error).error


@pytest.fixture
def experiment(publish, here):  # noqa: ARG001
    calls.clear()
    ways = {"low": lambda: best_of(1.9, 1.2), "high": lambda: best_of(1.9, 2.5)}
    return publish("some", {"a": Row(Fake())}, choose=ways)


def test_what_was_chosen_stands_beside_the_experiment(experiment, capsys):
    assert chosen(experiment.home, "some") == {}
    assert choose.main(["some", "--out", "out"]) == 0
    assert chosen(experiment.home, "some") == {"low": 1.2, "high": 1.9}
    assert sorted(calls) == [(1.2, 0), (1.9, 0), (2.5, 0)]  # what both ask for is tried once
    assert "3 of 4 trials to do" in capsys.readouterr().out


def test_a_choice_that_was_made_stays(experiment):
    choose.main(["some", "high", "--out", "out"])
    assert chosen(experiment.home, "some") == {"high": 1.9}
    assert calls == [(1.9, 0), (2.5, 0)]
    choose.main(["some", "--out", "out"])  # the trial that both ask for is there
    assert calls == [(1.9, 0), (2.5, 0), (1.2, 0)]
    assert [*chosen(experiment.home, "some")] == ["low", "high"]  # in the experiment's order
    choose.main(["some", "--out", "elsewhere"])
    assert len(calls) == 3


def test_an_unknown_choice_is_an_error(experiment):
    del experiment
    with pytest.raises(ValueError, match=r"some chooses \['low', 'high'\], not \['middle'\]"):
        choose.main(["some", "middle", "--out", "out"])

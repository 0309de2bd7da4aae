"""What a plan says of this machine: measured once, kept, and counted in steps."""

import json

import pytest

from minisparse.experiments import catalogue, pace
from minisparse.experiments.pace import REFERENCE, REFERENCE_SECONDS, Pace, of_this_machine
from minisparse.experiments.recipe import Work
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.recipes.stochastic import Stochastic
from minisparse.threads import get_num_threads

PER_EPOCH = 600
UNSPECIFIC = Work("lenet300", "unspecific")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Let measurements be made up; return the kinds that were asked for, one list per time."""
    asked = []

    def measure(kinds):
        asked.append(kinds)
        return dict.fromkeys(kinds, 0.5)

    monkeypatch.setenv(pace.SWITCH, "yes")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(pace, "file", lambda: tmp_path / "minisparse" / "pace.json")
    monkeypatch.setattr(pace, "measure", measure)
    return asked


def test_it_is_measured_once_and_only_what_is_needed(measured):
    said = []
    first = of_this_machine([Dense()], said.append)
    assert measured == [[REFERENCE]]
    assert "about 10 seconds, and once" in said[0]
    assert of_this_machine([Dense()], said.append) == first
    assert len(measured) == len(said) == 1
    of_this_machine([Sensitivity()], said.append)
    assert measured[1:] == [[UNSPECIFIC]]
    assert first.measured
    assert first.cores == get_num_threads()


@pytest.mark.parametrize("what", ["cpu_name", "get_num_threads"])
def test_another_machine_is_measured_anew(measured, monkeypatch, what):
    of_this_machine([Dense()], print)
    other = 17 if what == "get_num_threads" else "another"
    monkeypatch.setattr(pace, what, lambda: other)
    of_this_machine([Dense()], print)
    assert measured == [[REFERENCE]] * 2


def test_another_version_is_measured_anew(measured, monkeypatch):
    of_this_machine([Dense()], print)
    monkeypatch.setattr(pace.minisparse, "__version__", "9.9")
    of_this_machine([Dense()], print)
    assert len(measured) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machine": 1}', '{"steps": [{}]}'])
def test_a_damaged_file_is_written_again(measured, text):
    place = pace.file()
    place.parent.mkdir()
    place.write_text(text)
    of_this_machine([Dense()], print)
    assert len(measured) == 1
    assert json.loads(place.read_text())["steps"][0]["seconds"] == 0.5


def test_where_nothing_can_be_kept_it_is_measured_each_time(measured):
    pace.file().parent.write_text("in the way")
    for times in (1, 2):
        assert of_this_machine([Dense()], print).measured
        assert len(measured) == times


def test_nothing_is_measured_where_that_is_not_wanted_or_not_needed(measured, monkeypatch):
    assert not of_this_machine([], print).measured
    monkeypatch.setenv(pace.SWITCH, "no")
    assert not of_this_machine([Dense()], print).measured
    assert not measured


def test_recipes_count_their_steps():
    assert Dense(epochs=3).work() == {REFERENCE: 3 * PER_EPOCH}
    assert Dense(epochs=3, batch_size=200).work() == {REFERENCE: 3 * PER_EPOCH}  # in hundreds
    assert Dense(epochs=3).reduced().work() == {REFERENCE: 3 * 60}
    assert Dense(epochs=1, hold_out=10_000).work() == {REFERENCE: 500}
    s = Sensitivity(dense_epochs=1, sparsify_epochs=2, finetune_epochs=4)
    assert s.work() == {REFERENCE: 5 * PER_EPOCH, UNSPECIFIC: 2 * PER_EPOCH}
    assert Sensitivity(variant="none").work().keys() == {REFERENCE}
    gates = Work("lenet300", "gates")
    assert L0(epochs=2, scratch=Dense(epochs=1)).work() == {gates: 1200, REFERENCE: 600}
    zeroing = Work("lenet300", "zeroing")
    work = Stochastic(prune_epochs=2, finetune_epochs=1, scratch=Dense(epochs=1)).work()
    assert work == {zeroing: 1200, REFERENCE: 1200}
    assert Dense(dataset="cifar10").work().popitem()[0].image == (32, 32, 3)


def test_every_recipe_of_the_package_that_trains_knows_its_work():
    for name in catalogue.names():
        for recipe in catalogue.find(name).seeds_by_recipe(quick=False):
            assert recipe.work(), (name, recipe)


def test_minutes_are_steps_times_seconds_or_scaled():
    here = Pace({REFERENCE: 2 * REFERENCE_SECONDS}, cores=2)
    assert here.factor() == 2
    assert here.minutes(Dense(epochs=10), otherwise=7) == pytest.approx(6000 * 0.0025 / 60)
    assert here.minutes(Sensitivity(), otherwise=7) == 14  # a kind that was not measured
    assert Pace({}).minutes(Dense(), otherwise=7) == 7
    assert not Pace({}).measured


def test_jobs_side_by_side():
    two = Pace({}, cores=2)
    assert two.together([], 2) == 0
    assert two.together([1, 1, 1, 1], 2) == 2
    assert two.together([1, 1, 6], 2) == 6
    assert two.together([6], 1) == 3  # one job, on both cores
    assert Pace({}, cores=1).together([1, 2], 4) == 3


@pytest.mark.parametrize("method", ["dense", "unspecific", "specific", "gates", "zeroing"])
def test_every_kind_can_be_measured(method):
    kind = Work("lenet300", method, examples=20 if method == "specific" else None)
    threads = get_num_threads()
    found = pace.measure([kind], seconds=0.001)
    assert found.keys() == {kind}
    assert found[kind] > 0
    assert get_num_threads() == threads


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="unknown kind of training"):
        pace.measure([Work("lenet300", "magic")], seconds=0.001)

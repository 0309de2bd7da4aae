"""What a plan says of this machine: measured once, kept, and counted in steps."""

import json
from dataclasses import replace

import pytest

from minisparse import cli, kernels
from minisparse.book import command
from minisparse.book.chapters import chapters
from minisparse.experiments import catalogue, pace
from minisparse.experiments.pace import REFERENCE, REFERENCE_SECONDS, Pace, of_this_machine
from minisparse.experiments.recipe import Work
from minisparse.experiments.recipes.bayesian import METHODS, Bayesian
from minisparse.experiments.recipes.dense import Dense
from minisparse.experiments.recipes.l0 import L0
from minisparse.experiments.recipes.one_shot import OneShot
from minisparse.experiments.recipes.sensitivity import Sensitivity
from minisparse.experiments.recipes.stochastic import Stochastic
from minisparse.experiments.runner import make_plan
from minisparse.experiments.store import Store
from minisparse.machine import cpu_name
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
    monkeypatch.setattr(pace, "file", lambda: tmp_path / "minisparse" / "pace.json")
    monkeypatch.setattr(pace, "measure", measure)
    return asked


def test_it_is_measured_once_and_only_what_is_needed(measured):
    said = []
    first = of_this_machine([Dense()], said.append)
    assert measured == [[REFERENCE]]
    assert "about 10 seconds" in said[0]
    assert f"delete {pace.file()}" in said[0]
    assert of_this_machine([Dense()], said.append) == first
    assert len(measured) == len(said) == 1
    of_this_machine([Sensitivity()], said.append)
    of_this_machine([OneShot()], said.append)  # counts no steps
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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("", text) for text in ("", '{"machine": ', "[]", '{"machine": 1}')),
        ('"model"', '"mold"'),
        ("28", "[]"),
        *(("0.5", seconds) for seconds in ("NaN", "0.0", '"fast"')),
    ],
)
def test_a_damaged_file_is_measured_anew(measured, old, new):
    of_this_machine([Dense()], print)
    place = pace.file()
    kept = place.read_text()
    place.write_text(kept.replace(old, new) if old else new)
    assert of_this_machine([Dense()], print).seconds == {REFERENCE: 0.5}
    assert len(measured) == 2
    assert place.read_text() == kept


@pytest.mark.usefixtures("measured")
def test_it_is_kept_in_the_cache_folder_with_the_name_of_the_cpu(monkeypatch, tmp_path):
    of_this_machine([Dense()], print)
    assert json.loads(pace.file().read_text())["machine"]["cpu"] == cpu_name()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert pace.file().parts[-1] == "pace.json"
    assert "minisparse" in pace.file().parts


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
    gates = Work("lenet300", "gates", optimizer="adam")
    assert L0(epochs=2, scratch=Dense(epochs=1)).work() == {gates: 1200, REFERENCE: 600}
    noise, rest = (Work("lenet300", kind, optimizer="adam") for kind in ("vibnet", "dense"))
    bayesian = Bayesian(method="vibnet", dense_epochs=1, noise_epochs=2)
    assert bayesian.work() == {noise: 1200, rest: 600}
    assert replace(bayesian, controls=True).work() == {noise: 1200, rest: 600 + 2 * 1800}
    zeroing = Work("lenet300", "zeroing")
    work = Stochastic(prune_epochs=2, finetune_epochs=1, scratch=Dense(epochs=1)).work()
    assert work == {zeroing: 1200, REFERENCE: 1200}
    assert Dense(dataset="cifar-10").work().popitem()[0].image == (32, 32, 3)


@pytest.mark.parametrize("name", catalogue.names())
def test_every_recipe_that_mostly_trains_knows_its_work(name):
    for recipe in catalogue.find(name).seeds_by_recipe(quick=False):
        assert bool(recipe.work()) == (not isinstance(recipe, OneShot)), recipe


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
    assert two.together([3, 3], 1) == 6
    assert Pace({}, cores=1).together([1, 2], 4) == 3


# ---- measuring ----------------------------------------------------------------------------------


@pytest.fixture
def definitions():
    """Compute with the definitions: nothing is compiled."""
    kernels.use("numpy")
    yield
    kernels.use()


class Clock:
    """Tells moments: the steps between them have these lengths, and then the last for ever."""

    def __init__(self, *lengths):
        self.lengths, self.now, self.looks = list(lengths), 0.0, 0

    def __call__(self):
        self.looks += 1
        self.now += self.lengths.pop(0) if len(self.lengths) > 1 else self.lengths[0]
        return self.now


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize(
    "kind",
    [
        *(Work("lenet300", m) for m in ("dense", "unspecific", "specific", "zeroing")),
        *(Work("lenet300", m, optimizer="adam") for m in ("dense", "gates", *METHODS)),
        Work("lenet300", "specific", examples=20),
        Work("lenet300", "unspecific", form="batch-mean"),
        Work("small-cnn-norm", "dense", (32, 32, 3), "adam"),
    ],
    ids=str,
)
def test_every_kind_can_be_measured(kind):
    threads = get_num_threads()
    assert pace.measure([kind], 0.0, Clock(1.0), Clock(0.25)) == {kind: 0.25}
    assert get_num_threads() == threads


@pytest.mark.usefixtures("definitions")
def test_what_is_compiled_and_what_others_take_does_not_count():
    clock, used = Clock(2.0), Clock(0, 99, 99, 99, 0.25)
    assert pace.measure([REFERENCE], 20.0, clock, used) == {REFERENCE: 0.25}
    assert clock.looks == used.looks == 4 + 10  # 20 seconds by the clock


@pytest.mark.usefixtures("definitions")
def test_kinds_share_the_seconds():
    other, clock = Work("lenet300", "dense", optimizer="adam"), Clock(0.5)
    found = pace.measure([REFERENCE, other], 20.0, clock, Clock(0.25))
    assert found == {REFERENCE: 0.25, other: 0.25}
    assert clock.looks == 2 * (4 + 20)


def test_unknown_kinds_are_refused():
    threads = get_num_threads()
    with pytest.raises(ValueError, match="unknown kind of training"):
        pace.measure([Work("lenet300", "magic")], seconds=0.0)
    assert get_num_threads() == threads


# ---- what the commands say ----------------------------------------------------------------------


def measured_with(monkeypatch, tmp_path, seconds):
    """Let every kind take so long, on two cores."""
    monkeypatch.setenv(pace.SWITCH, "yes")
    monkeypatch.setattr(pace, "file", lambda: tmp_path / f"{seconds}.json")
    monkeypatch.setattr(pace, "get_num_threads", lambda: 2)
    monkeypatch.setattr(pace, "measure", lambda kinds: dict.fromkeys(kinds, seconds))


def test_list_prints_minutes_of_this_machine(monkeypatch, tmp_path, capsys):
    told = []
    for seconds in (0.001, 0.004):
        measured_with(monkeypatch, tmp_path, seconds)
        assert cli.main(["list", "--json", "--out", str(tmp_path)]) == 0
        told.append({e["id"]: e["minutes"] for e in json.loads(capsys.readouterr().out)})
    for name, minutes in told[0].items():
        assert told[1][name] == pytest.approx(4 * minutes), name
    # 5 seeds of 30 epochs: three on one thread
    epochs = 5 * 30 / min(2, get_num_threads())
    assert told[0]["dense-lenet300"] == pytest.approx(epochs * 600 * 0.001 / 60)
    assert cli.main(["list", "--out", str(tmp_path)]) == 0
    assert "minutes: on 2 cores of this machine, as measured" in capsys.readouterr().out


def test_reproduce_prints_minutes_of_this_machine_for_what_is_missing(monkeypatch, tmp_path):
    store = Store(tmp_path / "runs", print)
    dense = catalogue.find("dense-lenet300")
    measured_with(monkeypatch, tmp_path, 0.02)
    plan = make_plan([dense], store=store, out=tmp_path, at_once=2)
    line = next(plan.lines())
    assert line.startswith("5 runs to do, about 15 minutes on this machine; ")
    monkeypatch.setattr(Store, "load", lambda *_: "a finished run")
    monkeypatch.setattr(pace, "file", lambda: pytest.fail("nothing is missing"))
    assert next(make_plan([dense], store=store, out=tmp_path).lines()).startswith("all runs")


def test_book_prints_minutes_of_this_machine(monkeypatch, tmp_path, capsys):
    every = chapters()
    seconds = sum(chapter.seconds_to_run for chapter in every)
    measured_with(monkeypatch, tmp_path, 3 * REFERENCE_SECONDS)
    command._announce(every, 1)
    minutes = round(3 * seconds / 60)
    assert f"{len(every)} chapters, about {minutes} min on this machine" in capsys.readouterr().out
    monkeypatch.setenv(pace.SWITCH, "no")
    command._announce(every[:1], 1)
    assert (
        capsys.readouterr().out
        == "1 chapter, about 1 min on the machine that they were written on\n"
    )

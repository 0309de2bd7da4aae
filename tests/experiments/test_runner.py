import json
from dataclasses import dataclass, replace

import matplotlib.image
import pytest
from fake_experiments import NOISE, Fake, published

from minisparse.experiments import catalogue, jobs, plots, runner
from minisparse.experiments.experiment import Row
from minisparse.experiments.store import ResultsError
from minisparse.progress import PlanProgress

calls = []


@dataclass(frozen=True)
class Counted(Fake):
    """Notes each run; sees an interrupt coming for one of them."""

    interrupt: bool = False

    def run(self, seed, *, checkpoint, progress):
        calls.append((self.error, seed))
        if self.interrupt and len(calls) == 2:
            raise KeyboardInterrupt
        return super().run(seed, checkpoint=checkpoint, progress=progress)


@pytest.fixture(autouse=True)
def forget():
    calls.clear()


def reproduce(*experiments, out="out", **settings):
    from pathlib import Path

    return runner.reproduce(experiments, out=Path(out), display=PlanProgress(), **settings)


def test_a_finished_run_is_never_repeated(publish, here):
    experiment = publish("some", {"a": Row(Counted()), "b": Row(Counted(error=2.0))})
    first = reproduce(experiment, seeds=2)
    assert calls == [(1.5, 0), (1.5, 1), (2.0, 0), (2.0, 1)]
    files = {p: p.read_bytes() for p in (here / "out").rglob("*.*") if p.suffix != ".png"}
    assert reproduce(experiment, seeds=2) == first
    assert len(calls) == 4
    assert {p: p.read_bytes() for p in files} == files
    (more,) = reproduce(experiment, seeds=3)
    assert calls[4:] == [(1.5, 2), (2.0, 2)]
    assert more["rows"][0]["ours"]["n_seeds"] == 3


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("alone", [False, True])
def test_runs_that_measure_time_are_alone(publish, monkeypatch, alone):
    asked = []

    def at_once(count):
        asked.append(count)
        return jobs._in_turn

    monkeypatch.setattr(jobs, "_at_once", at_once)
    rows = {"a": Row(Counted()), "b": Row(Counted(error=2.0))}
    reproduce(publish("some", rows, alone=alone), at_once=2)
    assert asked == ([] if alone else [2])
    assert len(calls) == 2


def test_force_repeats_and_starts_from_the_beginning(publish, here):
    experiment = publish("some", {"a": Row(Counted(steps=3))})
    reproduce(experiment)
    checkpoint = here / "out" / "runs" / f"{Counted(steps=3).key(0)}.ckpt.npz"
    checkpoint.write_text("2")
    phase = checkpoint.with_name(f"{checkpoint.name}.phase0.npz")
    phase.touch()
    reproduce(experiment, force=True)
    assert len(calls) == 2
    record = json.loads((here / "out" / "runs" / f"{Counted(steps=3).key(0)}.json").read_text())
    assert record["extra"] == {"first": 0}
    assert record["resumed"] is False
    assert not checkpoint.exists()
    assert not phase.exists()


def test_rows_and_experiments_share_runs(publish, here, capsys):  # noqa: ARG001
    rows = {"a": Row(Counted()), "same": Row(Counted(error=1.5))}
    one, two = publish("one", rows), publish("two", {**rows, "b": Row(Counted(error=2.0))})
    found = reproduce(one, two)
    assert calls == [(1.5, 0), (2.0, 0)]
    assert capsys.readouterr().out.startswith(
        "2 runs to do, about 9 minutes on 1 core"
    )  # 2 (3 / 1 + 3 / 2)
    assert [len(each["rows"]) for each in found] == [2, 3]


def test_a_quick_run_is_another_run(publish, here):
    experiment = publish("some", {"a": Row(Counted())})
    reproduce(experiment, quick=True)
    reproduce(experiment)
    assert len(calls) == 2
    assert len([*(here / "out" / "runs").glob("*.json")]) == 2


def test_a_quick_version_must_differ(publish, here):  # noqa: ARG001
    class Same(Fake):
        def quick(self):
            return self

    experiment = publish("some", {"a": Row(Same())})
    with pytest.raises(ValueError, match=r"Same.quick\(\) changed no setting"):
        reproduce(experiment, quick=True)


def test_a_quick_run_does_not_replace_full_results(publish, here):
    experiment = publish("some", {"a": Row(Counted())})
    reproduce(experiment, quick=True)
    reproduce(experiment)
    before = (here / "out" / "some" / "results.json").read_bytes()
    with pytest.raises(ResultsError, match="results of full runs, which a quick run would"):
        reproduce(experiment, quick=True)
    assert (here / "out" / "some" / "results.json").read_bytes() == before
    reproduce(experiment, quick=True, out="elsewhere")


def test_a_damaged_run_is_done_again(publish, here, capsys):
    experiment = publish("some", {"a": Row(Counted())})
    first = reproduce(experiment)
    path = here / "out" / "runs" / f"{Counted().key(0)}.json"
    path.write_text(path.read_text()[:-30])
    capsys.readouterr()
    again = reproduce(experiment)
    assert len(calls) == 2
    assert "warning:" in capsys.readouterr().err
    assert again[0]["rows"][0]["ours"]["errors"] == first[0]["rows"][0]["ours"]["errors"]


def test_an_interrupt_keeps_what_is_finished(publish, here):
    rows = {"a": Row(Counted()), "b": Row(Counted(error=2.0, interrupt=True))}
    experiment = publish("some", rows)
    with pytest.raises(KeyboardInterrupt, match=r"1 of 2 runs done in this call. All finished"):
        reproduce(experiment)
    assert not (here / "out" / "some").exists()
    reproduce(experiment)
    assert calls == [(1.5, 0), (2.0, 0), (2.0, 0)]


def test_an_unfinished_run_goes_on_from_its_checkpoint(publish, here):
    recipe = Counted(steps=5)
    experiment = publish("some", {"a": Row(recipe)})
    runs = here / "out" / "runs"
    runs.mkdir(parents=True)
    (runs / f"{recipe.key(0)}.ckpt.npz").write_text("3")
    reproduce(experiment)
    record = json.loads((runs / f"{recipe.key(0)}.json").read_text())
    assert record["extra"] == {"first": 3}
    assert record["resumed"] is True
    assert [p.name for p in runs.iterdir()] == [f"{recipe.key(0)}.json"]


def test_an_error_says_in_which_run(publish, here):  # noqa: ARG001
    experiment = publish("some", {"a": Row(Counted()), "b": Row(Fake(crash="a NaN"))})
    with pytest.raises(ValueError, match="a NaN") as caught:
        reproduce(experiment)
    assert caught.value.__notes__ == ["in the run some: b, seed 0"]


def test_the_comparison_is_read_before_the_work(publish, here):  # noqa: ARG001
    experiment = publish("some", {"a": Row(Counted())}, {"rows": {"c": {}}})
    with pytest.raises(ValueError, match=r"rows \['c'\] are not in the experiment"):
        reproduce(experiment)
    assert calls == []


def test_a_folder_that_cannot_be_is_an_error_before_the_work(publish, here):
    (here / "out").write_text("a file")
    with pytest.raises(ResultsError, match="cannot write out/runs"):
        reproduce(publish("some", {"a": Row(Counted())}))
    assert calls == []


def test_results_are_written_before_the_figure(publish, here):
    def figure(results, path):  # noqa: ARG001
        raise RuntimeError("no fonts")

    experiment = publish("some", {"a": Row(Counted())}, figure=figure)
    with pytest.raises(RuntimeError, match="no fonts"):
        reproduce(experiment)
    assert sorted(p.name for p in (here / "out" / "some").iterdir()) == [
        "results.json",
        "table.csv",
        "table.md",
    ]


def test_the_plan_says_what_is_to_do_and_how_long_it_takes(publish, here, capsys):  # noqa: ARG001
    rows = {"a": Row(Counted()), "b": Row(Counted(error=2.0)), "same": Row(Counted())}
    experiment = publish("some", rows, minutes=6.0, quick_minutes=0.5)
    reproduce(experiment)
    capsys.readouterr()
    reproduce(experiment, seeds=3)
    out = capsys.readouterr().out.splitlines()
    # 6 minutes on two cores for two runs; here they go on one after the other
    assert out[0] == "4 runs to do, about 24 minutes on 1 core; results go to out"
    assert "3 seeds, 2 of 6 runs finished, 4 runs to do, about 24 minutes" in out[1]
    assert out[2].startswith("[1/4] some: a, same, seed 1: error 1.60 %, 10.0x, 0.0 s")
    reproduce(experiment, quick=True, out="quick")
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("QUICK RUN (reduced training, not compared with the papers): 2 runs")
    assert "about 1 minute on 1 core" in out[0]
    reproduce(experiment, seeds=3)
    assert capsys.readouterr().out.splitlines()[0] == "all runs are finished; results go to out"


def test_an_unknown_id_is_suggested(publish):
    publish("sensitivity-table1", {"a": Row(Fake())})
    with pytest.raises(catalogue.UnknownExperimentError, match="Did you mean sensitivity-table1"):
        catalogue.find("sensitivty-table")
    with pytest.raises(catalogue.UnknownExperimentError, match="`minisparse list` shows"):
        catalogue.find("x")


def test_an_id_listed_wrongly_is_an_error(publish):
    experiment = publish("some", {"a": Row(Fake())})
    catalogue.MODULES["other"] = catalogue.MODULES["some"]
    assert catalogue.find("some") is experiment
    with pytest.raises(ValueError, match="holds 'some', listed as 'other'"):
        catalogue.find("other")


def test_all_four_files_are_written(publish, here):
    comparison = {
        "rows": {"a": {"noise": NOISE, "published": published(1.5, 9.0), "bar": {"error": 2}}},
        "others": [{"name": "Somebody", **published(1.8, 9.99)}],
    }
    rows = {
        "a": Row(Fake(), "s"),
        "b": Row(replace(Fake(), kept=45), "s"),
        "c": Row(Fake(kept=900)),
    }
    reproduce(publish("some", rows, comparison, figure=plots.draw), seeds=2)
    folder = here / "out" / "some"
    assert sorted(p.name for p in folder.iterdir()) == [
        "figure.png",
        "results.json",
        "table.csv",
        "table.md",
    ]
    width, height = matplotlib.image.imread(folder / "figure.png").shape[1::-1]
    assert width > height > 500

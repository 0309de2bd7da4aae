"""The experiments that come with the package: all that can be checked without training."""

import pytest

from minisparse import cli
from minisparse.experiments import building, catalogue, results, runner, tables
from minisparse.experiments.comparison import RECALLED
from minisparse.experiments.pace import Pace
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.store import StoredRun

LENET = {"fc1.weight": 235_200, "fc1.bias": 300, "fc2.bias": 100}
FORMS = {"dense": 60.0, "csr": 20.0, "shrunk": 40.0, "shrunk, csr": 15.0}
SPEED = {
    "batches": {
        batch: {
            "rows": [
                {"candidate": n, "us": us, "low": us - 1, "high": us + 2, "speedup": 60 / us}
                for n, us in FORMS.items()
            ],
            "picked": "shrunk, csr",
            "protocol": "batch 1, no gradients, 1 thread, abacus",
            "busy": 0.5,
        }
        for batch in ("1", "100")
    },
    "bytes": {"dense": 4000, "file": 3000, "shrunk_file": 2000},
}
FLOPS = {who: {"l0": 20_000.0, "flops": 40_000.0} for who in ("authors", "ours")}
L0 = {"architecture": "220-210-100", "expected": FLOPS, "left": FLOPS}
# what the runs of an experiment leave besides errors and counts, and after each epoch
EXTRAS = {
    "speed": SPEED,
    "l0-table1": L0,
    "l0-flops": L0,
    "l0-reimplementations": L0,
    "same-digits": {"wrong": list(range(150))},
    "stochastic-nodes": {"nodes_left": {"fc1": 150, "fc2": 40}},
    "sparse-start": {"exploration": 0.3},
    "large-weights-fashion": {"stability": 90.0},
    "large-weights-cifar10": {"stability": 90.0},
    "large-weights-fair": {"stability": 90.0, "train_error": 0.1},
    "large-weights-fair-fashion": {"stability": 90.0, "train_error": 0.1},
    "large-weights-units": {"stability": 90.0, "train_error": 0.1},
    "large-weights-why": {"stability": 90.0, "train_error": 0.1},
    "large-weights-rates": {"stability": 90.0, "train_error": 0.1},
}
EPOCH = {
    "l0-table1": {"expected_flops_authors": 9e4, "expected_flops_ours": 8e4},
    "sparse-start": {"exploration": 0.2},
    "stochastic-nodes": {"weights_left": 9000, "nodes_left_fc1": 200, "nodes_left_fc2": 70},
}
EPOCH["l0-flops"] = EPOCH["l0-reimplementations"] = EPOCH["l0-table1"]


@pytest.fixture(params=catalogue.names())
def experiment(request):
    return catalogue.find(request.param)


def pretend(experiment, *, quick):
    """Results of runs that nobody did: each row compresses twice as much as the one before."""
    runs, extra = {}, EXTRAS.get(experiment.id, {})
    history = [{"epoch": e, **EPOCH.get(experiment.id, {})} for e in (1, 2)]
    for i, name in enumerate(experiment.rows):
        kept = {**LENET, "fc1.weight": max(1, 235_200 >> i)}
        points = {
            r.point: Outcome(2.0, 0.1, kept, LENET, extra=extra)
            for r in experiment.rows.values()
            if r.point
        }
        recipe = experiment.recipe(name, quick=quick)
        for nth, seed in enumerate(experiment.seeds_of(name, 2)):
            error = 1.5 + 0.1 * nth + 0.1 * i
            outcome = Outcome(error, 0.1, kept, LENET, history, extra, points)
            runs.setdefault(
                (recipe, seed), StoredRun(recipe.key(seed), outcome, {}, 1.0, resumed=False)
            )
    return building.build(experiment, experiment.comparison(), runs, seeds=2, quick=quick)


@pytest.mark.parametrize("quick", [False, True])
def test_the_tables_the_figure_and_the_sentence_can_be_made(experiment, quick, tmp_path):
    found = pretend(experiment, quick=quick)
    assert found["sentence"].endswith(".")
    assert all(row["name"] in tables.to_text(found) for row in found["rows"])
    runner.draw(experiment, found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_what_is_recalled_is_called_so(experiment):
    found = pretend(experiment, quick=False)
    published = [row["published"] for row in found["rows"] if row["published"]]
    if any(p["status"] == "recalled" for p in published):
        assert RECALLED in " ".join(tables.to_text(found).split())
        assert RECALLED in tables.to_markdown(found)


def test_a_row_that_can_fail(experiment):
    """Somewhere a bar is set or a claim made: an experiment that cannot fail checks nothing."""
    bars = [row.bar for row in experiment.comparison().rows.values()]
    what_can_fail = any(bar.error is not None for bar in bars) or experiment.claims
    assert what_can_fail or experiment.id in MAPS


MAPS = ("one-protocol", "same-digits")  # they show, and claim nothing


def test_quick_runs_are_other_runs(experiment):
    for name in experiment.rows:
        full, quick = (experiment.recipe(name, quick=q) for q in (False, True))
        assert full.key(0) != quick.key(0)


def test_the_headline_fits_its_time():
    headline = catalogue.find(catalogue.DEFAULT)
    assert headline.total_minutes(Pace({}), 2) <= 12
    assert headline.quick_minutes * headline.seeds <= 1.5


@pytest.mark.slow
def test_a_quick_run_trains(tmp_path, capsys):
    arguments = ["reproduce", "dense-lenet300", "--quick", "--seeds", "1", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    (row,) = results.read(tmp_path / "dense-lenet300" / "results.json")["rows"]
    assert 3 < row["ours"]["error_mean"] < 15
    assert row["ours"]["compression_all_mean"] == pytest.approx(1, abs=0.01)
    assert "QUICK RUN" in capsys.readouterr().out

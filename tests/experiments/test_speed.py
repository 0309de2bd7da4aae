"""The experiment `speed`: what is measured, what its table says, and its figure."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_entries import SPEED, pretend

from minisparse import cli, threads
from minisparse.experiments import catalogue, results, tables
from minisparse.experiments.entries import speed
from minisparse.experiments.recipe import Outcome
from minisparse.experiments.recipes.speed import one_thread, times_and_sizes
from minisparse.nn import LeNet300

COUNTS = {"fc1.weight": 100}


@pytest.fixture
def found():
    """Made-up results: CSR is faster at every compression, but not at the first."""
    found = pretend(catalogue.find("speed"), quick=False)
    for i, row in enumerate(found["rows"]):
        row["ours"]["compression_mean"] = float(1 + i)
        for timed in row["details"]["batches"].values():
            timed["speedup"]["csr"] = {"value": 0.5 * (1 + i), "low": 0.4 * (1 + i), "high": 9.0}
    return found


def masked_net(rng):
    """A LeNet-300-100 with 10 % of the weights, a third of the units of fc1 without any."""
    model = LeNet300(rng=rng)
    for p in (model.fc1.weight, model.fc2.weight, model.fc3.weight):
        with p.writing() as w:
            w *= rng.random(w.shape) < 0.1
    with model.fc1.weight.writing() as w:
        w[:, :100] = 0
    return model


def test_what_is_measured_of_a_network():
    model = masked_net(np.random.default_rng(0))
    before = model.state_dict()
    found = times_and_sizes(model, (1, 3), rounds=3)
    assert json.loads(json.dumps(found)) == found
    assert list(found["batches"]) == ["1", "3"]
    for timed in found["batches"].values():
        rows = {row["candidate"]: row for row in timed["rows"]}
        assert {"dense", "csr", "blocked", "shrunk", "shrunk, csr"} <= rows.keys()
        assert all(0 < row["low"] <= row["us"] <= row["high"] for row in rows.values())
        assert timed["picked"] == min(rows, key=lambda name: rows[name]["us"])
        assert rows["csr"]["speedup"] == rows["dense"]["us"] / rows["csr"]["us"]
        assert "1 thread," in timed["protocol"]
        assert 0 <= timed["busy"] <= 1
    read = int(before["fc3.weight"].any(axis=1).sum())
    assert 0 < read < 100
    assert found["units"] == {"fc1": 200, "fc2": read}
    nonzero = sum(np.count_nonzero(a) for n, a in before.items() if n.endswith("weight"))
    assert (found["multiply_adds"], found["sparse_multiply_adds"]) == (266_200, nonzero)
    sizes = found["bytes"]
    assert sizes["dense"] == 4 * 266_610
    assert 4 * nonzero < sizes["shrunk_file"] < sizes["file"] < sizes["dense"] / 4
    assert all(np.array_equal(a, before[n]) for n, a in model.state_dict().items())


def test_the_number_of_threads_comes_back():
    before = threads.get_num_threads()
    with one_thread():
        assert threads.get_num_threads() == 1
    assert threads.get_num_threads() == before


def test_details_are_means_over_the_seeds():
    other = copy.deepcopy(SPEED)
    rows = {row["candidate"]: row for row in other["batches"]["1"]["rows"]}
    rows["csr"] |= {"us": 10.0, "low": 8.0, "high": 12.0, "speedup": 6.0}
    other["batches"]["1"] |= {"picked": "csr", "busy": 0.1}
    other["bytes"]["file"] = 1000
    details = speed.details([Outcome(1, 0, COUNTS, COUNTS, extra=e) for e in (SPEED, other)])
    one = details["batches"]["1"]
    assert one["speedup"]["csr"]["value"] == (3 + 6) / 2
    assert one["speedup"]["csr"]["low"] == pytest.approx((60 / 22 + 60 / 12) / 2)
    assert one["speedup"]["csr"]["high"] == pytest.approx((60 / 19 + 60 / 8) / 2)
    assert one["speedup"]["picked"]["value"] == (4 + 6) / 2
    assert (one["picked"], one["busy"]) == ("shrunk, csr / csr", 0.5)
    assert details["batches"]["100"]["speedup"]["csr"]["value"] == 3
    assert details["kilobytes"] == 1.5


def test_a_network_that_cannot_shrink_is_shrunk_to_itself():
    extra = copy.deepcopy(SPEED)
    for timed in extra["batches"].values():
        timed["rows"], timed["picked"] = timed["rows"][:2], "csr"
    details = speed.details([Outcome(1, 0, COUNTS, COUNTS, extra=extra)])
    assert details["batches"]["1"]["speedup"]["shrunk"]["value"] == 1


def test_break_even():
    assert speed.break_even([(1, 0.25), (2, 0.5), (8, 2.0)]) == pytest.approx(4)
    assert speed.break_even([(1, 0.5), (2, 2.0), (4, 0.5), (8, 1.0)]) == pytest.approx(8)
    assert speed.break_even([(2, 1.1), (4, 3.0)]) == 2
    assert speed.break_even([(1, 0.1), (2, 0.5)]) is None


def test_the_table_shows_the_speed_and_no_empty_comparison(found):
    for text in (tables.to_text(found), tables.to_markdown(found)):
        assert "speed-up, batch 100" in text
        assert "4.0x shrunk, csr" in text
        assert "2 kB" in text
        assert "published error" not in text
        assert "paper" not in text
    assert "4.0x shrunk, csr" in tables.to_csv(found).splitlines()[1]


def test_every_row_says_how_it_was_measured(found):
    for row in found["rows"]:
        assert row["verdict"] in ("no published figure", "FAILS")
        for timed in row["details"]["batches"].values():
            assert "abacus" in timed["protocol"]
    assert "others used up to 50 % of the cores" in found["sentence"]


def test_the_figure_has_every_point(found, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: figures.append(self))  # noqa: ARG005
    catalogue.find("speed").figure(found, Path("figure.png"))
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == [
        f"{net}, batch {batch}" for net in speed.NETS for batch in (1, 100)
    ]
    for axes in figure.axes:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        net = axes.get_title().partition(", batch")[0]
        want = {
            (row["ours"]["compression_mean"], 0.5 * row["ours"]["compression_mean"])
            for row in found["rows"]
            if row["series"] in (net, f"{net}, weights")
        }
        drawn = [set(zip(*line.get_data(), strict=True)) for line in axes.lines]
        assert want in drawn
        low, high = axes.get_ylim()
        assert all(low < y < high for points in drawn for _, y in points if y != 0.4)
    assert "speed-up" in figure.axes[0].get_ylabel()
    assert "compression" in figure.axes[-1].get_xlabel()
    assert "50 % of the cores" in " ".join(figure.get_supxlabel().split())


@pytest.mark.slow
def test_a_quick_run(tmp_path, capsys):
    assert cli.main(["reproduce", "speed", "--quick", "--seeds", "1", "--out", str(tmp_path)]) == 0
    found = results.read(tmp_path / "speed" / "results.json")
    ratios = {row["name"]: row["ours"]["compression_mean"] for row in found["rows"]}
    for net in speed.NETS:
        for compression in (2, 5, 10, 20, 50, 100):
            assert ratios[f"{net}, {compression}x"] == pytest.approx(compression, rel=1e-3)
    kept = 784 * 30 + 30 * 10 + 10 * 10
    assert ratios["LeNet-300-100, 10 % of the units"] == pytest.approx(266_200 / kept, rel=1e-3)
    many = found["rows"][6]["details"]["batches"]["100"]
    assert many["us"]["csr"] > 0 < many["us"]["dense"]
    assert (tmp_path / "speed" / "figure.png").stat().st_size > 10_000
    assert "faster than our own dense forward" in capsys.readouterr().out

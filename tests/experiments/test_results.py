import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from fake_experiments import NOISE, TOTAL, Fake, published

from minisparse.experiments import results, runner, tables
from minisparse.experiments.experiment import Row
from minisparse.experiments.recipe import Outcome
from minisparse.progress import PlanProgress

FOUND = [(1.60, 80), (1.70, 90), (1.95, 120)]  # error and kept weights of seeds 0, 1, 2


class Given(Fake):
    def run(self, seed, *, checkpoint, progress):  # noqa: ARG002
        error, kept = FOUND[seed]
        end = Outcome(error, 0.5, {"fc1.weight": kept, "fc1.bias": 10}, TOTAL)
        history = [{"epoch": 1, "train_error": 5.0}, {"epoch": 2, "train_error": 0.1 * (seed + 1)}]
        half = replace(end, error=error / 2, extra={"train_error": 0.5})
        return replace(end, history=history, points={"2x": half})


@pytest.fixture
def reproduce(publish, here):
    def run(rows, comparison=None, seeds=3, default_seeds=1, **settings):
        experiment = publish("some", rows, comparison, seeds=default_seeds)
        (found,) = runner.reproduce(
            [experiment], out=here / "out", display=PlanProgress(), seeds=seeds, **settings
        )
        return found

    return run


ROWS = {"ours": Row(Given(), "a series"), "half": Row(Given(), "a series", "2x")}
COMPARISON = {
    "noise": NOISE,
    "rows": {
        "ours": {
            "published": published(1.65, 10.0),
            "convention": "weights",
        },
        "half": {"published": published(0.5, None, "read"), "note": "none better | at hand"},
    },
    "others": [{"name": "Somebody", **published(1.8, 9.99)}],
}


def test_a_row_may_have_seeds_of_its_own(reproduce):
    rows = {
        "ours": Row(Given()),
        "half": Row(Given(), point="2x", seeds=3),
        "other": Row(Given(error=1.6)),
    }
    found = reproduce(rows, seeds=None, default_seeds=2)
    assert [row["ours"]["seeds"] for row in found["rows"]] == [[0, 1], [0, 1, 2], [0, 1]]
    assert found["settings"]["seeds"] == [0, 1, 2]
    assert "mean +- sd of 2 to 3 seeds" in tables.to_text(found)
    assert reproduce(rows, seeds=1)["settings"]["seeds"] == [0]  # who asks decides for all rows


def test_means_and_standard_deviations(reproduce):
    ours = results.find_row(reproduce(ROWS, COMPARISON), "ours")["ours"]
    errors, kept = np.array(FOUND).T
    assert ours["error_mean"] == pytest.approx(errors.mean())
    assert ours["error_sd"] == pytest.approx(errors.std(ddof=1))
    assert ours["compression_mean"] == pytest.approx((900 / kept).mean())
    assert ours["compression_sd"] == pytest.approx((900 / kept).std(ddof=1))
    assert ours["compression_all_mean"] == pytest.approx((1000 / (kept + 10)).mean())
    assert ours["kept_percent"]["fc1.weight"] == pytest.approx(100 * kept.mean() / 900)
    assert ours["kept_percent"]["fc1.bias"] == 10
    assert ours["n_seeds"] == 3
    assert ours["errors"] == [1.60, 1.70, 1.95]


def test_the_compression_of_a_row_is_counted_as_the_paper_counts(reproduce):
    found = reproduce(ROWS, COMPARISON, seeds=1)
    weights, all_ = results.find_row(found, "ours"), results.find_row(found, "half")
    assert weights["convention"] == "weights"
    assert weights["ours"]["compression_mean"] == 900 / 80
    assert weights["ours"]["compression_all_mean"] == 1000 / 90
    assert all_["convention"] == "all"
    assert all_["ours"]["compression_mean"] == all_["ours"]["compression_all_mean"] == 1000 / 90


def test_one_seed_has_no_standard_deviation(reproduce):
    ours = reproduce(ROWS, COMPARISON, seeds=1)["rows"][0]["ours"]
    assert ours["error_sd"] is None
    assert ours["n_seeds"] == 1


def test_a_row_may_show_another_point_of_the_run(reproduce, here):
    found = reproduce(ROWS, COMPARISON)
    end, half = (results.find_row(found, name)["ours"] for name in ("ours", "half"))
    assert half["errors"] == [error / 2 for error in end["errors"]]
    assert half["runs"] == end["runs"]
    assert len([*(here / "out" / "runs").glob("*.json")]) == 3


def test_a_point_that_is_not_there_is_an_error(reproduce):
    with pytest.raises(ValueError, match=r"row: the run has no point '3x', only \['2x'\]"):
        reproduce({"row": Row(Given(), point="3x")})


def test_results_json_has_what_programs_read(reproduce, here):
    found = reproduce(ROWS, COMPARISON)
    assert json.loads((here / "out" / "some" / "results.json").read_text()) == found
    assert results.read(here / "out" / "some" / "results.json") == found
    assert {"id", "title", "rows", "settings", "environment"} <= found.keys()
    assert found["id"] == "some"
    assert found["sentence"] == "2 rows were found."
    row, half = found["rows"]
    assert {"name", "published", "ours", "verdict", "reason"} <= row.keys()
    assert row["published"] == {
        "error": 1.65,
        "compression": 10.0,
        "source": "Table 7",
        "status": "recalled",
    }
    assert (row["verdict"], row["reason"]) == ("reproduced", "")
    assert row["words"] == {"error": "same", "ratio": "same", "profile": None}
    assert row["limits"]["error"] == pytest.approx(1.96 * 0.05 * np.sqrt(4 / 3) + 0.005)
    assert row["control_passes"] is None
    assert found["claims"] == []
    assert row["difference"]["error"] == pytest.approx(1.75 - 1.65)
    assert row["difference"]["compression"] == pytest.approx(row["ours"]["compression_mean"] / 10)
    expected = ("not reached", "error worse; none better | at hand")
    assert (half["verdict"], half["reason"]) == expected
    assert half["difference"]["compression"] is None
    assert found["settings"]["seeds"] == [0, 1, 2]
    assert found["settings"]["rows"]["half"]["point"] == "2x"
    assert found["settings"]["rows"]["half"]["recipe"] == "Given"
    assert found["environment"]["versions"]["numpy"] == np.__version__
    assert found["environment"]["differs"] == []


def test_runs_of_different_machines_say_in_what_they_differ(reproduce, here):
    reproduce(ROWS)
    some = min((here / "out" / "runs").glob("*.json"))
    record = json.loads(some.read_text())
    record["environment"]["cpu"] = "abacus"
    some.write_text(json.dumps(record))
    found = reproduce(ROWS)
    assert found["environment"]["differs"] == ["cpu"]
    assert "cpu" not in found["environment"]


def test_a_quick_run_is_labelled_and_not_compared(reproduce):
    bad = {
        "noise": NOISE,
        "rows": {"ours": {"published": published(0.1, 1000.0), "bar": {"error": 0.2}}},
    }
    found = reproduce({"ours": Row(Given())}, bad, quick=True)
    assert found["rows"][0]["verdict"] == "quick run: not compared"
    assert found["rows"][0]["published"]["error"] == 0.1
    assert found["settings"]["quick"] is True
    assert found["sentence"].startswith("Quick run, not compared with the paper")
    assert "QUICK RUN" in tables.to_text(found)
    assert "QUICK RUN" in tables.to_markdown(found)


def test_the_csv_has_a_line_for_each_row(reproduce, here):
    found = reproduce(ROWS, COMPARISON)
    with (here / "out" / "some" / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["ours", "half"]
    assert float(lines[0]["error_mean"]) == found["rows"][0]["ours"]["error_mean"]
    assert lines[0]["published_status"] == "recalled"
    assert lines[0]["verdict"] == "reproduced"
    assert lines[0]["error_word"] == lines[0]["ratio_word"] == "same"
    assert float(lines[0]["train_error_mean"]) == found["rows"][0]["ours"]["train_error_mean"]
    assert lines[1]["published_compression"] == lines[1]["difference_compression"] == ""
    assert lines[1]["reason"] == "error worse; none better | at hand"


def test_the_page_has_all_columns_and_says_what_is_recalled(reproduce, here):
    found = reproduce(ROWS, COMPARISON)
    page = (here / "out" / "some" / "table.md").read_text()
    assert page == tables.to_markdown(found)
    head, rule, ours, half = (
        line.replace("\\|", "").split("|")[1:-1] for line in page.splitlines() if "|" in line
    )
    assert len(head) == len(rule) == len(ours) == len(half)
    cells = [cell.strip() for cell in ours]
    assert cells[0] == "ours"
    assert cells[1:5] == ["1.65 %", "10x", "recalled", "1.75 +- 0.18 %"]
    assert cells[5:9] == ["0.20 +- 0.10 %", "9.6x", "9.6x", "+0.10, x 0.96"]
    assert cells[9] == "reproduced"
    assert cells[10] == "Table 7 (as recalled; not checked against the PDF)"
    assert half[3].strip() == "read"
    assert half[9].strip() == "not reached: error worse; none better  at hand"
    assert half[10].strip() == "Table 7 (read in the paper)"
    assert "- Somebody: 1.8 %, 9.99x (Table 7 (as recalled; not checked against the PDF))" in page


def test_the_text_is_aligned_and_says_what_is_recalled(reproduce):
    text = tables.to_text(reproduce(ROWS, COMPARISON))
    lines = text.splitlines()
    where = lines[1].index("verdict")
    assert lines[2].index("reproduced") == lines[3].index("not reached") == where
    assert "half, not reached: error worse; none better | at hand" in " ".join(text.split())
    text = " ".join(text.split())
    assert "Recalled: as recalled; not checked against the PDF." in text
    assert "mean +- sd of 3 seeds" in text


def test_figures_that_were_read_or_are_quoted_are_not_called_recalled(reproduce):
    quoted = published(9.0, 1.0, "quoted", quoted_by="Somebody 2020")
    comparison = {
        "noise": NOISE,
        "rows": {"ours": {"published": quoted}, "half": {"published": published(9.0, 1.0, "read")}},
    }
    text = tables.to_markdown(reproduce(ROWS, comparison))
    assert "recalled" not in text
    assert "quoted by Somebody 2020" in text
    assert "read in the paper" in text


def test_the_training_error_is_that_of_the_last_epoch_or_of_the_point(reproduce):
    ours, half = (row["ours"] for row in reproduce(ROWS, COMPARISON)["rows"])
    assert ours["train_errors"] == pytest.approx([0.1, 0.2, 0.3])
    assert ours["train_error_mean"] == pytest.approx(0.2)
    assert ours["train_error_sd"] == pytest.approx(0.1)
    assert half["train_errors"] == [0.5, 0.5, 0.5]


def test_without_a_training_error_there_is_none(reproduce):
    (row,) = reproduce({"row": Row(Fake())}, seeds=2)["rows"]
    assert row["ours"]["train_error_mean"] is row["ours"]["train_error_sd"] is None
    assert row["ours"]["train_errors"] == [None, None]


CONTROLS = {
    "method": Row(Given()),
    "as good": Row(Fake(error=1.6), control_of="method"),
    "worse": Row(Fake(error=1.9), control_of="method"),
    "of nothing": Row(Fake(error=1.7, kept=91), control_of="unpublished"),
    "unpublished": Row(Fake(error=1.65, kept=92)),
    "denser": Row(Fake(error=1.5, kept=150), control_of="method"),
}


@pytest.mark.parametrize("prescribed", [[], ["compression"]])
def test_a_control_that_would_pass_for_the_method_is_told(reproduce, prescribed):
    """Its ratio counts also where the method's was chosen to be the published one."""
    told = published(1.75, 10.0) | {"prescribed": prescribed}
    comparison = {
        "noise": NOISE,
        "convention": "weights",
        "rows": {"method": {"published": told}},
    }
    found = reproduce(CONTROLS, comparison)
    passes = {row["name"]: row["control_passes"] for row in found["rows"]}
    assert passes == {
        "method": True,
        "as good": True,
        "worse": False,
        "of nothing": None,
        "unpublished": None,
        "denser": False,
    }
    assert "does the control pass too?" in tables.to_text(found)
    assert "does the control pass too?" not in tables.to_text(reproduce(ROWS, COMPARISON))
    with pytest.raises(ValueError, match="is the control of 'nobody', which is no row"):
        reproduce({"row": Row(Fake(), control_of="nobody")})


def test_a_quick_run_judges_no_control(reproduce):
    found = reproduce(CONTROLS, {"rows": {}}, quick=True)
    assert {row["control_passes"] for row in found["rows"]} == {None}
    assert found["claims"] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (61, "61 s"), (150, "2.5 min"), (3600, "60 min")],
)
def test_durations(seconds, text):
    assert tables.duration_text(seconds) == text


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"id": "a", "settings": {"quick": false}, "rows": []}', "[" * 100_000, "\udcff",
     '{"id": "a", "settings": {"quick": false}, "rows": [{"verdict": "", "ours": {"n_seeds": "3"}}]}'],
    ids=["empty", "a list", "cut", "without rows", "deep", "no UTF-8", "a text for a number"],
)  # fmt: skip
def test_a_damaged_results_file_is_named(content, tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"results\.json is not the results of an experiment"):
        results.read(path)

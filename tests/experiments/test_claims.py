"""Claims about a direction, and the verdicts of the committed results."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import minisparse
from minisparse.experiments import catalogue, noise, tables
from minisparse.experiments.claims import Claim, both, compress_alike, err_alike, judge_all
from minisparse.experiments.entries import (
    large_weights_fair,
    large_weights_fashion,
    stochastic_nodes,
)

RESULTS = Path(minisparse.__file__).parents[1] / "tutorials" / "results"


def row(errors, seeds=None, **details):
    seeds = seeds or list(range(len(errors)))
    ours = {"errors": errors, "seeds": seeds, "compressions": [2 * e for e in errors]}
    return {"ours": ours, "details": details}


def claim(direction="below", **settings):
    return Claim(
        **{
            "id": "c",
            "statement": "the one is better",
            "one": "one",
            "other": "other",
            "direction": direction,
            "registered": "2026-11-28",
            "control": "nothing",
            "check": lambda *_: None,
            "check_text": "nothing",
            **settings,
        }
    )


def judge(a, b, direction="below", **settings):
    return claim(direction, **settings).judge({"one": row(a), "other": row(b)})


@pytest.mark.parametrize(
    ("shift", "below", "above"),
    [
        (-0.5, "holds", "contradicted"),
        (0.5, "contradicted", "holds"),
        (0.0, "open", "open"),
        (-0.02, "open", "open"),
    ],
)
def test_the_interval_decides(shift, below, above):
    b = [1.5, 1.6, 1.7, 1.8, 1.9]
    a = [x + shift + e for x, e in zip(b, (0.05, -0.05, 0.02, -0.04, 0.02), strict=True)]
    found = judge(a, b)
    assert found["verdict"] == below
    assert judge(a, b, "above")["verdict"] == above
    d = np.subtract(a, b)
    half = 2.776 * d.std(ddof=1) / math.sqrt(5)
    assert found["difference"] == pytest.approx(d.mean())
    assert found["interval"] == pytest.approx([d.mean() - half, d.mean() + half])
    assert found["n_seeds"] == 5


@pytest.mark.parametrize(
    ("margin", "verdict"), [(0.3, "holds"), (0.1, "open"), (0.0, "contradicted")]
)
def test_a_margin_is_what_the_interval_must_keep_below(margin, verdict):
    a, b = [1.6, 1.72, 1.84], [1.5, 1.6, 1.7]  # + 0.12 +- 0.05
    assert judge(a, b, margin=margin)["verdict"] == verdict
    mirrored = {"holds": "contradicted", "contradicted": "holds", "open": "open"}
    assert judge(a, b, "above", margin=margin)["verdict"] == mirrored[verdict]


def test_one_seed_leaves_it_open():
    found = judge([1.0], [2.0])
    assert (found["verdict"], found["interval"], found["difference"]) == ("open", None, -1.0)


def test_rows_that_have_no_runs_yet_leave_it_open():
    found = claim().judge({"one": row([1.0, 1.1])})
    assert (found["verdict"], found["n_seeds"], found["difference"]) == ("open", 0, None)


def test_seeds_are_paired_by_their_number():
    rows = {"one": row([9.0, 1.0, 2.0], [5, 0, 1]), "other": row([1.5, 2.6], [0, 1])}
    found = claim().judge(rows)
    assert found["n_seeds"] == 2
    assert found["difference"] == pytest.approx(-0.55)


def test_other_quantities():
    a, b = row([1.0, 1.1], left=[5, 6]), row([1.0, 1.1], left=[9, 11])
    found = claim(quantity="left").judge({"one": a, "other": b})
    assert found["difference"] == -4.5
    assert claim(quantity="compression").judge({"one": a, "other": b})["difference"] == 0


def test_where_the_manipulation_did_not_take_place_nothing_is_claimed():
    b = [1.5, 1.6, 1.7]
    a = [x - 0.5 for x in b]
    found = judge(a, b, check=lambda *_: "it errs on half of its images", check_text="it fits")
    assert found["verdict"] == "not admitted"
    assert found["manipulation_check"] == {
        "asks": "it fits",
        "passed": False,
        "found": "it errs on half of its images",
    }
    text = tables.claim_text(found)
    assert text.startswith("NOT ADMITTED: the one is better")
    assert "it errs on half" in text
    assert "-0.50" not in text  # a difference that cannot be interpreted is not shown
    passed = judge(a, b)
    assert passed["verdict"] == "holds"
    assert passed["manipulation_check"]["passed"] is True


def arms(error, compression):
    return {"ours": {"error_mean": error, "compression_mean": compression}}


def test_checks_of_two_kinds_and_both_of_them():
    one, like, other = arms(1.5, 20.0), arms(1.58, 20.9), arms(1.7, 25.0)
    compress, err = compress_alike(0.05)["check"], err_alike(0.1)["check"]
    assert compress(one, like, {}) is err(one, like, {}) is None
    assert compress(one, other, {}) == "20.0x against 25.0x"
    assert err(one, other, {}) == "1.50 % against 1.70 %"
    asks = both(compress_alike(0.05), err_alike(0.1))["check"]
    assert asks(one, like, {}) is None
    assert asks(one, other, {}) == "20.0x against 25.0x; 1.50 % against 1.70 %"
    assert asks(one, arms(1.5, 25.0), {}) == "20.0x against 25.0x"


def test_more_nodes_than_without_zeroing():
    def row(name, removed):
        return {"name": name, "details": {"removed": removed}}

    check = stochastic_nodes.MORE["check"]
    method, without = row("L1", 52.0), {"L1, no zeroing": row("L1, no zeroing", 54.0)}
    assert check(method, {}, without) == "without zeroing 54 % of the nodes go as well"
    assert check(row("L1", 60.0), {}, without) is None
    assert check(row("L2", 52.0), {}, without) is None  # not run without it


def test_claims_of_a_family_are_tested_together():
    b = [1.5, 1.6, 1.7, 1.8]
    rows = {"other": row(b)}
    for name, shift in (("clear", -0.5), ("near", -0.05), ("nothing", 0.0)):
        rows[name] = row(
            [x + shift + e for x, e in zip(b, (0.02, -0.02, 0.02, -0.03), strict=True)]
        )
    asked = [claim(id=name, one=name) for name in ("clear", "near", "nothing")]
    assert [c["verdict"] for c in judge_all(asked, rows)] == ["holds", "holds", "open"]
    together = [claim(id=c.id, one=c.one, family="f") for c in asked]
    clear, near, nothing = judge_all(together, rows)
    assert [c["verdict"] for c in (clear, near, nothing)] == ["holds", "open", "open"]
    assert clear["p_adjusted"] == pytest.approx(3 * clear["p"])
    assert near["p"] < 0.05 < near["p_adjusted"] == pytest.approx(2 * near["p"])
    assert f"Holm's p {near['p_adjusted']:.3f}" in tables.claim_text(near)
    assert judge_all(together, rows)[0]["interval"] == judge_all(asked, rows)[0]["interval"]


def test_what_is_not_admitted_still_counts_in_its_family():
    b = [1.5, 1.6, 1.7, 1.8]
    rows = {
        "other": row(b),
        "one": row([x - e for x, e in zip(b, (0.4, 0.5, 0.6, 0.5), strict=True)]),
    }
    refused = claim(id="refused", family="f", check=lambda *_: "no")
    missing = claim(id="missing", one="not there", family="f")
    found = judge_all([claim(family="f"), refused, missing], rows)
    assert [c["verdict"] for c in found] == ["holds", "not admitted", "open"]
    assert found[0]["p_adjusted"] == pytest.approx(3 * found[0]["p"])
    assert found[1]["p_adjusted"] is found[2]["p_adjusted"] is None


def arm(name, training, stability):
    ours = {"train_error_mean": training}
    return {"name": name, "ours": ours, "details": {"stabilities": [stability]}}


def test_an_arm_that_does_not_fit_says_nothing_about_generalization():
    rows = {
        r["name"]: r
        for r in (
            arm("none", 0.01, 100),
            arm("small weights", 0.05, 99),
            arm("large weights", 49.3, 60),
            arm("gentle weights", 0.3, 97),
            arm("like weights", 0.3, 98),
        )
    }
    check = large_weights_fashion.check
    large, small = rows["large weights"], rows["small weights"]
    assert "large weights errs on 49.3 %" in check(large, small, rows)
    assert check(rows["gentle weights"], small, rows) is None
    assert "equally stable" in check(rows["like weights"], small, rows)


def test_the_fair_test_admits_networks_that_fit_and_events_that_differ():
    rows = {
        r["name"]: r
        for r in (
            arm("none", 0.1, 100),
            arm("dropout", 0.4, 100),
            arm("large weights", 0.55, 70),
            arm("small weights", 0.2, 99),
            arm("random weights", 0.65, 90),
        )
    }
    check = large_weights_fair.check
    large = rows["large weights"]
    for other in ("none", "dropout", "small weights"):
        assert check(large, rows[other], rows) is None
    wrong = check(large, rows["random weights"], rows)
    assert wrong == "random weights errs on 0.7 % of its training images, none on 0.1 %"
    rows["none"]["ours"]["train_error_mean"] = 1.2  # then nobody fits
    assert "none errs on 1.2 %" in check(rows["none"], large, rows)
    rows["none"]["ours"]["train_error_mean"] = 0.1
    large["details"]["stabilities"] = [98.5]
    assert "equally stable" in check(large, rows["small weights"], rows)


# ---- what is committed --------------------------------------------------------------------------


def committed(id):
    return json.loads((RESULTS / id / "results.json").read_text())


def rows_of(id):
    return {r["name"]: r for r in committed(id)["rows"]}


FINISHED = sorted(p.parent.name for p in RESULTS.glob("*/results.json"))


def test_the_control_without_sensitivity_passes_for_the_method():
    rows = rows_of("sensitivity-table1")
    for where in ("low error", "high compression"):
        assert rows[f"S = 0, {where}"]["control_passes"] is True
        assert rows[f"unspecific, {where}"]["control_passes"] is True
    assert rows["dense"]["control_passes"] is None


def test_what_the_controls_of_the_published_tables_show():
    """Appendix D and the README count them."""
    tables = ("sensitivity-table1", "sensitivity-table2", "sensitivity-table3", "l0-table1")
    passes = {}
    for row in (row for id in tables for row in committed(id)["rows"] if "control_of" in row):
        passes.setdefault(row["name"].split(",")[0], []).append(row["control_passes"])
    assert passes["magnitude"] == [True] * 9
    assert passes["S = 0"] == [True] * 4
    assert sorted(passes["random"]) == [False] * 7 + [True] * 2


def test_the_published_protocol_is_what_is_reproduced():
    rows = rows_of("l0-table1")
    assert rows["LeNet-5, 0.1/N, no L2"]["verdict"] == "reproduced"
    assert rows["MLP, 0.1/N"]["verdict"] == "reproduced"
    assert rows["LeNet-5, 0.1/N"]["verdict"] == "no published figure"  # an extension of ours
    assert rows["MLP, sep."]["published"]["error"] == 1.6
    assert "RigL" in rows["MLP, sep."]["published"]["quoted_by"]


def test_other_layer_shares_are_not_called_reproduced():
    rows = rows_of("sensitivity-table1")
    assert rows["unspecific, high compression"]["words"] == {
        "error": "same",
        "ratio": None,  # T was set for it
        "profile": "other",
    }
    assert rows["unspecific, high compression"]["verdict"] == "reached"


@pytest.mark.parametrize("id", FINISHED)
def test_nothing_holds_without_a_manipulation_check(id):
    for claim in committed(id).get("claims", []):
        check = claim["manipulation_check"]
        assert check["asks"]
        assert check["passed"] == (claim["verdict"] != "not admitted")


def test_half_of_the_nodes_beside_l1_is_not_the_doing_of_the_zeroing():
    claims = {c["id"]: c for c in committed("stochastic-nodes")["claims"]}
    for name in ("L1", "L1-and-L2"):
        assert claims[f"stochastic-nodes-{name}"]["verdict"] == "not admitted"
        assert claims[f"stochastic-nodes-{name}-zeroing"]["verdict"] == "contradicted"


def test_large_weights_are_not_admitted():
    for id in ("large-weights-cifar10", "large-weights-fashion"):
        claims = {(c["one"], c["other"]): c for c in committed(id)["claims"]}
        assert claims["large weights", "small weights"]["verdict"] == "not admitted"
        assert claims["large filters", "small filters"]["verdict"] == "not admitted"
        assert all(c["registered"] is None for c in claims.values())


@pytest.mark.parametrize("id", FINISHED)
def test_training_errors_stand_in_every_table(id):
    for r in committed(id)["rows"]:
        assert r["ours"]["train_error_mean"] >= 0
        assert (r["ours"]["train_error_sd"] is None) == (r["ours"]["n_seeds"] == 1)
    assert "training error" in (RESULTS / id / "table.md").read_text()


@pytest.mark.parametrize("id", FINISHED)
def test_how_a_figure_is_known_is_one_of_three_words(id):
    found = committed(id)
    for published in [*(r["published"] for r in found["rows"] if r["published"]), *found["others"]]:
        assert published["status"] in ("read", "quoted", "recalled")
        assert ("quoted_by" in published) == (published["status"] == "quoted")


@pytest.mark.parametrize("id", catalogue.names())
def test_claims_speak_of_rows_and_have_their_own_names(id):
    experiment = catalogue.find(id)
    assert len({c.id for c in experiment.claims}) == len(experiment.claims)
    for c in experiment.claims:
        assert c.registered is None or c.registered >= "2026-11-28"
        if not experiment.choose:  # rows whose settings are not chosen yet are not there
            assert {c.one, c.other} <= experiment.rows.keys()


def test_the_noise_that_is_written_down_is_that_of_the_committed_runs():
    found = noise.pool(map(committed, noise.POOLED))
    assert found == json.loads(noise.FILE.read_text())
    lenet300 = found["lenet300 on mnist"]
    assert lenet300["error"] == pytest.approx(0.074, abs=0.001)  # and +-0.16 for a mean of five
    assert lenet300["degrees_of_freedom"] == 102


def test_pooling_weighs_by_degrees_of_freedom():
    settings = {"model": "m", "dataset": "d", "point": None}

    def table(errors, key, **more):
        ours = {
            "errors": errors,
            "compressions": [2.0] * len(errors),
            "n_seeds": len(errors),
            "runs": [key],
            "error_mean": float(np.mean(errors)),
        }
        rows = {"r": settings | more}
        return {"rows": [{"name": "r", "ours": ours}], "settings": {"rows": rows}}

    a, b = [1.0, 1.2, 1.1], [1.1, 1.3, 1.0, 1.0, 1.2]
    pooled = noise.pool([table(a, "a"), table(b, "b"), table(b, "b"), table([9.0] * 3, "c"),
                         table([1.0, 1.5, 1.1], "d", choose="random")])  # fmt: skip
    expected = math.sqrt((2 * np.var(a, ddof=1) + 4 * np.var(b, ddof=1)) / 6)
    assert pooled["m on d"]["error"] == pytest.approx(expected, abs=1e-4)
    assert pooled["m on d"]["degrees_of_freedom"] == 6

import json

import pytest

from minisparse.experiments.comparison import (
    Comparison,
    ComparisonError,
    Level,
    Published,
    RowComparison,
)

PAPER = Published(1.65, 27.87, "Table 1", "recalled")
TOLERANCE = Level(0.25, 0.1)  # error at most 1.90, compression at least 25.083


@pytest.mark.parametrize(
    ("error", "compression", "settings", "expected", "word"),
    [
        # Inside, at the edge, and better than published.
        (1.65, 27.87, {}, "within", ""),
        (1.90, 25.083, {}, "within", ""),
        (0.50, 300.0, {}, "within", ""),
        (0.50, 300.0, {"bar": Level(0.4, 400)}, "within", ""),
        # Outside by the one or the other.
        (1.901, 27.87, {}, "FAILS", "error 1.90 % where at most 1.90 %"),
        (1.65, 25.0, {}, "FAILS", "compression 25x where at least 25.08x"),
        (1.95, 27.87, {"bar": Level(2.0, 20)}, "differs", "our own bar is met"),
        (1.95, 27.87, {"bar": Level(2.0, 20), "reason": "few epochs"}, "differs", "few epochs"),
        (1.95, 27.87, {"reason": "few epochs"}, "differs", "few epochs"),
        # The bar: met at its edge; a reason does not excuse what is below it.
        (2.0, 20.0, {"bar": Level(2.0, 20)}, "differs", "bar is met"),
        (2.01, 27.87, {"bar": Level(2.0, 20)}, "FAILS", "our own bar is missed: error 2.01 %"),
        (2.01, 27.87, {"bar": Level(2.0, 20), "reason": "few epochs"}, "FAILS", "bar is missed"),
        (1.95, 19.9, {"bar": Level(2.0, 20)}, "FAILS", "compression 19.9x"),
        (2.5, 19.9, {"bar": Level(2.0, 20)}, "FAILS", "compression 19.9x"),
        (9.0, 30.0, {"bar": Level(None, 20)}, "differs", "bar is met"),
        # Nothing published.
        (9.0, 1.0, {"published": None}, "no published figure", ""),
        (1.5, 1.0, {"published": None, "bar": Level(2.0)}, "no published figure", ""),
        (2.5, 1.0, {"published": None, "bar": Level(2.0)}, "FAILS", "bar is missed"),
        # Only the one or the other published.
        (1.9, 1.0, {"published": Published(1.65, None, "t", "verified")}, "within", ""),
        (90.0, 26.0, {"published": Published(None, 27.87, "t", "verified")}, "within", ""),
        (1.0, 25.0, {"published": Published(None, 27.87, "t", "verified")}, "FAILS", "25x"),
    ],
)
def test_verdict(error, compression, settings, expected, word):
    row = RowComparison(**{"published": PAPER, "tolerance": TOLERANCE, **settings})
    verdict, reason = row.verdict(error, compression)
    assert verdict == expected
    assert word in reason
    assert bool(reason) == (expected in ("differs", "FAILS"))


ENTRY = {
    "published": {"error": 1.65, "compression": 27.87, "source": "T1", "status": "recalled"},
    "convention": "weights",
    "tolerance": {"error": 0.25, "compression": 0.05, "why": "the test set's size"},
    "bar": {"error": 1.9},
    "reason": "few epochs",
}


def read(tmp_path, data, rows=("a", "b")):
    path = tmp_path / "id.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return Comparison.read(path, rows)


def test_a_file_is_read_in_full(tmp_path):
    entry = ENTRY | {"published": ENTRY["published"] | {"kept": {"fc1": 2.25}}}
    other = {"name": "L0", "error": 1.8, "compression": None, "source": "T1", "status": "verified"}
    found = read(tmp_path, {"rows": {"b": entry}, "others": [other]})
    assert found.rows["a"] == RowComparison()
    assert found.rows["b"] == RowComparison(
        published=Published(1.65, 27.87, "T1", "recalled", {"kept": {"fc1": 2.25}}),
        convention="weights",
        tolerance=Level(0.25, 0.05),
        tolerance_why="the test set's size",
        bar=Level(1.9, None),
        reason="few epochs",
    )
    assert found.others == (other,)


def test_a_convention_may_stand_for_all_rows(tmp_path):
    entries = {"a": {}, "b": {"convention": "all"}}
    found = read(tmp_path, {"rows": entries, "convention": "weights"}, ("a", "b", "c"))
    assert [found.rows[name].convention for name in "abc"] == ["weights", "all", "weights"]


def changed(**changes):
    return {"rows": {"a": ENTRY | changes}}


def published(**changes):
    return changed(published=ENTRY["published"] | changes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "Expecting"),
        ({}, "'rows' is missing"),
        ({"rows": {}, "row": {}}, r"the file holds \['row'\]"),
        ({"rows": {"c": ENTRY}}, r"rows \['c'\] are not in the experiment"),
        (changed(toleranze={}), r"a holds \['toleranze'\]"),
        (changed(convention="biases"), 'convention is "weights" or "all"'),
        ({"rows": {}, "convention": "biases"}, "the file: convention is"),
        (changed(tolerance={"error": 0.25}), 'a tolerance needs its "why"'),
        (changed(tolerance={"err": 0.25, "why": "x"}), r"a: tolerance holds \['err'\]"),
        (changed(bar={"errors": 0.25}), r"a: bar holds \['errors'\]"),
        (changed(bar={"error": "2"}), "a: error must be a number, at least 0, got '2'"),
        (published(error=-1), "a: error must be a number"),
        (published(error=True), "a: error must be a number"),
        (published(error=None, compression=None), "neither an error nor a compression"),
        (published(status="sure"), 'status is "verified" or "recalled", got \'sure\''),
        (published(source=""), "needs its source"),
        (changed(published={"error": 1.0}), "'status' is missing"),
        ({"rows": {}, "others": [{"error": 1.0}]}, "'name' is missing"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path, data, message):
    with pytest.raises(ComparisonError, match=message) as caught:
        read(tmp_path, data)
    assert str(tmp_path / "id.json") in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ComparisonError, match="No such file"):
        Comparison.read(tmp_path / "none.json", ())

import json
import math

import pytest

from minisparse.experiments.comparison import (
    Comparison,
    ComparisonError,
    Level,
    Published,
    RowComparison,
    Words,
)
from minisparse.experiments.noise import Noise

PAPER = Published(1.65, 27.87, "Table 1", "recalled", profile=(2.25, 11.93, 69.3))
NOISE = Noise(0.08, 0.03)
ROW = RowComparison(PAPER, noise=NOISE)
SAME = (2.25, 11.93, 69.3)


def changed(**settings):
    return RowComparison(**{"published": PAPER, "noise": NOISE, **settings})


def test_the_noise_is_that_of_a_mean_against_one_run():
    assert ROW.limits(1).error == pytest.approx(1.96 * 0.08 * math.sqrt(2) + 0.005)
    assert ROW.limits(5).error == pytest.approx(1.96 * 0.08 * math.sqrt(1.2) + 0.005)
    assert ROW.limits(5).compression == pytest.approx(math.log(1.1))  # a knob is not set as finely
    noisy = changed(noise=Noise(0.08, 0.2))
    assert noisy.limits(3).compression == pytest.approx(1.96 * 0.2 * math.sqrt(4 / 3))


@pytest.mark.parametrize(
    ("error", "compression", "words", "verdict"),
    [
        # two-sided: beyond the noise to either side it is another result
        (1.65, 27.87, ("same", "same"), "reproduced"),
        (1.82, 27.87, ("same", "same"), "reproduced"),
        (1.48, 27.87, ("same", "same"), "reproduced"),
        (1.83, 27.87, ("worse", "same"), "not reached"),
        (1.47, 27.87, ("better", "same"), "reached"),
        (1.65, 30.6, ("same", "same"), "reproduced"),
        (1.65, 25.4, ("same", "same"), "reproduced"),
        (1.65, 30.7, ("same", "sparser"), "reached"),
        (1.65, 25.3, ("same", "denser"), "not reached"),
        # one that is better does not make up for the other that is worse
        (1.40, 25.3, ("better", "denser"), "not reached"),
        (1.83, 60.0, ("worse", "sparser"), "not reached"),
        (1.40, 60.0, ("better", "sparser"), "reached"),
    ],
)
def test_a_word_for_each_number_and_a_verdict(error, compression, words, verdict):
    found = ROW.words(error, compression, 5, SAME)
    assert (found.error, found.ratio, found.profile) == (*words, "same")
    assert ROW.verdict(error, compression, 5, SAME)[0] == verdict


@pytest.mark.parametrize(
    ("profile", "word", "verdict"),
    [
        ((2.8, 9.0, 60.0), "same", "reproduced"),
        ((2.82, 11.93, 69.3), "other", "reached"),  # a quarter more in one layer
        ((2.25, 11.93, 51.9), "other", "reached"),
        ((), None, "reproduced"),  # we have none
    ],
)
def test_other_layers_are_another_network(profile, word, verdict):
    assert ROW.words(1.65, 27.87, 5, profile).profile == word
    found, reason = ROW.verdict(1.65, 27.87, 5, profile)
    assert found == verdict
    assert ("other layers" in reason) == (word == "other")


def test_what_the_paper_rounds_is_not_a_difference():
    """0.79 and 0.9 of LeNet-5: 0.11 apart, of which the rounding to 0.9 may be 0.05."""
    noise = Noise(0.034, 0.05)
    printed = Published(0.9, 11.21, "t", "recalled", decimals=1)
    assert RowComparison(printed, noise=noise).words(0.793, 10.8, 3).error == "same"
    exact = Published(0.9, 11.21, "t", "recalled")
    assert RowComparison(exact, noise=noise).words(0.793, 10.8, 3).error == "better"


@pytest.mark.parametrize("level", [Level(1.6), Level(None, 30.0), Level(1.6, 30.0)])
def test_only_our_own_bar_fails_a_row_and_no_note_excuses_it(level):
    verdict, reason = changed(bar=level, note="few epochs").verdict(1.65, 27.87, 5)
    assert verdict == "FAILS"
    assert "our own bar is missed" in reason
    assert changed(bar=Level(1.65, 27.87)).verdict(1.65, 27.87, 5)[0] == "reproduced"


def test_a_note_is_shown_and_has_no_say():
    for error, verdict in ((1.65, "reproduced"), (1.9, "not reached")):
        found, reason = changed(note="few epochs").verdict(error, 27.87, 5)
        assert found == verdict
        assert reason.endswith("few epochs")


def test_a_prescribed_quantity_gets_no_verdict():
    dense = Published(1.44, 1.0, "t", "recalled", prescribed=("compression",))
    assert changed(published=dense).words(1.5, 5.0, 5) == Words(error="same")
    share = Published(None, 6.67, "t", "read", prescribed=("compression",))
    row = RowComparison(share, bar=Level(3.3, 6.6))
    assert row.verdict(3.0, 6.7, 1) == ("prescribed", "")
    assert row.verdict(3.0, 6.5, 1)[0] == "FAILS"


def test_nothing_published():
    row = RowComparison(bar=Level(2.0))
    assert row.verdict(1.5, 1.0, 3) == ("no published figure", "")
    assert row.verdict(2.5, 1.0, 3)[0] == "FAILS"


def test_one_of_the_two_published():
    error = changed(published=Published(1.65, None, "t", "read"))
    assert error.verdict(1.6, 1.0, 5)[0] == "reproduced"
    assert error.verdict(1.9, 1.0, 5)[0] == "not reached"
    ratio = changed(published=Published(None, 27.87, "t", "read"))
    assert ratio.verdict(90.0, 28.0, 5)[0] == "reproduced"
    assert ratio.verdict(90.0, 60.0, 5) == ("reached", "sparser")


# ---- the file -----------------------------------------------------------------------------------

ENTRY = {
    "published": {
        "error": 1.65,
        "compression": 27.87,
        "source": "T1",
        "status": "quoted",
        "quoted_by": "Somebody 2020",
    },
    "convention": "weights",
    "noise": {"error": 0.08, "ratio": 0.03},
    "bar": {"error": 1.9},
    "note": "few epochs",
}


def read(tmp_path, data, rows=("a", "b")):
    path = tmp_path / "id.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return Comparison.read(path, rows)


def test_a_file_is_read_in_full(tmp_path):
    more = {"kept_percent": [2.25, 11.0], "decimals": 1, "prescribed": ["compression"]}
    entry = ENTRY | {"published": ENTRY["published"] | more}
    other = {"name": "L0", "error": 1.8, "compression": None, "source": "T1", "status": "read"}
    found = read(tmp_path, {"rows": {"b": entry}, "others": [other]})
    assert found.rows["a"] == RowComparison()
    published = Published(
        1.65,
        27.87,
        "T1",
        "quoted",
        quoted_by="Somebody 2020",
        prescribed=("compression",),
        decimals=1,
        profile=(2.25, 11.0),
        rest={"kept_percent": [2.25, 11.0], "decimals": 1},
    )
    assert found.rows["b"] == RowComparison(
        published=published,
        convention="weights",
        noise=NOISE,
        bar=Level(1.9, None),
        note="few epochs",
    )
    assert published.record()["quoted_by"] == "Somebody 2020"
    assert published.record()["status"] == "quoted"
    assert found.others == (other,)


def test_an_architecture_is_a_profile(tmp_path):
    entry = ENTRY | {"published": ENTRY["published"] | {"architecture": "266-88-33"}}
    published = read(tmp_path, {"rows": {"a": entry}}).rows["a"].published
    assert published.profile == (266, 88, 33)
    assert published.record()["architecture"] == "266-88-33"


def test_convention_and_noise_may_stand_for_all_rows(tmp_path):
    data = {"a": {}, "b": {"convention": "all", "noise": {"error": 0.5, "ratio": 0.1}}}
    whole = {"rows": data, "convention": "weights", "noise": "lenet300 on mnist"}
    found = read(tmp_path, whole, ("a", "b", "c"))
    assert [found.rows[name].convention for name in "abc"] == ["weights", "all", "weights"]
    known = Noise.known("lenet300 on mnist")
    assert [found.rows[name].noise for name in "abc"] == [known, Noise(0.5, 0.1), known]


def entry(**changes):
    return {"rows": {"a": ENTRY | changes}}


def published(**changes):
    return entry(published=ENTRY["published"] | changes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "Expecting"),
        ({}, "'rows' is missing"),
        ({"rows": {}, "row": {}}, r"the file holds \['row'\]"),
        ({"rows": {"c": ENTRY}}, r"rows \['c'\] are not in the experiment"),
        (entry(tolerance={}), r"a holds \['tolerance'\]"),
        (entry(convention="biases"), 'convention is "weights" or "all"'),
        ({"rows": {}, "convention": "biases"}, "the file: convention is"),
        (entry(noise="lenet7"), "no noise of 'lenet7' is known, only of"),
        (entry(noise={"err": 0.25}), r"a: noise holds \['err'\]"),
        (entry(noise=None), 'compared with ours by the "noise" between seeds, and there is none'),
        (entry(bar={"errors": 0.25}), r"a: bar holds \['errors'\]"),
        (entry(bar={"error": "2"}), "a: error must be a number, at least 0, got '2'"),
        (published(error=-1), "a: error must be a number"),
        (published(error=True), "a: error must be a number"),
        (published(error=None, compression=None), "neither an error nor a compression"),
        (published(status="verified"), 'status is "read"'),
        (published(status="read"), '"quoted_by" says who quotes, if and only if'),
        (published(quoted_by=""), '"quoted_by" says who quotes, if and only if'),
        (
            published(prescribed=["errors"]),
            r"""prescribed are "error" or "compression", got \['e""",
        ),
        (published(decimals=1.5), "decimals is a whole number, got 1.5"),
        (published(kept_percent=[0.0, 1.0]), "a profile is made of numbers above 0"),
        (published(kept_percent=[1.0], architecture="1"), "the profile is"),
        (published(source=""), "needs its source"),
        (entry(published={"error": 1.0}), "'status' is missing"),
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

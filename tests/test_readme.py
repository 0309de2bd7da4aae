"""What the README shows is what its reader gets."""

import doctest
import json
import re
from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from minisparse import methods
from minisparse.experiments import intervals, tables
from minisparse.experiments.intervals import paired

README = Path(__file__).parents[1] / "README.md"


def test_the_examples_print_what_the_readme_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    result = doctest.testfile(str(README), module_relative=False, optionflags=flags)
    assert result.attempted > 10
    assert result.failed == 0


def test_every_path_named_in_the_readme_exists():
    named = re.findall(r"`(?:minisparse/|tutorials/|tests/)[\w/.]*`", README.read_text())
    missing = [p for p in named if not (README.parent / p.strip("`")).exists()]
    assert named
    assert not missing


def test_the_number_of_methods_is_told():
    assert f"\n{len(methods.find_all())} methods, each a file" in README.read_text()


def committed(experiment, what="rows"):
    file = README.parent / "tutorials" / "results" / experiment / "results.json"
    return json.loads(file.read_text())[what]


def error_of(ours):
    return f"{ours['error_mean']:.2f} ± {ours['error_sd']:.2f} %"


def half_of(claim):
    low, high = claim["interval"]
    return f"{(high - low) / 2:.2f}"


def running_text():
    """The README in one line, for sentences that run over several."""
    return " ".join(README.read_text().split())


def known(published):
    """Say how a published figure is known, as the README does: by the first author's name."""
    if published["status"] != "quoted":
        return f" ({published['status']})"
    name, year = re.match(r"(\w+).*? (\d{4})", published["quoted_by"]).groups()
    return f" (quoted by {name} et al. {year})"


def verdict_of(row):
    if row["published"]:
        return f" {row['verdict']} "
    return {None: " ", True: " passes too ", False: " does not pass "}[row["control_passes"]]


@pytest.mark.parametrize(
    ("experiment", "network"),
    [("sensitivity-table1", "LeNet-300-100"), ("sensitivity-table2", "LeNet-5")],
)
def test_the_results_in_the_readme_are_the_committed_ones(experiment, network):
    rows = [row for row in committed(experiment) if not row["name"].startswith("random")]
    (table,) = re.findall(
        rf"^\| {network} on MNIST \|.*\n(?:\|.*\n)+", README.read_text(), re.MULTILINE
    )
    shown = re.findall(r"^\| (?:dense|sensitivity|a control).*$", table, re.MULTILINE)
    assert len(shown) == len(rows)
    for row in rows:
        published, ours, dense = row["published"], row["ours"], row["name"] == "dense"
        told = f" {published['error']:.2f} %" if published else ""
        if published and not dense:
            told += f" at {published['compression']:g}x"
        if published:
            told += known(published)
        mine = error_of(ours)
        if not dense:
            mine += f" at {tables.ratio_text(ours['compression_mean'])}"
        assert any(f"|{told} | {mine} |{verdict_of(row)}|" in line for line in shown), mine


@pytest.mark.parametrize("network", ["MLP", "LeNet-5"])
def test_the_rows_of_hard_concrete_gates_too(network):
    title = {"MLP": "LeNet-300-100"}.get(network, network)
    (table,) = re.findall(
        rf"^\| {title} on MNIST \|.*\n(?:\|.*\n)+", README.read_text(), re.MULTILINE
    )
    rows = [row for row in committed("l0-table1") if row["name"].startswith(network)]
    shown = re.findall(r"^\| hard concrete gates, .*$", table, re.MULTILINE)
    assert len(shown) == len(rows)
    for row, line in zip(rows, shown, strict=True):
        published, ours = row["published"], row["ours"]
        told = " "
        if published:
            error = f"{published['error']:.{published['decimals']}f} %"
            told = f" {error} at {published['compression']:.3g}x{known(published)} "
        mine = f"{error_of(ours)} at {tables.ratio_text(ours['compression_mean'])}"
        name = row["name"].removeprefix(f"{network}, ")
        assert line == f"| hard concrete gates, {name} |{told}| {mine} |{verdict_of(row)}|"
    for row in committed("l0-table1"):
        if row.get("control_of", "").startswith(network):
            how = {"magnitude": "by magnitude", "random": "at random"}[row["name"].split(",")[0]]
            of = row["control_of"].removeprefix(f"{network}, ")
            mine = f"{error_of(row['ours'])} at {tables.ratio_text(row['ours']['compression_mean'])}"
            line = f"| their control: inputs {how}, as many as {of} | | {mine} |{verdict_of(row)}|"
            assert f"{line}\n" in table


def test_the_rows_with_the_lambdas_of_others():
    for row, whose in zip(
        committed("l0-reimplementations"), ("a re-implementation", "another"), strict=True
    ):
        published, ours = row["published"], row["ours"]
        assert ours["n_seeds"] == 1
        told = f"{published['error']:.1f} % at {published['compression']:.3g}x{known(published)}"
        mine = f"{ours['error_mean']:.2f} % at {tables.ratio_text(ours['compression_mean'])}"
        line = f"| {told} | {mine}, one seed |{verdict_of(row)}|\n"
        assert f"| the same with the lambdas of {whose}, no L2 {line}" in README.read_text()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("L1", "stochastic pruning beside L1"),
        ("L1 and L2", "stochastic pruning beside L1 and L2"),
        ("L2, 10 sigma", "stochastic pruning beside L2, at ten times the scale"),
        ("L1, no zeroing", "their control without zeroing, L1"),
        ("L1 and L2, no zeroing", "their control without zeroing, L1 and L2"),
    ],
)
def test_the_stochastic_rows_too(name, told):
    (row,) = [row for row in committed("stochastic-nodes") if row["name"] == name]
    (line,) = re.findall(rf"^\| {told} \|.*$", README.read_text(), re.MULTILINE)
    removed = f"{row['details']['removed']:.0f} % of the nodes removed"
    assert f"| {error_of(row['ours'])} with {removed} |" in line


@pytest.mark.parametrize("arm", ["none", "dropout", "small", "random", "large"])
def test_the_tests_of_large_weights_in_which_all_fit(arm):
    told = {"none": "nothing", "dropout": "nothing, dropout"}.get(arm, arm)
    weights, units = (arm, arm) if told != arm else (f"{arm} weights", f"{arm} units")
    asked = {
        "large-weights-fair": weights,
        "large-weights-fair-fashion": weights,
        "large-weights-why": arm if arm == "none" else f"{weights}, own scale",
        "large-weights-rates": weights,
        "large-weights-units": units,
    }
    found = [
        [error_of(row["ours"]) for row in committed(experiment) if row["name"] == name]
        for experiment, name in asked.items()
    ]
    cells = "|".join(f" {''.join(each)} " if each else " " for each in found)
    assert f"| {told} |{cells}|\n" in README.read_text()


def test_what_the_fair_tests_say_of_large_weights():
    cifar, fashion = (
        {claim["other"].split()[0]: claim for claim in committed(experiment, "claims")}
        for experiment in ("large-weights-fair", "large-weights-fair-fashion")
    )

    def of(claim):
        return f"{claim['difference']:+.2f} ± {half_of(claim)}"

    text = running_text()
    small = f"large - small is {of(cifar['small'])} (95 %) on CIFAR-10 and {of(fashion['small'])}"
    assert f"{small} on Fashion-MNIST, large - random {of(cifar['random'])} and " in text
    assert f" and {of(fashion['random'])}. (Against none, {of(cifar['none'])}, and" in text
    left_open = [cifar[other] for other in ("none", "dropout")]
    assert {claim["verdict"] for claim in left_open} == {"open"}
    (p,) = {f"{claim['p_adjusted']:.2f}" for claim in left_open}
    told = f"and dropout, {of(cifar['dropout'])}, CIFAR-10 leaves it open: Holm's p is {p} for both"
    assert told in text
    assert {fashion[other]["verdict"] for other in fashion} == {"holds"}
    assert {cifar[other]["verdict"] for other in ("small", "random")} == {"holds"}


def test_what_whole_units_cost():
    claims = committed("large-weights-units", "claims")
    assert {claim["verdict"] for claim in claims} == {"contradicted"}
    steps = [
        fmean(row["details"]["turned_between"])
        for row in committed("large-weights-units")
        if row["name"] in ("small units", "random units", "large units")
    ]
    assert max(steps) < 1.05 * min(steps)
    text = running_text()
    assert "all four claims are contradicted at once, at steps that are equal within 5 %" in text
    for other, claim in (("small", claims[0]), ("random", claims[-1])):
        assert claim["other"] == f"{other} units"
        assert f"large - {other} {claim['difference']:+.2f} ± {half_of(claim)}" in text


def test_what_zeroing_beside_weight_decay_leaves():
    all_ = committed("stochastic-decay")
    rows, wide = (
        {row["name"].removeprefix(f"{net}, "): row for row in all_ if row["name"].startswith(net)}
        for net in ("300-100", "1000-300")
    )
    text = running_text()

    def left(name):
        return round(4 * (100 - rows[name]["details"]["removed"]))

    assert (
        f"leaves {left('zeroing alone')} of 400 nodes and with L2 {left('zeroing and L2')};" in text
    )
    mean, half = paired(*(rows[name]["ours"]["errors"] for name in ("zeroing and L2", "dense")))
    assert f"costs {mean:.2f} points (95 %: {mean - half:.2f} to {mean + half:.2f})" in text
    mean, half = paired(*(wide[name]["ours"]["errors"] for name in ("zeroing and L2", "dense")))
    gone, ratio = wide["zeroing and L2"]["details"]["removed"], wide["zeroing and L2"]["ours"]
    found = f"{gone:.0f} % of the nodes gone at {ratio['compression_mean']:.0f}x for {mean:.2f}"
    assert f"{found} points (95 %: {mean - half:.2f} to {mean + half:.2f})" in text
    names = ("its architecture from scratch", "dense")
    new = [paired(*(each[n]["ours"]["errors"] for n in names)) for each in (rows, wide)]
    told = " and ".join(f"{mean:.2f} ± {half:.2f}" for mean, half in new)
    assert f"errs {told} points more than the dense network" in text


def test_what_became_of_the_claims_about_the_dose():
    found = {claim["id"]: claim["verdict"] for claim in committed("sensitivity-dose", "claims")}
    told = "none of eight registered claims holds: five are open, one not admitted, since compression"
    assert f"{told} differed, and two are contradicted (ten times" in running_text()
    assert Counter(found.values()) == {"open": 5, "not admitted": 1, "contradicted": 2}
    wrong = [id for id, verdict in found.items() if verdict == "contradicted"]
    assert all("30x" in id and "10" in id for id in wrong), wrong


def test_what_new_seeds_leave_of_a_gain():
    shuffled, *others = committed("sensitivity-dose-again", "claims")
    assert shuffled["verdict"] == "open"
    assert "holds" not in {claim["verdict"] for claim in others}
    told = f"(real - shuffled {shuffled['difference']:+.2f} ± {half_of(shuffled)}, "
    assert told in running_text()


def test_what_the_recalled_regime_leaves():
    rows = {row["name"]: row["ours"] for row in committed("sensitivity-recalled")}
    real, none = (rows[f"{arm}, 1500 epochs"] for arm in ("unspecific", "S = 0"))
    text = running_text()
    assert real["n_seeds"] == none["n_seeds"] == 1
    assert "plain SGD; one seed of three planned)" in text
    assert f"{real['compression_mean']:.1f} times fewer weights are left after 1,500 epochs" in text
    assert f"it is {none['compression_mean']:.1f} times, at errors of" in text
    assert f"{real['error_mean']:.2f} and {none['error_mean']:.2f} %: what is recalled" in text


def test_what_the_controls_of_lenet5_leave():
    rows = {row["name"]: row["ours"] for row in committed("controls-lenet5")}

    def of(name, ratio=False):
        ours = rows[f"mnist, {name}"]
        at = f" at {ours['compression_mean']:.0f}x" if ratio else ""
        return f"{ours['error_mean']:.2f} %{at}"

    text = running_text()
    random = "random, the method's shares"
    assert f"plain decay ends at {of('S = 0', True)}, equal to the method's" in text
    assert f"method's {of('sensitivity', True)} within 0.1 points (a margin set afterwards)" in text
    (schedule,) = (
        claim
        for claim in committed("controls-lenet5", "claims")
        if claim["id"] == "controls-lenet5-mnist-schedule"
    )
    difference = schedule["difference"]
    assert schedule["verdict"] == "holds"
    assert f"magnitude has {of('magnitude')} (a registered claim that holds, {difference:.2f}" in text
    assert f"{difference:.2f} ± {half_of(schedule)}; but the schedule alone, plain" in text
    assert f"decay, does as well) and random masks {of(random)}." in text
    pairs = (rows[f"mnist, {name}"]["errors"] for name in ("S = 0", "sensitivity"))
    assert intervals.equivalent(*pairs, 0.1)
    clothes = {row["name"]: row for row in committed("sensitivity-table3")}
    assert all(clothes[name]["control_passes"] for name in ("S = 0", "magnitude", random))
    ours, other = (f"{clothes[n]['ours']['error_mean']:.2f} %" for n in ("unspecific", random))
    assert f"shares included: {other}, where the method has {ours}" in text


def test_what_the_controls_of_the_gates_leave():
    rows = {row["name"]: f"{row['ours']['error_mean']:.2f} %" for row in committed("l0-controls")}
    by_name = {name: rows[f"sep., {name}"] for name in ("ours", "from scratch")}
    by_name |= {how: rows[f"sep., widths {how}"] for how in ("by magnitude", "at random")}
    text = running_text()
    assert f"gates err on {by_name['ours']}, the same widths by magnitude on" in text
    assert f"by magnitude on {by_name['by magnitude']}, their architecture from new" in text
    assert f"new weights on {by_name['from scratch']}, and random widths on" in text
    assert f"random widths on {by_name['at random']}." in text
    assert [claim["verdict"] for claim in committed("l0-controls", "claims")] == ["open"] * 4
    new, magnitude, chance = committed("l0-controls-lenet5", "claims")
    told = f"within {abs(chance['difference']):.2f} points of the gates (± {half_of(chance)}, "
    assert f"random widths end {told}{chance['verdict']})" in text
    assert (new["verdict"], magnitude["verdict"]) == ("open", "not admitted")
    assert "widths by magnitude leave too few weights to be compared (not admitted)" in text
    assert f"new weights ends {-new['difference']:.2f} points above them (± {half_of(new)}, open)" in text
    (unpruned,) = (r for r in committed("l0-controls-lenet5") if r["name"] == "lambda = 0")
    assert len(unpruned["ours"]["errors"]) == 1
    assert f"(lambda = 0, one seed) err on {unpruned['ours']['error_mean']:.2f} %" in text


def test_what_the_shares_of_the_layers_explain():
    errors = {row["name"]: row["ours"]["error_mean"] for row in committed("one-protocol")}

    def explained(at):
        gained = errors[f"random, {at}"] - errors[f"magnitude, {at}"]
        return (errors[f"random, {at}"] - errors[f"random, magnitude's shares, {at}"]) / gained

    assert "explain most of what magnitude gains" in running_text()
    assert min(explained("50x"), explained("100x")) > 0.5
    assert "a quarter of it at 10x" in running_text()
    assert 0.2 < explained("10x") < 0.3


def test_what_large_weights_do_to_the_fit():
    wrong = {
        row["name"]: row["ours"]["train_error_mean"] for row in committed("large-weights-cifar10")
    }
    text = running_text()
    others = (
        wrong["small weights"],
        wrong["random weights"],
        wrong["small filters"],
        wrong["random filters"],
    )
    assert f"({wrong['large weights']:.0f} % of them wrong on CIFAR-10, " in text
    assert f"leave {min(others):.0f} to {max(others):.0f} %)" in text


def test_the_table_of_the_book_is_that_of_its_page():
    _, book = README.read_text().split("## The book\n")
    book, *_ = book.split("\n## ")
    page = (README.parent / "tutorials/pages/05_magnitude.md").read_text()
    (table,) = re.findall(r"(?:^\|.*\n)+", book, re.MULTILINE)
    assert table.count("\n") > 3
    assert table in page


def test_every_link_to_a_file_resolves():
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []

"""What chapters show: tables, source, figures, the picture of a tape."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minisparse import Tensor, book
from minisparse.autodiff.ops import arithmetic
from minisparse.experiments.claims import Claim, judge_all
from minisparse.prune import plateau, scope

SVG = "{http://www.w3.org/2000/svg}"


def labels(svg):
    return [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_quick_run_gets_the_reduced_value(monkeypatch):
    monkeypatch.delenv("MINISPARSE_BOOK_QUICK", raising=False)
    assert book.quick(10, 1) == 10
    monkeypatch.setenv("MINISPARSE_BOOK_QUICK", "1")
    assert book.quick(10, 1) == 1


def judged(check=lambda *_: None, family=""):
    row = {"ours": {"seeds": [0, 1, 2], "errors": [2.0, 2.1, 2.2]}, "details": {}, "name": "one"}
    other = {
        "ours": {"seeds": [0, 1, 2], "errors": [2.5, 2.6, 2.8]},
        "details": {},
        "name": "other",
    }
    claim = Claim(
        id="c",
        statement="one is better",
        one="one",
        other="other",
        direction="below",
        registered="2026-11-29",
        control="idea",
        check=check,
        check_text="one fits",
        family=family,
    )
    return judge_all([claim], {"one": row, "other": other})


@pytest.mark.parametrize(
    ("n", "sd", "head", "error"),
    [(1, None, "1 seed", "1.50"), (3, 0.125, "3 seeds", "1.50 ± 0.12")],
)
def test_outcomes_show_a_line_for_each_row(n, sd, head, error, capsys):
    ours = {"n_seeds": n, "compression_mean": 10.58, "train_error_mean": 0.004}
    rows = [{"name": "gates", "ours": ours | {"error_mean": 1.5, "error_sd": sd}}]
    book.outcomes({"rows": rows})
    first, _, line = capsys.readouterr().out.strip().splitlines()
    assert first == f"| {head} | compression | training error, % | test error, % |"
    assert line == f"| gates | 10.6x | 0.00 | {error} |"


def test_a_claim_is_shown_with_its_interval_and_its_verdict(capsys):
    book.claims(judged(family="two"))
    *_, line = capsys.readouterr().out.strip().splitlines()
    assert line == "| one - other | -0.53 (-0.68 to -0.39) | below 0 | 0.004 | holds |"


def test_of_a_claim_that_is_not_admitted_no_difference_is_shown(capsys):
    book.claims(judged(check=lambda *_: "one fits nothing"))
    *_, line = capsys.readouterr().out.strip().splitlines()
    assert line == "| one - other | one fits nothing | below 0 | not admitted |"


def test_tables_need_a_cell_for_each_column():
    with pytest.raises(ValueError, match="2 columns"):
        book.table(["a", "b"], [["only one"]])


def test_bars_in_a_table_are_escaped(capsys):
    book.table(["|w|"], [["x | y"]])
    said = capsys.readouterr().out
    assert r"| \|w\| |" in said
    assert r"| x \| y |" in said


def test_source_is_that_of_the_library(capsys):
    book.show_source(arithmetic.Mul, arithmetic.Add)
    shown = capsys.readouterr().out
    assert shown.startswith("From `minisparse/autodiff/ops/arithmetic.py`:")
    assert "class Mul(Op):" in shown
    assert "return a + b" in shown


def test_source_without_long_docstrings_and_tools_comments(capsys):
    book.show_source(scope.top_k, docstring=False)
    shown = capsys.readouterr().out
    assert "np.partition" in shown
    assert "Examples" not in shown
    assert '"""' not in shown


def test_the_door_of_a_function_is_no_part_of_what_it_shows(capsys):
    book.show_source(plateau.largest_threshold, docstring=False)
    shown = capsys.readouterr().out
    assert "def largest_threshold(" in shown
    assert "@door" not in shown


def test_an_excerpt_ends_where_it_says(capsys):
    book.show_source(scope.top_k, docstring=False, start="kth =", stop="keep[flat > kth]")
    shown = capsys.readouterr().out.splitlines()
    code = shown[shown.index("```python") + 1 : -1]
    assert len(code) == 3
    assert code[0] == "# ..."
    assert code[1].startswith("kth =")


def test_an_excerpt_that_is_no_more_is_an_error():
    with pytest.raises(ValueError, match="no 'not there'"):
        book.show_source(scope.top_k, start="not there")


def test_a_figure_in_a_terminal_is_its_description(capsys):
    figure, ax = book.new_figure(3, 2)
    ax.plot([1, 2])
    book.show(figure, "a line")
    book.tiles(np.zeros((3, 4, 4)), "three squares", columns=2)
    assert capsys.readouterr().out == "[figure: a line]\n[figure: three squares]\n"


def test_the_graph_shows_values_and_cotangents():
    w, x = Tensor(3.0, requires_grad=True, name="w"), Tensor(2.0, name="x")
    y = w * x - 10.0
    y.name = "y"
    found = labels(book.graph_svg(y))
    assert {"w", "x", "3", "2", "bar 2", "bar 1"} <= set(found)  # dy/dw = x = 2
    assert "\N{MINUS SIGN}4" in found  # y
    y.backward()  # the picture has left the graph alone
    assert w.grad.item() == 2


def test_each_use_is_an_edge_with_its_own_flow():
    x = Tensor(5.0, requires_grad=True, name="x")
    svg = book.graph_svg(x * x)
    assert svg.count("marker-end") == 2
    assert labels(svg).count("5") == 3  # the value, and what flows back along each edge
    assert "bar 10" in labels(svg)


def test_a_graph_without_backward_has_no_orange():
    x = Tensor(5.0, requires_grad=True, name="x")
    assert "#D55E00" not in book.graph_svg(x * x, backward=False)


def test_of_arrays_the_shape_is_shown():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    assert "[2, 3]" in labels(book.graph_svg((x * 2.0).sum()))


def test_a_terminal_prints_the_command_and_its_output(capsys):
    terminal = book.Terminal()
    (terminal.folder / "inside").mkdir()
    (terminal.folder / "inside" / "say.py").write_text(
        "import sys\nprint('one\\ntwo\\nthree')\nprint('  ' + 'long ' * 30)\n"
        "print('progress', file=sys.stderr)\nsys.exit(3)\n"
    )
    terminal.run("python say.py", at="inside", lines=slice(1, None))
    assert terminal.code == 3
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == ["$ python say.py", "...", "two", "three"]
    assert len(said) == 6
    assert all(len(line) < 100 and line.startswith("  long") for line in said[4:])
    terminal.run("minisparse classroom new a77 --out here", hide={"a77": "this"})
    assert terminal.code == 2
    assert "no assignment is called 'this'" in capsys.readouterr().out
    with pytest.raises(ValueError, match="begins with minisparse or python"):
        terminal.run("rm -r inside")

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from minisparse.experiments import plots, plots_stability


def row(name, series, compression, error, published=None, sd=0.1, seeds=2):
    return {
        "name": name,
        "series": series,
        "convention": "weights",
        "published": published,
        "control_passes": None,
        "ours": {
            "error_mean": error,
            "error_sd": sd,
            "compression_mean": compression,
            "n_seeds": seeds,
        },
    }


def point(error, compression, status="recalled"):
    return {"error": error, "compression": compression, "source": "T", "status": status}


RESULTS = {
    "title": "nothing on nothing",
    "rows": [
        row("dense", "dense", 1.0, 1.6, point(1.4, 1.0, "read")),
        row("far", "magnitude", 32.0, 2.0),
        row("near", "magnitude", 4.0, 1.7, point(1.65, 5.0)),
        row("nowhere", "other", 8.0, 1.8, point(1.5, None)),
    ],
    "others": [{"name": "L0", **point(1.8, 10.0)}],
    "settings": {"quick": False},
}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, to look into."""
    figures = []
    monkeypatch.setattr(
        Figure, "savefig", lambda self, path, dpi: figures.append((self, path, dpi))
    )
    return figures


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def points(axes):
    """Every point drawn with a marker: (x, y, marker, filled)."""
    return {
        (round(x, 6), round(y, 6), line.get_marker(), line.get_markerfacecolor() != "white")
        for line in axes.lines
        if line.get_marker() not in ("None", "_", "|")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def test_tradeoff_shows_every_number_where_it_belongs(drawn):
    plots.tradeoff(RESULTS, Path("figure.png"))
    ((figure, path, _),) = drawn
    (axes,) = figure.axes
    assert path == Path("figure.png")
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "test error, %"
    assert "weights / nonzero weights" in axes.get_xlabel()
    ours = {(1.0, 1.6, "o", True), (32.0, 2.0, "s", True), (4.0, 1.7, "s", True)}
    published = {(1.0, 1.4, "o", False), (1.0, 1.4, ".", True), (5.0, 1.65, "s", False)}
    other = {(10.0, 1.8, "$A$", True), (8.0, 1.8, "^", True)}
    assert ours | published | other == {p for p in points(axes) if p[2] != "-"}
    joined = {tuple(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-"}
    assert joined == {(4.0, 32.0)}  # the one series of two rows, sorted


def test_a_control_that_fails_by_far_stands_at_the_edge(drawn):
    fails = {**row("random", "random", 32.0, 9.65), "control_passes": False}
    nearly = {**row("S = 0", "S = 0", 4.0, 2.2), "control_passes": False}
    plots.tradeoff({**RESULTS, "rows": [*RESULTS["rows"], fails, nearly]}, Path("figure.png"))
    (axes,) = drawn[0][0].axes
    assert axes.get_ylim()[1] < 2.6
    assert "9.7" in [text.get_text() for text in axes.texts]
    assert (4.0, 2.2, "v", True) in points(axes)
    assert "random: far above, at so many\n%" in legend(drawn[0][0])


def test_curves_to_the_collapse_have_a_log_scale_of_errors(drawn):
    collapsed = row("gone", "other", 500.0, 56.0)
    plots.tradeoff({**RESULTS, "rows": [*RESULTS["rows"], collapsed]}, Path("figure.png"))
    plots.tradeoff(RESULTS, Path("figure.png"))
    first, second = (figure.axes[0] for figure, *_ in drawn)
    assert (first.get_yscale(), first.get_ylabel()) == ("log", "test error, % (log scale)")
    assert (500.0, 56.0, "^", True) in points(first)
    assert second.get_yscale() == "linear"


def test_the_legend_says_what_is_recalled_and_what_was_read(drawn):
    plots.tradeoff(RESULTS, Path("figure.png"))
    assert legend(drawn[0][0]) == [
        "dense",
        "magnitude",
        "other",
        "L0, as recalled",
        "ours, mean and sd of 2 seeds",
        "published, read in the paper",
        "published, as recalled; not\nchecked against the PDF",
    ]


def test_a_quick_run_is_labelled(drawn):
    rows = [row("dense", "dense", 1.0, 1.6, sd=None, seeds=1)]
    quick = RESULTS | {"rows": rows, "settings": {"quick": True}}
    for draw in (plots.tradeoff, plots.errors):
        draw(quick, Path("figure.png"))
        assert "QUICK RUN" in drawn[-1][0].get_suptitle()
        assert "ours, one seed" in legend(drawn[-1][0])


def test_errors_shows_a_line_for_each_row(drawn):
    plots.errors(RESULTS, Path("figure.png"))
    (axes,) = drawn[0][0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "dense",
        "far",
        "near",
        "nowhere",
        "L0",
    ]
    found = {(x, y, filled) for x, y, marker, filled in points(axes) if marker != "."}
    assert found == {
        *((1.6, 0, True), (2.0, 1, True), (1.7, 2, True), (1.8, 3, True)),
        *((1.4, 0, False), (1.65, 2, False), (1.5, 3, False), (1.8, 4, False)),
    }


def test_dense_rows_alone_are_drawn_as_errors(drawn):
    plots.draw(RESULTS | {"rows": RESULTS["rows"][:1]}, Path("figure.png"))
    plots.draw(RESULTS, Path("figure.png"))
    assert [figure.axes[0].get_xscale() for figure, *_ in drawn] == ["linear", "log"]


def test_one_seed_has_no_error_bars(drawn):
    single = [row("a", "a", 2.0, 1.5, sd=None), row("b", "a", 4.0, 1.6, sd=None)]
    plots.tradeoff(RESULTS | {"rows": single}, Path("figure.png"))
    assert not drawn[0][0].axes[0].collections
    plots.tradeoff(RESULTS, Path("figure.png"))
    assert len(drawn[1][0].axes[0].collections) == 3


def test_many_series_stay_apart():
    styles = [(s["color"], s["marker"]) for s in plots._styles(18)]
    assert len(set(styles)) == 18


def test_a_collapsed_network_does_not_set_the_scale():
    floor = plots_stability.scale_floor
    assert floor([[89.0, 88.0], [87.5, 10.0]]) == 87
    assert floor([[89.0, 88.0], [87.5, 80.0]]) == 0
    assert floor([[89.0, 88.0], [70.0, 71.0]]) == 0  # bad, but all alike: shown

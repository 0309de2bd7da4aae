"""The builder, on a small book of two chapters. Needs the extra `docs`."""

import re

import pytest

from minisparse import cli
from minisparse.book import pages
from minisparse.book.chapters import BookError, chapters

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")

CHAPTER = """\
# %% [markdown]
# # {number}. A title
#
# **Goal.** Learn something. Or not.
#
# **Time.** 1 minute.
#
# Inline $w_i$, see [the other](0{other}_small.py) and `minisparse/train.py`.

# %%
from minisparse import book

print("printed", {number})
book.table(["a", "link"], [["cell", "[other](0{other}_small.py)"]])

# %% tags=["varies", "hide-input"]
import time

print(f"{{time.perf_counter():.9f}} s")

# %% tags=["remove-input"]
figure, ax = book.new_figure(3, 2)
ax.plot([1, 2, 4])
book.show(figure, "a rising line")
"""


@pytest.fixture
def small_book(tmp_path, monkeypatch):
    for number, other in ((0, 1), (1, 0)):
        (tmp_path / f"0{number}_small.py").write_text(CHAPTER.format(number=number, other=other))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_page_is_made_and_stays_current(small_book, capsys):
    assert cli.main(["book"]) == 0
    page = (small_book / "pages" / "01_small.md").read_text()
    assert "Inline $`w_i`$, see [the other](00_small.md)" in page
    assert "[`minisparse/train.py`](../../minisparse/train.py)" in page
    assert "```text\nprinted 1\n```" in page
    assert "<summary>Code</summary>" in page
    assert "![a rising line](figures/01_small-1.png)" in page
    assert "new_figure" not in page
    assert "← [0. A title](00_small.md)" in page
    figure = small_book / "pages" / "figures" / "01_small-1.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert cli.main(["book", "--check"]) == 0  # another time was printed; only the digits differ
    assert "stale" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("01_small.py", '"printed"', '"spoken"'),
        ("01_small.py", "Learn", "Forget"),
        ("pages/01_small.md", "printed 1", "printed 2"),
    ],
)
def test_a_stale_page_is_named(small_book, capsys, file, old, new):
    cli.main(["book", "1"])
    path = small_book / file
    path.write_text(path.read_text().replace(old, new))
    assert cli.main(["book", "--check", "1"]) == 1
    out = capsys.readouterr().out
    assert "stale: 01_small.md" in out


def test_a_missing_figure_and_one_too_many_are_stale(small_book, capsys):
    cli.main(["book"])
    figures = small_book / "pages" / "figures"
    (figures / "01_small-1.png").rename(figures / "07_gone-1.png")
    assert cli.main(["book", "--check"]) == 1
    out = capsys.readouterr().out
    assert "07_gone-1.png: belongs to no chapter" in out
    assert "01_small.md: stale" in out


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("raise KeyError('this one')", "this one"),
        ("import warnings; warnings.warn('careful')", "careful"),
    ],
)
def test_a_cell_that_fails_or_warns_ends_the_build(small_book, line, why):
    path = small_book / "01_small.py"
    path.write_text(path.read_text() + f"\n# %%\n{line}\n")
    with pytest.raises(BookError, match=why):
        pages.make_page(chapters()[1], chapters())
    assert not (small_book / "pages").exists()


def test_a_page_is_never_made_of_a_quick_run(small_book, monkeypatch):
    monkeypatch.setenv("MINISPARSE_BOOK_QUICK", "1")
    path = small_book / "01_small.py"
    path.write_text(path.read_text() + '\n# %%\nprint(book.quick("whole", "reduced"))\n')
    assert "whole" in pages.make_page(chapters()[1], chapters()).text


def test_a_page_is_made_without_variables_that_slow_a_library_down(small_book, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    path = small_book / "01_small.py"
    path.write_text(path.read_text() + '\n# %%\nimport os\n"OPENBLAS_CORETYPE" in os.environ\n')
    assert "```text\nFalse\n```" in pages.make_page(chapters()[1], chapters()).text


def test_appendices_come_last_and_have_letters(small_book, capsys):
    text = CHAPTER.format(number=0, other=1)
    (small_book / "A_more.py").write_text(text.replace("# 0. A title", "# A. More"))
    late = text.replace("# 0. A", "# 10. A").replace("(01_small.py) and", "(A_more.py) and")
    (small_book / "10_late.py").write_text(late)
    assert [c.number for c in chapters()] == ["0", "1", "10", "A"]
    assert cli.main(["book", "a"]) == 0
    assert "A_more.md" in capsys.readouterr().out
    page = (small_book / "pages" / "A_more.md").read_text()
    assert page.count("← [10. A title](10_late.md)") == 2
    assert cli.main(["book", "10"]) == 0
    late = (small_book / "pages" / "10_late.md").read_text()
    assert "[A. More](A_more.md) →" in late
    assert "see [the other](A_more.md) and" in late


def test_a_formula_that_would_not_be_shown_ends_the_build(small_book, capsys):
    path = small_book / "01_small.py"
    path.write_text(path.read_text().replace("$w_i$", r"$\operatorname{w}$"))
    assert cli.main(["book", "1"]) == 2
    assert "01_small.py" in capsys.readouterr().err


@pytest.mark.usefixtures("small_book")
def test_an_unknown_chapter_is_an_error(capsys):
    assert cli.main(["book", "17"]) == 2
    assert "00_small, 01_small" in capsys.readouterr().err


def test_the_site_needs_no_network(small_book):
    pytest.importorskip("myst_nb")
    pytest.importorskip("furo")
    assert cli.main(["book", "--html", "site"]) == 0
    page = (small_book / "site" / "01_small.html").read_text()
    assert "printed 1" in page
    assert 'alt="a rising line"' in page
    assert "<p>cell</p>" in page
    assert page.count('href="00_small.html"') > 1  # in the text and in the table
    assert r"\(w_i\)" in page
    loaded = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="([^"]+)"', page)
    assert not [x for x in loaded if x.startswith(("http", "//"))]
    assert [x for x in loaded if "tex-svg.js" in x]
    for x in loaded:
        assert (small_book / "site" / x.partition("?")[0].partition("#")[0]).exists(), x

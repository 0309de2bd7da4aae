"""Formulas on the way from a chapter to GitHub."""

import pytest

from minisparse.book.mathematics import MathError, for_github


@pytest.mark.parametrize(
    ("chapter", "page"),
    [
        ("plain $x$, $y = x + 1$.", "plain $x$, $y = x + 1$."),
        ("index $w_{ij}$", "index $`w_{ij}`$"),
        ("two $a_1$ and $b_1$", "two $`a_1`$ and $`b_1`$"),  # CommonMark: emphasis from _ to _
        (r"a set $\{0, 1\}$", r"a set $`\{0, 1\}`$"),  # CommonMark drops these backslashes
        ("stars $a^*$ and $b^*$", "stars $`a^*`$ and $`b^*`$"),
        ("less $a < b$", "less $`a < b`$"),
        ('in ($n$), "$n$", **$n$**', 'in ($n$), "$n$", **$n$**'),
        ("`code with $HOME$` stays", "`code with $HOME$` stays"),
        (r"five \$ and $x_1$", r"five \$ and $`x_1`$"),
        ("$$\ny = x\n$$", "```math\ny = x\n```"),
        ("```bash\necho $a_b $c_d\n```", "```bash\necho $a_b $c_d\n```"),
        (r"| $\lvert w \rvert$ | b |", r"| $`\lvert w \rvert`$ | b |"),
    ],
)
def test_formulas_are_written_as_github_reads_them(chapter, page):
    assert for_github(chapter) == page


@pytest.mark.parametrize(
    ("chapter", "why"),
    [
        (r"$\operatorname{sign}(x)$", "operatorname"),
        ("$$\n\\newcommand{\\w}{w}\n$$", "newcommand"),
        ("the $n$-th", "space or punctuation"),
        ("3$n$", "space or punctuation"),
        ("$n$s", "space or punctuation"),
        ("$ n $", "no spaces"),
        ("over two $x +\ny$ lines", "does not end on its line"),
        ("$$\ny = x", "does not end"),
        ("$$ y = x $$", "lines of their own"),
        ("- item\n  $$\n  y\n  $$", "inside a list"),
        ("$$\na\n\nb\n$$", "empty line"),
        ("| $|w|$ | b |", "lvert"),
        ("already $`x_1`$", "alone"),
        ("```math\nx\n```", "lines of"),
    ],
)
def test_what_github_would_not_show_is_refused(chapter, why):
    with pytest.raises(MathError, match=why):
        for_github(chapter)


def test_the_line_is_named():
    with pytest.raises(MathError, match="line 3"):
        for_github("a\nb\n" + r"$\tag{1}$")

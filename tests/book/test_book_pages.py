"""The committed pages: made of the chapters as they are, and nothing on them leads nowhere."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from minisparse.book import pages
from minisparse.book.chapters import chapters
from minisparse.book.mathematics import for_github

ROOT = Path(__file__).parents[2]
CHAPTERS = chapters()
each_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)
ALLOWED = {"minisparse", "numpy", "matplotlib"} | set(sys.stdlib_module_names)


def cells(chapter, kind):
    """Return the markdown or the code cells of a chapter."""
    found = []
    for cell in re.split(r"^# %%", chapter.path.read_text(), flags=re.MULTILINE)[1:]:
        head, _, body = cell.partition("\n")
        if ("[markdown]" in head) == (kind == "markdown"):
            lines = body.strip("\n").splitlines()
            found.append(
                "\n".join(re.sub("^# ?", "", line) for line in lines)
                if kind == "markdown"
                else "\n".join(lines)
            )
    return found


def test_there_is_a_book():
    numbers = [c.number for c in CHAPTERS]
    assert numbers == sorted({*numbers}, key=lambda n: (n.isalpha(), len(n), n))
    assert len(CHAPTERS) > 5


@each_chapter
def test_the_page_was_made_of_the_chapter_as_it_is_now(chapter):
    assert pages.is_of_source(chapter), f"run `minisparse book {chapter.number}`"


@each_chapter
def test_the_page_holds_all_of_the_chapter(chapter):
    page = chapter.page.read_text()
    for text in cells(chapter, "markdown"):
        for line in for_github(text).splitlines():
            until_a_link = re.split(r"`minisparse/[\w/]+\.py`|\]\(", line)[0]
            assert until_a_link in page


@each_chapter
def test_every_link_and_figure_resolves(chapter):
    text = re.sub(r"```.*?```", "", chapter.page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text)
    assert links
    missing = [x for x in links if not (chapter.page.parent / x.partition("#")[0]).exists()]
    assert not missing


@each_chapter
def test_figures_have_descriptions(chapter):
    figures = re.findall(r"!\[(.*?)\]\((.*?)\)", chapter.page.read_text())
    assert all(len(alt) > 15 for alt, _ in figures)


def test_no_page_or_figure_is_left_over():
    assert pages.orphans(CHAPTERS) == []


def test_the_contents_are_the_chapters_that_exist():
    table = CHAPTERS[0].page.read_text()
    listed = re.findall(
        r"^\| \[(\w+)\. (.*?)\]\((.*?)\) \| (.*?) \| (.*?) \|$", table, re.MULTILINE
    )
    told = [(c.number, c.title, c.page.name, c.goal, c.time) for c in CHAPTERS]
    assert listed == told[1:], "run `minisparse book 0`"


@each_chapter
def test_a_chapter_needs_the_package_alone(chapter):
    imported = set()
    for node in ast.walk(ast.parse(chapter.path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.partition(".")[0])
    assert imported <= ALLOWED


@each_chapter
def test_a_chapter_opens_as_a_notebook(chapter):
    head = chapter.path.read_text().split("# %%")[0]
    for line in ("jupytext:", "extension: .py", "format_name: percent", "name: python3"):
        assert line in head


@each_chapter
def test_exercises_have_the_numbers_and_titles_of_the_assignment(chapter):
    folder = ROOT / "minisparse" / "classroom" / "assignments"
    manifest = folder / f"a{chapter.number}" / "assignment.toml"
    text = chapter.path.read_text()
    numbers = re.findall(rf"^# \*\*{chapter.number}\.(\d+)\b", text, re.MULTILINE)
    assert [int(n) for n in numbers] == [*range(1, len(numbers) + 1)]
    if not manifest.exists():
        assert f"classroom new a{chapter.number} " not in text
        return
    assert f"minisparse classroom new a{chapter.number} " in text
    exercises = tomllib.loads(manifest.read_text())["exercises"]
    for exercise in exercises:
        end = "" if exercise["title"].endswith("?") else "."
        assert f"# **{exercise['number']} {exercise['title']}{end}**" in text


def test_times_and_digits_that_vary_are_not_compared():
    one = f"{pages.VARIES}\n\n```text\nerror 1.25 %, 3.1 s\n```\n\ntext 7"
    other = f"{pages.VARIES}\n\n```text\nerror 12.5 %,   31 s\n```\n\ntext 7"
    assert pages.comparable(one) == pages.comparable(other)
    assert pages.comparable(one) != pages.comparable(other.replace("error", "Error"))
    assert pages.comparable(one) != pages.comparable(other.replace("text 7", "text 8"))


def test_tables_that_vary_are_compared_without_digits():
    one = f"{pages.VARIES}\n\n| a | 1.5 |\n\nend 1"
    assert pages.comparable(one) == pages.comparable(one.replace("1.5", "22.75"))
    assert pages.comparable(one) != pages.comparable(one.replace("end 1", "end 2"))


def test_what_is_not_marked_is_compared_to_the_digit():
    text = "```text\n1.25\n```"
    assert pages.comparable(text) != pages.comparable(text.replace("5", "6"))

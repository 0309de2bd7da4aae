"""``minisparse book``: make the pages of the book, check them, or build a site."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .chapters import BookError, Chapter, chapters
from .pages import difference, make_page, orphans, write_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run the chapters in tutorials/ and write their pages, tutorials/pages/NN_name.md with "
        "figures. Needs the extra `docs`; the chapters themselves run with the package alone."
    )
    parser.add_argument(
        "names", nargs="*", metavar="CHAPTER", help="number, letter or name, e.g. 3 (default: all)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 and name the stale pages"
    )
    what.add_argument(
        "--html", metavar="DIR", type=Path, help="build an offline site of all chapters into DIR"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    every = chapters()
    if args.html is not None:
        if args.names:
            raise BookError("--html builds the whole book: name no chapters")
        from .html import build_site

        build_site(every, args.html)
        print(f"wrote {args.html / 'index.html'}")
        return 0
    chosen = _chosen(every, args.names)
    return _check(chosen, every) if args.check else _build(chosen, every)


def _build(chosen: Sequence[Chapter], every: Sequence[Chapter]) -> int:
    _announce(chosen, 1)
    for chapter in chosen:
        start = time.perf_counter()
        page = make_page(chapter, every)
        write_page(chapter, page)
        seconds = time.perf_counter() - start
        print(f"{chapter.page.name}: {len(page.figures)} figures, {seconds:.0f} s", flush=True)
    return 0


def _announce(chosen: Sequence[Chapter], at_once: int) -> None:
    """Say how long chapters run: as long as they say, times what a step takes longer here."""
    from ..experiments.pace import of_this_machine
    from ..experiments.recipes.dense import Dense

    pace = of_this_machine([Dense()])
    minutes = pace.together(
        [pace.factor() * chapter.seconds_to_run / 60 for chapter in chosen], at_once
    )
    number = f"{len(chosen)} chapter{'' if len(chosen) == 1 else 's'}"
    where = "this machine" if pace.measured else "the machine that they were written on"
    print(f"{number}, about {max(1, round(minutes))} min on {where}", flush=True)


def _check(chosen: Sequence[Chapter], every: Sequence[Chapter]) -> int:
    stale = []
    for path in orphans(every):
        print(f"{path.name}: belongs to no chapter, remove it")
        stale.append(path.name)
    at_once = os.cpu_count() or 1
    _announce(chosen, at_once)
    with ThreadPoolExecutor(at_once) as pool:  # each chapter runs in a process of its own
        pages = pool.map(lambda chapter: make_page(chapter, every), chosen)
        for chapter, page in zip(chosen, pages, strict=True):
            found = difference(chapter, page)
            print(f"{chapter.page.name}: {'stale' if found else 'current'}", flush=True)
            if found:
                print(found, file=sys.stderr)
                stale.append(chapter.page.name)
    if stale:
        print(f"stale: {', '.join(stale)}. `minisparse book` makes them anew.")
    return 1 if stale else 0


def _chosen(every: Sequence[Chapter], names: Sequence[str]) -> list[Chapter]:
    chosen = []
    for name in names:
        stem = Path(name).stem
        number = str(int(stem)) if stem.isdigit() else stem.upper()
        found = [c for c in every if stem == c.name or number == c.number]
        if not found:
            known = ", ".join(c.name for c in every)
            raise BookError(f"no chapter is called {name!r}; there are {known}")
        chosen += found
    return chosen or [*every]

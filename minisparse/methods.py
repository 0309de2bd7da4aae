"""``minisparse methods``: every method of the package, and where its mathematics stands.

Made from the code: the ``ABOUT`` of each file in ``minisparse.prune``, the place of the function
that it names.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import pkgutil
import textwrap
from dataclasses import asdict, dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from minisparse import prune
from minisparse.prune.about import FAMILIES, About, Figure


class UnknownMethodError(ValueError):
    """There is no method of this name."""


_ROOT = Path(prune.__file__).parents[2]


@dataclass(frozen=True)
class Found:
    """A method and the module that it was found in."""

    about: About
    module: Any

    @property
    def formula(self) -> Any:
        """Return the function that computes the method's equation."""
        return attrgetter(self.about.formula)(self.module)

    @property
    def line(self) -> int:
        """Return the line of the file at which that function begins."""
        lines, first = inspect.getsourcelines(self.formula)
        begins = (line.lstrip().startswith(("def ", "class ")) for line in lines)
        return first + [*begins].index(True)  # decorators, if it has any, come before

    @property
    def file(self) -> str:
        """Return the file of that function, from the folder that holds the package."""
        return str(self.formula.__module__).replace(".", "/") + ".py"

    @property
    def test(self) -> str:
        """Return the file of its tests."""
        return f"tests/prune/test_prune_{self.module.__name__.rpartition('.')[2]}.py"

    @property
    def chapter(self) -> str:
        """Return the page that teaches it, empty if none does."""
        if not self.about.chapter:
            return ""
        pages = sorted((_ROOT / "tutorials" / "pages").glob(f"{self.about.chapter}_*.md"))
        name = pages[0].name if pages else f"{self.about.chapter}_*.md"  # a wheel has no pages
        return f"tutorials/pages/{name}"


def find_all() -> list[Found]:
    """Return all methods, by family and year."""
    found = []
    for info in pkgutil.iter_modules(prune.__path__):
        module = import_module(f"{prune.__name__}.{info.name}")
        found += [Found(about, module) for about in getattr(module, "ABOUT", ())]
    return sorted(found, key=lambda f: (FAMILIES.index(f.about.family), f.about.year, f.about.id))


def as_data() -> list[dict[str, Any]]:
    """Return what ``--json`` prints."""
    return [
        {
            "id": f.about.id,
            "name": f.about.name,
            "family": f.about.family,
            "year": f.about.year,
            "paper": f.about.paper,
            "module": f.module.__name__,
            "file": f.file,
            "line": f.line,
            "formula": f.about.formula,
            "code": f.about.code,
            "test": f.test,
            "chapter": f.chapter,
            "axes": {"removes": f.about.removes, "when": f.about.when},
            "published": [_as_data(figure) for figure in f.about.published],
        }
        for f in find_all()
    ]


def _as_data(figure: Figure) -> dict[str, Any]:
    """Return a figure with `left` by its meaning: "kept_percent" or "architecture"."""
    data = {k: v for k, v in asdict(figure).items() if v != ""}
    data["architecture" if isinstance(figure.left, str) else "kept_percent"] = data.pop("left")
    return data


# ---- the command --------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "List the pruning methods of this package, or show the formula of one."
    parser.add_argument("name", nargs="?", metavar="NAME", help="the id of a method")
    parser.add_argument("--json", action="store_true", help="the same for programs")


def run(args: argparse.Namespace) -> int:
    """Print the list, or one method."""
    entries = as_data()
    if args.name is not None:
        entries = [_one(entries, args.name)]
    if args.json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
    elif args.name is not None:
        print(_page(entries[0]))
    else:
        print(_table(entries))
    return 0


def _one(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for entry in entries:
        if entry["id"] == name.lower():
            return entry
    ids = [entry["id"] for entry in entries]
    near = difflib.get_close_matches(name.lower(), ids, n=3, cutoff=0.4)
    raise UnknownMethodError(
        f"there is no method '{name}'"
        + (f"; did you mean {' or '.join(near)}?" if near else "")
        + " `minisparse methods` lists them all"
    )


def _table(entries: list[dict[str, Any]]) -> str:
    width = max(len(entry["id"]) for entry in entries)
    where = max(len(_where(entry)) for entry in entries)
    lines, family = [], None
    for entry in entries:
        if entry["family"] != family:
            family = entry["family"]
            lines += ["", family]
        paper = textwrap.shorten(entry["paper"], 60, placeholder=" ...")
        lines.append(
            f"  {entry['id'].ljust(width)}  {entry['year']}  {_where(entry).ljust(where)}  {paper}"
        )
    lines += [
        "",
        f"{len(entries)} methods; `minisparse methods NAME` shows the formula and where to read on",
    ]
    return "\n".join(lines[1:])


def _where(entry: dict[str, Any]) -> str:
    return f"{entry['file'].rpartition('/')[2]}:{entry['line']}"


def _page(entry: dict[str, Any]) -> str:
    module = import_module(entry["module"])
    formula = attrgetter(entry["formula"])(module)
    rows = [
        ("paper", f"{entry['paper']} ({entry['year']})"),
        ("family", entry["family"]),
        ("removes", entry["axes"]["removes"]),
        ("when", entry["axes"]["when"]),
        ("equation", f"{entry['file']}:{entry['line']}"),
        ("code", f"{entry['module']}.{entry['code']}"),
        ("test", entry["test"]),
        ("chapter", entry["chapter"] or "none yet"),
    ]
    lines = [entry["name"], "=" * len(entry["name"]), "", inspect.getdoc(module) or "", ""]
    lines += [f"{entry['formula']}({', '.join(inspect.signature(formula).parameters)})", ""]
    lines += textwrap.indent(inspect.getdoc(formula) or "", "    ").splitlines()
    lines += ["", *(f"{what:9} {value}" for what, value in rows)]
    if entry["published"]:
        lines += ["", "Published:"]
        lines += [f"  {_figure(figure)}" for figure in entry["published"]]
    return "\n".join(lines)


def _figure(figure: dict[str, Any]) -> str:
    left = figure.get("architecture") or f"{figure['kept_percent']:g} % of the weights kept"
    status = figure["status"]
    if status == "quoted":
        status = f"quoted by {figure['quoted_by']}"
    return (
        f"{figure['network']}: error {figure['error_percent']:g} %, {left} "
        f"({status}; {figure['source']})"
    )


__all__ = ["as_data", "find_all"]

"""What a student gets: the asked functions without their bodies, and what they need around them.

`files` makes the folder's files as text, `write` puts them on the disk.  ``files(a, solved=True)``
keeps the bodies: that is the reference, in exactly the student's layout.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ..errors import ClassroomError
from .handout import check_script, readme
from .manifest import Assignment
from .needs import Edit, Needs, closure
from .rendering import blank, first_line, text
from .sources import Definition, Import, Source, definition, method_of, path_of, source

_HEADER = '''"""{title}: assignment {id}.

Write the functions that raise NotImplementedError; README.md tells the task.  Their docstrings say
what they do.  Only NumPy and Python's standard library are available when this file is graded.

Check your work:  python check.py        all exercises
                  python check.py {first}    one of them
"""
'''

_SHORTCUT = re.compile(r"if .*:\n    return kernel\(.*")  # what follows computes the same


def files(assignment: Assignment, solved: bool = False) -> dict[str, str]:
    """Return the modules of a starter, path -> text; the first is the student's file.

    Parameters
    ----------
    assignment : Assignment
    solved : bool
        Keep the bodies.

    Raises
    ------
    ClassroomError
        The manifest asks for what a starter cannot be made of; the message says why.
    """
    maker = _Maker(assignment, solved)
    modules = {f"{assignment.id}.py": maker.student_file()}
    for module in assignment.engine:
        path = path_of(module)
        if path is None:
            raise ClassroomError(f"{assignment.id}: engine: the library has no module {module}")
        parts = module.split(".")[1:]
        for depth in range(len(parts) + (path.name == "__init__.py")):
            modules.setdefault("/".join(["engine", *parts[:depth], "__init__.py"]), "")
        name = "/".join(["engine", *parts])
        name += "/__init__.py" if path.name == "__init__.py" else ".py"
        modules[name] = maker.engine_module(module)
    return modules


def write(assignment: Assignment, folder: Path) -> list[Path]:
    """Write a starter folder.

    Raises
    ------
    ClassroomError
        The folder exists and is not empty: a student's work is never overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ClassroomError(f"{folder} exists and is not an empty folder; choose another --out")
    contents = files(assignment)
    contents["README.md"] = readme(assignment)
    contents["check.py"] = check_script()
    written = []
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


class _Maker:
    """Makes the texts of one assignment."""

    def __init__(self, assignment: Assignment, solved: bool) -> None:
        self.assignment, self.solved = assignment, solved
        # definition -> its methods that are asked for; "" means the definition itself
        self.asked: dict[Definition, dict[str, str]] = defaultdict(dict)
        self.exercise_of: dict[Definition, str] = {}
        for exercise in assignment.exercises:
            for dotted in exercise.functions:
                found, method = definition(dotted)
                if not method and not isinstance(found.node, ast.FunctionDef):
                    raise ClassroomError(f"{assignment.id}: {dotted} is not a function or method")
                name = ".".join(filter(None, [found.name, method]))
                self.asked[found][method] = f"exercise {exercise.number}: {name}"
                self.exercise_of.setdefault(found, exercise.number)
        self.withheld: dict[Definition, set[str]] = defaultdict(set)
        for dotted in assignment.withhold:
            found, method = definition(dotted)
            # What the engine does without as a whole, the reference does without too.
            if not solved or (self._engine(found) and not method):
                self.withheld[found].add(method)

    # -- the student's file --

    def student_file(self) -> str:
        """Return the one file that the student writes in."""
        also = [definition(dotted)[0] for dotted in self.assignment.also]
        tensors = "minisparse.autodiff.tape" in self.assignment.engine
        found = closure([*self.asked, *also], self._is_elsewhere, tensors)
        self._check_names(found)
        given: list[str] = []
        asked: dict[str, list[str]] = defaultdict(list)
        early = {e for needs in found.values() for e in needs.early}
        done: set[str] = set()
        for what, needs in found.items():
            content = text(source(what.module), what.node, self._edits(what, needs, found))
            if content in done:  # two modules say ``Array = Any``; ``a, b = ...`` defines two names
                continue
            done.add(content)
            number = self.exercise_of.get(what)
            if number is None or what in early:
                given.append(content)
            else:
                asked[number].append(content)
        parts = [_join(given)] if given else []
        for exercise in self.assignment.exercises:
            if asked[exercise.number]:
                title = f"# ---- exercise {exercise.number}: {exercise.title} "
                parts.append(title + "-" * max(4, 99 - len(title)))
                parts += asked[exercise.number]
        first = self.assignment.exercises[0].number
        header = _HEADER.format(title=self.assignment.title, id=self.assignment.id, first=first)
        return f"{header}\n{self._imports(found)}\n\n\n" + "\n\n\n".join(parts) + "\n"

    def _edits(self, what: Definition, needs: Needs, found: Iterable[Definition]) -> list[Edit]:
        edits = list(needs.edits)
        edits += [
            (n, "Any") for n, d in needs.annotations if d not in found and not self._engine(d)
        ]
        return edits + self._cuts(what)

    def _cuts(self, what: Definition) -> list[Edit]:
        """Return the edits that take answers away."""
        edits: list[Edit] = []
        for method, message in self.asked.get(what, {}).items():
            node = method_of(what.node, method) if method else what.node
            if not self.solved and isinstance(node, ast.FunctionDef):
                edits += blank(node, message)
        for method in self.withheld.get(what, ()):
            node = method_of(what.node, method)
            if node is not None:
                edits.append((node, ""))
        return edits

    def _imports(self, found: dict[Definition, Needs]) -> str:
        plain = {"import numpy as np"}
        names: dict[str, set[str]] = defaultdict(set)
        for needs in found.values():
            for alias, imported in needs.external.items():
                if imported.name is None:
                    plain.add(imported.line(alias))
                elif imported.module != "__future__":
                    names[imported.module].add(imported.what(alias))
            if any(d not in found and not self._engine(d) for _, d in needs.annotations):
                names["typing"].add("Any")
            for d in [*needs.ours, *(d for _, d in needs.annotations)]:
                if self._engine(d) and d not in self.asked:
                    names[_in_engine(d.module)].add(d.name)
        plain |= {f"from {m} import {', '.join(sorted(what))}" for m, what in names.items()}
        ours = sorted(line for line in plain if line.startswith("from engine"))
        numpy = sorted(line for line in plain if re.match(r"(from|import) numpy\b", line))
        rest = sorted(plain - {*ours, *numpy}, key=lambda line: (line.startswith("from"), line))
        groups = [["from __future__ import annotations"], rest, numpy, ours]
        return "\n\n".join("\n".join(group) for group in groups if group)

    def _is_elsewhere(self, what: Definition) -> bool:
        """Tell what is not written into the student's file."""
        if what in self.asked:
            return False
        return self._engine(what) or "" in self.withheld.get(what, ())

    def _engine(self, what: Definition) -> bool:
        return what.module in self.assignment.engine

    def _check_names(self, found: Iterable[Definition]) -> None:
        by_name: dict[str, Definition] = {}
        for what in found:
            other = by_name.setdefault(what.name, what)
            if ast.unparse(other.node) != ast.unparse(what.node):
                raise ClassroomError(
                    f"{self.assignment.id}: {other.module} and {what.module} both define "
                    f"{what.name}, and one file cannot: withhold one, or give its module as engine"
                )

    # -- the engine --

    def engine_module(self, module: str) -> str:
        """Return a module of the library, as part of the package ``engine``."""
        here = source(module)
        lines = here.text.split("\n")
        for what in {*self.asked, *self.withheld}:
            if what.module != module:
                continue
            node = what.node
            first, last = first_line(here, node), node.end_lineno or node.lineno
            new = "" if "" in self.withheld.get(what, ()) else text(here, node, self._cuts(what))
            lines[first:last] = [new] + ["\0"] * (last - first - 1)  # later line numbers stay valid
        content = self._without_absent(here, "\n".join(line for line in lines if line != "\0"))
        return re.sub(r"(?m)^(\s*(?:from|import) )minisparse\b", r"\1engine", content)

    def _without_absent(self, here: Source, content: str) -> str:
        """Drop what the engine can do without: shortcuts through kernels, unused imports.

        Raises
        ------
        ClassroomError
            A module is imported and used that is not in the engine.
        """
        tree = ast.parse(content)
        ifs = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
        drop = [node for node in ifs if _SHORTCUT.fullmatch(ast.unparse(node))]
        inside = {inner for node in drop for inner in ast.walk(node)}
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n not in inside}
        gone = [line for node in drop for line in _lines(node)]
        for statement in tree.body:
            if not isinstance(statement, (ast.Import, ast.ImportFrom)):
                continue
            imported = here.imported(statement)
            absent = [f.module for f in imported.values() if f.ours and not self._has(f)]
            if absent and used & imported.keys():
                raise ClassroomError(
                    f"{self.assignment.id}: engine: {here.name} imports {absent[0]}, which "
                    "is not in the engine; add it"
                )
            if absent:
                gone += _lines(statement)
        lines = content.split("\n")
        return "\n".join(line for i, line in enumerate(lines, 1) if i not in gone)

    def _has(self, found: Import) -> bool:
        return bool({found.module, f"{found.module}.{found.name}"} & {*self.assignment.engine})


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _in_engine(module: str) -> str:
    return ".".join(["engine", *module.split(".")[1:]])


def _join(parts: list[str]) -> str:
    """Join definitions: two empty lines around functions and classes, none between constants."""
    joined = ""
    for i, part in enumerate(parts):
        simple = not re.search(r"(?m)^(def|class|@)", part)
        before_simple = i > 0 and not re.search(r"(?m)^(def|class|@)", parts[i - 1])
        joined += ("\n" if simple and before_simple else "\n\n\n" if i else "") + part
    return joined

"""The library's own source, by the syntax tree: what a name means, and where its text is."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...definitions import FILE_OF
from ..errors import ClassroomError

PACKAGE = Path(__file__).parents[2]

Node = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Definition:
    """A name that a module of the library defines at its top level.

    Attributes
    ----------
    module : str
        Dotted.
    name : str
    """

    module: str
    name: str

    @property
    def node(self) -> Node:
        """The syntax tree."""
        return source(self.module).definitions[self.name]


@dataclass(frozen=True)
class Import:
    """A name that is imported, ``from module import name`` or (without `name`) ``import module``."""

    module: str
    name: str | None

    def what(self, alias: str) -> str:
        """Return ``name`` or ``name as alias``."""
        name = self.module if self.name is None else self.name
        return name if alias in (name, name.partition(".")[0]) else f"{name} as {alias}"

    def line(self, alias: str) -> str:
        """Return the statement that imports a module."""
        return f"import {self.what(alias)}"

    @property
    def ours(self) -> bool:
        """Whether it comes from the library."""
        return self.module.partition(".")[0] == "minisparse"


class Source:
    """A module's text, its syntax tree, and the names at its top level."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.definitions: dict[str, Node] = {}
        self.imports: dict[str, Import] = {}
        for statement in self.tree.body:
            self._index(statement)

    def _index(self, statement: ast.stmt) -> None:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                self.definitions[statement.name] = statement
            case ast.Assign():
                for target in statement.targets:
                    for node in ast.walk(target):
                        if isinstance(node, ast.Name):
                            self.definitions[node.id] = statement
            case ast.AnnAssign(target=ast.Name(id=name)):
                self.definitions[name] = statement
            case ast.Import() | ast.ImportFrom():
                self.imports |= self.imported(statement)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for inner in statement.body:
                    self._index(inner)

    def imported(self, statement: ast.Import | ast.ImportFrom) -> dict[str, Import]:
        """Return what an import statement binds."""
        if isinstance(statement, ast.Import):
            return {
                a.asname or a.name.partition(".")[0]: Import(
                    a.name if a.asname else a.name.partition(".")[0], None
                )
                for a in statement.names
            }
        module = statement.module or ""
        if statement.level:
            package = self.name.split(".")
            drop = statement.level - (self.path.name == "__init__.py")
            base = package[: len(package) - drop]
            module = ".".join([*base, *filter(None, [module])])
        return {a.asname or a.name: Import(module, a.name) for a in statement.names}


@cache
def path_of(module: str) -> Path | None:
    """Return the file of a module of the library."""
    parts = module.split(".")
    if parts[0] != "minisparse":
        return None
    base = PACKAGE.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def source(module: str) -> Source:
    """Return a module of the library.

    Raises
    ------
    ClassroomError
        There is no such module.
    """
    path = path_of(module)
    if path is None:
        raise ClassroomError(f"the library has no module {module}")
    return Source(module, path)


def meaning(module: str, name: str) -> Definition | Import | None:
    """Return what a name means at the top level of a module: ours, imported, or neither (a builtin).

    An `Import` of the library's own is a module; names that are re-exported are followed.
    """
    here = source(module)
    if name in here.definitions:
        return Definition(module, name)
    found = here.imports.get(name)
    if found is None or not found.ours:
        return found
    if found.name is None:
        return found
    inner = f"{found.module}.{found.name}"
    if path_of(inner) is not None and not _defines(found.module, found.name):
        return Import(inner, None)
    return meaning(found.module, found.name)


def _defines(module: str, name: str) -> bool:
    return path_of(module) is not None and name in source(module).definitions


def definition(dotted: str) -> tuple[Definition, str]:
    """Return what a manifest's dotted name means: a definition, and a method of it or "".

    Raises
    ------
    ClassroomError
        The library has no such function or class.
    """
    parts = dotted.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        module, rest = ".".join(parts[:cut]), parts[cut:]
        if path_of(module) is None:
            continue
        found = meaning(module, rest[0])
        if isinstance(found, Definition) and len(rest) <= 2:
            method = "".join(rest[1:])
            if not method or method_of(found.node, method) is not None:
                return found, method
        break
    raise ClassroomError(f"the library has no function, class or method {dotted}")


def method_of(node: ast.AST, name: str) -> ast.FunctionDef | None:
    """Return a method of a class."""
    for inner in getattr(node, "body", []):
        if isinstance(inner, ast.FunctionDef) and inner.name == name:
            return inner
    return None


def kernel_definition(name: str) -> Definition:
    """Return the NumPy definition of a kernel.

    Raises
    ------
    ClassroomError
        There is no such kernel.
    """
    if name not in FILE_OF:
        raise ClassroomError(f"minisparse/definitions has no kernel {name}")
    return Definition(f"minisparse.definitions.{FILE_OF[name]}", name)

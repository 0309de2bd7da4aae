"""What a function of the library needs around it: the transitive closure within the library.

`needs` finds the references of one definition; `closure` follows them.  Each reference carries the
edit that makes the definition's text stand alone, in one file that imports NumPy only:

    xp = array_module(x)      is dropped, and xp becomes np
    kernel("matmul", x)(a, b) becomes matmul(a, b), the kernel's definition
    kernels.matmul(a, b)      likewise
    to_numpy(x), is_array(x)  become np.asarray(x), isinstance(x, np.ndarray)
    isinstance(x, Tensor)     is false: such branches are dropped, unless the engine has tensors
    x: Tensor                 in an annotation becomes x: Any, unless the class is there anyway
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..errors import ClassroomError
from .sources import Definition, Import, Source, kernel_definition, meaning, source

Edit = tuple[ast.AST, str]  # this node's text becomes that; an empty text removes its lines
NOTHING = "\0"  # the text that removes the node alone


@dataclass
class Needs:
    """The references of a definition.

    Attributes
    ----------
    ours : list of Definition
    early : set of Definition
        Those of `ours` that must stand before it in a file.
    external : dict
        Name -> what is imported for it.
    edits : list of (node, text)
    annotations : list of (node, Definition)
        Classes of ours that only an annotation names.
    """

    ours: list[Definition] = field(default_factory=list)
    early: set[Definition] = field(default_factory=set)
    external: dict[str, Import] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    annotations: list[tuple[ast.AST, Definition]] = field(default_factory=list)


class _Visitor(ast.NodeVisitor):
    """Collects `Needs`."""

    def __init__(self, where: Source, needs: Needs, tensors: bool) -> None:
        self.where, self.needs, self.tensors = where, needs, tensors
        self.bound: list[set[str]] = []
        self.local: dict[str, Definition] = {}
        self.arrays: list[str] = []  # local names of the array module
        self.depth = 0  # of function bodies: what is outside runs when the file is imported
        self.annotation = False

    # -- scopes --

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Visit what runs at the definition, then the body in a scope of its own."""
        doors = [d for d in node.decorator_list if self._is_door(d)]
        self.needs.edits += [(d, "") for d in doors]
        for part in [
            *(d for d in node.decorator_list if d not in doors),
            *node.args.defaults,
            *filter(None, node.args.kw_defaults),
        ]:
            self.visit(part)
        for argument in _arguments(node):
            self._visit_annotation(argument.annotation)
        self._visit_annotation(node.returns)
        self.bound.append(_names_bound_in(node))
        self.depth += 1
        arrays = list(self.arrays)
        for statement in node.body:
            self.visit(statement)
        self.arrays = arrays
        self.depth -= 1
        self.bound.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Tell the annotation from the value."""
        self._visit_annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def _visit_annotation(self, node: ast.AST | None) -> None:
        if node is not None:
            self.annotation = True
            self.visit(node)
            self.annotation = False

    # -- imports inside of functions --

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Follow an import inside of a function; one of ours is dropped from the text."""
        for alias, found in self.where.imported(node).items():
            if not found.ours:
                continue
            inner = meaning(found.module, found.name or "")
            if not isinstance(inner, Definition):
                raise ClassroomError(
                    f"{self.where.name}, line {node.lineno}: an import inside of a function that "
                    "a starter cannot follow"
                )
            self.local[alias] = inner
            self.needs.edits.append((node, "pass"))

    # -- references --

    def visit_Assign(self, node: ast.Assign) -> None:
        """Drop ``xp = array_module(x)``; its name becomes np."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=called))):
                if self._is(called, "minisparse.arrays", "array_module"):
                    self.arrays.append(name)
                    self.needs.edits.append((node, ""))
                    self._use_numpy()
                    return
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Replace the choice of an array module and of a kernel by what they are in NumPy."""
        match node:
            case ast.Call(func=ast.Name(id=called)) if self._is(
                called, "minisparse.arrays", "array_module"
            ):
                self._use_numpy()
                self.needs.edits.append((node, "np"))
                return
            case ast.Call(func=ast.Name(id=called), args=[ast.Constant(value=str(name)), _]) if (
                self._is(called, "minisparse.kernels.dispatch", "kernel")
            ):
                self._need(node, kernel_definition(name))
                return
            case ast.Call(func=ast.Name(id=called), args=[ast.Name(id=name)]) if self._is(
                called, "minisparse.arrays", "is_array"
            ):
                self._use_numpy()
                self.needs.edits.append((node, f"isinstance({name}, np.ndarray)"))
                return
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """Drop a branch for tensors."""
        if self._asks_for_tensor(node.test) and not node.orelse:
            self.needs.edits.append((node, ""))
        else:
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Keep what is not for tensors."""
        self._keep(node, node.orelse, self._asks_for_tensor(node.test))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Keep what is not for tensors."""
        first = isinstance(node.op, ast.Or) and self._asks_for_tensor(node.values[0])
        self._keep(node, node.values[-1], first and len(node.values) == 2)

    def _keep(self, node: ast.expr, part: ast.expr, only: bool) -> None:
        if not only:
            self.generic_visit(node)
            return
        before = ast.copy_location(ast.Pass(), node)  # from the start to the part that stays
        before.end_lineno, before.end_col_offset = part.lineno, part.col_offset
        self.needs.edits.append((before, NOTHING))
        self.visit(part)

    def _asks_for_tensor(self, node: ast.expr) -> bool:
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, ast.Name(id=name)]):
                return not self.tensors and self._is(name, "minisparse.autodiff.tape", "Tensor")
        return False

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Resolve ``module.name`` where the module is ours."""
        if isinstance(node.value, ast.Name) and not self._is_bound(node.value.id):
            found = meaning(self.where.name, node.value.id)
            if isinstance(found, Import) and found.ours:
                of_kernel = found.module == "minisparse.kernels"
                inner = (
                    kernel_definition(node.attr) if of_kernel else meaning(found.module, node.attr)
                )
                if not isinstance(inner, Definition):
                    raise ClassroomError(f"{self.where.name}: what is {ast.unparse(node)}?")
                self._need(node, inner)
                return
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Resolve a name."""
        if _stores(node):
            return
        if node.id in self.arrays:
            self.needs.edits.append((node, "np"))
        elif node.id in self.local:
            self._need(node, self.local[node.id])
        elif not self._is_bound(node.id):
            found = meaning(self.where.name, node.id)
            if found == Definition("minisparse.arrays", "to_numpy"):
                self._use_numpy()
                self.needs.edits.append((node, "np.asarray"))
            elif isinstance(found, Definition):
                self._need(node, found)
            elif isinstance(found, Import) and not found.ours:
                self.needs.external[node.id] = found

    # -- helpers --

    def _need(self, node: ast.AST, found: Definition) -> None:
        if self.annotation and isinstance(found.node, ast.ClassDef):
            self.needs.annotations.append((node, found))
            return
        self.needs.ours.append(found)
        if self.depth == 0 and not self.annotation:
            self.needs.early.add(found)
        if not (isinstance(node, ast.Name) and node.id == found.name):
            self.needs.edits.append((node, found.name))

    def _is(self, name: str, module: str, what: str) -> bool:
        return meaning(self.where.name, name) == Definition(module, what)

    def _is_door(self, node: ast.expr) -> bool:
        """Tell the decorator that retells errors: the grader speaks of a student's in its own words."""
        return isinstance(node, ast.Name) and self._is(node.id, "minisparse.doors", "door")

    def _is_bound(self, name: str) -> bool:
        return any(name in scope for scope in self.bound)

    def _use_numpy(self) -> None:
        self.needs.external["np"] = Import("numpy", None)


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    a = node.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]


def _names_bound_in(function: ast.FunctionDef) -> set[str]:
    """Return the names of arguments, variables and functions inside, those of inner ones too."""
    bound = set()
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name):
                bound.add(name)
            case ast.Name(id=name) if _stores(node):
                bound.add(name)
            case ast.FunctionDef(name=name) if node is not function:
                bound.add(name)
    return bound


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, (ast.Store, ast.Del))


def needs(what: Definition, tensors: bool = False) -> Needs:
    """Return the references of a definition."""
    found = Needs()
    node = what.node
    visitor = _Visitor(source(what.module), found, tensors)
    visitor.visit(node)
    found.ours = [d for d in dict.fromkeys(found.ours) if d != what]
    found.early.discard(what)
    return found


def closure(
    start: Iterable[Definition], stop: Callable[[Definition], bool], tensors: bool = False
) -> dict[Definition, Needs]:
    """Return the definitions needed, `start` included, without those that `stop` tells.

    With `tensors`, functions that take arrays and tensors keep their branches for tensors.

    The order: a definition comes after those that it needs when it is defined; otherwise that of
    the library, modules that others need first.
    """
    reached: dict[Definition, Needs] = {}
    queue = list(start)
    while queue:
        what = queue.pop(0)
        if what not in reached and not stop(what):
            reached[what] = needs(what, tensors)
            queue += reached[what].ours
    modules = list(dict.fromkeys(d.module for d in reached))[::-1]
    ordered = sorted(reached, key=lambda d: (modules.index(d.module), d.node.lineno))
    placed: dict[Definition, Needs] = {}

    def place(what: Definition) -> None:
        for early in ordered:
            if early in reached[what].early and early not in placed:
                place(early)
        placed[what] = reached[what]

    for what in ordered:
        if what not in placed:
            place(what)
    return placed

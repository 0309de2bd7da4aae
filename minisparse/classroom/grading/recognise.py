"""What a submission's text gives away: foreign frameworks, our own library, estimated gradients.

The text is parsed, not run.  As a parser may crash over a hostile text too, grading does this in a
process of its own; this file is loaded there and imports nothing of the package.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from typing import Any

FRAMEWORKS = frozenset(
    (
        "autograd",
        "cupy",
        "flax",
        "jax",
        "jaxlib",
        "keras",
        "mygrad",
        "tensorflow",
        "tinygrad",
        "torch",
    )
)
OURS = "minisparse"
_NOTHING = "it is not there: no points for what needs it"
_LOOKS = 200_000  # nodes that are looked at for estimates; a longer text is not read to its end


def analyse(text: str, wanted: list[str]) -> dict[str, Any]:
    """Parse a submission.

    Parameters
    ----------
    text : str
    wanted : list of str
        Functions, or Class.method, that are asked for.

    Returns
    -------
    dict
        ``error``: why it is not Python, or "".  ``imports``: what it names, each with ``module``,
        ``line``, and ``top``, whether every import of the file executes it.
        ``foreign``: sentences about frameworks and our own library, with what becomes of such an
        import when the file is graded.
        ``quotients``: asked function -> a sentence about the place where it seems to estimate a
        derivative, itself or through a function that it calls.
    """
    found: dict[str, Any] = {"error": "", "imports": [], "foreign": [], "quotients": {}}
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        return found | {"error": f"SyntaxError: {error.msg}{where}"}
    except (ValueError, MemoryError, RecursionError) as error:
        return found | {"error": f"not a Python file: {str(error) or 'nested too deeply'}"}
    nodes = [*ast.walk(tree)]
    for module, line, top in _imported(tree, nodes):
        name = module.partition(".")[0]
        if name in FRAMEWORKS or name == OURS:
            why = (
                ", which holds the solutions"
                if name == OURS
                else ", and gradients are to be written"
            )
            costs = "the file cannot be imported: 0 points" if top else _NOTHING
            found["foreign"].append(f"line {line} imports {name}{why}. When graded, {costs}")
        found["imports"].append({"module": module, "line": line, "top": top})
    found["imports"] = found["imports"][:500]
    found["foreign"] = list(dict.fromkeys(found["foreign"]))[:20]
    with contextlib.suppress(RecursionError):  # too deep to be looked at; it runs all the same
        found["quotients"] = _estimates(nodes, wanted)
    return found


def _imported(tree: ast.Module, nodes: list[ast.AST]) -> Iterator[tuple[str, int, bool]]:
    """Yield the modules that are imported, by a statement or by a call with a literal name."""
    top = {id(node) for node in tree.body}
    for node in nodes:
        if isinstance(node, ast.Import):
            for a in node.names:
                yield a.name, node.lineno, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node.lineno, id(node) in top
            for a in node.names:  # perhaps a module as well
                if a.name != "*":
                    yield f"{node.module}.{a.name}", node.lineno, id(node) in top
        elif isinstance(node, ast.Call) and _name(node.func) in ("__import__", "import_module"):
            for given in node.args:
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given.value, node.lineno, False


# ---- estimated derivatives ----------------------------------------------------------------------
#
# Seen is a difference of two values of one function at arguments that differ by a shift, with any
# step, written out or by way of names:  f(x + h) - f(x - h),  f(x + h) - f(x),  f(e) - f(-e);  values
# before and after an entry of the argument was changed; and the imaginary part of a complex step.
# Not seen is what is hidden well enough.  So nobody loses points by this: it is a note for people.


def _estimates(nodes: list[ast.AST], wanted: list[str]) -> dict[str, str]:
    """Follow the calls from each asked function to one that seems to estimate a derivative."""
    functions = _functions(nodes)
    arrays = _array_functions(nodes)
    budget = [_LOOKS]
    seen_in: dict[str, str] = {}
    found = {}
    for asked in wanted:
        queue, seen = [asked], {asked}
        while queue:
            name = queue.pop(0)
            if name not in functions:
                continue
            if name not in seen_in:
                seen_in[name] = _Function(functions[name], arrays, budget).estimate()
            if seen_in[name]:
                through = "" if name == asked else f" (through {name})"
                found[asked] = f"{asked}{through} {seen_in[name]}"
                break
            called = _calls(functions[name])
            queue += sorted((called & functions.keys()) - seen)
            seen |= called
    return found


def _functions(nodes: list[ast.AST]) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{n.name}": n for n in node.body if isinstance(n, ast.FunctionDef)
            }
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
    return found


_MODULES = {"np", "numpy", "math", "cmath", "operator"}
_BUILTIN = {"abs", "complex", "float", "int", "len", "list", "max", "min", "range", "sum", "tuple"}


def _array_functions(nodes: list[ast.AST]) -> set[str]:
    """Return names that stand for functions of NumPy: ``ln = np.log``, ``from numpy import exp``."""
    found = set(_BUILTIN)
    for node in nodes:
        if not isinstance(node, (ast.Assign, ast.ImportFrom)):
            continue
        match node:
            case ast.Assign(value=ast.Attribute(value=ast.Name(id=module))) if module in _MODULES:
                found |= {
                    n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)
                }
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for target, value in zip(names, values, strict=False):
                    match target, value:
                        case ast.Name(id=name), ast.Attribute(value=ast.Name(id=module)):
                            found |= {name} if module in _MODULES else set()
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in _MODULES:
                found |= {a.asname or a.name for a in node.names}
    return found


Terms = dict[str, float]  # what is added up in an expression, by its text -> how many times


class _Function:
    """Looks for an estimate in one function."""

    def __init__(self, node: ast.AST, arrays: set[str], budget: list[int]) -> None:
        self.nodes, self.arrays, self.budget = [*ast.walk(node)], arrays, budget
        self.parameters = {n.arg for n in self.nodes if isinstance(n, ast.arg)}
        self.values: dict[str, ast.expr] = {}  # name -> what it was assigned last
        self.changes = False  # whether it changes entries of arrays
        for n in self.nodes:
            if not isinstance(n, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                continue
            match n:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.values[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.values[name] = value
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                    for target, value in zip(names, values, strict=False):
                        if isinstance(target, ast.Name):
                            self.values[target.id] = value
                case ast.AugAssign() | ast.Assign(targets=[ast.Subscript()]):
                    self.changes = True

    def estimate(self) -> str:
        """Return what it seems to do, and where; "" if nothing."""
        inner: set[int] = set()  # parts of sums that were looked at
        imaginary, part = False, 0
        self.budget[0] -= len(self.nodes)
        for node in self.nodes:
            if self.budget[0] < 0:
                return ""
            if not isinstance(node, (ast.BinOp, ast.Constant, ast.Name, ast.Attribute)):
                continue
            match node:
                case ast.BinOp(op=ast.Add() | ast.Sub()) if id(node) not in inner:
                    name = self._difference(node, inner)
                    if name:
                        return (
                            f"seems to return a difference quotient (line {node.lineno}, of values "
                            f"of {name}): a gradient is derived, not estimated"
                        )
                case ast.Constant(value=complex()):
                    imaginary = True
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    imaginary |= name in ("complex", "complex64", "complex128", "cdouble")
                    part = getattr(node, "lineno", 0) if name == "imag" else part
        if imaginary and part:
            return (
                f"seems to return the derivative by a complex step (line {part}): a gradient is "
                "derived, not estimated"
            )
        return ""

    def _difference(self, total: ast.BinOp, inner: set[int]) -> str:
        """Return the function of which two values at shifted arguments are subtracted, or ""."""
        calls: list[tuple[float, ast.Call, str]] = []
        for sign, term in self._terms(total, 1.0, inner):
            calls += [(sign, call, how) for call, how in self._values_in(term)]
            if len(calls) > 40:
                break
        for k, (sign, call, how) in enumerate(calls):
            for other_sign, other, other_how in calls[:k]:
                name = _name(call.func)
                if sign == other_sign or name != _name(other.func):
                    continue
                if self._shifted(call, other) or (
                    self.changes and how != other_how and ast.dump(call) == ast.dump(other)
                ):
                    return name
        return ""

    def _terms(
        self, node: ast.expr, sign: float, inner: set[int]
    ) -> Iterator[tuple[float, ast.expr]]:
        """Yield what a sum is made of, with the signs; nested sums are part of it."""
        queue = [(sign, node)]
        while queue:
            self.budget[0] -= 1
            s, part = queue.pop()
            match part:
                case ast.BinOp(op=ast.Add()):
                    inner.add(id(part))
                    queue += [(s, part.left), (s, part.right)]
                case ast.BinOp(op=ast.Sub()):
                    inner.add(id(part))
                    queue += [(s, part.left), (-s, part.right)]
                case ast.UnaryOp(op=ast.USub()):
                    queue.append((-s, part.operand))
                case _:
                    yield s, part

    def _values_in(self, term: ast.expr) -> Iterator[tuple[ast.Call, str]]:
        """Yield the calls of the file's own functions in a term, and the name they came by."""
        queue = [(term, "")]
        while queue and self.budget[0] > 0:
            self.budget[0] -= 1
            node, how = queue.pop()
            match node:
                case ast.Name(id=name) if name in self.values and not how:
                    queue.append((self.values[name], name))
                case ast.Call(func=func):
                    if self._is_own(func):
                        yield node, how
                    else:  # float(f(x)), f(x).sum(), np.sum(f(x) * g)
                        queue += [(a, how) for a in node.args]
                        queue += [(func.value, how)] if isinstance(func, ast.Attribute) else []
                case ast.BinOp(op=ast.Mult() | ast.Div() | ast.MatMult()):
                    queue += [(node.left, how), (node.right, how)]
                case ast.Subscript() | ast.Attribute() | ast.Starred():
                    queue.append((node.value, how))
                case ast.UnaryOp():
                    queue.append((node.operand, how))

    def _is_own(self, func: ast.expr) -> bool:
        match func:
            case ast.Name(id=name):
                return name not in self.arrays
            case ast.Attribute(value=ast.Name(id=owner)):  # not the methods of arrays
                return owner in ("self", "cls") or owner[:1].isupper()
        return False

    def _shifted(self, one: ast.Call, other: ast.Call) -> bool:
        """Tell whether two calls differ by a step of an argument."""
        a, b = ([*c.args, *(k.value for k in c.keywords)] for c in (one, other))
        if len(a) != len(b):
            return False
        pairs = [(x, y) for x, y in zip(a, b, strict=True) if ast.dump(x) != ast.dump(y)]
        return bool(pairs) and any(self._is_step(x, y) for x, y in pairs)

    def _is_step(self, one: ast.expr, other: ast.expr) -> bool:
        a, b = self._sum(one), self._sum(other)
        common = {t for t in a.keys() & b.keys() if a[t] == b[t] and "Name(" in t}
        left = {t: n for t, n in a.items() if t not in common}
        right = {t: n for t, n in b.items() if t not in common}
        if not common:  # f(e) - f(-e): around zero
            names = {n.id for n in ast.walk(one) if isinstance(n, ast.Name)}
            return bool(names - self.parameters) and _opposite(left, right)
        one_sided = not left or not right
        multiples = left.keys() == right.keys() and len(left) == 1
        return one_sided or multiples or _opposite(left, right)

    def _sum(self, node: ast.expr) -> Terms:
        """Return what is added up in an argument; a name stands for the sum that it was assigned."""
        if isinstance(node, ast.Name) and isinstance(self.values.get(node.id), ast.BinOp):
            node = self.values[node.id]
        found: Terms = {}
        for sign, term in self._terms(node, 1.0, set()):
            match term:
                case ast.BinOp(left=ast.Constant(value=int() | float() as n), op=ast.Mult()):
                    sign, term = sign * float(n), term.right
                case ast.BinOp(op=ast.Mult(), right=ast.Constant(value=int() | float() as n)):
                    sign, term = sign * float(n), term.left
            text = ast.dump(term)
            found[text] = found.get(text, 0.0) + sign
        return found


def _opposite(a: Terms, b: Terms) -> bool:
    return bool(a) and a.keys() == b.keys() and all(a[t] == -b[t] for t in a)


def _calls(function: ast.AST) -> set[str]:
    return {_name(n) for n in ast.walk(function) if isinstance(n, (ast.Name, ast.Attribute))}


def _name(node: ast.AST) -> str:
    """Return the last part of a dotted name."""
    return getattr(node, "id", "") or getattr(node, "attr", "")

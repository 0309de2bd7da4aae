"""What a submission's text gives away: foreign frameworks, our own library, difference quotients.

The text is parsed, not run.  As a parser may crash over a hostile text too, grading does this in a
process of its own (`Recogniser`); this file is loaded there and imports nothing of the package.
"""

from __future__ import annotations

import ast
import sys
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
# Parts of the standard library that do something when they are imported, or open windows.
_NEVER = {"antigravity", "ensurepip", "idlelib", "test", "this", "tkinter", "turtle", "turtledemo"}
_NOTHING = "it is not there: no points for what needs it"
_SMALL = 0.02  # a constant below it may be the step of a difference quotient


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
        ``error``: why it is not Python, or "".  ``imports``: modules of NumPy and of the standard
        library that it names.  ``foreign``: sentences about imports that are not allowed, with what
        becomes of them when the file is graded.
        ``quotients``: asked function -> a sentence about the difference quotient that it seems to
        return, itself or through a function that it calls.
    """
    found: dict[str, Any] = {"error": "", "imports": [], "foreign": [], "quotients": {}}
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return found | {"error": f"SyntaxError: {error.msg} (line {error.lineno})"}
    except (ValueError, MemoryError, RecursionError) as error:
        return found | {"error": f"not a Python file: {str(error) or 'nested too deeply'}"}
    at_the_top = {
        node.lineno for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    for module, line in _imported(tree):
        top = module.partition(".")[0]
        if top in FRAMEWORKS or top == OURS:
            why = (
                ", which holds the solutions"
                if top == OURS
                else ", and gradients are to be written"
            )
            costs = "the file cannot be imported: 0 points" if line in at_the_top else _NOTHING
            found["foreign"].append(f"line {line} imports {top}{why}. When graded, {costs}")
        elif may_be_loaded(module):
            found["imports"].append(module)
    found["imports"] = sorted(set(found["imports"]))[:200]
    found["foreign"] = list(dict.fromkeys(found["foreign"]))[:20]
    found["quotients"] = _quotients(tree, wanted)
    return found


def may_be_loaded(module: str) -> bool:
    """Tell whether a module is loaded for a submission before its doors are closed."""
    parts = module.split(".")
    known = parts[0] == "numpy" or parts[0] in sys.stdlib_module_names
    return known and parts[0] not in _NEVER and "__main__" not in parts


def _imported(tree: ast.AST) -> list[tuple[str, int]]:
    """Return the modules that are imported, by a statement or by a call with a literal name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, node.lineno))
            found += [(f"{node.module}.{a.name}", node.lineno) for a in node.names]
        elif isinstance(node, ast.Call) and _name(node.func) in ("__import__", "import_module"):
            literals = [a.value for a in node.args if isinstance(a, ast.Constant)]
            found += [(a, node.lineno) for a in literals if isinstance(a, str)]
    return found


# ---- difference quotients -----------------------------------------------------------------------


def _quotients(tree: ast.Module, wanted: list[str]) -> dict[str, str]:
    """Follow the calls from each asked function to one that computes a difference quotient."""
    functions = _functions(tree)
    steps = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and any(map(_is_small, ast.walk(node.value)))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    suspicious = {name: _quotient(node, steps) for name, node in functions.items()}
    found = {}
    for asked in wanted:
        queue, seen = [asked], {asked}
        while queue:
            name = queue.pop(0)
            if suspicious.get(name):
                through = "" if name == asked else f" (through {name})"
                found[asked] = f"{asked}{through} {suspicious[name]}"
                break
            called = _calls(functions[name]) if name in functions else set()
            queue += sorted((called & functions.keys()) - seen)
            seen |= called
    return found


def _functions(tree: ast.AST) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{n.name}": n for n in node.body if isinstance(n, ast.FunctionDef)
            }
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            found |= {t.id: node.value for t in node.targets if isinstance(t, ast.Name)}
    return found


def _quotient(function: ast.AST, steps: set[str]) -> str:
    """Say where a function seems to compute a difference quotient; "" if nowhere.

    Seen is ``(f(x + h) - f(x - h)) / (2 * h)``, also by way of names, where a small constant occurs;
    and the imaginary part of a complex step.
    """
    nodes = list(ast.walk(function))
    values = {  # name -> what it was assigned last
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    small = any(_is_small(n) or (isinstance(n, ast.Name) and n.id in steps) for n in nodes)
    for node in nodes:
        if small and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            above = list(ast.walk(node.left))
            above += [values[n.id] for n in above if isinstance(n, ast.Name) and n.id in values]
            if any(_is_difference(n, values) for n in above):
                return (
                    f"seems to return a difference quotient (line {node.lineno}): a gradient is "
                    "derived, not estimated"
                )
    imaginary = any(isinstance(n, ast.Constant) and isinstance(n.value, complex) for n in nodes)
    if imaginary and any(_name(n) == "imag" for n in nodes):
        return "seems to return the derivative by a complex step: a gradient is derived"
    return ""


def _is_difference(node: ast.AST, values: dict[str, ast.expr]) -> bool:
    """Tell whether two values of one function, for two arguments, are subtracted."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Sub):
        return False
    left, right = _calls_in(node.left, values), _calls_in(node.right, values)
    return any(f == g and how != other for f, how in left for g, other in right)


def _calls_in(side: ast.AST, values: dict[str, ast.expr]) -> set[tuple[str, str]]:
    """Return the functions whose values an expression is made of, each with what tells calls apart."""
    found = set()
    for node in ast.walk(side):
        if isinstance(node, ast.Call):
            found.add((_name(node.func), ast.dump(node)))
        elif isinstance(node, ast.Name) and isinstance(values.get(node.id), ast.Call):
            found.add((_name(values[node.id].func), node.id))  # type: ignore[attr-defined]
    return {(name, how) for name, how in found if name not in _ARRAY_FUNCTIONS}


_ARRAY_FUNCTIONS = frozenset(
    ("abs", "array", "copy", "dot", "einsum", "exp", "float", "len", "log", "matmul", "max", "maximum",
     "mean", "min", "ones", "reshape", "sign", "sqrt", "sum", "swapaxes", "transpose", "where", "zeros")
)  # fmt: skip


def _is_small(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=float(value)):
            return 0 < value <= _SMALL
        case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):  # 10 ** -6
            return True
        case ast.Attribute(attr="eps"):
            return True
    return False


def _calls(function: ast.AST) -> set[str]:
    return {_name(n) for n in ast.walk(function) if isinstance(n, (ast.Name, ast.Attribute))}


def _name(node: ast.AST) -> str:
    """Return the last part of a dotted name."""
    return getattr(node, "id", "") or getattr(node, "attr", "")

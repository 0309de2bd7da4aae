"""The package has floors, and imports run downwards: no circle of files, no circle of folders.

Imports count wherever they stand: at the top, within a function, for types alone.
"""

import ast
from pathlib import Path

import minisparse

ROOT = Path(minisparse.__file__).parent
DATA = ROOT / "classroom" / "assignments"  # read by path, as data

# Each may import what stands above it.  Two on one line do not know each other.
FLOORS = """
moved arrays errors switches threads machine interrupt progress drawing
doors
checkpoint
definitions
kernels
autodiff data
nn
optim evaluation
prune
sparse gradcheck methods
one_step
train
experiments
bench book classroom
cli
__main__ __init__
""".strip().splitlines()


def files():
    return [f for f in sorted(ROOT.rglob("*.py")) if DATA not in f.parents]


def name_of(path):
    parts = ("minisparse", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in files()}


def imported(name, path):
    """Yield the modules of the package that a file imports."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] == "minisparse")
        elif isinstance(node, ast.ImportFrom):
            home = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                home = ".".join([*up, *([home] if home else [])])
            if home.partition(".")[0] != "minisparse":
                continue
            for alias in node.names:
                inner = f"{home}.{alias.name}"
                yield inner if inner in MODULES else home


GRAPH = {
    name: sorted({m for m in imported(name, path) if m in MODULES and m != name})
    for name, path in MODULES.items()
}


def folder(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def circles(graph):
    """Return the strongly connected parts of more than one node (Tarjan 1972, without recursion)."""
    index, low, stack, on_stack, found = {}, {}, [], set(), []
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, children = work[-1]
            for child in children:
                if child not in index:
                    index[child] = low[child] = len(index)
                    stack.append(child)
                    on_stack.add(child)
                    work.append((child, iter(graph[child])))
                    break
                if child in on_stack:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    part = []
                    while not part or part[-1] != node:
                        part.append(stack.pop())
                        on_stack.discard(part[-1])
                    if len(part) > 1:
                        found.append(sorted(part))
    return found


def test_the_finder_of_circles_finds_them():
    assert circles({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": []}) == [["b", "c"]]
    assert circles({"a": ["b"], "b": []}) == []


def test_no_circle_of_files():
    assert circles(GRAPH) == []


def test_no_circle_of_folders():
    graph = {folder(name): set() for name in GRAPH}
    for name, targets in GRAPH.items():
        graph[folder(name)] |= {folder(t) for t in targets} - {folder(name)}
    assert circles({f: sorted(t) for f, t in graph.items()}) == []


def test_every_arrow_points_downwards():
    floor = {name: i for i, line in enumerate(FLOORS) for name in line.split()}
    assert {folder(name) for name in GRAPH} - floor.keys() == set(), "say on which floor it stands"
    up = [
        f"{name} -> {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if folder(target) != folder(name)
        and floor[folder(target)] >= floor[folder(name)]
        and target != "minisparse"  # for its version
    ]
    assert up == []

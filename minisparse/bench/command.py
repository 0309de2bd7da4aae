"""``minisparse bench``: how fast minisparse is beside other frameworks, on this machine."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from .cases import CASES
from .measure import Settings
from .peers import OURS, PEERS
from .report import text
from .running import Bench, Plan, Result

_QUICK = Settings(rounds=3, seconds=0.03)
_SLOW = ("torch-compile", "autograd")  # left out of a quick run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Time training steps and inference of minisparse and of other frameworks in turns, each in "
        "a process of its own, on the same weights and batches. A ratio is the time of the peer "
        "over ours: above 1, minisparse is faster."
    )
    parser.epilog = "Cases: " + "; ".join(f"{c.name} ({c.title})" for c in CASES.values())
    parser.add_argument("cases", nargs="*", metavar="CASE", help="(default: all)")
    parser.add_argument(
        "--threads",
        type=_numbers,
        metavar="N,N",
        help="(default: 1, and 2 where there are two cores; overhead and sparse cases: 1)",
    )
    parser.add_argument(
        "--batch", type=_numbers, metavar="N,N", help="images at a time (default: of each case)"
    )
    parser.add_argument(
        "--peers",
        type=_names,
        metavar="A,B",
        help=f"(default: all that are installed of {', '.join(p for p in PEERS if p != OURS)})",
    )
    defaults = Settings()
    parser.add_argument(
        "--rounds", type=_at_least_1, metavar="N", help=f"(default: {defaults.rounds})"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help=f"of each peer in a round (default: {defaults.seconds:g})",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"batch 100, one thread, short rounds, no first steps, without {' and '.join(_SLOW)}; "
        "if no case is named, without growth and methods",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; progress goes to stderr")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the ratios, as a PNG")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write bench.json and bench.txt there, and the figures bench.png and growth.png",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print; 1 if a peer that is installed failed or computes something else."""
    plan = _plan(args)
    without = without_kernels()
    if without is not None:
        print(without, file=sys.stderr)
        if os.environ.get("MINISPARSE_KERNELS") != "numpy":
            return 1
    for path in filter(None, (args.out, args.figure and args.figure.parent)):
        path.mkdir(parents=True, exist_ok=True)  # before anything is measured

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    result = Bench(plan, say).run()
    as_json = json.dumps(result.as_json(), indent=2)
    as_text = text(result)
    print(as_json if args.json else as_text)
    if args.out is not None:
        (args.out / "bench.json").write_text(as_json + "\n")
        (args.out / "bench.txt").write_text(as_text + "\n")
        _draw(result, args.out / "bench.png", args.out / "growth.png")
    if args.figure is not None:
        _draw(result, args.figure)
    return 1 if result.failed else 0


def without_kernels() -> str | None:
    """Say what to do where the compiled kernels cannot run; None where they can."""
    if os.environ.get("MINISPARSE_KERNELS") == "numpy":
        return (
            "MINISPARSE_KERNELS=numpy: minisparse runs on its NumPy definitions here, several times "
            "slower than compiled. Unset it for the times that others report."
        )
    if find_spec("numba") is None:
        return (
            "Numba is not installed, and what this command times are the compiled kernels. Install "
            'it (pip install "numba"), or time the NumPy definitions, which everything else runs on '
            "without it: MINISPARSE_KERNELS=numpy minisparse bench"
        )
    return None


def _draw(result: Result, path: Path, growth: Path | None = None) -> None:
    """Draw bars, and growth into a file of its own, or in place of bars if there are none."""
    from .figure import draw
    from .figure_growth import draw_growth

    if not draw(result, path) or growth is not None:
        draw_growth(result, growth or path)


def _plan(args: argparse.Namespace) -> Plan:
    for name in args.cases:
        _known(name, list(CASES), "case")
    for name in args.peers or ():
        _known(name, [p for p in PEERS if p != OURS], "peer")
    usually = [name for name, case in CASES.items() if case.kind == "net" or not args.quick]
    cases = tuple(dict.fromkeys(args.cases or usually))
    usual = _QUICK if args.quick else Settings()
    settings = Settings(args.rounds or usual.rounds, args.seconds or usual.seconds)
    peers, batches, threads = args.peers, args.batch, args.threads
    if args.quick:
        peers = peers or tuple(p for p in PEERS if p not in _SLOW)
        batches, threads = batches or (100,), threads or (1,)
    if peers is not None and not any(p in CASES[c].peers for c in cases for p in peers):
        raise ValueError(
            f"{', '.join(peers)} is no peer of {', '.join(cases)}. Peers there: "
            + ", ".join(dict.fromkeys(p for c in cases for p in CASES[c].peers))
        )
    return Plan(cases, threads, batches, peers, settings, startup=not args.quick)


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names)}"
        raise ValueError(f"no {what} of the benchmark is called {name!r}. {hint}")


def _names(given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, given.split(","))))


def _numbers(given: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_at_least_1(part) for part in given.split(",")))


def _at_least_1(given: str) -> int:
    if not given.isascii() or not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least 1, got {given!r}")
    return int(given)


def _seconds(given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 60:
        raise argparse.ArgumentTypeError(f"expected seconds, above 0 and at most 60, got {given!r}")
    return value

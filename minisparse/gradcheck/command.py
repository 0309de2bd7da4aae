"""``minisparse gradcheck``: verify gradients from the shell."""

from __future__ import annotations

import argparse
import json
import sys

EPILOG = """\
TARGET is one of
  softmax                   an operation, layer or formula of minisparse, as --all lists them
  hw1.py:softmax            a name in a file
  package.module.name       a name that can be imported

The function takes arrays. Its backward is found under the same name: beside `softmax` (or
`softmax_forward`) stands
  def softmax_backward(cotangent, x):      # returns one gradient per array, as a tuple
and a function of minisparse tensors needs none. Inputs come from
  def softmax_inputs(rng):                 # returns them as a tuple; integers and labels too
if the file has one, else from --shape (normal random numbers, once per argument), else from
guesses, which the report then mentions.

The exit status is 0 if the gradient holds, 1 if it does not, 2 if the check cannot be run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("target", nargs="?", metavar="TARGET", help="what to check, see below")
    what.add_argument(
        "--all", action="store_true", help="check every operation, module and formula of minisparse"
    )
    what.add_argument(
        "--selftest",
        action="store_true",
        help="try the checker on gradients that are known to be wrong, or right",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the inputs, cotangents and directions (default 0)"
    )
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        help="of the inputs; differences are taken in float64 all the same",
    )
    parser.add_argument(
        "--order", type=int, choices=(1, 2), default=1, help="2: the gradient of the gradient"
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="N,M,...",
        type=_shape,
        help="shape of an argument, once for each; an empty string for a single number",
    )
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument("--figure", metavar="FILE", help="draw the check into a PNG, SVG or PDF")


def run(args: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    if args.all or args.selftest:
        return _run_many(args)
    from .check import gradcheck
    from .problem import GradcheckError
    from .registry import check_entry, find
    from .report import Report

    command = f"minisparse gradcheck {args.target} --seed {args.seed}"
    command += f" --dtype {args.dtype}" if args.dtype else ""
    command += f" --order {args.order}" if args.order != 1 else ""
    command += "".join(f" --shape {','.join(map(str, s)) or repr('')}" for s in args.shape)
    reports: list[Report]
    try:
        entry = None if ":" in args.target or args.shape else find(args.target, args.seed)
        if entry is not None:
            reports = check_entry(entry, args.seed, args.order, args.dtype, command)
        else:
            from .targets import resolve

            target = resolve(args.target, args.shape, args.seed)
            report = gradcheck(
                target.f,
                *target.inputs,
                backward=target.backward,
                seed=args.seed,
                dtype=args.dtype,
                order=args.order,
                name=args.target.rpartition(":")[2],
                rerun=command,
            )
            report.notes += target.notes
            reports = [report]
    except GradcheckError as error:
        print(f"minisparse gradcheck: {error}", file=sys.stderr)
        return 2
    shown = next((r for r in reports if not r), reports[0])
    if args.json:
        print(json.dumps([r.data() for r in reports], indent=1))
    else:
        for r in reports:
            print(r)
    if args.figure:
        shown.figure().savefig(args.figure)
    return 0 if all(reports) else 1


def _run_many(args: argparse.Namespace) -> int:
    if args.order != 1 or args.dtype or args.shape or args.json or args.figure:
        print(
            "minisparse gradcheck: --all and --selftest take --seed and nothing else",
            file=sys.stderr,
        )
        return 2
    if args.selftest:
        from .selftest import run_selftest

        return 0 if run_selftest(_say, args.seed) else 1
    from .registry import run_all

    return 0 if run_all(_say, args.seed) else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _shape(text: str) -> tuple[int, ...]:
    """Read "3,4" as (3, 4)."""
    try:
        shape = tuple(int(n) for n in text.split(",") if n.strip())
    except ValueError:
        shape = (-1,)
    if any(n < 0 for n in shape):
        raise argparse.ArgumentTypeError(
            f"a shape is a list of lengths such as 3,4 or 5, got {text!r}"
        )
    return shape

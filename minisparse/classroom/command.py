"""``minisparse classroom``: hand out an assignment, check it, grade a class."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

from minisparse.progress import Progress
from minisparse.threads import cores

from .errors import ClassroomError
from .grading import checking, cohort, gradescope, selftest, submissions
from .grading.grading import Grader
from .handing_out import listing, manifest, starter
from .handing_out.material import Material
from .walls import probe
from .walls.limits import Limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Assignments over the library's own functions: hand out, check, grade."
    parser.set_defaults(classroom=parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what")

    one = commands.add_parser("list", help="the assignments")
    one.add_argument("--json", action="store_true", help="the same for programs")

    one = commands.add_parser("new", help="write the starter folder of an assignment")
    one.add_argument("assignment", metavar="ID")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder to be made")

    one = commands.add_parser("check", help="check your own work; exit code 1 if a check fails")
    one.add_argument(
        "where", nargs="*", metavar="[FOLDER] [EXERCISE]", help="(default: this folder, all)"
    )

    one = commands.add_parser("grade", help="grade a class")
    one.add_argument("assignment", metavar="ID")
    one.add_argument(
        "submissions", type=Path, nargs="?", help="holds STUDENT/ID.py or STUDENT.py for each"
    )
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
    one.add_argument("--jobs", type=_at_least_1, metavar="N", help="at a time (default: the cores)")
    one.add_argument(
        "--seed", type=int, metavar="N", help="of the inputs (default: a secret one, kept in DIR)"
    )
    one.add_argument(
        "--gradescope", type=Path, metavar="FILE", help="write the autograder's archive there"
    )

    one = commands.add_parser("selftest", help="grade references, starters and wrong solutions")
    one.add_argument("assignments", nargs="*", metavar="ID", help="(default: all)")

    for command in commands.choices.values():
        command.add_argument(
            "--traceback", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; 1 if a check fails."""
    match args.what:
        case "list":
            found = listing.entries()
            print(json.dumps(found, indent=1) if args.json else listing.table(found))
            return 0
        case "new":
            return _new(args)
        case "check":
            return _check(args.where)
        case "grade":
            return _grade(args)
        case "selftest":
            return _selftest(args.assignments)
    args.classroom.print_help()
    return 2


def _new(args: argparse.Namespace) -> int:
    assignment = manifest.load(args.assignment)
    starter.write(assignment, args.out)
    print(f"{args.out} holds {assignment.id}: {assignment.title}. Start with its README.md")
    return 0


def _check(where: list[str]) -> int:
    """Tell ``check FOLDER EXERCISE``, ``check FOLDER``, ``check EXERCISE`` and ``check`` apart."""
    exercise = where.pop() if where and re.fullmatch(r"\d+\.\d+", where[-1]) else None
    if len(where) > 1:
        raise ClassroomError(
            f"expected [FOLDER] [EXERCISE], such as `check a3 3.2`; got {' '.join(where)}"
        )
    return 0 if checking.check(Path(*where), exercise) else 1


def _selftest(names: list[str]) -> int:
    code = 0
    for name in names or manifest.names():
        with Grader(Material(manifest.load(name)), seed=0) as grader:
            try:
                print(selftest.check(grader), flush=True)
            except ClassroomError as error:
                print(error, flush=True)
                code = 1
    return code


def _grade(args: argparse.Namespace) -> int:
    if os.name != "posix":
        raise ClassroomError("grading needs Linux or macOS; `check` works everywhere")
    if args.submissions is None and args.gradescope is None:
        raise ClassroomError("which submissions? `grade ID SUBMISSIONS --out DIR`, or --gradescope")
    material = Material(manifest.load(args.assignment))
    handed_in = []
    if args.submissions is not None:
        out, source = args.out.resolve(), args.submissions.resolve()
        if out.is_relative_to(source) or source.is_relative_to(out):
            raise ClassroomError("the results and the submissions need folders apart")
        handed_in = submissions.find(args.submissions, material.assignment)
        for warning in submissions.doubles(handed_in):
            print(f"warning: {warning}", file=sys.stderr)
    seed = cohort.seed_of(args.out, material.assignment, args.seed)
    limits = Limits()
    walls = tuple(probe.statements(probe.probe(limits=limits)))
    for wall in walls:
        if "NOT" in wall:
            print(f"warning: {wall}", file=sys.stderr)
    with Grader(material, seed, limits) as grader:
        print(selftest.check(grader, args.out / "selftest.txt"), flush=True)
    if args.gradescope is not None:
        args.gradescope.parent.mkdir(parents=True, exist_ok=True)
        args.gradescope.write_bytes(gradescope.archive(material.assignment, seed))
        print(f"{args.gradescope}: upload it as the autograder of a programming assignment")
    if handed_in:
        setting = cohort.Setting(material, seed, limits, walls)
        done = sum(cohort.finished(args.out, setting, s) is not None for s in handed_in)
        progress = Progress(len(handed_in), done, unit="submission")
        try:
            cohort.grade_class(setting, handed_in, args.out, args.jobs or cores(), progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Who was graded stays graded; run it again to go on") from None
        finally:
            progress.close()
        print((args.out / "summary.txt").read_text(encoding="utf-8"), end="")
        print(f"{args.out}: class.csv, and results.json and feedback.md for each of students/")
    return 0


def _at_least_1(given: str) -> int:
    if not given.isascii() or not given.isdecimal() or int(given) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least 1, got {given!r}")
    return int(given)

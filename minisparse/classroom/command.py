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
from .grading import checking, cohort, gradescope, reports, selftest, submissions
from .grading.grading import Grader
from .grading.submissions import Submission
from .handing_out import listing, manifest, starter
from .handing_out.material import Material
from .walls import probe
from .walls.invoking import one_line
from .walls.limits import Limits

_DRAWS = 5  # of a secret seed, until one is in order


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
        "--seed",
        type=_at_least_0,
        metavar="N",
        help="of the inputs (default: a secret one, kept in DIR)",
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
    handed_in: list[Submission] = []
    left_out: list[str] = []
    if args.submissions is not None:
        out, source = args.out.resolve(), args.submissions.resolve()
        if out.is_relative_to(source) or source.is_relative_to(out):
            raise ClassroomError("the results and the submissions need folders apart")
        handed_in = submissions.find(args.submissions, material.assignment)
        left_out = submissions.left_out(args.submissions, material.assignment)
        for warning in submissions.doubles(handed_in):
            print(f"warning: {warning}", file=sys.stderr)
        if left_out:
            names = ", ".join(map(reports.named, left_out))
            print(f"warning: left out, not graded: {names}", file=sys.stderr)
    limits = Limits()
    walls = tuple(probe.statements(probe.probe(limits=limits)))
    for wall in walls:
        if "NOT" in wall:
            print(f"warning: {wall}", file=sys.stderr)
    secret = _in_order(material, args.out, args.seed, limits)
    if args.gradescope is not None:
        args.gradescope.parent.mkdir(parents=True, exist_ok=True)
        args.gradescope.write_bytes(gradescope.archive(material.assignment, secret.seed))
        print(f"{args.gradescope}: upload it as the autograder of a programming assignment")
    if handed_in:
        setting = cohort.Setting(material, secret.seed, limits, walls, secret.id)
        places = cohort.folders(args.out, handed_in)
        done = sum(cohort.finished(places[s.student], setting, s) is not None for s in handed_in)
        progress = Progress(len(handed_in), done, unit="submission")
        try:
            jobs = args.jobs or cores()
            cohort.grade_class(setting, handed_in, args.out, jobs, progress, left_out)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Who was graded stays graded; run it again to go on") from None
        finally:
            progress.close()
        print((args.out / "summary.txt").read_text(encoding="utf-8"), end="")
        print(f"{args.out}: class.csv, and results.json and feedback.md for each of students/")
    return 0


def _in_order(material: Material, out: Path, seed: int | None, limits: Limits) -> cohort.Secret:
    """Return the secret of a class with which the assignment is in order, and keep it.

    A seed that was given is the only one that is tried.  A secret one that lets a wrong solution
    pass, or takes points from the reference, is never used: another one is drawn.

    Raises
    ------
    ClassroomError
        The selftest fails; nothing is kept, and nothing is graded.
    """
    before = cohort.kept(out, material.assignment)
    if seed is not None:
        tries = [before if before and before.seed == seed else cohort.Secret.of(seed)]
    else:
        tries = [before or cohort.Secret.of(), *(cohort.Secret.of() for _ in range(_DRAWS - 1))]
    for secret in tries:
        try:
            with Grader(material, secret.seed, limits) as grader:
                said = selftest.check(grader, out / "selftest.txt", secret.id)
        except selftest.SelftestFailed as error:
            failure = error
            print(f"warning: {one_line(str(error))}", file=sys.stderr)
            continue
        print(said, flush=True)
        if before and secret.seed != before.seed and seed is None:
            print("warning: the seed kept before failed; all are graded again", file=sys.stderr)
        cohort.keep(out, material.assignment, secret)
        return secret
    what = "choose another --seed, or leave it out" if seed is not None else "tell its authors"
    raise ClassroomError(f"{failure}\n{len(tries)} seeds were tried: {what}")


def _at_least(least: int, given: str) -> int:
    if not given.isascii() or not given.isdecimal() or int(given) < least:
        raise argparse.ArgumentTypeError(
            f"expected a whole number, at least {least}, got {given!r}"
        )
    return int(given)


def _at_least_0(given: str) -> int:
    return _at_least(0, given)


def _at_least_1(given: str) -> int:
    return _at_least(1, given)

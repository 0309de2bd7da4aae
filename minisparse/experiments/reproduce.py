"""``minisparse reproduce``: the published tables, beside ours."""

import argparse
from pathlib import Path

from minisparse.experiments import catalogue
from minisparse.threads import get_num_threads, set_num_threads

DEFAULT_OUT = Path("minisparse-results")
QUICK_OUT = DEFAULT_OUT / "quick"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Do the runs of published tables that are not finished yet, and write for each table "
        "DIR/ID/results.json, table.csv, table.md and figure.png: published figures, ours, the "
        "difference, a verdict. Each run is one file in DIR/runs and is never repeated; after "
        "Ctrl-C the same command goes on. The exit code is 1 if a row FAILS."
    )
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        default=[catalogue.DEFAULT],
        help=f"experiments, see `minisparse list` (default: {catalogue.DEFAULT})",
    )
    parser.add_argument(
        "--seeds",
        type=_positive,
        metavar="N",
        help="how many seeds: 0, 1, ..., N-1 (default: what each experiment says)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="reduced training, under 90 seconds, to see it work; not compared with the papers",
    )
    parser.add_argument("--force", action="store_true", help="repeat finished runs")
    parser.add_argument(
        "--threads",
        type=_positive,
        metavar="N",
        help="compute on so many threads (default: MINISPARSE_THREADS, or all cores)",
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="runs at a time, each on its share of the threads (default: as many as threads)",
    )
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="let the workers of this Dask scheduler do the runs, e.g. tcp://10.0.0.1:8786; "
        "'local' starts as many workers as --jobs here (needs the extra `cluster`)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"where the results go (default: {DEFAULT_OUT}; with --quick {QUICK_OUT})",
    )


def run(args: argparse.Namespace) -> int:
    """Reproduce and report.

    Returns
    -------
    int
        1 if a row FAILS, else 0.
    """
    from minisparse.experiments import results, runner, tables
    from minisparse.progress import PlanProgress

    if args.threads is not None:
        set_num_threads(args.threads)
    if args.jobs and args.cluster not in (None, "local"):
        raise ValueError(
            "--jobs is for runs on this machine: how many go on at a time on a cluster is the number "
            "of its workers' threads"
        )
    experiments = [catalogue.find(id) for id in dict.fromkeys(args.ids)]
    out: Path = args.out or (QUICK_OUT if args.quick else DEFAULT_OUT)
    written = runner.reproduce(
        experiments,
        out=out,
        display=PlanProgress(),
        seeds=args.seeds,
        quick=args.quick,
        force=args.force,
        at_once=args.jobs or get_num_threads(),
        cluster=args.cluster,
    )
    failed = []
    for each in written:
        print(f"\n{tables.to_text(each)}\n")
        print(f"Figure: {out / each['id'] / 'figure.png'}")
        print(each["sentence"])
        failed += [f"{each['id']}: {name}" for name in results.failures(each)]
    if failed:
        print(f"\nFAILS: {'; '.join(failed)}")
    return 1 if failed else 0


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least 1, got {text!r}")
    return number

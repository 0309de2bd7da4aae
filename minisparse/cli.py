"""The command line, ``minisparse COMMAND``.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> exit code``. Only the one
that is asked for is imported, so that ``minisparse --help`` does not wait for NumPy.

Exit codes: 0 done; 1 done, and what was checked fails; 2 it could not be done; 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import minisparse
from minisparse import threads
from minisparse.errors import is_for_people, is_ours, message

# name -> (module, what it does)
_COMMANDS = {
    "list": ("minisparse.experiments.listing", "the published tables and how ours went"),
    "reproduce": ("minisparse.experiments.reproduce", "train and compare with published tables"),
    "methods": ("minisparse.methods", "every pruning method: equation, code, test, figures"),
    "gradcheck": ("minisparse.gradcheck.command", "verify gradients by finite differences"),
    "bench": ("minisparse.bench.command", "how fast it is beside other frameworks"),
    "book": ("minisparse.book.command", "make the pages of the book, or check them"),
    "classroom": ("minisparse.classroom.command", "hand out assignments, check, grade a class"),
    "data": ("minisparse.data.command", "the data sets and where their files are looked for"),
}
_TRACEBACK = "MINISPARSE_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code.
    """
    arguments = sys.argv[1:] if argv is None else [*argv]
    show_traceback = "--traceback" in arguments or bool(os.environ.get(_TRACEBACK))
    try:
        threads.prepare()
        parser, command = _parser(arguments)
        args = parser.parse_args(arguments)
        if command is None:
            parser.print_help()
            return 2
        code = int(command.run(args))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        print(f"\nminisparse: interrupted. {stop}".rstrip(), file=sys.stderr)
        return 130
    except BrokenPipeError:  # `minisparse list | head`; nothing more to flush at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if show_traceback or not is_for_people(error):
            raise
        hint = [] if is_ours(error) else ["(--traceback shows where it was raised)"]
        print(f"minisparse: error: {message(error, *hint)}", file=sys.stderr)
        return 2


def _parser(arguments: Sequence[str]) -> tuple[argparse.ArgumentParser, Any]:
    """Return the parser, complete for the one command that is asked for, and that command."""
    parser = argparse.ArgumentParser(
        prog="minisparse",
        description="Sparse neural networks from scratch, and the published results reproduced.",
        epilog="minisparse COMMAND --help says more. Without further arguments, "
        "`minisparse reproduce` reproduces the headline result.",
    )
    parser.add_argument(
        "--version", action="version", version=f"minisparse {minisparse.__version__}"
    )
    _add_traceback(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    asked = next((a for a in arguments if not a.startswith("-")), None)  # no option takes a value
    command = None
    for name, (module, summary) in _COMMANDS.items():
        subparser = commands.add_parser(name, help=summary)
        if name == asked:
            command = import_module(module)
            command.add_arguments(subparser)
            _add_traceback(subparser, default=argparse.SUPPRESS)
    return parser, command


def _add_traceback(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--traceback",
        action="store_true",
        default=default,
        help=f"show where in the code an error was raised (also: {_TRACEBACK}=1)",
    )


if __name__ == "__main__":
    sys.exit(main())

"""Hand bad input to every door, and damaged files to every reader.

``python tests/fuzz/fuzzing.py doors 20000 [SEED [NAME]]``, or ``shell 1000`` or ``files 5000``.
"""

import collections
import contextlib
import io
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import bad
import doors
import files
import judging
import numpy as np
import shell

PATIENCE = 20  # seconds of processor time for one call
# Who asks for so many rounds gets them: it is for Ctrl-C to end that.
ROUNDS = ("rounds", "epochs", "steps", "iterations", "draws", "events")


Line = collections.namedtuple("Line", "name words")


class TooLongError(BaseException):
    """A call has gone on for ever."""


def attempt(door, rng):
    """Call a door with one or two arguments spoilt; return what was foreign about the answer."""
    arguments = door.good()
    names = list(arguments)
    for _ in range(1 + (rng.random() < 0.2)):
        name = names[rng.integers(len(names))]
        spoil = bad.close if rng.random() < 0.6 else lambda value, rng: bad.anything(rng)  # noqa: ARG005
        arguments[name] = spoil(arguments[name], rng)
        if name in ROUNDS and type(arguments[name]) is int and arguments[name] > 10**6:
            arguments[name] = 3
    return judged(lambda: door.call(**arguments))


def read_damaged(kind, rng):
    """Damage a file and read it; return what was foreign about the answer, or wrong."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = kind.make(Path(folder))
        whole = kind.read(path)
        files.spoil(kind, path, rng)

        def read():
            if not kind.same(kind.read(path), whole):
                raise AssertionError("the damage was not noticed")

        return judged(read)


def type_wrongly(line, rng):
    """Run a command line with a wrong word; return what was foreign about the answer."""
    return judged(lambda: shell.call(shell.spoilt(line.words, rng)))


def judged(call):
    """Return what is foreign about the error of a call; "" if nothing is, or there is none."""
    with quiet():
        try:
            call()
        except (Exception, TooLongError) as error:  # noqa: BLE001 - whatever it is, it is judged
            return judging.foreign(error)
        except KeyboardInterrupt as stop:
            if not isinstance(stop, doors.Enough):
                raise
    return ""


@contextlib.contextmanager
def quiet():
    """Let nothing be printed, and no warning be an error."""
    with (
        warnings.catch_warnings(), np.errstate(all="ignore"),
        contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()),
    ):  # fmt: skip
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def patience(seconds=PATIENCE):
    """End what takes longer, by an error; for the main thread."""

    def end(*_):
        raise TooLongError(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def run(attempt, places, count, seed=0):
    """Return how often each foreign error came, and the number of an example for each."""
    found, example = collections.Counter(), {}
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        place = places[rng.integers(len(places))]
        try:
            with patience():
                said = attempt(place, rng)
        except TooLongError as error:  # between two lines of ours
            said = str(error)
        if said:
            found[f"{place.name}: {said}"] += 1
            example.setdefault(f"{place.name}: {said}", number)
    return found, example


def run_doors(count, seed=0, only=""):
    """See `run`."""
    return run(attempt, [d for d in doors.all_doors() if only in d.name], count, seed)


def run_shell(count, seed=0, only=""):
    """See `run`."""
    lines = [Line(" ".join(words), words) for words in shell.LINES if only in " ".join(words)]
    return run(type_wrongly, lines, count, seed)


def run_files(count, seed=0, only=""):
    """See `run`."""
    return run(read_damaged, [k for k in files.KINDS if only in k.name], count, seed)


if __name__ == "__main__":
    what, count, *more = sys.argv[1:]
    which = {"doors": run_doors, "shell": run_shell, "files": run_files}[what]
    found, example = which(int(count), *[int(m) if i == 0 else m for i, m in enumerate(more)])
    for said, times in found.most_common():
        print(f"{times:5} {example[said]:7} {said}")
    print(f"{sum(found.values())} foreign answers to {count} {what}; by the net: {judging.NET}")

"""Hand bad input to every door; `python tests/fuzz/fuzzing.py 20000 0` for many, from a seed on."""

import collections
import contextlib
import io
import sys
import warnings

import bad
import doors
import judging
import numpy as np


def attempt(door, rng):
    """Call a door with one or two arguments spoilt; return what was foreign about the answer."""
    arguments = door.good()
    names = list(arguments)
    for _ in range(1 + (rng.random() < 0.2)):
        name = names[rng.integers(len(names))]
        spoil = bad.close if rng.random() < 0.6 else lambda value, rng: bad.anything(rng)  # noqa: ARG005
        arguments[name] = spoil(arguments[name], rng)
    return _ask(door, arguments)


def _ask(door, arguments):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                door.call(**arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
            return judging.foreign(error)
    return ""


def run(count, seed=0, only=""):
    """Return how often each foreign error came, and an example's door and number for each."""
    found, example = collections.Counter(), {}
    known = [door for door in doors.all_doors() if only in door.name]
    for number in range(seed, seed + count):
        rng = np.random.default_rng(number)
        door = known[rng.integers(len(known))]
        if said := attempt(door, rng):
            found[f"{door.name}: {said}"] += 1
            example.setdefault(f"{door.name}: {said}", number)
    return found, example


if __name__ == "__main__":
    found, example = run(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    for said, times in found.most_common():
        print(f"{times:5} {example[said]:7} {said}")
    print(f"{sum(found.values())} foreign answers to {sys.argv[1]} calls")

"""Which doors are closed on this system, found out by trying them from inside.

A program that means harm is run exactly as a submission is.  What it achieves is what a submission
could; the results of a class say so.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import PropertyFailed
from .limits import Limits
from .remote import Remote

_PROGRAM = '''
import mmap, os, socket

def _possible(attempts):
    """Return the names of the attempts that no error ended."""
    done = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except BaseException:
            continue
        done.append(name)
    return done

def files(folder):
    kept, new = folder + "/kept", folder + "/new"
    return _possible({
        "reading": lambda: os.open(kept, os.O_RDONLY),
        "writing": lambda: os.open(kept, os.O_WRONLY),
        "creating": lambda: os.open(new, os.O_WRONLY | os.O_CREAT),
        "listing": lambda: os.listdir(folder),
        "a new folder": lambda: os.mkdir(new),
        "a link": lambda: os.symlink(kept, new + "link"),
        "emptying": lambda: os.truncate(kept, 0),
        "renaming": lambda: os.rename(kept, new + "name"),
        "removing": lambda: os.unlink(kept),
    })

def network():
    return _possible({
        "a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "a datagram socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
    })

def processes():
    def fork():
        if os.fork() == 0:
            os._exit(0)
    return _possible({
        "fork": fork,
        "a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    })

def others():
    return _possible({
        "a signal to the grader": lambda: os.kill(os.getppid(), 0),
        "its priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    })

def memory(size):
    return _possible({"more than the limit": lambda: mmap.mmap(-1, size)})
'''

FORBIDDEN = ": forbidden"  # how the sentence about a closed door ends
DOORS = {
    "files": "opening, changing or removing files",
    "network": "using the network",
    "processes": "starting processes",
    "others": "reaching other processes",
    "memory": "using more memory than allowed",
    "time": "using more processor time than allowed",
}


def probe(
    slot: int = 0, limits: Limits | None = None, without: tuple[str, ...] = ()
) -> dict[str, str]:
    """Try the doors.

    Parameters
    ----------
    slot : int
    limits : Limits, optional
    without : tuple of str
        Walls to leave out; for tests.

    Returns
    -------
    dict
        Door (see `DOORS`) -> "" if it is closed, otherwise what was possible.
    """
    limits = limits or Limits()
    with (
        tempfile.TemporaryDirectory() as name,
        Remote(
            {"probe.py": _PROGRAM}, "probe", limits, slot, ("mmap", "os", "socket"), without
        ) as inside,
    ):
        folder = Path(name)
        folder.chmod(0o777)  # not the rights of a user are to keep the program out
        (folder / "kept").write_text("kept")
        (folder / "kept").chmod(0o666)
        possible = {
            "files": _tried(lambda: inside.files(name)),
            "network": _tried(lambda: inside.network()),
            "processes": _tried(lambda: inside.processes()),
            "others": _tried(lambda: inside.others()),
            "memory": _tried(lambda: inside.memory(limits.memory << 20)),
            "time": "" if inside.walls.get("limits") is True else "no limit of processor time",
        }
        if [p.name for p in folder.iterdir()] != ["kept"] or (
            folder / "kept"
        ).read_text() != "kept":
            possible["files"] = possible["files"] or "changing files"
    return possible


def _tried(attempt: object) -> str:
    assert callable(attempt)
    try:
        done = attempt()
    except PropertyFailed as failure:
        return f"unknown: {failure}"
    return ", ".join(map(str, done)) if isinstance(done, list) else "unknown"


def statements(found: dict[str, str]) -> list[str]:
    """Return a sentence for each door."""
    return [
        f"{what}: NOT forbidden on this system ({found[door]})" if found[door] else what + FORBIDDEN
        for door, what in DOORS.items()
    ]

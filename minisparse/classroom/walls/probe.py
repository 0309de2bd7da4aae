"""Which doors are closed on this system, found out by trying them from inside.

A program that means harm is run exactly as a submission is.  What it achieves is what a submission
could; the results of a class say so.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import PropertyFailed, SubmissionLost
from .limits import Limits
from .remote import Remote

_PROGRAM = '''
import _thread, mmap, os, socket

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

def files(folder, attributes):
    attempts = {
        "reading": lambda at: os.open(at, os.O_RDONLY),
        "writing": lambda at: os.open(at, os.O_WRONLY),
        "listing": lambda at: os.listdir(folder),
        "looking at": lambda at: os.stat(at),
        "creating": lambda at: os.open(at + "new", os.O_WRONLY | os.O_CREAT),
        "a new folder": lambda at: os.mkdir(at + "new"),
        "a pipe with a name": lambda at: os.mkfifo(at + "new"),
        "a symbolic link": lambda at: os.symlink(at, at + "new"),
        "a second name": lambda at: os.link(at, at + "new"),
        "emptying": lambda at: os.truncate(at, 0),
        "renaming": lambda at: os.rename(at, at + "new"),
        "removing": lambda at: os.unlink(at),
        "changing rights": lambda at: os.chmod(at, 0o700),
        "changing times": lambda at: os.utime(at, (1, 1)),
        "changing the owner": lambda at: os.chown(at, 4242, 4242),
        "the working folder": lambda at: os.chdir(folder),
    }
    if attributes:
        attempts["reading an attribute"] = lambda at: os.getxattr(at, attributes)
        attempts["writing an attribute"] = lambda at: os.setxattr(at, attributes + "2", b"x")
    return _possible({  # each has a file of its own: what one does must not hide the next
        name: lambda name=name, attempt=attempt: attempt(
            folder + "/" + name.replace(" ", "_")
        )
        for name, attempt in attempts.items()
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
        "a thread": lambda: _thread.start_new_thread(int, ()),
    })

def become(program):
    os.execv(program, [program])  # where that is possible, nobody returns from here

def others(priority):  # the one that the grader has: what is possible must not slow it down
    return _possible({
        "a signal to the grader": lambda: os.kill(os.getppid(), 0),
        "its priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), priority),
    })

def memory(size):
    return _possible({"more than the limit": lambda: mmap.mmap(-1, size)})
'''

# One file for each attempt of `files` at one, under its name.
_FILES = (
    "reading",
    "writing",
    "looking_at",
    "a_second_name",
    "emptying",
    "renaming",
    "removing",
    "changing_rights",
    "changing_times",
    "changing_the_owner",
    "reading_an_attribute",
    "writing_an_attribute",
)
_ATTRIBUTE = "user.minisparse"
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
        for what in _FILES:
            (folder / what).write_text("kept")
            (folder / what).chmod(0o666)
        before = _contents(folder)
        attributes = _ATTRIBUTE if all(_with_attribute(folder / what) for what in _FILES) else ""
        possible = {
            "files": _tried(lambda: inside.files(name, attributes)),
            "network": _tried(lambda: inside.network()),
            "processes": _tried(lambda: inside.processes()),
            "others": _tried(lambda: inside.others(os.getpriority(os.PRIO_PROCESS, 0))),
            "memory": _tried(lambda: inside.memory(limits.memory << 20)),
            "time": "" if inside.walls.get("limits") is True else "no limit of processor time",
        }
        if _contents(folder) != before:
            possible["files"] = possible["files"] or "changing files"
        if _is_replaced(inside):
            instead = "becoming another program"
            possible["processes"] = ", ".join(filter(None, [possible["processes"], instead]))
    return possible


def _contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() if p.is_file() else "" for p in sorted(folder.iterdir())}


def _with_attribute(path: Path) -> bool:
    """Give a file an extended attribute, where there are such things."""
    try:
        os.setxattr(path, _ATTRIBUTE, b"secret")
    except (AttributeError, OSError):
        return False
    return True


def _is_replaced(inside: Remote) -> bool:
    """Tell whether the process may become another program: it does not come back, then."""
    try:
        inside.become("/bin/sh")
    except SubmissionLost:
        return True
    except PropertyFailed:
        return False
    return True


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

"""Walls around the process that runs a submission: it may compute, read its pipe and write its pipe.

All that it may need is loaded before; then `lock` closes the doors, each with more than one wall
where the system has them:

    files        no new file descriptor (RLIMIT_NOFILE = 0), no system call that opens, removes or
                 renames one (seccomp), no access by Landlock, no rights of a user (another user id)
    processes    none (RLIMIT_NPROC = 0, seccomp)
    network      no socket (RLIMIT_NOFILE, seccomp, Landlock)
    others       no signal, no tracing (seccomp, another user id, Landlock)
    resources    memory, processor time, size of files (limits of the operating system)

Limits exist on every POSIX system, seccomp and Landlock on Linux, another user id if started as
root.  Which doors are really closed is not concluded from this list but tried: see `probe`.

This file is also loaded where a submission runs: it imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import sys
from typing import Any

try:
    import resource  # now: once the doors are closed no module can be read any more
except ImportError:  # no POSIX system
    resource = None  # type: ignore[assignment]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_FIRST_USER = 61_000  # one user id for each process that runs at the same time
_NOBODY = 65_534

# System calls that a process needs to compute, to read and write what is open, and to end.
# name: (number on x86-64, on ARM64 and RISC-V)
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
# machine -> (column, the kernel's name of the architecture, number of seccomp())
_MACHINES = {
    "x86_64": (0, 0xC000003E, 317),
    "aarch64": (1, 0xC00000B7, 277),
    "riscv64": (1, 0xC00000F3, 277),
}


def lock(limits: dict[str, int], slot: int, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Close the doors of this process, for good.

    Parameters
    ----------
    limits : dict
        ``memory`` (bytes) and ``cpu`` (seconds).
    slot : int
        Processes that run at the same time have different ones.
    without : tuple of str
        Walls to leave out: "user", "limits", "landlock", "seccomp".  For tests.

    Returns
    -------
    dict
        Wall -> True, or what the system said.
    """
    built: dict[str, Any] = {}
    walls = {
        "user": lambda: _become_nobody(slot),
        "linux": _linux_manners,
        "landlock": _landlock,
        "limits": lambda: _limit(limits),
        "seccomp": _seccomp,
    }
    for name, build in walls.items():
        if name in without:
            built[name] = "left out"
            continue
        try:
            build()
            built[name] = True
        except (OSError, ValueError, AttributeError, ImportError) as error:
            built[name] = f"{error}" or type(error).__name__
    return built


def guard_grader() -> None:
    """Let no process of the same user look into this one, and end it when its parent ends."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _become_nobody(slot: int) -> None:
    if os.geteuid() != 0:
        raise OSError("not started as root")
    os.setgroups([])
    for user in (_FIRST_USER + slot, _NOBODY):
        try:
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            return
        except OSError as error:
            refused = error
    raise refused


def _limit(limits: dict[str, int]) -> None:
    if resource is None:
        raise OSError("no limits on this system")
    wanted = {
        "CORE": 0,
        "FSIZE": 0,
        "NPROC": 0,
        "AS": limits["memory"],
        "CPU": limits["cpu"],
        "NOFILE": 0,  # what is open stays open
    }
    refused = []
    for name, value in wanted.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (OSError, ValueError, AttributeError) as error:
            refused.append(f"{name}: {error}")
    if refused:
        raise OSError("; ".join(refused))


# ---- Linux --------------------------------------------------------------------------------------


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _prctl(option: int, value: int) -> None:
    _checked(_libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _syscall(number: int, *args: Any) -> int:
    return _checked(_libc().syscall(ctypes.c_long(number), *args))


def _linux_manners() -> None:
    """Die with the grader, leave no memory to look into, gain no rights by programs."""
    if sys.platform != "linux":
        raise OSError("not Linux")
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("fs", ctypes.c_uint64),
        ("net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def _landlock() -> None:
    """Forbid by Landlock whatever this kernel's version of it can forbid; there are no exceptions."""
    if sys.platform != "linux":
        raise OSError("not Linux")
    create, restrict = 444, 446  # the same numbers on all machines
    version = _syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)  # to files and folders
    rules = _Ruleset(
        (1 << rights) - 1,
        3 if version >= 4 else 0,  # TCP: bind, connect
        3 if version >= 6 else 0,  # abstract sockets, signals to other processes
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    fd = _syscall(create, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        _syscall(restrict, ctypes.c_int(fd), ctypes.c_uint32(0))
    finally:
        os.close(fd)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def _seccomp() -> None:
    """Refuse every system call that is not in `_ALLOWED`, with "operation not permitted"."""
    machine = platform.machine() if sys.maxsize > 2**32 else "a 32-bit machine"
    if sys.platform != "linux" or machine not in _MACHINES:
        raise OSError(f"no list of system calls for {sys.platform} on {machine}")
    column, architecture, seccomp = _MACHINES[machine]
    load, if_equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    numbers = [pair[column] for pair in _ALLOWED.values()]
    program = [
        (load, 0, 0, 4),  # the architecture that the call is made for
        (if_equal, 1, 0, architecture),
        (answer, 0, 0, refuse),
        (load, 0, 0, 0),  # the number of the call
        *((if_equal, len(numbers) - i, 0, n) for i, n in enumerate(numbers)),
        (answer, 0, 0, refuse),
        (answer, 0, 0, allow),
    ]
    instructions = (_Instruction * len(program))(*(_Instruction(*line) for line in program))
    compiled = _Program(len(program), instructions)
    set_filter, all_threads = 1, 1
    _syscall(seccomp, ctypes.c_uint(set_filter), ctypes.c_uint(all_threads), ctypes.byref(compiled))

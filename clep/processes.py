"""Which process did something, so that whoever comes later can tell whether it is still there.

A number alone does not tell: the system gives it to another process later, other machines and containers count for
themselves, and a clock may be set. So the time at which a process began is kept as the system counts it.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
_FIRST_NAMESPACE = "pid:[4026531836]"  # that of the machine itself, not of a container; the kernel fixes the number
_ENDED = ("Z", "X")  # its parent has not asked for it yet
_STATE, _START = 0, 19  # fields 3 and 22 of /proc/PID/stat; the second, a name, may hold anything but ends with `)`


def own() -> dict[str, str]:
    """What tells this process from all others: `host`, `pid` and `started`, as plain text.

    Example:
        >>> from clep import processes
        >>> sorted(processes.own())
        ['host', 'pid', 'started']
        >>> processes.is_gone(processes.own())
        False
    """
    return {"host": socket.gethostname(), "pid": str(os.getpid()), "started": _began(os.getpid())}


def is_gone(process: Mapping[str, str]) -> bool:
    """Whether a process is known to have ended. One of another machine or container is not known to.

    Args:
        process: as `own` returned it there.
    """
    if process.get("host") != socket.gethostname() or not process.get("pid", "").isdecimal():
        return False
    pid, began = int(process["pid"]), process.get("started", "")
    now = _began(pid)
    if not _counts_ticks():
        return bool(began) and now != began
    if len(there := began.split()) != len(here := _began(os.getpid()).split()):
        return False
    (_, boot, *place), (_, this_boot, *this_place) = there, here
    if place != this_place:
        return False
    if boot != this_boot:  # in a container it may be another machine of the same name
        return this_place[0] == _FIRST_NAMESPACE
    return now != began


def _counts_ticks() -> bool:
    return sys.platform == "linux"


def _began(pid: int) -> str:
    """When a process began, as text that only equals itself; empty if there is none.

    On Linux: ticks since the machine started, and which start, space of process numbers and machine that was.
    """
    if not _counts_ticks():
        words = ["ps", "-o", "lstart=", "-p", str(pid)]
        asked = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C", "TZ": "UTC"})
        return asked.stdout.strip()
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        place = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""
    return "" if fields[_STATE] in _ENDED else f"{fields[_START]} {boot} {place} {_machine()}"


def _machine() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip() or "-"
    except OSError:
        return "-"

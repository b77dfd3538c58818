"""Whether a process is still there: told from one that has its number now, and never guessed for another machine."""

import os
import subprocess
import sys

import pytest

from clep import processes

CODE = "from clep import processes; print(processes.own()); input()"


@pytest.fixture(scope="module")
def other():
    """Another process, as it describes itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    described = eval(process.stdout.readline())
    yield process, described
    process.communicate()


def test_a_process_is_gone_once_it_has_ended_also_before_its_parent_asks(other):
    process, described = other
    assert described["pid"] == str(process.pid)
    assert not processes.is_gone(described)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked yet
    assert processes.is_gone(described)
    process.wait()
    assert processes.is_gone(described)


def test_another_process_with_the_number_is_another():
    own = processes.own()
    ticks, _, rest = own["started"].partition(" ")
    assert processes.is_gone(own | {"started": f"{int(ticks) - 1} {rest}"})


def test_of_another_machine_or_container_nothing_is_known():
    own = processes.own()
    ticks, boot, space, machine = own["started"].split()
    gone = own | {"pid": str(2**22 + 1)}  # more than Linux ever gives
    assert processes.is_gone(gone)
    assert not processes.is_gone(gone | {"host": "elsewhere"})
    assert not processes.is_gone(gone | {"started": f"{ticks} {boot} pid:[1] {machine}"})
    assert not processes.is_gone(gone | {"started": f"{ticks} {boot} {space} another"})


@pytest.mark.parametrize(
    "unknown", [{}, {"host": "h"}, processes.own() | {"pid": "x"}, processes.own() | {"started": ""}]
)
def test_what_does_not_describe_a_process_is_not_gone(unknown):
    assert not processes.is_gone(unknown)


def test_after_a_restart_of_the_machine_its_processes_are_gone_but_not_those_of_a_container(monkeypatch):
    own = processes.own()
    ticks, _, space, machine = own["started"].split()
    before = own | {"started": f"{ticks} another-boot {space} {machine}"}
    monkeypatch.setattr(processes, "_FIRST_NAMESPACE", space)
    assert processes.is_gone(before)
    monkeypatch.setattr(processes, "_FIRST_NAMESPACE", "pid:[0]")
    assert not processes.is_gone(before)

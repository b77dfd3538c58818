"""Progress where there is no terminal: a line now and then, and nothing else."""

import pytest

from clep import progress


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    monkeypatch.delenv("CLEP_PROGRESS")


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)


@pytest.mark.usefixtures("at_once")
def test_without_a_terminal_a_bar_is_lines(capsys):
    with progress.bar(total=3, desc="trials", unit="trial", mininterval=0) as bar:
        bar.update()
        bar.set_postfix(best="0.7")
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("clep: trials: 0/3 trials, 00:00 gone")
    assert told[-1].startswith("clep: trials: 1/3 trials")
    assert told[-1].endswith(", best=0.7")


def test_a_short_job_says_nothing(capsys):
    for _ in progress.bar(range(1000), desc="short"):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("at_once")
def test_a_bar_beside_lines_of_their_own_is_silent(capsys):
    with progress.bar(total=2, desc="runs", lines=False) as bar:
        progress.Lines().tell("1/2 runs; naive 0: accuracy 0.2")
        bar.update()
    assert capsys.readouterr().err == "1/2 runs; naive 0: accuracy 0.2\n"


@pytest.mark.usefixtures("at_once")
def test_both_can_be_switched_off(capsys, monkeypatch):
    monkeypatch.setenv("CLEP_PROGRESS", "0")
    for _ in progress.bar(range(3), mininterval=0):
        progress.Lines().tell("a line")
    assert capsys.readouterr() == ("", "")

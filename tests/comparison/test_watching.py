"""What a comparison tells while it runs."""

import io

import pytest

from clep import progress
from clep.comparison import Cell, plan
from clep.comparison.watching import Watch
from clep.config import compose
from clep.results import Result


@pytest.fixture(autouse=True)
def _told(monkeypatch):
    monkeypatch.delenv("CLEP_PROGRESS", raising=False)  # the tests are silent otherwise


class Terminal(io.StringIO):
    def isatty(self):
        return True


def jobs(cells=4):
    return plan([(Cell(f"cell_{i}"), compose()) for i in range(cells)], [7])


def result(job, **numbers):
    return Result.of(job.config, "", "abc", "FINISHED", seconds={"total": 2.4}, **numbers)


def test_the_line_names_the_running_cells_and_how_many_more_there_are():
    with Watch(jobs(5)) as watch:
        assert watch.status == "0/5 runs"
        for index in range(5):
            watch.started(index)
        assert watch.status == "0/5 runs: cell_0 7, cell_1 7, cell_2 7 and 2 more"
        watch.ended(1, result(jobs()[1], accuracy=0.25))
        assert watch.status == "1/5 runs: cell_0 7, cell_2 7, cell_3 7 and 1 more"


def test_on_a_terminal_the_numbers_of_each_run_come_as_it_ends(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    (job,) = jobs(1)
    with Watch([job]) as watch:
        watch.started(0)
        watch.ended(0, result(job, accuracy=0.25, forgetting_since_training=0.75))
    assert "clep: 1/1 runs; cell_0 7: forgetting 0.750, accuracy 0.250, 2 s\n" in terminal.getvalue()


@pytest.mark.parametrize(("waited", "lines"), [(0.0, 0), (20.0, 1)])
def test_without_a_terminal_there_is_a_line_only_now_and_then(waited, lines, monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Watch(jobs(2)) as watch:
        now[0] += waited
        for index, job in enumerate(jobs(2)):
            watch.ended(index, result(job, accuracy=0.25))
    assert capsys.readouterr().err.count("runs;") == lines


def test_progress_can_be_switched_off(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("CLEP_PROGRESS", "0")
    (job,) = jobs(1)
    with Watch([job]) as watch:
        watch.ended(0, result(job, accuracy=0.25))
    assert terminal.getvalue() == ""

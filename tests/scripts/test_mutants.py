"""The table of deliberate bugs fits the code, and a bug that no test notices is reported. `make mutants` runs them."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import mutants

ROOT = Path(__file__).parents[2]
FIRST = mutants.MUTANTS[0]


def test_every_bug_has_its_place_in_the_code_and_its_tests():
    """Without this the table would rot until somebody runs it."""
    assert [problem for mutant in mutants.MUTANTS for problem in mutants.problems(mutant, ROOT)] == []
    assert len(mutants.MUTANTS) >= 14
    assert all(mutant.old != mutant.new and mutant.tests for mutant in mutants.MUTANTS)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"old": "no such text"}, "found it 0 times: no such text"),
        ({"old": "\n"}, "expected this text once"),
        ({"file": "clep/no_such_file.py"}, "found it 0 times"),
        ({"tests": ("tests/test_metrics.py::test_of_nothing",)}, "there is no test tests/test_metrics.py::test_of_"),
    ],
)
def test_a_row_that_does_not_fit_the_code_is_reported(change, problem):
    (found,) = mutants.problems(replace(FIRST, **change), ROOT)
    assert problem in found


@pytest.mark.parametrize(
    ("output", "verdict"),
    [
        ("FAILED tests/a.py::test_x[1] - assert 1 == 2\nFAILED tests/a.py::test_y - assert 0\n", "caught"),
        ("FAILED tests/a.py::test_x[1] - assert 1 == 2\n", "**survives** `test_y`"),
        ("ERROR tests/a.py::test_x\n2 passed\n", "**survives** `test_x`, `test_y`"),
    ],
)
def test_a_bug_is_caught_only_if_each_of_its_tests_fails_with_it(output, verdict, tmp_path, monkeypatch):
    mutant = mutants.Mutant("a.py", "1.0 / beta", "1.0", ("tests/a.py::test_x", "tests/a.py::test_y"), "")
    clean = tmp_path / "clean"
    clean.mkdir()
    (clean / "a.py").write_text("size = 1.0 / beta\n")
    seen = []

    def run_tests(folder, tests, timeout):
        seen.append((folder / "a.py").read_text())
        return subprocess.CompletedProcess([], 1, output, "")

    monkeypatch.setattr(mutants, "run_tests", run_tests)
    assert mutants.verdict_on(mutant, clean, 1.0) == verdict
    assert seen == ["size = 1.0\n"]
    assert (clean / "a.py").read_text() == "size = 1.0 / beta\n"  # only the copy was changed


def test_the_table_shows_each_bug_with_its_verdict():
    row = mutants.markdown([FIRST], ["**survives** `test_x`"]).splitlines()[2]
    assert FIRST.wrong in row
    assert f"`{FIRST.old}` → `{FIRST.new}` | **survives** `test_x`" in row

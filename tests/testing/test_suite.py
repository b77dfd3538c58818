"""Every check notices the fault that it is for, and finds none in a strategy without."""

import re
from pathlib import Path

import pytest

from clep.testing import (
    CHECKS,
    DATASET_CHECKS,
    NETWORK_CHECKS,
    CheckFailed,
    Subject,
    cases,
    check_strategy,
    strategy_tests,
)
from tests.testing import faulty

FAULTS = {
    "Breaking": ("training", "it does not train: strategies: Breaking.after_training_exp failed"),
    "LoggingReserved": ("training", "logs `accuracy/seen`, a name of the pipeline"),
    "NeedingConvolutions": ("training", "it does not train with any network and gradient of clep: network.channels"),
    "MovingTimeSteps": ("training", "the time steps `dt_1` of the network have changed"),
    "Undocumented": ("parameters", "the docstring of Undocumented says nothing of its parameter `strength`"),
    "SearchingElsewhere": ("parameters", "`search_space` has `rate`, which is no parameter; there are: size"),
    "Unseeded": ("seeds", "two runs of one seed differ: the last weights"),
    "Remembering": ("seeds", "two runs of one seed differ: the last weights"),
    "DrawingFromTorch": ("draws[before]", "it draws from a global generator"),
    "DrawingFromNumpy": ("draws[after]", "it draws from a global generator"),
    "DrawingFromPython": ("draws[before]", "it draws from a global generator"),
    "DrawingFromBatches": ("draws[before]", "the first experience has other batches with it than without"),
    "DrawingForOthers": ("draws[after]", "another strategy draws other numbers beside it"),
    "Forgetting": ("resume[after]", "a run that goes on after experience 2 ends otherwise: the last weights"),
    "ForgettingWithin": ("resume[within]", "a run that goes on within experience 2 ends otherwise: the last weights"),
    "Unsavable": ("resume[after]", "no checkpoint can hold it: Unsavable.lock is a _thread.lock"),
    "Untouchable": ("second_run", "a second run with it is not refused"),
    "Concealing": ("memory", "after experience 0 its attributes hold 2816 bytes more than at the start"),
    "ConcealingInItsClass": ("memory", "after experience 0 its attributes hold 2816 bytes more than at the start"),
    "Boasting": ("memory", "says 5280 bytes of samples, and its attributes hold 272 bytes in all"),
    "LoggingOthersNames": ("logs", "it logs `sleep/firing_rate_layer_1`, a name of sleep_replay"),
    "LoggingNoNumbers": ("logs", "logs nan as `honest/shift`"),
    "PeekingAhead": ("later_experiences", "depend on the data or labels of later ones"),
    "PeekingAtTheTest": ("evaluation_data", "depend on the evaluation data"),
    "RefusingWithoutKey": ("gradient[feedforward]", "the refusal `I do not like this network` does not begin with"),
    "FailingUnderBackpropagation": ("gradient[feedforward]", "it is not refused, and then fails: strategies: Failing"),
    "FailingBesideOthers": ("beside[ewc]", "before ewc it fails: strategies: FailingBesideOthers.before_training_exp"),
    "NeedingClep": ("avalanche", "inside a plain Avalanche `Naive` it fails: AttributeError: 'Naive' object has no"),
    "OtherwiseInClep": ("avalanche", "inside a plain Avalanche `Naive` the weights are others than in clep"),
}
"""Class of `tests.testing.faulty` -> the check that must notice it, and what the message says."""


SELDOM = {
    *("Remembering", "DrawingFromNumpy", "DrawingFromPython", "ConcealingInItsClass", "LoggingReserved"),
    *("MovingTimeSteps", "NeedingClep", "PeekingAtTheTest", "FailingUnderBackpropagation", "Untouchable", "Boasting"),
}
"""Faults that are like another one."""


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.slow) if name in SELDOM else name for name in FAULTS]
)
def test_the_fault_is_noticed_by_the_check_that_is_for_it(fault):
    name, message = FAULTS[fault]
    check, case = cases()[name]
    with pytest.raises(CheckFailed) as failed:
        check.run(Subject(getattr(faulty, fault)), *case)
    assert message in str(failed.value)


def test_the_page_about_the_checks_has_a_row_for_each():
    page = (Path(__file__).parents[2] / "docs" / "extend" / "conformance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert rows == [*CHECKS, *NETWORK_CHECKS, *DATASET_CHECKS]


@pytest.mark.slow
def test_a_strategy_without_a_fault_passes_every_check():
    outcomes = {outcome.check: outcome for outcome in check_strategy("tests.testing.faulty:Honest", size=0.02)}
    assert list(outcomes) == list(cases())
    skipped = {name for name, outcome in outcomes.items() if outcome.status == "skipped"}
    assert skipped <= {"gpu"}
    assert {name: o.note for name, o in outcomes.items() if o.status == "fails"} == {}
    assert outcomes["logs"].note == "honest/shift"


TestNaive = strategy_tests("naive")
TestNaive.pytestmark = pytest.mark.slow  # tests/strategies/test_contract.py has these too


def test_one_line_gives_an_author_a_test_for_every_case():
    tests = {name: getattr(TestNaive, f"test_{name}") for name in CHECKS}
    marks = {name: [mark.args for mark in getattr(test, "pytestmark", [])] for name, test in tests.items()}
    assert marks == {name: [("case", check.cases)] if check.cases else [] for name, check in CHECKS.items()}
    assert all(test.__doc__ for test in tests.values())


def test_a_check_without_anything_to_look_at_is_skipped_with_its_reason():
    with pytest.raises(pytest.skip.Exception, match="it logs nothing"):
        TestNaive().test_logs()


def test_a_failure_reads_as_a_sentence():
    with pytest.raises(CheckFailed, match="`search_space` has `rate`, which is no parameter"):
        strategy_tests(faulty.SearchingElsewhere, size=0.5)().test_parameters()

"""Tests for your own parts: whether a strategy, a network or a data set keeps its contract.

In a test module, `TestMine = strategy_tests("my_package:Mine", rate=0.5)` makes pytest run all checks. Without pytest,
`check_strategy` yields what each check says, and every check is a function that takes a `Subject`. `clep check` does
the same for all strategies of a package. `network_tests` and `dataset_tests` are for networks and data sets.
"""

from clep.testing.accounts import check_logs, check_memory, check_parameters, check_training
from clep.testing.as_tests import dataset_tests, network_tests, strategy_tests
from clep.testing.part import Part
from clep.testing.peeking import check_evaluation, check_later
from clep.testing.reproducing import check_draws, check_resume, check_second_run, check_seeds
from clep.testing.subject import CheckFailed, NotApplicable, Subject
from clep.testing.suite import CHECKS, DATASET_CHECKS, NETWORK_CHECKS, Check, Outcome, cases, check_strategy
from clep.testing.surroundings import check_avalanche, check_composition, check_device, check_gradient

__all__ = [
    "CHECKS",
    "DATASET_CHECKS",
    "NETWORK_CHECKS",
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Outcome",
    "Part",
    "Subject",
    "cases",
    "check_avalanche",
    "check_composition",
    "check_device",
    "check_draws",
    "check_evaluation",
    "check_gradient",
    "check_later",
    "check_logs",
    "check_memory",
    "check_parameters",
    "check_resume",
    "check_second_run",
    "check_seeds",
    "check_strategy",
    "check_training",
    "dataset_tests",
    "network_tests",
    "strategy_tests",
]

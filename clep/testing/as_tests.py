"""The checks as tests of pytest."""

from collections.abc import Mapping
from typing import Any

from clep.testing.part import Part
from clep.testing.subject import NotApplicable, Subject
from clep.testing.suite import CHECKS, DATASET_CHECKS, NETWORK_CHECKS, Check


def strategy_tests(strategy: Any, /, **parameters: Any) -> type:
    """Make a class of tests that checks a strategy against its contract; pytest collects it from a test module.

    There is one test for each check of `clep.testing.CHECKS`, with its cases as parameters. Together they take seconds.

    Args:
        strategy: a registered name, an import path `module:Class`, or a class at the top of a module.
        parameters: parameters of the strategy; choose small ones, so that runs are short.

    Example:
        >>> from clep.testing import strategy_tests
        >>> TestRehearsal = strategy_tests("awake_rehearsal", memory_size=12)
        >>> TestRehearsal().test_seeds()
    """
    subject = Subject(strategy, **parameters)
    return _tests(CHECKS, subject, f"{subject.name} keeps the contract of a strategy.")


def network_tests(network: Any, /, **options: Any) -> type:
    """Make a class of tests that checks a network; pytest collects it from a test module.

    Args:
        network: a registered name, an import path, or a class or function at the top of a module.
        options: its own parameters.

    Example:
        >>> from clep.testing import network_tests
        >>> TestNetwork = network_tests("clep.feedforward:Feedforward")
        >>> [name for name in vars(TestNetwork) if name.startswith("test_")][:2]
        ['test_making', 'test_seeds']
    """
    subject = Part("network", network, **options)
    return _tests(NETWORK_CHECKS, subject, f"{subject.name} keeps the contract of a network.")


def dataset_tests(dataset: Any, /, **options: Any) -> type:
    """Make a class of tests that checks a data set; pytest collects it from a test module.

    Args:
        dataset: a registered name, an import path, or a function at the top of a module.
        options: its own parameters.

    Example:
        >>> from clep.testing import dataset_tests
        >>> TestDigits = dataset_tests("digits")
        >>> TestDigits().test_loading()
    """
    subject = Part("dataset", dataset, **options)
    return _tests(DATASET_CHECKS, subject, f"{subject.name} keeps the contract of a data set.")


def _tests(checks: Mapping[str, Check], subject: Subject | Part, about: str) -> type:
    tests = {f"test_{name}": _test(check, subject) for name, check in checks.items()}
    return type("ContractTests", (), {"__doc__": about, **tests})


def _test(check: Check, subject: Subject | Part) -> Any:
    """A method that pytest calls, once or with every case."""
    import pytest

    def run(*arguments: str) -> None:
        __tracebackhide__ = True
        try:
            check.run(subject, *arguments)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    def once(self: Any) -> None:
        __tracebackhide__ = True
        run()

    def with_case(self: Any, case: str) -> None:
        __tracebackhide__ = True
        run(case)

    method = pytest.mark.parametrize("case", check.cases)(with_case) if check.cases else once
    method.__doc__ = check.meaning
    return method

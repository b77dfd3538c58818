"""The checks as tests of pytest."""

from typing import Any

from clep.testing.subject import NotApplicable, Subject
from clep.testing.suite import CHECKS, Check


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
    tests = {f"test_{name}": _test(check, subject) for name, check in CHECKS.items()}
    return type("StrategyTests", (), {"__doc__": f"{subject.name} keeps the contract of a strategy.", **tests})


def _test(check: Check, subject: Subject) -> Any:
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

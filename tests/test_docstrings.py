"""Every example of a docstring runs as a reader would paste it: it imports what it uses."""

import doctest
import importlib
from pathlib import Path

import pytest

import clep

ROOT = Path(__file__).parent.parent
ROOMS = {"clep": "clep", "strategies": "clep.strategies", "pipelines": "clep.pipelines"}


def modules_with_examples():
    """Import path of each source file that has an example, sorted."""
    for folder, package in ROOMS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            if ">>>" in file.read_text(encoding="utf-8"):
                parts = file.relative_to(ROOT / folder).with_suffix("").parts
                yield ".".join([package, *(part for part in parts if part != "__init__")])


def examples():
    """The examples of each docstring, as a doctest named by what the docstring describes."""
    for name in modules_with_examples():
        module = importlib.import_module(name)
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            if test.examples:
                root = test.name.removeprefix(name).lstrip(".").partition(".")[0]
                test.globs = {root: getattr(module, root)} if root else {}
                yield test


EXAMPLES = sorted(examples(), key=lambda test: test.name)


@pytest.mark.parametrize("example", EXAMPLES, ids=[test.name for test in EXAMPLES])
def test_an_example_of_a_docstring_prints_what_it_promises(example):
    """Only the documented class or function itself is in scope, so that the example can be copied."""
    report = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=report.append)
    assert not report, "".join(report)


def test_examples_are_found_in_every_room_that_has_some():
    """Without this, a change of the layout could leave the test above with nothing to run."""
    written = sum(
        line.strip().startswith(">>>")
        for folder in ROOMS
        for file in (ROOT / folder).rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
    )
    assert written == sum(len(test.examples) for test in EXAMPLES) > 0
    assert any(test.name.startswith(f"{clep.Network.__module__}.Network") for test in EXAMPLES)

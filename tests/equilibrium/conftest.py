"""What tests of phases watch, and parts of a user's own."""

import importlib
import sys
import textwrap

import pytest

from clep.equilibrium.compiled import CompiledSteps
from clep.equilibrium.dynamics import Dynamics


@pytest.fixture
def phases_run(monkeypatch):
    """For every relaxation of the test, whether it was nudged."""
    nudged, compiled, stepping = [], CompiledSteps.relax, Dynamics._stepping

    def counting(self, course, drive, start, nudge=None, factors=None, *others):
        nudged.extend([nudge is not None] * len((factors or [(1.0,)])[0]))
        return compiled(self, course, drive, start, nudge, factors, *others)

    def counting_others(self, drive, states, steps, nudge, clamped):
        nudged.append(nudge is not None)
        return stepping(self, drive, states, steps, nudge, clamped)

    monkeypatch.setattr(CompiledSteps, "relax", counting)
    monkeypatch.setattr(Dynamics, "_stepping", counting_others)
    return nudged


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Write a module of a user's own next to where Python starts, and return its name."""

    def write(source):
        name = f"own_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return name

    yield write
    sys.modules.pop(f"own_{tmp_path.name}", None)

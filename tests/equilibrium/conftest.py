"""What tests of phases watch, and parts of a user's own."""

import importlib
import sys
import textwrap

import pytest

from clep.equilibrium.dynamics import Dynamics


@pytest.fixture
def phases_run(monkeypatch):
    """For every relaxation of the test, whether it was nudged."""
    nudged, relax = [], Dynamics.relax

    def counting(self, drive, states, stop, nudge=None, **options):
        nudged.append(nudge is not None)
        return relax(self, drive, states, stop, nudge, **options)

    monkeypatch.setattr(Dynamics, "relax", counting)
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

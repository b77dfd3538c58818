"""What tests of phases watch."""

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

"""Free phases that do not settle: counted, and reported once."""

import warnings
from dataclasses import replace

import pytest
import torch

from clep.diagnostics.settling import Unsettled
from clep.equilibrium import Network
from clep.errors import SettlingWarning


def ended(residual, halfway):
    """A free phase of 20 steps that ended with these residuals."""
    free = Network([4, 3, 2]).free_phase(torch.rand(5, 4))
    return replace(free, residual=torch.tensor(residual), halfway=torch.tensor(halfway))


SETTLED, OSCILLATES, DIVERGES = (0.001, 0.1), (0.5, 0.5), (0.5, 0.1)


def test_the_first_bad_phase_is_reported_with_its_residuals_and_what_to_do():
    meter = Unsettled()
    with pytest.warns(SettlingWarning) as told:
        meter.look(ended(*DIVERGES))
    (warning,) = told
    words = ["diverges", "0.5 after 20 steps", "0.1 halfway", "network.time_step.mean", "learner.lr", "train/unsettled"]
    assert all(word in str(warning.message) for word in words), warning.message


def test_later_ones_are_only_counted():
    """Thousands of batches would bury the warning of everything else."""
    meter = Unsettled()
    with pytest.warns(SettlingWarning, match="The free phase oscillates"):
        meter.look(ended(*OSCILLATES))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for residuals in (OSCILLATES, SETTLED, DIVERGES):
            meter.look(ended(*residuals))
        assert meter.take() == 0.75
        meter.look(ended(*OSCILLATES))
    assert meter.take() == 1.0


def test_the_share_is_that_since_the_last_time_and_zero_without_batches():
    meter = Unsettled()
    assert meter.take() == 0.0
    with pytest.warns(SettlingWarning):
        meter.look(ended(*OSCILLATES))
    meter.take()
    meter.look(ended(*SETTLED))
    assert meter.take() == 0.0


def test_residual_and_steps_of_the_latest_free_phase_are_kept():
    meter = Unsettled()
    assert meter.latest is None
    for residuals in ((0.001, 0.1), (0.002, 0.1)):
        free = ended(*residuals)
        meter.look(free)
        assert meter.latest == (free.residual, free.steps)

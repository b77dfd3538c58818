"""Costs: their values and reductions."""

import pytest
import torch
from torch.testing import assert_close

from clep.equilibrium import SquaredError
from clep.errors import ConfigError, DataError


def test_reductions_of_the_squared_error():
    """C = 1/2 |s - onehot(y)|^2, by hand."""
    output, labels = torch.tensor([[0.5, 0.0], [1.0, 1.0]]), torch.tensor([0, 1])
    assert_close(SquaredError("none")(output, labels), torch.tensor([0.125, 0.5]))
    assert_close(SquaredError("sum")(output, labels), torch.tensor(0.625))
    assert_close(SquaredError()(output, labels), torch.tensor(0.3125))


def test_a_label_without_an_output_is_named():
    with pytest.raises(DataError, match=r"^labels: expected classes 0 to 2, one for each output, got 1 to 7; look at"):
        SquaredError()(torch.zeros(2, 3), torch.tensor([1, 7]))


def test_an_unknown_reduction_is_refused():
    message = r"^reduction: unknown value `average`.* Valid values: mean, none, sum$"
    with pytest.raises(ConfigError, match=message):
        SquaredError("average")

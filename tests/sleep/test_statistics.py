"""What sleep knows of the inputs: means over samples, maxima over everything seen, and nothing else."""

import pytest
import torch
from torch import nn

from clep.equilibrium.stack import DenseLayer, DenseStack, stack_of
from clep.sleep import Statistics, observe

WEIGHTS = [torch.tensor([[1.0, -1.0], [0.0, 2.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0, -3.0]])]
STACK = DenseStack([DenseLayer("lower", WEIGHTS[0]), DenseLayer("upper", WEIGHTS[1])])


def test_the_mean_and_the_maxima_of_a_batch_by_hand():
    """Pre-activations (1, 0, 1) and (-1, 4, 3); ReLU below the upper layer, whose are -2 and -9: at least 0."""
    seen = observe(STACK, [torch.tensor([[1.0, 0.0], [1.0, 2.0]])])
    assert (seen.mean.tolist(), seen.count, seen.maxima) == ([1.0, 1.0], 2, [4.0, 0.0])
    assert seen.mean.dtype == torch.float32


def test_earlier_samples_count_as_much_as_later_ones_and_maxima_remain():
    first = observe(STACK, [torch.tensor([[1.0, 0.0], [1.0, 2.0]])])
    both = observe(STACK, [torch.zeros(5, 2), torch.tensor([[0.0, 1.0]])], first)
    assert both.mean.tolist() == pytest.approx([2 / 8, 3 / 8])
    assert (both.count, both.maxima) == (8, [4.0, 0.0])
    assert first == Statistics(first.mean, 2, [4.0, 0.0])  # left as it was


def test_images_keep_their_shape_and_other_activity_is_a_vector():
    images = torch.rand(3, 1, 1, 2)
    assert observe(STACK, [images]).mean.shape == (1, 1, 2)
    above = DenseStack(STACK.layers, activity=lambda x: [2.0 * x.flatten(1), torch.zeros(len(x), 3)])
    torch.testing.assert_close(observe(above, [images]).mean, 2.0 * images.flatten(1).mean(0))


def test_their_size_is_that_of_the_mean_the_count_and_the_maxima():
    assert Statistics(torch.zeros(7), 3, [1.0, 2.0]).nbytes == 7 * 4 + 8 + 2 * 8


def test_negative_inputs_become_rates_from_the_lowest_to_the_highest():
    """From -1 to 3: (x + 1) / 4, so (0.5, 0.25), (0, 1) and, in a second experience, (0.75, 0.25). Pre-activations are
    0.25, 0.5, 0.75 and -1, 2, 1; the layer above sees what it saw before."""
    first = observe(STACK, [torch.tensor([[1.0, 0.0], [-1.0, 3.0]])])
    assert (first.low, first.high, first.count) == (-1.0, 3.0, 2)
    assert first.mean.tolist() == [0.25, 0.625]
    assert first.maxima == [2.0, 0.0]
    both = observe(STACK, [torch.tensor([[2.0, 0.0]])], first)
    assert (both.low, both.high, both.count) == (-1.0, 3.0, 3)
    assert both.mean.tolist() == pytest.approx([(0.5 + 0.75) / 3, (1.25 + 0.25) / 3])
    assert both.nbytes == 2 * 4 + 8 + 2 * 8 + 2 * 8


def test_observing_records_no_graph():
    seen = observe(stack_of(nn.Linear(2, 3)), [torch.ones(4, 2, requires_grad=True)])
    assert not seen.mean.requires_grad

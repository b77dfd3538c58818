"""ER-ACE: what the bit-equality with Avalanche (test_bridge) does not show."""

import torch
from clep.strategies.er_ace import ERACE, asymmetric
from torch import nn

import clep
from clep.equilibrium import SquaredError
from clep.strategy import Strategy

STORED, STORED_Y = torch.tensor([[0.5, 0.0, 0.0], [0.0, 1.0, 1.0]]), torch.tensor([0, 1])
NEW, NEW_Y = torch.tensor([[9.0, 0.25, 0.0], [-7.0, 0.5, 1.0], [5.0, 0.0, 0.0]]), torch.tensor([2, 2, 1])


class Losses(Strategy):
    """Before the last backward pass of each experience: outputs, labels, the loss, and its gradient on the outputs."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def before_backward(self, strategy, **kwargs):
        (gradient,) = torch.autograd.grad(strategy.loss.sum(), strategy.mb_output, retain_graph=True)
        self.seen[strategy.clock.train_exp_counter] = (strategy.mb_output.detach(), strategy.mb_y, gradient)


def test_the_squared_error_of_new_samples_counts_the_outputs_of_their_own_classes_alone():
    """By hand: stored 1/2 (0.25 + 1) / 2; new, over the outputs 1 and 2, 1/2 (1/16 + 1 + 1/4 + 0 + 1) / 3."""
    stored, new = (0.25 + 1.0) / 4, (0.0625 + 1.0 + 0.25 + 1.0) / 6
    loss = asymmetric(SquaredError(), NEW, NEW_Y, STORED, STORED_Y)
    torch.testing.assert_close(loss, torch.tensor((stored + new) / 2))


def test_cross_entropy_is_that_of_a_softmax_over_the_classes_of_the_batch():
    """The column of class 0 set to -inf takes no part in torch's softmax."""
    masked = NEW.double().clone()
    masked[:, 0] = -torch.inf
    expected = nn.CrossEntropyLoss()(masked, NEW_Y) + nn.CrossEntropyLoss()(STORED.double(), STORED_Y)
    loss = asymmetric(nn.CrossEntropyLoss(), NEW.double(), NEW_Y, STORED.double(), STORED_Y)
    torch.testing.assert_close(loss, expected / 2, rtol=1e-12, atol=0.0)


def test_on_an_equilibrium_network_new_samples_nudge_no_output_of_another_class(digits):
    """Half the plain nudge on the classes of the batch, none on others; the first experience is trained as ever."""
    losses = Losses()
    learner = clep.Learner(clep.Network([64, 8, 10]), lr=0.05)
    clep.Training(learner, [ERACE(mem_size=20, batch_size_mem=6), losses], batch_size=16, epochs=1).run(digits)
    for experience, (output, y, gradient) in losses.seen.items():
        plain = (output - nn.functional.one_hot(y, 10)) / len(y)
        absent = torch.ones(10, dtype=torch.bool)
        absent[y] = False
        assert absent.any()
        if experience > 0:
            assert gradient[:, absent].eq(0).all()
            plain = plain.masked_fill(absent, 0.0) / 2
        torch.testing.assert_close(gradient, plain)
    assert set(losses.seen) == {0, 1, 2}

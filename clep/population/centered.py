"""Both centered phases of stacked networks as one of twice the batch, and their contrast."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clep.equilibrium.adaptation import Adaptation
from clep.equilibrium.motions import Nudge
from clep.population.stack import Stack
from clep.population.steps import StackedSteps


class Centered:
    """The phases of beta and of -beta of one update, from the free equilibrium.

    Args:
        stack: of the networks.
        free: the steps of the free phase, at its end.
        x: inputs, (S, B, n).
        beta: of each network, (S, 1, 1).
        counts: 1 for samples and 0 for padding, (S, B, 1); None if all count.
    """

    def __init__(self, stack: Stack, free: StackedSteps, x: Tensor, beta: Tensor, counts: Tensor | None) -> None:
        self._stack, self._free, self._x, self._beta, self._counts = stack, free, x, beta, counts

    def relax(self, kick: Tensor | None, force: Nudge | None, adaptation: Adaptation | None) -> list[list[Tensor]]:
        """Where the phases end: after the nudged steps and, with adaptation, after its steps too.

        Args:
            kick: a constant force on the last states, (S, B, K); None if it depends on them.
            force: one that does, (S, 2 B, K) -> (S, 2 B, K); None if it is constant.
            adaptation: extra steps after the nudged ones.

        Returns:
            The layers in both phases, side by side, (S, n, 2 B) each.
        """
        samples, beta = self._x.shape[1], self._beta
        steps = self._stack.steps(2 * samples, nudged=kick is not None)
        steps.nudge = None
        if kick is not None:
            assert steps.kick is not None
            up = torch.mul(kick.transpose(1, 2), beta, out=steps.kick[:, :, :samples])
            torch.neg(up, out=steps.kick[:, :, samples:])
        elif force is not None:
            towards, betas = force, torch.cat([beta.expand(-1, samples, 1), -beta.expand(-1, samples, 1)], 1)
            steps.nudge = lambda state: betas * towards(state)
        steps.drive.copy_(self._free.drive.repeat(1, 1, 2))
        rest = [layer.repeat(1, 1, 2) for layer in self._free.layers]
        steps.begin(rest)
        for _ in range(self._stack.body.nudged_steps):
            steps.take(look=False)
        if adaptation is None:
            return [steps.layers]
        plain = [layer.clone() for layer in steps.layers]
        for _ in range(adaptation.steps):
            steps.take(look=False)
            for layer, free in zip(steps.layers, rest, strict=True):
                layer.lerp_(free, adaptation.rate)
        return [plain, steps.layers]

    def contrast(self, ends: Sequence[Tensor], scale: Tensor) -> list[Tensor]:
        """The negative contrast of each network, (S, ...) for each parameter, summed over the samples that count.

        Args:
            ends: the layers in both phases, (S, n, 2 B) each.
            scale: factor on the estimates of each network, (S,).
        """
        first, second = zip(*(layer.chunk(2, 2) for layer in ends), strict=True)
        return contrasted(self._stack, self._x, first, second, scale.view(-1, 1, 1) / (-2.0 * self._beta), self._counts)


def contrasted(
    stack: Stack,
    x: Tensor,
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    factor: Tensor,
    counts: Tensor | None,
) -> list[Tensor]:
    """`factor` times the contrast of two phases, (S, ...) for each parameter, summed over the samples that count.

    The states differ little: differences of states keep the digits that a difference of products would lose.

    Args:
        stack: of the networks.
        x: inputs, (S, B, n).
        first, second: the layers in each phase, (S, n, B) each.
        factor: of each network, (S, 1, 1).
        counts: 1 for samples and 0 for padding, (S, B, 1); None if all count.
    """
    if counts is not None:
        factor = factor * counts.transpose(1, 2)
    change = [(a - b).mul_(factor) for a, b in zip(first, second, strict=True)]
    gradients: list[Tensor] = []
    for link, gain in zip(stack.body.links, stack.body.gains, strict=True):
        low, high = link.below - 1, link.above - 1
        if link.below == 0:
            weight = torch.bmm(change[high], x)
        else:
            weight = torch.bmm(change[high], first[low].transpose(1, 2))
            weight.baddbmm_(second[high], change[low].transpose(1, 2))
        found = [weight]
        connection = link.connection
        found += [] if connection.bias is None else [change[high].sum(2)]
        found += [] if connection.feedback is None else [weight.clone()]
        gradients += found if gain == 1.0 else [part.mul_(gain) for part in found]
    return gradients

"""The primitive function Phi as a plain function, and one step of the dynamics by differentiating it.

Nothing here uses an equation of `clep.equilibrium` beyond  Phi = sum_l s_l . (W_l s_{l-1} + b_l), less
kappa / (2 n) (sum_i s_i)^2 of each hidden layer, and  s_l <- s_l + dt_l (rho(dPhi/ds_l [+ nudge]) [+ nudge] - s_l).
"""

from dataclasses import dataclass

import torch

NEURONS = {
    "hard_sigmoid": lambda u: torch.minimum(torch.maximum(u, torch.zeros(())), torch.ones(())),
    "half_hard_sigmoid": lambda u: torch.minimum(torch.maximum(u / 2, torch.zeros(())), torch.ones(())),
    "centered_hard_sigmoid": lambda u: torch.minimum(torch.maximum(u, torch.tensor(-0.5)), torch.tensor(0.5)),
    "shifted_sigmoid": lambda u: 1 / (1 + torch.exp(-4 * (u - 0.5))),
    "tanh": lambda u: (torch.exp(2 * u) - 1) / (torch.exp(2 * u) + 1),
}


@dataclass
class Parts:
    """What defines a network: weights (n_l, n_{l-1}), biases (n_l,), activation, time steps (n_l,), inhibition."""

    weights: list
    biases: list
    rho: object
    time_steps: list
    inhibition: float = 0.0

    @classmethod
    def of(cls, network):
        """Copies of the parameters of `network`, as leaves that require gradients."""
        weights = [c.weight.detach().clone().requires_grad_() for c in network.connections]
        biases = [
            torch.zeros(len(c.weight)) if c.bias is None else c.bias.detach().clone().requires_grad_()
            for c in network.connections
        ]
        time_steps = [dt.clone() for dt in network.time_steps]
        return cls(weights, biases, NEURONS[network.spec.neuron], time_steps, network.spec.inhibition)

    @property
    def parameters(self):
        """The leaves, in the order of `network.parameters()`."""
        pairs = zip(self.weights, self.biases, strict=True)
        return [tensor for pair in pairs for tensor in pair if tensor.requires_grad]


def phi(x, states, parts):
    """Phi of every sample, summed over the batch, a () tensor."""
    below = [x, *states[:-1]]
    terms = [
        torch.einsum("bi,ij,bj->", above, w, b) + torch.einsum("bi,i->", above, bias)
        for above, w, bias, b in zip(states, parts.weights, parts.biases, below, strict=True)
    ]
    inhibited = [(state.sum(1) ** 2).sum() / (2 * state.shape[1]) for state in states[:-1]]
    return sum(terms) - parts.inhibition * sum(inhibited)


def step(x, states, parts, nudge=None, outside=False):
    """The states after one synchronous step, by autograd of Phi; `nudge` is added at the output layer."""
    leaves = [state.detach().clone().requires_grad_() for state in states]
    forces = list(torch.autograd.grad(phi(x, leaves, parts), leaves))
    if nudge is not None and not outside:
        forces[-1] = forces[-1] + nudge
    targets = [parts.rho(force) for force in forces]
    if nudge is not None and outside:
        targets[-1] = targets[-1] + nudge
    steps = zip(states, targets, parts.time_steps, strict=True)
    return [(s + dt * (t - s)).detach() for s, t, dt in steps]


def sweep(x, states, parts, nudge=None):
    """One asynchronous sweep: the odd layers from the old states, then the even layers from the new odd ones.

    `nudge` is a function of the output state.
    """
    states = list(states)
    for first in (0, 1):
        moved = step(x, states, parts, None if nudge is None else nudge(states[-1]))
        states[first::2] = moved[first::2]
    return states

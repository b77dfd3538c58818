"""Dendritic networks as plain functions: branches one by one, each layer's phi, steps, contrasts and BPTT.

Nothing here uses an equation of `clep.equilibrium`. Layer l (1 ... L, 0 is the input) has

    phi_l = s_l . (D_l(s_{l-1}) + gamma A_l(s_{l+1})),   D(u) = mean over branches of relu((W * M) u + b);

there is no A_L. A step differentiates phi_l by s_l alone, the rule by the parameters of D_l and A_l alone.
"""

from dataclasses import dataclass

import torch

from tests.oracles.phi import NEURONS


@dataclass(frozen=True)
class Layers:
    """Per layer above the input: (W, b or None, M) of its basal block, (V, M) of its apical block or None."""

    basal: list
    apical: list
    gamma: float
    rho: object
    time_steps: list

    @classmethod
    def of(cls, network):
        """Copies of the parameters of `network`, as leaves that require gradients."""

        def leaf(parameter):
            return None if parameter is None else parameter.detach().clone().requires_grad_()

        connections = list(network.connections)
        basal = [(leaf(c.weight), leaf(c.bias), c.mask.clone()) for c in connections]
        apical = []
        for c in connections[1:]:
            mask = torch.ones_like(c.apical) if c.apical_mask is None else c.apical_mask.clone()
            apical.append((leaf(c.apical), mask))
        times = [dt.clone() for dt in network.time_steps]
        return cls(basal, [*apical, None], network.spec.dendrites.gain, NEURONS[network.spec.neuron], times)

    @property
    def parameters(self):
        """The leaves, in the order of `network.parameters()`: what goes up, then what comes down beside it."""
        found = []
        for (w, b, _), down in zip(self.basal, [None, *self.apical[:-1]], strict=True):
            found += [w] if b is None else [w, b]
            found += [] if down is None else [down[0]]
        return found

    def block(self, u, weight, bias, mask):
        """D(u), (batch, n), a branch at a time."""
        total = 0.0
        for k, (w, kept) in enumerate(zip(weight, mask, strict=True)):
            current = torch.einsum("bj,oj->bo", u, w * kept)
            current = current if bias is None else current + bias[k]
            total = total + torch.where(current > 0, current, torch.zeros_like(current))
        return total / len(weight)

    def force(self, layer, x, states):
        """D_l(s_{l-1}) + gamma A_l(s_{l+1}) of layer 0 ... L - 1 above the input."""
        total = self.block(x if layer == 0 else states[layer - 1], *self.basal[layer])
        if self.apical[layer] is not None:
            weight, mask = self.apical[layer]
            total = total + self.gamma * self.block(states[layer + 1], weight, None, mask)
        return total

    def phi(self, layer, x, states):
        return (states[layer] * self.force(layer, x, states)).sum()

    def step(self, x, states, nudge=None, layers=None):
        """One step of all layers, or of `layers`, by autograd of each layer's own phi; `nudge` of the last state."""
        moved = list(states)
        for layer in range(len(states)) if layers is None else layers:
            leaves = [s.detach().clone() for s in states]
            leaves[layer].requires_grad_()
            (force,) = torch.autograd.grad(self.phi(layer, x, leaves), leaves[layer])
            if nudge is not None and layer == len(states) - 1:
                force = force + nudge(states[-1])
            target = self.rho(force)
            moved[layer] = (states[layer] + self.time_steps[layer] * (target - states[layer])).detach()
        return moved

    def relax(self, x, steps, states=None, nudge=None, order="synchronous"):
        if states is None:
            states = [x.new_zeros(len(x), w.shape[1]) for w, *_ in self.basal]
        for _ in range(steps):
            if order == "synchronous":
                states = self.step(x, states, nudge)
            else:
                for first in (0, 1):
                    states = self.step(x, states, nudge, range(first, len(states), 2))
        return states

    def contrast(self, x, first, second):
        """d phi_l(first) / d(theta_l) - the same of `second`, in the order of `parameters`."""
        found = {}
        for layer in range(len(first)):
            w, b, _ = self.basal[layer]
            own = [w] + ([] if b is None else [b]) + ([] if self.apical[layer] is None else [self.apical[layer][0]])
            difference = self.phi(layer, x, first) - self.phi(layer, x, second)
            found |= {id(p): g for p, g in zip(own, torch.autograd.grad(difference, own), strict=True)}
        return [found[id(p)] for p in self.parameters]

    def bptt(self, loss, x, steps, followed=None):
        """d loss(output) / d(parameters) and, last, dx, through the last `followed` of `steps` synchronous steps."""
        x = x.detach().clone().requires_grad_()
        followed = steps if followed is None else followed
        states = self.relax(x.detach(), steps - followed)
        for _ in range(followed):
            targets = [self.rho(self.force(layer, x, states)) for layer in range(len(states))]
            states = [s + dt * (t - s) for s, t, dt in zip(states, targets, self.time_steps, strict=True)]
        wanted = [*self.parameters, x]
        return list(torch.autograd.grad(loss(states[-1]), wanted, allow_unused=True, materialize_grads=True))

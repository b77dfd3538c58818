"""Networks of any architecture as plain functions: Phi, the energy, explicit steps, and BPTT through them.

Nothing here uses an equation of `clep.equilibrium`. Forces are derivatives, by autograd, of

    phi(below, above) = above . P(K below + b)        (K: a matrix or a convolution, P: a pooling or the identity)

of Phi = sum of all phi if feedback is tied and unscaled, and otherwise of each phi by itself: the force of a connection
on the layer above is dphi/dabove, and on the layer below it scale * dphi/dbelow, with feedback weights in K if they are
untied (the winners of max pooling stay those of the forward weights). Steps are differentiable themselves.
"""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from tests.oracles.phi import NEURONS

BOUNDS = {"hard_sigmoid": (0.0, 1.0), "half_hard_sigmoid": (0.0, 2.0), "centered_hard_sigmoid": (-0.5, 0.5)}
"""Range of potentials in which a hard activation is the straight line of `LINES`."""
LINES = {"hard_sigmoid": lambda s: s, "half_hard_sigmoid": lambda s: s / 2, "centered_hard_sigmoid": lambda s: s}


@dataclass(frozen=True)
class Edge:
    """A connection; `image` holds (stride, padding, pooling, pool) of a convolution and is None for a dense one."""

    below: int
    above: int
    weight: torch.Tensor
    bias: torch.Tensor | None
    feedback: torch.Tensor | None
    image: tuple | None

    def sent(self, below, feedback=False):
        """P(K below + b), with the feedback weights in K (and no bias, which exerts no force below) if asked for."""
        weight, bias = (self.feedback, None) if feedback else (self.weight, self.bias)
        if self.image is None:
            total = torch.einsum("ij,bj->bi", weight, below.reshape(len(below), -1))
            return total if bias is None else total + bias
        stride, padding, pooling, pool = self.image
        convolved = functional.conv2d(below, weight, bias, stride=stride, padding=padding)
        if pooling == "none":
            return convolved
        if pooling == "average":
            return functional.avg_pool2d(convolved, pool)
        if not feedback:
            return functional.max_pool2d(convolved, pool)
        forward = functional.conv2d(below, self.weight, None, stride=stride, padding=padding)
        winners = functional.max_pool2d(forward, pool, return_indices=True)[1]
        return convolved.flatten(2).gather(2, winners.flatten(2)).view(winners.shape)

    def phi(self, below, above, feedback=False):
        return (above * self.sent(below, feedback)).sum()


def _apart(states):
    """The same states, as tensors of which none depends on another: derivatives by them are partial."""
    return [s.clone() if s.requires_grad else s.detach().requires_grad_() for s in states]


@dataclass(frozen=True)
class Graph:
    """What defines a network; layer 0 is the input."""

    edges: list
    shapes: list
    name: str
    time_steps: list
    scale: float = 1.0
    energy: bool = False
    readout: tuple | None = None

    @classmethod
    def of(cls, network):
        """Copies of the parameters of `network`, as leaves that require gradients."""

        def leaf(parameter):
            return None if parameter is None else parameter.detach().clone().requires_grad_()

        depth = len(network.sizes) - (1 if network.readout is None else 2)
        ends = [(layer, layer + 1) for layer in range(depth)]
        span, hidden = network.spec.residual_links, len(network.sizes) - 2
        below = 1
        while span and below + span <= hidden:
            ends.append((below, below + span))
            below += span
        edges = []
        for (below, above), connection in zip(ends, network.connections, strict=True):
            image = None
            if connection.weight.dim() == 4:
                layer = network.sizes[above]
                pooling = "none" if layer.pool == 1 else layer.pooling
                image = (layer.stride, layer.padding, pooling, layer.pool)
            edges.append(
                Edge(below, above, leaf(connection.weight), leaf(connection.bias), leaf(connection.feedback), image)
            )
        first = network.sizes[0]
        shapes = [(first,) if isinstance(first, int) else tuple(first)]
        for edge in edges[:depth]:
            shapes.append(tuple(edge.sent(torch.zeros(1, *shapes[-1])).shape[1:]))
        readout = None if network.readout is None else tuple(leaf(p) for p in network.readout.parameters())
        time_steps = [dt.detach().clone() for dt in network.time_steps]
        energy, scale = network.spec.dynamics == "energy", network.spec.feedback_scale
        return cls(edges, shapes, network.spec.neuron, time_steps, scale, energy, readout)

    @property
    def parameters(self):
        """The leaves of the connections, in the order of `network.body().parameters()`."""
        return [t for e in self.edges for t in (e.weight, e.bias, e.feedback) if t is not None]

    def with_parameters(self, tensors):
        """The same network with other tensors for its parameters."""
        tensors = iter(tensors)
        swap = [
            replace(
                e, **{name: next(tensors) for name in ("weight", "bias", "feedback") if getattr(e, name) is not None}
            )
            for e in self.edges
        ]
        return replace(self, edges=swap)

    # ------------------------------------------------------------ Phi and the energy

    def rates(self, states):
        """What the layers send: their states, or with an energy rho of them, save for the linear last layer."""
        rho = LINES.get(self.name, NEURONS[self.name])
        return [*map(rho, states[:-1]), states[-1]] if self.energy else list(states)

    def phi(self, x, rates):
        layers = [x.reshape(len(x), *self.shapes[0]), *rates]
        return sum(edge.phi(layers[edge.below], layers[edge.above]) for edge in self.edges)

    def energy_of(self, x, states):
        """E(s) = 1/2 |s|^2 - Phi(rho(s)), summed over the batch."""
        return sum(0.5 * s.square().sum() for s in states) - self.phi(x, self.rates(states))

    # ------------------------------------------------------------ steps

    def forces(self, x, states, create_graph=False):
        """dPhi/ds of every layer, or what stands for it where there is no Phi."""
        states = _apart(states)
        symmetric = self.scale == 1.0 and all(edge.feedback is None for edge in self.edges)
        if symmetric:
            return list(torch.autograd.grad(self.phi(x, states), states, create_graph=create_graph))
        layers = [x.reshape(len(x), *self.shapes[0]), *states]
        total = [torch.zeros_like(s) for s in states]
        for e in self.edges:
            total[e.above - 1] = total[e.above - 1] + e.sent(layers[e.below])
            if e.below:
                term = e.phi(layers[e.below], layers[e.above], feedback=e.feedback is not None)
                (down,) = torch.autograd.grad(term, layers[e.below], create_graph=create_graph)
                total[e.below - 1] = total[e.below - 1] + self.scale * down
        return total

    def step(self, x, states, nudge=None, outside=False, create_graph=False):
        """The states after one synchronous step; `nudge` is a function of the last state."""
        with torch.enable_grad():
            push = 0.0 if nudge is None else nudge(states[-1])
            if self.energy:
                leaves = _apart(states)
                slopes = torch.autograd.grad(self.energy_of(x, leaves), leaves, create_graph=create_graph)
                moves = [-slope for slope in slopes]
                moves[-1] = moves[-1] + push
                moved = [s + dt * move for s, dt, move in zip(leaves, self.time_steps, moves, strict=True)]
                low, high = BOUNDS.get(self.name, (-torch.inf, torch.inf))
                moved = [s.clamp(low, high) for s in moved]
            else:
                rho, forces = NEURONS[self.name], self.forces(x, states, create_graph)
                if not outside:
                    forces[-1] = forces[-1] + push
                targets = [rho(force) for force in forces]
                if outside:
                    targets[-1] = targets[-1] + push
                moved = [s + dt * (t - s) for s, t, dt in zip(states, targets, self.time_steps, strict=True)]
        return moved if create_graph else [s.detach() for s in moved]

    def sweep(self, x, states, nudge=None, create_graph=False, hold=None):
        """One asynchronous sweep: the odd layers, then the even ones from the new states of the odd."""
        states = list(states)
        for first in (0, 1):
            states[first::2] = self.step(x, states, nudge, create_graph=create_graph)[first::2]
            states[-1] = states[-1] if hold is None else hold
        return states

    def rest(self, x):
        return [torch.zeros(len(x), *shape) for shape in self.shapes[1:]]

    def relax(self, x, steps, states=None, nudge=None, *, outside=False, order="synchronous", hold=None):
        """Where `steps` steps lead from zero (or `states`); with `hold`, the last layer keeps that state."""
        states = self.rest(x) if states is None else states
        for _ in range(steps):
            if order == "asynchronous":
                states = self.sweep(x, states, nudge, hold=hold)
                continue
            states = self.step(x, states, nudge, outside)
            states[-1] = states[-1] if hold is None else hold
        return states

    # ------------------------------------------------------------ gradients

    def out(self, state):
        return state if self.readout is None else functional.linear(state.flatten(1), *self.readout)

    def unrolled(self, x, free_steps, followed=None, order="synchronous"):
        """Last state after `free_steps` steps from zero, of which the last `followed` are differentiable."""
        followed = free_steps if followed is None else followed
        states = self.relax(x.detach(), free_steps - followed, order=order)
        for _ in range(followed):
            move = self.step if order == "synchronous" else self.sweep
            states = move(x, states, create_graph=True)
        return states[-1]

    def bptt(self, loss, x, free_steps, followed=None, order="synchronous"):
        """d loss(output) / d(connections), d(read-out) and, last, dx, by BPTT."""
        x = x.detach().clone().requires_grad_()
        value = loss(self.out(self.unrolled(x, free_steps, followed, order)))
        return list(torch.autograd.grad(value, [*self.parameters, *(self.readout or ()), x]))

    def contributions(self, loss, x, free_steps, followed):
        """d loss / d(parameters used at free step T - t), for t = 0, 1, ..., `followed` - 1: BPTT before its sum."""
        states = self.relax(x, free_steps - followed)
        copies = []
        for _ in range(followed):
            copies.append([p.detach().clone().requires_grad_() for p in self.parameters])
            states = self.with_parameters(copies[-1]).step(x, states, create_graph=True)
        value, wanted = loss(self.out(states[-1])), [p for step in copies for p in step]
        every = torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)
        count = len(copies[0])
        return [list(every[i : i + count]) for i in range(0, len(every), count)][::-1]

    def contrast(self, x, first, second):
        """dPhi/dtheta(first) - dPhi/dtheta(second) of the connections, by autograd of Phi."""
        difference = self.phi(x, self.rates(first)) - self.phi(x, self.rates(second))
        return list(
            torch.autograd.grad(difference, [p for e in self.edges for p in (e.weight, e.bias) if p is not None])
        )

"""The relaxation as an ordinary differentiable computation: its gradients by backpropagation through time."""

import torch


def relax(x, parts, steps, start=None):
    """States of all layers after `steps` steps from zero (or `start`), differentiable in `x` and the parameters."""
    depth = len(parts.weights)
    states = start or [x.new_zeros(len(x), len(w)) for w in parts.weights]
    for _ in range(steps):
        below = [x, *states[:-1]]
        forces = [below[i] @ parts.weights[i].T + parts.biases[i] for i in range(depth)]
        for i in range(depth - 1):
            forces[i] = forces[i] + states[i + 1] @ parts.weights[i + 1]
            forces[i] = forces[i] - parts.inhibition * states[i].mean(1, keepdim=True)
        states = [s + dt * (parts.rho(u) - s) for s, dt, u in zip(states, parts.time_steps, forces, strict=True)]
    return states


def output(x, parts, steps):
    """State of the output layer after `steps` steps, (B, K)."""
    return relax(x, parts, steps)[-1]


def gradients(loss, x, parts, steps):
    """d loss(output) / d(parameters) and, last, / dx, by backpropagation through `steps` steps."""
    x = x.detach().clone().requires_grad_()
    return list(torch.autograd.grad(loss(output(x, parts, steps)), [*parts.parameters, x]))


def force_on_output(x, parts, states):
    """dPhi/ds of the output layer, (B, K): the argument of rho there."""
    below = states[-2] if len(states) > 1 else x
    return below @ parts.weights[-1].T + parts.biases[-1]

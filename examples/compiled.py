"""A network under `torch.compile`: the same outputs, and the estimates of equilibrium propagation as before."""

import torch
from torch.nn.functional import cross_entropy

import clep

network = clep.Network([64, 32, 10], seed=1)
samples = clep.stream("digits", experiences=1).train[0].samples.rows(range(32))
x, y = samples.x.flatten(1), samples.y


def step(model):
    """Output and gradients of one update."""
    network.zero_grad()
    output = model(x)
    cross_entropy(output, y).backward()
    return output, [p.grad.clone() for p in network.parameters()]


(output, gradients), (compiled_output, compiled_gradients) = step(network), step(torch.compile(network))
print(f"equal outputs: {torch.allclose(output, compiled_output, atol=1e-6)}")
same = (torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients, compiled_gradients, strict=True))
print(f"equal gradients: {all(same)}")

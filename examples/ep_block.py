"""An equilibrium block in an ordinary model, trained end to end.

Autograd hands the block the gradient of its output. The block nudges itself with it and hands back what the nudged
phases say: estimates of the gradients of its weights and of its input. So the layers below it learn too. The estimates
are those of equilibrium propagation; here one is compared with backpropagation through the same free phase.
"""

import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

import clep

torch.manual_seed(0)
digits = clep.stream("digits", experiences=1)
x, y = digits.train[0].samples.x.flatten(1), digits.train[0].samples.y
block = clep.Network([32, 48, 32], gradient=clep.LinearNudging(beta=0.2, phases="centered"), free_steps=30)
model = nn.Sequential(nn.Linear(64, 32), nn.Sigmoid(), block, nn.Linear(32, 10))


def gradient(model):
    """The gradient of the lowest layer, which has come through the block."""
    model.zero_grad()
    cross_entropy(model(x[:100]), y[:100]).backward()
    return model[0].weight.grad.flatten().clone()


twin = nn.Sequential(model[0], model[1], block.with_gradient(clep.Backpropagation()), model[3])  # of the same weights
print(f"cosine to backpropagation below the block: {cosine_similarity(gradient(model), gradient(twin), dim=0):.3f}")

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(5):
    for batch in torch.randperm(len(x)).split(32):
        optimizer.zero_grad()
        cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
test = digits.test[0].samples
accuracy = (model(test.x.flatten(1)).argmax(1) == test.y).float().mean()
print(f"accuracy {accuracy:.2f}")

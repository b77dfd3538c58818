"""A network as a program that runs without clep: `torch.export` records its free phase.

What autograd makes of the program is backpropagation through these steps; equilibrium propagation stays in clep.
"""

import torch

import clep
from clep.errors import ConfigError

network = clep.Network([64, 32, 10], seed=1, compiled="off").eval()  # a program takes torch's steps
images = clep.stream("digits", experiences=1).test[0].samples.x.flatten(1)

any_batch = {"x": {0: torch.export.Dim("batch")}}
program = torch.export.export(network, (images[:4],), dynamic_shapes=any_batch)
torch.export.save(program, "network.pt2")  # `torch.export.load` reads it where clep is not installed

run = torch.export.load("network.pt2").module()
print(f"equal outputs for {len(images)} images: {torch.equal(run(images), network(images))}")

try:  # how many steps this one takes depends on the images, and a program takes the same for all
    torch.export.export(clep.Network([64, 32, 10], tolerance=0.001), (images[:4],))
except ConfigError as error:
    print(error)

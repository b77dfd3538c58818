"""Two processes, one learner: the estimates arrive through autograd, so Lightning's DDP averages them as any gradient.

Run it as a script; Lightning starts the second process by running it again.
"""

import pytorch_lightning as pl
import torch

import clep

if __name__ == "__main__":
    digits = clep.stream("digits", experiences=1)
    learner = clep.Learner(clep.Network([64, 64, 10]), lr=0.1)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=2,
        strategy="ddp",  # on a CPU, by gloo
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(learner, digits.train[0].loader(32))  # each process gets half of the samples

    weights = torch.cat([p.detach().flatten() for p in learner.network.parameters()])
    everywhere = trainer.strategy.all_gather(weights)
    right = learner.predict_step(digits.test[0].samples.x, 0) == digits.test[0].samples.y
    if trainer.is_global_zero:
        print(f"{trainer.world_size} processes, equal weights: {torch.equal(everywhere[0], everywhere[1])}")
        print(f"accuracy {right.float().mean():.2f}")

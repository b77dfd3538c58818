"""Training on made-up samples alone, outside the training of an experience."""

from typing import Any

import torch

from clep import optimizers
from clep.streams import Samples
from clep.update import Batch


def train_on(samples: Samples, strategy: Any, generator: torch.Generator) -> None:
    """Train the network on samples, by its own rule, for as many epochs and in batches as large as an experience is.

    Optimiser and schedule begin anew. Other strategies do not act on these updates.

    Args:
        samples: what to learn.
        strategy: the training template; a plain Avalanche strategy trains with the optimiser and loss that it has.
        generator: draws the batches.
    """
    learner, epochs = getattr(strategy, "learner", None), strategy.train_epochs
    optimizer = strategy.optimizer if learner is None else learner.make_optimizer()
    schedule = None if learner is None else learner.make_schedule(optimizer, epochs)
    largest = getattr(strategy, "trainer_arguments", {}).get("gradient_clip_val")
    strategy.model.train()
    for _ in range(epochs):
        for x, y, _ in samples.loader(strategy.train_mb_size, generator=generator):
            update = Batch(x.to(strategy.device), y.to(strategy.device), optimizer)
            optimizers.forget_gradients(optimizer)
            if learner is None:
                loss = strategy._criterion(strategy.model(update.mb_x), update.mb_y)
            else:
                loss = learner.step(update, f"the dreams of experience {strategy.experience.current_experience}")
            if learner is None or learner.automatic_optimization:
                loss.backward()
                if largest is not None:
                    torch.nn.utils.clip_grad_norm_(strategy.model.parameters(), largest)
                optimizers.step(optimizer)
        if schedule is not None:
            schedule.step()

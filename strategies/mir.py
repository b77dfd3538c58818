"""Maximally interfered retrieval (MIR): Avalanche's plugin, made to work where several processes share a batch.

Reference: Aljundi et al. 2019 (arXiv 1908.04742).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from avalanche.training.plugins import MIRPlugin
from avalanche.training.plugins.mir import update_temp

from clep.sharing import sharing_of


class MIR(MIRPlugin):
    """Add to the loss that of the stored samples which the update of the new ones would harm most.

    For each batch it draws `subsample` stored samples, looks at what a plain step along the gradient would do to
    the loss of each, and adds the mean loss of the `batch_size_mem` whose loss would grow most. The weights are
    those of Avalanche's plugin to the bit, unless fewer samples are drawn than `batch_size_mem`: here all of them
    count. That takes the gradient of the loss that it finds; here it is the one of the whole batch, and each
    process adds a part of the chosen samples.

    Args:
        batch_size_mem: stored samples to add to each batch.
        mem_size: number of samples stored over all classes.
        subsample: stored samples to choose from.

    Example:
        >>> MIR(batch_size_mem=8).batch_size_mem
        8
    """

    uses_gradients: ClassVar = True
    differentiates_outputs: ClassVar = True
    replicates: ClassVar = True  # all choose the same samples, by the gradient of the whole batch

    def __init__(self, batch_size_mem: int = 32, mem_size: int = 200, subsample: int = 200) -> None:
        super().__init__(batch_size_mem, mem_size, subsample)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Choose stored samples, and add their loss."""
        if self.replay_loader is None:
            return
        sharing, model, criterion = sharing_of(strategy), strategy.model, strategy._criterion
        x, y = (tensor.to(strategy.device) for tensor in next(self.replay_loader)[:2])
        parameters = list(model.parameters())
        gradient = sharing.gradients(strategy.loss, parameters, retain_graph=True, materialize_grads=True)
        moved = update_temp(model, gradient, strategy.optimizer.param_groups[0]["lr"])
        with torch.no_grad(), _of_each_sample(criterion):
            before = criterion(model(x), y)
            harm = criterion(moved(x), y) - before
        chosen = harm.argsort()[-self.batch_size_mem :]
        (x, y), weight = sharing.take_of([x[chosen], y[chosen]])
        strategy.loss += weight * criterion(model(x), y)


@contextmanager
def _of_each_sample(criterion: Any) -> Iterator[None]:
    """While it is a criterion of each sample instead of a batch."""
    before, criterion.reduction = criterion.reduction, "none"
    try:
        yield
    finally:
        criterion.reduction = before

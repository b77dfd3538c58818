"""Dark experience replay (DER, DER++): rehearse stored samples together with the network's earlier outputs for them.

Reference: Buzzega et al. 2020 (arXiv 2004.07211). Avalanche's DER is a training template and cannot be combined with
other strategies; this plugin gives bit-identical weights.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from avalanche.training.supervised.der import ClassBalancedBufferWithLogits
from torch.nn import functional

from clep.rehearsal import rehearsal_refusals, stored_batches
from clep.sharing import sharing_of
from clep.strategy import Memory, Strategy, in_range, memory_of_buffer


class DER(Strategy):
    """Add a batch of stored samples to every batch and hold the network's outputs on them in place.

    With B new and M stored samples, z the stored outputs and L the learner's loss:
    `loss = L(new) + alpha mean((output - z)^2) + beta L(stored)`.

    Args:
        mem_size: number of samples stored, >= 1.
        alpha: weight of the distance to the stored outputs, >= 0.
        beta: weight of the loss on stored samples, >= 0; 0 for DER, above 0 for DER++.
        batch_size_mem: stored samples per batch, >= 1; None for the batch size of training.

    Raises:
        ConfigError: for a value out of range.

    Example:
        >>> DER(mem_size=100, beta=0.0).memory()
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=0)
    """

    differentiates_outputs = True
    replicates: ClassVar = True  # it joins stored samples to the whole batch, of which each process then has a part
    draws_globally = True  # its batches are those of Avalanche's template
    search_space: ClassVar = {"alpha": {"low": 0.01, "high": 3.0, "log": True}, "beta": {"low": 0.0, "high": 3.0}}

    def __init__(
        self, *, mem_size: int = 200, alpha: float = 0.1, beta: float = 0.5, batch_size_mem: int | None = None
    ) -> None:
        super().__init__()
        self.buffer = ClassBalancedBufferWithLogits(int(in_range("mem_size", mem_size, 1)))
        self.alpha = in_range("alpha", alpha, 0.0)
        self.beta = in_range("beta", beta, 0.0)
        self.batch_size_mem = None if batch_size_mem is None else int(in_range("batch_size_mem", batch_size_mem, 1))
        self._batches: Iterator[Any] | None = None
        self._rehearsed = False
        self._outputs: torch.Tensor | None = None

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        """Refuse a memory smaller than a batch, and a place after a strategy that adds to the loss."""
        batch_size = self.batch_size_mem or kwargs.get("batch_size")
        return rehearsal_refusals("der", self, self.buffer, batch_size, kwargs.get("plugins", ()))

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Start drawing from the memory, if it fills a batch."""
        self._batches = stored_batches(self.buffer, self.batch_size_mem or strategy.train_mb_size)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Put stored samples in front of the batch."""
        if self._batches is not None:
            self._rehearsed = True
            *stored, outputs = (tensor.to(strategy.device) for tensor in next(self._batches))
            strategy.mbatch[:3] = [torch.cat(pair) for pair in zip(stored, strategy.mbatch, strict=True)]
            self._outputs = outputs

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Replace the loss for the joined batch."""
        if self._outputs is None:
            return
        sharing = sharing_of(strategy)
        stored = sharing.ranks.of_first(self._outputs)
        n, output, y = len(stored), strategy.mb_output, strategy.mb_y
        loss = strategy._make_empty_loss()
        if new := len(y) - n:
            of = len(sharing.whole(strategy.mbatch)[0]) - len(self._outputs)
            loss += sharing.weight(new, of) * strategy._criterion(output[n:], y[n:])
        if n:
            weight = sharing.weight(n, len(self._outputs))
            loss += weight * self.alpha * functional.mse_loss(output[:n], stored)
            loss += weight * self.beta * strategy._criterion(output[:n], y[:n])
        strategy.loss = loss

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Store samples of the experience just trained, with the network's outputs."""
        self._batches, self._outputs = None, None
        self.buffer.update(strategy)

    def idle(self) -> str | None:
        """Whether the memory never filled a batch."""
        if self._rehearsed:
            return None
        return "its memory never filled a batch; lower `batch_size_mem`, or train on more samples"

    def memory(self) -> Memory:
        """The stored samples; their outputs count as statistics."""
        samples = memory_of_buffer(self.buffer)
        stored = self.buffer.buffer
        outputs = stored[0][-1].nbytes if len(stored) else 0
        return samples + Memory(statistics_bytes=samples.exemplars * outputs)

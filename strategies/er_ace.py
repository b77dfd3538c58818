"""Experience replay with an asymmetric loss (ER-ACE): new samples do not push the outputs of old classes down.

Reference: Caccia et al. 2022 (arXiv 2104.05025). Avalanche's ER-ACE is a training template and cannot be combined
with other strategies; this plugin gives bit-identical weights.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from avalanche.training.regularization import cross_entropy_with_oh_targets
from avalanche.training.storage_policy import ClassBalancedBuffer
from torch import Tensor, nn
from torch.nn import functional

from clep.equilibrium import CrossEntropy
from clep.rehearsal import rehearsal_refusals, stored_batches
from clep.sharing import sharing_of
from clep.strategy import Memory, Strategy, in_range, memory_of_buffer


class ERACE(Strategy):
    """Train stored samples on all outputs, and new samples only on the outputs of their own classes.

    With L the learner's loss, C the classes in the batch of new samples and o_C the outputs of C:
    `loss = (L(o(stored), y) + L(o_C(new), y)) / 2`, from the second experience on. Cross-entropy over o_C is a softmax
    over only C. The squared error of equilibrium networks is half the squared distance of o_C to the one-hot label
    within C. The outputs of other classes then have no target: the nudge on them is zero, and they move freely in the
    nudged phase. As in Avalanche, the memory holds samples of an experience from its start.

    Args:
        mem_size: number of samples stored over all classes, >= 1.
        batch_size_mem: stored samples per batch, >= 1; None for the batch size of training.

    Raises:
        ConfigError: for a value out of range.

    Example:
        >>> ERACE(mem_size=100).memory()
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=0)
    """

    differentiates_outputs = True
    replicates: ClassVar = True  # it has classes from the whole batch, and each process a part of the stored samples
    draws_globally = True  # its batches are those of Avalanche's template

    def __init__(self, *, mem_size: int = 200, batch_size_mem: int | None = None) -> None:
        super().__init__()
        self.buffer = ClassBalancedBuffer(int(in_range("mem_size", mem_size, 1)))
        self.batch_size_mem = None if batch_size_mem is None else int(in_range("batch_size_mem", batch_size_mem, 1))
        self._batches: Iterator[Any] | None = None
        self._rehearsed = False
        self._stored: list[Tensor] = []
        self._weight = 1.0
        self._output: Tensor | None = None

    def refuses(self, learner: Any, **kwargs: Any) -> Iterator[str]:
        """Refuse a memory smaller than a batch, and a place after a strategy that adds to the loss."""
        batch_size = self.batch_size_mem or kwargs.get("batch_size")
        return rehearsal_refusals("er_ace", self, self.buffer, batch_size, kwargs.get("plugins", ()))

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Store samples of the experience; from the second one on, start drawing from the memory."""
        self.buffer.post_adapt(strategy, strategy.experience)
        batches = stored_batches(self.buffer, self.batch_size_mem or strategy.train_mb_size)
        self._batches = batches if strategy.experience.current_experience > 0 else None

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Draw stored samples."""
        if self._batches is not None:
            self._rehearsed = True
            self._stored = [tensor.to(strategy.device) for tensor in next(self._batches)]

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Compute the outputs for the stored samples."""
        if self._stored:
            self._stored, self._weight = sharing_of(strategy).take_of(self._stored)
            self._output = strategy.model(self._stored[0])

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Replace the loss of the new samples."""
        if self._output is not None:
            whole = sharing_of(strategy).whole(strategy.mbatch)[1]
            new, stored = (strategy.mb_output, strategy.mb_y), (self._output, self._stored[1])
            loss = asymmetric(strategy._criterion, *new, *stored, classes=whole.unique(), weight=self._weight)
            strategy.loss = strategy._make_empty_loss() + loss

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Stop drawing from the memory."""
        self._batches, self._stored, self._output = None, [], None

    def idle(self) -> str | None:
        """Whether the memory never filled a batch."""
        if self._rehearsed:
            return None
        return "its memory never filled a batch; lower `batch_size_mem`, or train on more samples"

    def memory(self) -> Memory:
        """The stored samples."""
        return memory_of_buffer(self.buffer)


def asymmetric(
    criterion: nn.Module,
    output: Tensor,
    y: Tensor,
    stored_output: Tensor,
    stored_y: Tensor,
    *,
    classes: Tensor | None = None,
    weight: float = 1.0,
) -> Tensor:
    """The loss of ER-ACE, a () tensor.

    Args:
        criterion: (output (B, K), class indices (B,)) -> ().
        output: for new samples, (B, K).
        y: their classes, (B,).
        stored_output: for stored samples, (M, K).
        stored_y: their classes, (M,).
        classes: all classes of the new samples, in ascending order, where these are a part of them; None for those of
            `y`.
        weight: of the mean over the stored samples; other than 1 where these are a part of them.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> new, stored = torch.tensor([[9.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 0.0]])
        >>> asymmetric(nn.MSELoss(), new, torch.tensor([2]), stored, torch.tensor([1])).shape
        torch.Size([])
    """
    present = y.unique() if classes is None else classes
    within = torch.searchsorted(present, y.contiguous())
    if isinstance(criterion, nn.CrossEntropyLoss | CrossEntropy):  # bit-identical to Avalanche's loss
        among = cross_entropy_with_oh_targets(output[:, present], functional.one_hot(within, len(present)))
    else:
        among = criterion(output[:, present], within)
    return (weight * criterion(stored_output, stored_y) + among) / 2

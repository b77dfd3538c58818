"""Costs on the output: a value to report and the nudge it exerts."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from clep.checks import one_of
from clep.equilibrium.motions import Affine
from clep.errors import DataError

REDUCTIONS = ("mean", "sum", "none")


class Cost(nn.Module, ABC):
    """A criterion like those of `torch.nn` that also says how it nudges the output.

    Args:
        reduction: what `forward` returns: the `mean` over the batch, the `sum`, or `none` for one cost per sample.

    Raises:
        ConfigError: for an unknown reduction.

    Example:
        >>> import torch
        >>> class AbsoluteError(Cost):
        ...     def each(self, output, labels):
        ...         return (output - self.target(output, labels)).abs().sum(1)
        ...
        ...     def nudge(self, output, labels):
        ...         target = self.target(output, labels)
        ...         return lambda state: (target - state).sign()
        >>> AbsoluteError()(torch.zeros(2, 3), torch.tensor([0, 1]))
        tensor(1.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = one_of("reduction", reduction, REDUCTIONS)

    def forward(self, output: Tensor, labels: Tensor) -> Tensor:
        """Cost of `output` (B, K) for class indices `labels` (B,); a scalar, or (B,) if `reduction` is `none`."""
        cost = self.each(output, labels)
        return cost if self.reduction == "none" else cost.mean() if self.reduction == "mean" else cost.sum()

    @abstractmethod
    def each(self, output: Tensor, labels: Tensor) -> Tensor:
        """Cost of each sample, (B,), for `output` (B, K) and class indices `labels` (B,)."""

    @abstractmethod
    def nudge(self, output: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """-dC/d(output) of each sample as a function of the output, (B, K) -> (B, K), real or complex.

        Args:
            output: any output (B, K), used for its shape and dtype; the target is built once for all steps.
            labels: class indices (B,).
        """

    @staticmethod
    def target(output: Tensor, labels: Tensor) -> Tensor:
        """One-hot `labels`, (B, K), in the dtype of `output`.

        Raises:
            DataError: for a label without an output.
        """
        try:
            return torch.zeros_like(output).scatter_(1, labels.unsqueeze(1), 1.0)
        except RuntimeError as error:
            found = f"{int(labels.min())} to {int(labels.max())}"
            text = f"labels: expected classes 0 to {output.shape[1] - 1}, one for each output, got {found}"
            raise DataError(f"{text}; look at the data, or at a strategy that rehearses") from error


class SquaredError(Cost):
    """C(s, y) = 1/2 |s - onehot(y)|^2, the cost of the EP papers (half, summed over outputs).

    Args:
        reduction: as in `Cost`.

    Example:
        >>> import torch
        >>> SquaredError()(torch.tensor([[1.0, 1.0]]), torch.tensor([0]))
        tensor(0.5000)
    """

    def each(self, output: Tensor, labels: Tensor) -> Tensor:
        return 0.5 * (output - self.target(output, labels)).square().sum(1)

    def nudge(self, output: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        return Affine(self.target(output, labels), slope=-1.0)


class CrossEntropy(Cost):
    """C(z, y) = -log softmax(z)_y of a read-out z = W s + b outside the dynamics (Laborieux et al. 2021).

    Args:
        reduction: as in `Cost`.

    Example:
        >>> import torch
        >>> CrossEntropy()(torch.zeros(1, 2), torch.tensor([0]))
        tensor(0.6931)
    """

    def forward(self, output: Tensor, labels: Tensor) -> Tensor:
        """As torch's own criterion, to the bit: a mean of `each` would round otherwise."""
        return functional.cross_entropy(output, labels, reduction=self.reduction)

    def each(self, output: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(output, labels, reduction="none")

    def nudge(self, output: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        target = self.target(output, labels)

        def towards_target(output: Tensor) -> Tensor:
            if not output.is_complex():
                return target - torch.softmax(output, 1)
            powers = torch.exp(output - output.real.amax(1, keepdim=True))  # analytic, as holomorphic phases need it
            return target - powers / powers.sum(1, keepdim=True)

        return towards_target

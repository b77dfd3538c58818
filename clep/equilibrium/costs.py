"""Costs on the output layer: a value to report and the nudge it exerts."""

from torch import Tensor, nn
from torch.nn import functional


class SquaredError(nn.Module):
    """C(s, y) = 1/2 |s - onehot(y)|^2, the cost of the EP papers (half, summed over outputs).

    A criterion like those of `torch.nn`: `reduction` is `mean`, `sum` or `none` over the batch.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, output: Tensor, labels: Tensor) -> Tensor:
        """Cost of `output` (B, K) for class indices `labels` (B,); a scalar, or (B,) if `reduction` is `none`."""
        cost = 0.5 * (output - self._target(output, labels)).square().sum(1)
        return cost if self.reduction == "none" else cost.mean() if self.reduction == "mean" else cost.sum()

    def nudge(self, output: Tensor, labels: Tensor) -> Tensor:
        """-dC/ds of each sample, (B, K): the force towards the target, to be multiplied by beta."""
        return self._target(output, labels) - output

    @staticmethod
    def _target(output: Tensor, labels: Tensor) -> Tensor:
        return functional.one_hot(labels, output.shape[1]).to(output.dtype)

"""Costs on the output layer: a value to report and the nudge it exerts."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from clep.errors import ConfigError

REDUCTIONS = ("mean", "sum", "none")


class SquaredError(nn.Module):
    """C(s, y) = 1/2 |s - onehot(y)|^2, the cost of the EP papers (half, summed over outputs).

    A criterion like those of `torch.nn`: `reduction` is `mean`, `sum` or `none` over the batch.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ConfigError(f"reduction: unknown reduction `{reduction}`. Valid names: {', '.join(REDUCTIONS)}.")
        self.reduction = reduction

    def forward(self, output: Tensor, labels: Tensor) -> Tensor:
        """Cost of `output` (B, K) for class indices `labels` (B,); a scalar, or (B,) if `reduction` is `none`."""
        cost = 0.5 * (output - self._target(output, labels)).square().sum(1)
        return cost if self.reduction == "none" else cost.mean() if self.reduction == "mean" else cost.sum()

    def nudge(self, output: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """-dC/ds of each sample as a function of the output state, (B, K) -> (B, K): the force towards the target.

        Args:
            output: any output state (B, K), for its shape and dtype; the target is built once for all steps.
            labels: class indices (B,).
        """
        target = self._target(output, labels)
        return lambda state: target - state

    @staticmethod
    def _target(output: Tensor, labels: Tensor) -> Tensor:
        return functional.one_hot(labels, output.shape[1]).to(output.dtype)

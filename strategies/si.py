"""Synaptic intelligence (SI): Avalanche's plugin, made to work for models on the CPU.

Reference: Zenke, Poole & Ganguli 2017 (arXiv 1703.04200).
"""

from typing import Any, ClassVar

from avalanche.training.plugins import SynapticIntelligencePlugin


class SI(SynapticIntelligencePlugin):
    """Penalise changes of parameters in proportion to how much each one lowered earlier losses.

    On the CPU, Avalanche 0.6 stores the "old" values of parameters as views that change along with the parameters. So
    every importance is zero, and SI is naive training. Here they are copies. Negative importances would reward
    unlimited change, so they count as zero. Avalanche limits each importance to 0.001.

    Args:
        si_lambda: strength of the penalty.
        eps: damping of the importance, in squared weight change (xi of the paper).

    Example:
        >>> SI(si_lambda=10.0).si_lambda
        [10.0]
    """

    adds_penalty: ClassVar = True
    uses_gradients: ClassVar = True
    replicates: ClassVar = True  # it follows weights and the gradient of the whole batch
    search_space: ClassVar = {"si_lambda": {"low": 1.0, "high": 1e6, "log": True}}

    def __init__(self, si_lambda: float = 100.0, eps: float = 1e-3) -> None:
        super().__init__(si_lambda=si_lambda, eps=eps)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the weights at the start of the experience."""
        super().before_training_exp(strategy, **kwargs)
        _copy(self.ewc_data[0])

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the weights before the update."""
        super().before_training_iteration(strategy, **kwargs)
        _copy(self.syn_data["old_theta"])

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Turn the trajectory of the experience into importances."""
        super().after_training_exp(strategy, **kwargs)
        for importance in self.ewc_data[1].values():
            importance.data = importance.data.clamp(min=0.0)


def _copy(parameters: dict[str, Any]) -> None:
    for parameter in parameters.values():
        parameter.data = parameter.data.clone()

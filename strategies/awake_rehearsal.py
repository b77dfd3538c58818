"""Awake rehearsal: train each experience together with stored samples of the earlier ones.

References:
    Tadros et al. 2022 (Nat. Commun. 13:7742): old samples are appended to the new ones.
    Chaudhry et al. 2019 (arXiv 1902.10486): small memories.
"""

from typing import Any, Literal

from avalanche.training.storage_policy import (
    ClassBalancedBuffer,
    ExemplarsBuffer,
    ExperienceBalancedBuffer,
    ReservoirSamplingBuffer,
)

from clep.strategy import Memory, Strategy, in_range, memory_of_buffer, one_of

POLICIES = {
    "class_balanced": ClassBalancedBuffer,
    "experience_balanced": ExperienceBalancedBuffer,
    "reservoir": ReservoirSamplingBuffer,
}
"""Avalanche's storage policies by name."""


class AwakeRehearsal(Strategy):
    """Append the stored samples to the data of each new experience, so that an epoch shows each of them once.

    Args:
        memory_size: number of samples kept over all classes, >= 1.
        policy: which samples are kept: `class_balanced`, `experience_balanced` or `reservoir`.
    """

    touches_loss = False

    def __init__(
        self,
        *,
        memory_size: int = 50,
        policy: Literal["class_balanced", "experience_balanced", "reservoir"] = "class_balanced",
    ) -> None:
        super().__init__()
        self.buffer: ExemplarsBuffer = POLICIES[one_of("policy", policy, POLICIES)](
            int(in_range("memory_size", memory_size, 1))
        )

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Add the stored samples before the data loader is built."""
        if len(self.buffer.buffer):
            strategy.adapted_dataset = strategy.adapted_dataset.concat(self.buffer.buffer)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Store samples of the experience just trained."""
        with self.own_draws():
            self.buffer.post_adapt(strategy, strategy.experience)

    def memory(self) -> Memory:
        """The stored samples."""
        return memory_of_buffer(self.buffer)

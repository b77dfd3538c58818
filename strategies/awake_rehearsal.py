"""Awake rehearsal: train each experience together with stored samples of the earlier ones.

References:
    Tadros et al. 2022 (Nat. Commun. 13:7742): a share of the old samples is appended to the new ones.
    Chaudhry et al. 2019 (arXiv 1902.10486): small memories.
"""

from collections import Counter
from typing import Any, Literal

from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.training.storage_policy import (
    BalancedExemplarsBuffer,
    ClassBalancedBuffer,
    ExemplarsBuffer,
    ExperienceBalancedBuffer,
    ReservoirSamplingBuffer,
)

from clep.errors import ConfigError
from clep.strategy import Memory, Strategy, in_range, memory_of_buffer, one_of

POLICIES = {
    "class_balanced": ClassBalancedBuffer,
    "experience_balanced": ExperienceBalancedBuffer,
    "reservoir": ReservoirSamplingBuffer,
}
"""Avalanche's storage policies by name."""
MEMORY_SIZE = 50
"""Samples kept if neither `memory_size` nor `fraction` is given."""


class AwakeRehearsal(Strategy):
    """Append the stored samples to the data of each new experience; every epoch shows each one once.

    Args:
        memory_size: number of samples to keep over all classes, >= 1; None for 50, or if `fraction` is given.
        fraction: instead, share of each class's samples to keep, in (0, 1]: the memory grows with the stream. None for
            a memory of fixed size.
        policy: which samples a memory of fixed size keeps: `class_balanced`, `experience_balanced` or `reservoir`.

    Raises:
        ConfigError: for a value out of range, or a share together with a size or another policy.

    Example:
        >>> AwakeRehearsal(memory_size=20).buffer.max_size
        20
    """

    touches_loss = False

    def __init__(
        self,
        *,
        memory_size: int | None = None,
        fraction: float | None = None,
        policy: Literal["class_balanced", "experience_balanced", "reservoir"] = "class_balanced",
    ) -> None:
        super().__init__()
        one_of("policy", policy, POLICIES)
        if fraction is None:
            size = in_range("memory_size", MEMORY_SIZE if memory_size is None else memory_size, 1)
            self.buffer: ExemplarsBuffer = POLICIES[policy](int(size))
        elif memory_size is not None:
            raise ConfigError(
                f"fraction: give the memory either a share ({fraction}) or a size (memory_size={memory_size}); "
                "set one of them to null."
            )
        elif policy != "class_balanced":
            raise ConfigError(f"fraction: a share is kept of every class; use policy=class_balanced, got `{policy}`")
        else:
            self.buffer = ClassShareBuffer(in_range("fraction", fraction, above=0.0, high=1.0))

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


class ClassShareBuffer(BalancedExemplarsBuffer[ReservoirSamplingBuffer]):
    """Keeps `max(1, round(fraction * n))` of the n samples seen in each class.

    A class-balanced policy with a growing size could not do this: by the time a class gets more space, its samples are
    lost.
    """

    def __init__(self, fraction: float) -> None:
        super().__init__(max_size=0)
        self.fraction = fraction
        self.seen: Counter[int] = Counter()

    def post_adapt(self, agent: Any, exp: Any) -> None:
        """Store samples of an experience."""
        dataset: AvalancheDataset = exp.dataset
        rows: dict[int, list[int]] = {}
        for row, label in enumerate(dataset.targets):
            rows.setdefault(int(label), []).append(row)
        for label, members in rows.items():
            self.seen[label] += len(members)
            group = self.buffer_groups.setdefault(label, ReservoirSamplingBuffer(0))
            group.max_size = max(1, round(self.fraction * self.seen[label]))
            group.update_from_dataset(dataset.subset(members))
        self.max_size = sum(group.max_size for group in self.buffer_groups.values())

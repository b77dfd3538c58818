"""Awake rehearsal: train each experience together with stored samples of the earlier ones.

References:
    Tadros et al. 2022 (Nat. Commun. 13:7742): a share of the old samples is appended to the new ones.
    Chaudhry et al. 2019 (arXiv 1902.10486): small memories.
"""

from collections import Counter
from dataclasses import dataclass
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
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy, memory_of_buffer

Policy = Literal["class_balanced", "experience_balanced", "reservoir"]
POLICIES: dict[Policy, type[ExemplarsBuffer]] = {
    "class_balanced": ClassBalancedBuffer,
    "experience_balanced": ExperienceBalancedBuffer,
    "reservoir": ReservoirSamplingBuffer,
}
"""Avalanche's storage policies by name."""
MEMORY_SIZE = 50
"""Samples kept if neither `memory_size` nor `fraction` is given."""


@dataclass(frozen=True)
class AwakeRehearsalOptions(Spec):
    """The options of awake rehearsal.

    Raises:
        ConfigError: for a value of the wrong type or out of range, or a share together with a size or another policy.

    Example:
        >>> AwakeRehearsalOptions(fraction=0.1).policy
        'class_balanced'
    """

    memory_size: int | None = option(
        None,
        f"number of samples to keep over all classes; null for {MEMORY_SIZE}, or if `fraction` is given",
        "[1, inf)",
    )
    fraction: float | None = option(
        None,
        "instead, share of each class's samples to keep: the memory grows with the stream; null for a memory of fixed "
        "size",
        "(0, 1]",
    )
    policy: Policy = option("class_balanced", "which samples a memory of fixed size keeps")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fraction is None:
            return
        if self.memory_size is not None:
            raise ConfigError(
                f"fraction: give the memory either a share ({self.fraction}) or a size "
                f"(memory_size={self.memory_size}); set one of them to null."
            )
        if self.policy != "class_balanced":
            raise ConfigError(
                f"fraction: a share is kept of every class; use policy=class_balanced, got `{self.policy}`"
            )


@takes(AwakeRehearsalOptions)
class AwakeRehearsal(Strategy):
    """Append the stored samples to the data of each new experience; every epoch shows each one once.

    Raises:
        ConfigError: for an unknown option or a value that does not fit, naming the option, or a share together with a
            size or another policy.

    Example:
        >>> AwakeRehearsal(memory_size=20).buffer.max_size
        20
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        chosen = from_keywords(AwakeRehearsalOptions, options)
        if chosen.fraction is not None:
            self.buffer: ExemplarsBuffer = ClassShareBuffer(chosen.fraction)
        else:
            size = MEMORY_SIZE if chosen.memory_size is None else chosen.memory_size
            self.buffer = POLICIES[chosen.policy](size)

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

"""Dreams: train on samples of what earlier classes looked like, in the statistical sense.

No sample is stored. Of each class there is a mean, a few principal components, how samples lie along them, and what the
components leave. The network learns dreams by its own rule, like any other sample.

References:
    Robins 1995 (Connection Science 7:123): rehearsal of made-up samples instead of stored ones.
    `clep.dreaming.statistics` has those of the statistics.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from clep.dreaming import Statistics, StoredAs, train_on
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Memory, Strategy
from clep.streams import Samples


@dataclass(frozen=True)
class DreamsOptions(Spec):
    """The options of dreams.

    Example:
        >>> DreamsOptions(components=5).samples is None
        True
    """

    components: int = option(20, "principal components kept of each class", "[0, inf)")
    modes: int = option(
        20,
        "Gaussians that say how samples of a class lie along its components, at most one for ten samples; 1 for a "
        "bell curve along each component",
        "[1, inf)",
    )
    stored_as: StoredAs = option("int8", "numbers kept: `int8`, with a scale for each component, or `float16`")
    samples: int | None = option(
        None,
        "dreams of each class in an experience; null for as many as a new class has samples, which balances old and "
        "new",
        "[1, inf)",
    )
    when: Literal["during", "after"] = option(
        "during",
        "`during`, dreams of earlier classes are learned together with the new data, or `after`, the network first "
        "learns the new data alone and then dreams of all classes so far, for as many epochs",
    )
    clip: bool = option(
        False,
        "whether dreams are clipped to the range of all inputs seen so far. That shifts the mean of features that lie "
        "at the end of the range, as the margins of images do",
    )


@takes(DreamsOptions)
class Dreams(Strategy):
    """Train on samples drawn from the statistics of classes: with each experience, or after it.

    Every experience draws new ones, and every epoch of it shows each once. Statistics take, for each class, 1 byte (or
    2 as `float16`) for each feature in components + 2 vectors, and 2 bytes for each component in 2 modes.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> Dreams(components=5).memory()
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=0)
    """

    search_space: ClassVar = {
        "components": {"low": 1, "high": 50, "log": True},
        "modes": {"low": 1, "high": 50, "log": True},
    }

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(DreamsOptions, options)
        self.consolidates = self._options.when == "after"  # type: ignore[misc]
        self.state["classes"] = {}
        self.state["range"] = None

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Dream of the earlier classes, to learn them together with the new ones."""
        if self._options.when != "during":
            return
        labels = torch.as_tensor(list(strategy.adapted_dataset.targets))
        new = torch.unique(labels).tolist()
        earlier = [label for label in self.state["classes"] if label not in new]
        n = self._options.samples or round(len(labels) / len(new))
        self.log("dreams/samples", n * len(earlier))
        if earlier:
            dreams = self._dreams(earlier, n)
            self.rehearse(dreams.x, dreams.y)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Take the statistics of the classes just trained; then dream of all of them, if dreams come afterwards."""
        x, y, *_ = zip(*strategy.experience.dataset, strict=True)
        inputs, labels = torch.stack(x), torch.as_tensor(y)
        new = torch.unique(labels).tolist()
        self._take(inputs, labels, new)
        classes = self.state["classes"]
        if self._options.when == "after" and len(classes) > len(new):  # otherwise there is nothing to consolidate
            n = self._options.samples or round(len(labels) / len(new))
            self.log("dreams/samples", n * len(classes))
            train_on(self._dreams(list(classes), n), strategy, self.generator)

    def dream(self, label: int, n: int) -> Tensor:
        """Draw inputs of a class, (n, ...).

        Args:
            label: a class that was trained before.
            n: how many.
        """
        flat = self.state["classes"][label].draw(n, self.generator)
        flat = flat.clamp(*self.state["range"]) if self._options.clip else flat
        return flat.view(n, *self.state["shape"])

    def memory(self) -> Memory:
        """The statistics."""
        return Memory(statistics_bytes=sum(statistics.nbytes for statistics in self.state["classes"].values()))

    def _dreams(self, classes: list[int], n: int) -> Samples:
        x = torch.cat([self.dream(label, n) for label in classes])
        return Samples(x, torch.as_tensor(classes).repeat_interleave(n))

    def _take(self, inputs: Tensor, labels: Tensor, new: list[int]) -> None:
        options = self._options
        low, high = self.state["range"] or (math.inf, -math.inf)
        self.state["range"] = (min(low, float(inputs.min())), max(high, float(inputs.max())))
        self.state["shape"] = tuple(inputs.shape[1:])
        for label in new:
            self.state["classes"][label] = Statistics.of(
                inputs[labels == label].flatten(1),
                options.components,
                self.state["classes"].get(label),
                modes=options.modes,
                stored_as=options.stored_as,
                generator=self.generator,
            )

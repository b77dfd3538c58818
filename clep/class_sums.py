"""What read-outs without gradients keep: running sums over samples, and scores made from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clep.streams import ROW, Samples


@dataclass
class ClassSums:
    """The number of samples of each class so far, and the sum of their features.

    Attributes:
        counts: (K,), int64; a class that was not seen has 0.
        sums: (K, d), float32.

    Example:
        >>> import torch
        >>> sums = ClassSums.none(2).plus(torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([1, 1]))
        >>> sums.counts.tolist(), sums.means[1].tolist(), sums.known.tolist()
        ([0, 2], [2.0, 1.0], [1])
    """

    counts: Tensor
    sums: Tensor

    @classmethod
    def none(cls, features: int) -> "ClassSums":
        """The sums of nothing.

        Args:
            features: number of features, d.
        """
        return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(0, features))

    def plus(self, features: Tensor, y: Tensor) -> "ClassSums":
        """The sums with further samples.

        Args:
            features: (n, d).
            y: class indices, (n,).
        """
        own = y.unique().tolist()
        classes = max([len(self.counts), *(label + 1 for label in own)])
        counts = torch.zeros(classes, dtype=torch.int64)
        sums = torch.zeros(classes, self.sums.shape[1], dtype=torch.float64)
        counts[: len(self.counts)], sums[: len(self.counts)] = self.counts, self.sums.double()
        for label in own:
            rows = features[y == label]
            counts[label] += len(rows)
            sums[label] += rows.double().sum(0)
        return ClassSums(counts, sums.float())

    @property
    def known(self) -> Tensor:
        """The classes that were seen."""
        return self.counts.nonzero().flatten()

    @property
    def means(self) -> Tensor:
        """Mean of each class, (K, d); zero for one that was not seen."""
        return self.sums / self.counts.clamp_min(1)[:, None]


def nearest_mean(features: Tensor, sums: ClassSums) -> Tensor:
    """Scores of classes by the distance to their means, (B, K): half the negative square, up to a constant of the row.

    Args:
        features: (B, d).
        sums: of the classes.

    Example:
        >>> import torch
        >>> from clep.class_sums import ClassSums
        >>> sums = ClassSums.none(1).plus(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
        >>> nearest_mean(torch.tensor([[1.0], [3.0]]), sums).argmax(1).tolist()
        [0, 1]
    """
    means = sums.means.to(features.device)
    return only(sums.known, features @ means.T - means.square().sum(1) / 2)


def only(known: Tensor, scores: Tensor) -> Tensor:
    """The scores, with -inf for each class that is not known; (B, 1) zeros before there is any.

    Args:
        known: classes that were seen.
        scores: (B, K).
    """
    if len(known) == 0:
        return scores.new_zeros(len(scores), 1)
    kept = torch.full_like(scores, -math.inf)
    kept[:, known] = scores[:, known]
    return kept


def samples_of(template: Any) -> Samples:
    """The samples of the present experience as tensors, without those that strategies append.

    Args:
        template: the training template, of clep or of plain Avalanche.
    """
    dataset = template.experience.dataset
    stream, rows = getattr(template, "samples", None), getattr(dataset, ROW, None)
    if isinstance(stream, Samples) and rows is not None and len(dataset):
        found = stream.rows(torch.as_tensor(list(rows)))
        if all(_same(dataset[i], found, i) for i in (0, len(dataset) - 1)):  # as given, not transformed
            return found
    plain = dataset.eval()
    pairs: Sequence[Any] = [plain[i] for i in range(len(plain))]
    return Samples(torch.stack([x for x, *_ in pairs]), torch.as_tensor([int(y) for _, y, *_ in pairs]))


def _same(pair: Any, samples: Samples, i: int) -> bool:
    return torch.equal(pair[0], samples.x[i])

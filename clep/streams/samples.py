"""Labelled samples in memory, and loaders whose batches are slices of their tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torch.utils.data import Dataset as TorchDataset

Loader = DataLoader[list[Tensor]]
"""Batches `[x (B, ...), y (B,), t (B,)]`; t is the constant task label 0."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples in memory.

    Attributes:
        x: (N, ...), float32.
        y: class indices (N,), int64.

    Example:
        >>> import torch
        >>> samples = Samples(torch.rand(5, 64), torch.arange(5))
        >>> [len(y) for x, y, t in samples.loader(2)]
        [2, 2, 1]
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, rows: Tensor | Sequence[int]) -> "Samples":
        """The samples in `rows` (n,)."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return Samples(self.x[index], self.y[index])

    def loader(self, batch_size: int, *, shuffle: bool = True, generator: torch.Generator | None = None) -> Loader:
        """Batches `[x (B, ...), y (B,), t (B,)]` as slices of the tensors; t is the constant task label 0.

        Args:
            batch_size: samples in each but the last.
            shuffle: whether their order is drawn.
            generator: source of the draws; None for torch's global one, by the same draws as in Avalanche's loader.
        """
        sampler = RandomSampler(self, generator=generator) if shuffle else SequentialSampler(self)
        # A sampler of samples, not of batches: Lightning puts others in its place (`overfit_batches`, several devices).
        return DataLoader(
            _Slices(self), batch_size=batch_size, sampler=sampler, collate_fn=_joined, generator=generator
        )


def chunked(loader: Loader, batch_size: int) -> Iterator[list[Tensor]]:
    """The batches of a loader, whose rows are drawn at once: the same samples by the same draws, for less than half.

    Args:
        loader: of `Samples`; another one is left as it is.
        batch_size: samples in each of its batches but the last.

    Example:
        >>> import torch
        >>> from clep.streams import Samples
        >>> loader = Samples(torch.rand(5, 64), torch.arange(5)).loader(2, shuffle=False)
        >>> [y.tolist() for x, y, t in chunked(loader, 2)]
        [[0, 1], [2, 3], [4]]
    """
    data = getattr(loader, "dataset", None)
    if not isinstance(data, _Slices):
        return iter(loader)
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)  # as a loader does when it starts
    rows = torch.tensor(list(loader.sampler))
    return (data.batch(some) for some in rows.split(batch_size))


class _Slices(TorchDataset[list[Tensor]]):
    """A batch is one tensor slice instead of one Python call per sample; a single sample is `[x, y, t]` too."""

    def __init__(self, samples: Samples) -> None:
        self._tensors = (samples.x, samples.y, torch.zeros_like(samples.y))

    def __len__(self) -> int:
        return len(self._tensors[1])

    def __getitem__(self, row: int) -> list[Tensor]:
        return [tensor[row] for tensor in self._tensors]

    def __getitems__(self, rows: list[int]) -> "_Rows":
        return _Rows(self, rows)

    def batch(self, rows: Tensor) -> list[Tensor]:
        """The samples in `rows` (n,)."""
        return [tensor.index_select(0, rows.to(tensor.device)) for tensor in self._tensors]


class _Rows(Sequence[list[Tensor]]):
    """Samples of a batch that are not taken apart before somebody asks for one, as torch's own collation does."""

    def __init__(self, data: _Slices, rows: list[int]) -> None:
        self._data, self._rows = data, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: Any) -> Any:
        return self._data[self._rows[i]]

    def joined(self) -> list[Tensor]:
        """The whole batch."""
        return self._data.batch(torch.tensor(self._rows))  # once for all, and not a list for each


def _joined(rows: Any) -> list[Tensor]:
    joined: list[Tensor] = rows.joined()
    return joined

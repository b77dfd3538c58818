"""Training data as tensors: rows of the stream, and of what strategies append to it."""

from typing import Any

import torch

from clep.errors import ConfigError
from clep.streams import ROW, Samples


class Appended:
    """Samples from outside the stream, in rows after its own: those of the present experience.

    No row is given twice, since a strategy may store it.
    """

    def __init__(self) -> None:
        self._samples: Samples | None = None
        self._earlier = 0

    def __len__(self) -> int:
        return 0 if self._samples is None else len(self._samples)

    def begin(self) -> None:
        """Forget those of the experience before."""
        self._earlier, self._samples = self._earlier + len(self), None

    def add(self, samples: Samples, stream: Samples) -> range:
        """Take further samples, and give them rows.

        Args:
            samples: what is appended to the training of this experience.
            stream: the samples of the stream.
        """
        first, known = len(stream) + self._earlier + len(self), self._samples
        rows = range(first, first + len(samples))
        if known is not None:
            samples = Samples(torch.cat([known.x, samples.x]), torch.cat([known.y, samples.y]))
        self._samples = samples
        return rows

    def tensors(self, dataset: Any, stream: Samples) -> Samples | None:
        """A data set as tensors; None unless it consists only of rows of the stream and of these, untransformed.

        Args:
            dataset: an Avalanche data set.
            stream: the samples of the stream.

        Raises:
            ConfigError: if samples that were appended are no longer in it.
        """
        rows = getattr(dataset, ROW, None)
        if rows is None or len(dataset) == 0:
            return None
        index = torch.as_tensor(list(rows))
        own = index >= len(stream)
        if len(self) > len(set(index[own].tolist())):
            raise ConfigError(
                "strategies: one strategy has replaced the data to which another had appended samples by `rehearse`; "
                "put the one that replaces them first"
            )
        samples, further = stream.rows(index.where(~own, 0)), index[own] - len(stream) - self._earlier
        if len(further):
            if self._samples is None or int(further.min()) < 0:
                return None  # stored by another strategy in an earlier experience
            appended = self._samples.rows(further)
            samples.x[own], samples.y[own] = appended.x, appended.y
        ends = (0, len(dataset) - 1)
        return samples if all(torch.equal(dataset[i][0], samples.x[i]) for i in ends) else None

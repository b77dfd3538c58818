"""Data sets as MLflow's inputs of a run: which data, in which role, told apart by their contents."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

_DIGEST_LENGTH = 16  # characters; MLflow accepts 36


@dataclass(frozen=True)
class Input:
    """A data set that a run reads.

    Attributes:
        name: of the data set.
        context: what for, `training` or `evaluation`.
        x: the inputs, (N, ...).
        y: the classes, (N,).
    """

    name: str
    context: str
    x: np.ndarray
    y: np.ndarray

    @property
    def digest(self) -> str:
        """A hash of the contents; the order of the classes does not matter.

        Example:
            >>> import numpy as np
            >>> x, y = np.arange(8.0).reshape(4, 2), np.array([1, 1, 0, 0])
            >>> Input("mine", "training", x, y).digest == Input("mine", "training", x[[2, 3, 0, 1]], y[::-1]).digest
            True
        """
        found = hashlib.sha256(str((self.x.dtype, self.x.shape)).encode())
        for label in np.unique(self.y):
            found.update(np.ascontiguousarray(self.x[self.y == label]).data)
            found.update(str(label).encode())
        return found.hexdigest()[:_DIGEST_LENGTH]

    def to_json(self) -> dict[str, str]:
        """The input as MLflow records it: the fields of its data set, and the context."""
        spec = {"features": _spec(self.x), "targets": _spec(self.y)}
        return {
            "name": self.name,
            "digest": self.digest,
            "source_type": "code",
            "source": json.dumps({"tags": {"mlflow.source.name": "clep", "stream": self.name}}),
            "schema": json.dumps({"mlflow_tensorspec": spec}),
            "profile": json.dumps({"num_rows": len(self.y), "classes": len(np.unique(self.y))}),
            "context": self.context,
        }


def _spec(array: np.ndarray) -> list[dict[str, Any]]:
    shape = [-1, *array.shape[1:]]
    return [{"type": "tensor", "tensor-spec": {"dtype": str(array.dtype), "shape": shape}}]

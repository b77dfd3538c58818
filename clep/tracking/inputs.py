"""Data sets as MLflow's inputs of a run: which data, in which role, told apart by their contents."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Input:
    """A data set that a run reads.

    Attributes:
        name: of the data set.
        context: what for, `training` or `evaluation`.
        digest: what tells its contents from others, at most 36 characters; see `clep.datasets.contents`.
        x: the inputs, (N, ...).
        y: the classes, (N,).
    """

    name: str
    context: str
    digest: str
    x: np.ndarray
    y: np.ndarray

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

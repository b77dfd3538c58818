"""A stored learner as MLflow's models use it: `mlflow.pyfunc.load_model` and `mlflow models serve` start here."""

from typing import Any

import numpy as np
import torch

from clep.learner import Learner

_BATCH = 1024  # inputs at a time, whatever a request holds


class Served:
    """A learner that takes and returns arrays.

    Args:
        learner: the learner; it is set to evaluation.

    Example:
        >>> import clep, numpy as np
        >>> Served(clep.Learner(clep.Network([64, 16, 10]))).predict(np.zeros((3, 64))).shape
        (3, 10)
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner.eval()

    @torch.no_grad()
    def predict(self, model_input: Any, params: Any = None) -> np.ndarray:
        """The outputs of the network, (N, classes); the largest one in a row is the answer.

        Args:
            model_input: inputs, (N, ...), scaled as those of the stream.
            params: nothing is expected here; MLflow passes it.
        """
        x = torch.as_tensor(np.asarray(model_input, dtype=np.float32))
        return torch.cat([self.learner(part) for part in x.split(_BATCH)]).numpy()


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls, by this name, with the path of the checkpoint.

    A model of MLflow names the module that loads it, so it is trusted like a configuration.
    """
    return Served(Learner.load_from_checkpoint(path, map_location="cpu", trust=True))

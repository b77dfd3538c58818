"""Ordinary backpropagation, for ordinary modules."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from clep.equilibrium.gradients.base import Criterion, Gradient, Prediction


@dataclass(frozen=True)
class Autograd(Gradient):
    """Plain autograd, for modules that are not equilibrium networks."""

    def predict(self, network: Any, x: Tensor) -> Prediction:
        return Prediction(network(x))

    def loss(self, prediction: Prediction, y: Tensor, criterion: Criterion) -> Tensor:
        return criterion(prediction.output, y)

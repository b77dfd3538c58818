"""Top-down dreams: the network dreams samples of earlier classes through its own feedback, and rehearses them.

No sample and nothing about a single class is stored: what a class looks like, the weights must say.

References:
    Robins 1995 (Connection Science 7:123): rehearsal of made-up samples, labelled by the network itself.
    Yin et al. 2020 (arXiv 1912.08795): inputs that a trained network takes for a class, found by descent on the input.
    van de Ven, Siegelmann & Tolias 2020 (Nat. Commun. 11:4069): brain-inspired replay through feedback connections.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from clep.dreaming import Statistics
from clep.specs.options import Spec, from_keywords, option, takes
from clep.strategy import Strategy

_AT_A_TIME = 1000  # dreams; it bounds the memory, and changes no dream


@dataclass(frozen=True)
class TopDownDreamsOptions(Spec):
    """The options of top-down dreams.

    Example:
        >>> TopDownDreamsOptions(steps=5).rate
        0.2
    """

    steps: int = option(20, "steps of the input in a dream; 0 rehearses the noise that dreams begin with", "[0, inf)")
    rate: float = option(0.2, "how far the input follows in each step", "[0, inf)")
    samples: int | None = option(
        None,
        "dreams of each earlier class in an experience; null for as many as a new class has samples, which balances "
        "old and new",
        "[1, inf)",
    )


@takes(TopDownDreamsOptions)
class TopDownDreams(Strategy):
    """Before each experience, dream samples of every earlier class; every epoch then shows each dream once.

    A dream begins as noise with the mean and the spread that each feature had in the stream. Then the output is nudged
    towards the class, and the input follows the change that arrives through the feedback: the estimate that equilibrium
    propagation makes of the gradient of the squared error for the input. Dreams stay within the range of all inputs
    seen so far. Outputs must approach one-hot targets.

    Raises:
        ConfigError: for an unknown option or a value out of range.

    Example:
        >>> TopDownDreams(steps=5).memory()
        Memory(exemplars=0, exemplar_bytes=0, statistics_bytes=0)
    """

    differentiates_outputs = True  # estimates that cannot be asked for the gradient of an input are refused
    search_space: ClassVar = {
        "rate": {"low": 0.05, "high": 1.0, "log": True},
        "steps": {"low": 5, "high": 50, "log": True},
    }

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = from_keywords(TopDownDreamsOptions, options)
        self.state["classes"] = []
        self.state["inputs"] = self.state["range"] = None

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Dream of the earlier classes, and append the dreams to the new data."""
        labels = torch.as_tensor(list(strategy.adapted_dataset.targets))
        new = torch.unique(labels).tolist()
        earlier = [label for label in self.state["classes"] if label not in new]
        if not earlier:
            return
        n = self._options.samples or round(len(labels) / len(new))
        y = torch.as_tensor(earlier).repeat_interleave(n)
        parts = [self.dream(strategy.model, part.to(strategy.device)) for part in y.split(_AT_A_TIME)]
        with torch.no_grad():
            hits = [strategy.model(x).argmax(1).cpu() for x in parts]
        self.log("top_down_dreams/hits", float((torch.cat(hits) == y).float().mean()))
        self.rehearse(torch.cat(parts).cpu(), y)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Note which classes there are, and how the inputs are spread."""
        x, y, *_ = zip(*strategy.experience.dataset, strict=True)
        inputs = torch.stack(x)
        low, high = self.state["range"] or (math.inf, -math.inf)
        self.state["range"] = (min(low, float(inputs.min())), max(high, float(inputs.max())))
        self.state["shape"] = tuple(inputs.shape[1:])
        self.state["classes"] = sorted({*self.state["classes"], *map(int, y)})
        self.state["inputs"] = Statistics.of(inputs.flatten(1), 0, self.state["inputs"])

    def dream(self, network: nn.Module, y: Tensor) -> Tensor:
        """Inputs (n, ...) that the network takes for classes.

        Args:
            network: maps (n, ...) to (n, K).
            y: the classes, (n,).
        """
        start = self.state["inputs"].draw(len(y), self.generator).view(len(y), *self.state["shape"])
        x = start.to(y.device).clamp(*self.state["range"])
        for _ in range(self._options.steps):
            x.requires_grad_()
            output = network(x)
            loss = 0.5 * (output - functional.one_hot(y, output.shape[1])).square().sum()
            (gradient,) = torch.autograd.grad(loss, x)
            x = (x.detach() - self._options.rate * gradient).clamp(*self.state["range"])
        return x

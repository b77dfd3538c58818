"""Top-down replay: the network dreams samples of earlier classes through its own feedback, and rehearses them.

References:
    Robins 1995 (Connection Science 7:123): rehearsal of pseudo-patterns, made by the network itself.
    Yin et al. 2020 (arXiv 1912.08795): inputs that a trained network takes for a class, found by descent on the input.
    van de Ven, Siegelmann & Tolias 2020 (Nat. Commun. 11:4069): brain-inspired replay through feedback connections.
"""

from typing import ClassVar

import torch
from torch.nn import functional

import clep
from clep.strategy import in_range


class TopDownReplay(clep.Strategy):
    """Before each experience, dream samples of every earlier class; every epoch then shows each dream once.

    A dream begins as noise with the mean and the spread that each pixel had in the stream. Then the output is nudged
    towards the class, and the input follows the change that arrives through the tied feedback: this is the estimate
    that equilibrium propagation makes of the gradient of the loss for the input. No sample is stored.

    Inputs must lie in [0, 1], and outputs approach one-hot targets.

    Args:
        per_class: dreams of each earlier class.
        steps: steps of the input in a dream.
        rate: how far the input follows in each step.
        noise: factor on the spread of the pixels at the start of a dream.

    Raises:
        ConfigError: for a number out of range.

    Example:
        >>> TopDownReplay(per_class=30).per_class
        30
    """

    differentiates_outputs = True  # clep then refuses estimates that cannot be asked for the gradient of an input
    search_space: ClassVar = {
        "rate": {"low": 0.05, "high": 1.0, "log": True},
        "noise": {"low": 0.5, "high": 1.5},
    }

    def __init__(self, *, per_class: int = 70, steps: int = 20, rate: float = 0.2, noise: float = 1.0):
        super().__init__()
        self.per_class = int(in_range("per_class", per_class, 1))
        self.steps = int(in_range("steps", steps, 0))
        self.rate = in_range("rate", rate, 0.0)
        self.noise = in_range("noise", noise, 0.0)
        self.state["classes"] = []

    def before_training_exp(self, strategy, **kwargs):
        if not self.state["classes"]:
            return
        y = torch.tensor(self.state["classes"], device=strategy.device).repeat_interleave(self.per_class)
        x = self.dream(strategy.model, y)
        with torch.no_grad():
            self.log("top_down_replay/hits", (strategy.model(x).argmax(1) == y).float().mean())
        self.rehearse(x.cpu(), y.cpu())

    def after_training_exp(self, strategy, **kwargs):
        data = strategy.experience.dataset.eval()
        x = torch.stack([sample[0] for sample in data]).double()
        self.state["count"] = self.state.get("count", 0) + len(x)
        self.state["sum"] = self.state.get("sum", 0.0) + x.sum(0)
        self.state["squares"] = self.state.get("squares", 0.0) + x.square().sum(0)
        self.state["classes"] = sorted({*self.state["classes"], *map(int, data.targets)})

    def dream(self, network, y):
        """Inputs (n, ...) in [0, 1] that the network takes for the classes `y` (n,)."""
        mean = self.state["sum"] / self.state["count"]
        spread = (self.state["squares"] / self.state["count"] - mean.square()).clamp(min=0.0).sqrt()
        noise = torch.randn(len(y), *mean.shape, generator=self.generator)
        x = (mean + self.noise * spread * noise).float().to(y.device)
        for _ in range(self.steps):
            x = x.clamp(0.0, 1.0).requires_grad_()
            output = network(x)
            loss = 0.5 * (output - functional.one_hot(y, output.shape[1])).square().sum()
            x = x.detach() - self.rate * torch.autograd.grad(loss, x)[0]
        return x.clamp(0.0, 1.0)

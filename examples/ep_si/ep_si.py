"""Synaptic intelligence for equilibrium propagation: importance from the contrast of EP, along the path of the weights.

References:
    Zenke, Poole & Ganguli 2017 (arXiv 1703.04200): the importance of a synapse is the fall of the loss along its path.
    Laborieux et al. 2021 (Front. Neurosci. 15:633674): the estimate of the gradient from two nudged phases.
"""

from typing import ClassVar

import torch

import clep
from clep.strategy import in_range


class EPSI(clep.Strategy):
    """Hold each weight where earlier experiences left it, as firmly as it helped them.

    At every update a weight moves by d, and EP estimates the gradient g of the loss from the states of its two phases.
    So -g d is the share of this weight in the fall of the loss, and it is local to the synapse. Summed along the path
    of an experience it is w. The importance grows by max(w, 0) / (D^2 + damping), with D the distance travelled.

    The penalty strength / 2 * importance * (weight - anchor)^2 acts by an implicit step of gradient descent after each
    update: it pulls towards the anchor and cannot overshoot, however important the weight. So the gradient that is
    recorded, and everyone else's, stays that of the data.

    Args:
        strength: factor of the penalty.
        damping: added to the squared distance (xi of the paper).

    Raises:
        ConfigError: for a number out of range.

    Example:
        >>> EPSI(strength=100.0).strength
        100.0
    """

    uses_gradients = True
    search_space: ClassVar = {
        "strength": {"low": 10.0, "high": 1e6, "log": True},
        "damping": {"low": 1e-4, "high": 0.1, "log": True},
    }

    def __init__(self, *, strength: float = 660.0, damping: float = 1.4e-3):
        super().__init__()
        self.strength = in_range("strength", strength, 0.0)
        self.damping = in_range("damping", damping, above=0.0)
        self.step: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}  # name -> gradient and weight before the update

    @torch.no_grad()
    def before_training_exp(self, strategy, **kwargs):
        self.state["anchor"] = {name: weight.detach().clone() for name, weight in learned(strategy)}
        self.state["path"] = {name: torch.zeros_like(weight) for name, weight in learned(strategy)}
        self.state.setdefault("importance", {name: torch.zeros_like(weight) for name, weight in learned(strategy)})

    def before_update(self, strategy, **kwargs):
        self.step = {
            name: (weight.grad.clone(), weight.detach().clone())
            for name, weight in learned(strategy)
            if weight.grad is not None
        }

    @torch.no_grad()
    def after_update(self, strategy, **kwargs):
        rates = {id(weight): group["lr"] for group in strategy.optimizer.param_groups for weight in group["params"]}
        for name, weight in learned(strategy):
            pull = self.strength * rates[id(weight)] * self.state["importance"][name]
            weight.lerp_(self.state["anchor"][name], pull / (1.0 + pull))
            if name in self.step:
                gradient, before = self.step[name]
                self.state["path"][name] -= gradient * (weight - before)
        self.step = {}

    @torch.no_grad()
    def after_training_exp(self, strategy, **kwargs):
        for name, weight in learned(strategy):
            distance = weight - self.state["anchor"][name]
            fall = self.state["path"][name].clamp(min=0.0)
            self.state["importance"][name] += fall / (distance.square() + self.damping)
        self.log("ep_si/fall", sum(float(path.sum()) for path in self.state["path"].values()))
        del self.state["path"]


def learned(strategy):
    """The weights that training moves, by name."""
    return [(name, weight) for name, weight in strategy.model.named_parameters() if weight.requires_grad]

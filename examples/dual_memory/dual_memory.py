"""Dual-memory sleep: fast weights learn an experience, and slow weights take up a share of it while the network sleeps.

References:
    McClelland, McNaughton & O'Reilly 1995 (Psychol. Rev. 102:419): two complementary learning systems; the slow one
    takes up what the fast one has learned, in small portions, during sleep.
    Hinton & Plaut 1987 (Proc. Cogn. Sci. Soc. 9:177): a fast and a slow weight at each connection.
    Arani, Sarfraz & Zonooz 2022 (arXiv 2201.12604): the slow memory as a moving average of the weights.
"""

from typing import ClassVar

import torch

import clep
from clep.strategy import in_range


class DualMemory(clep.Strategy):
    """Give each connection a slow weight, and a fast one that lasts until the network sleeps.

    Awake, the network uses slow + fast, and learning moves the fast weights alone. It sleeps after each experience: the
    slow weights take up a share of the fast ones, and the rest is forgotten. So the next experience begins with
    slow + share * fast, a moving average over experiences. The first experience is taken up as a whole.

    Args:
        share: how much of the fast weights a sleep takes up; 1 leaves what training learned as it is.

    Raises:
        ConfigError: for a number out of range.

    Example:
        >>> DualMemory(share=0.4).share
        0.4
    """

    consolidates = True  # so that accuracy is measured before and after the sleep
    search_space: ClassVar = {"share": {"low": 0.1, "high": 0.9}}

    def __init__(self, *, share: float = 0.3):
        super().__init__()
        self.share = in_range("share", share, 0.0, 1.0)

    def before_training_exp(self, strategy, **kwargs):
        self.state["slow"] = {name: weight.detach().clone() for name, weight in learned(strategy)}

    @torch.no_grad()
    def after_training_exp(self, strategy, **kwargs):
        slow = self.state.pop("slow")
        fast = {name: weight - slow[name] for name, weight in learned(strategy)}
        size, of = (sum(float(w.square().sum()) for w in weights.values()) ** 0.5 for weights in (fast, slow))
        self.log("dual_memory/fast", size / of)
        if self.state.setdefault("slept", 0):
            for name, weight in learned(strategy):
                weight.copy_(slow[name] + self.share * fast[name])
        self.state["slept"] += 1


def learned(strategy):
    """The weights that training moves, by name."""
    return [(name, weight) for name, weight in strategy.model.named_parameters() if weight.requires_grad]

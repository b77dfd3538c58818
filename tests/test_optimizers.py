"""Optimisers without what they do for profilers: the same weights as torch's own `step`, which is the oracle."""

import pytest
import torch
from torch import nn

from clep import optimizers

OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "damped": {"momentum": 0.9, "dampening": 0.3},
    "decay": {"momentum": 0.5, "weight_decay": 0.1},
    "maximised": {"maximize": True},
    "foreach": {"momentum": 0.9, "foreach": True},
}


def weights():
    """Two groups of parameters; the last one never has a gradient."""
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.rand(shape, generator=generator)) for shape in ((3, 4), (4,), (2, 2))]


def moved(step, make):
    """The weights after three steps, with momentum and what else is kept of each."""
    own, generator = weights(), torch.Generator().manual_seed(1)
    optimizer = make([{"params": own[:1], "lr": 0.3}, {"params": own[1:], "lr": 0.1}])
    for _ in range(3):
        for weight in own[:2]:
            weight.grad = torch.rand(weight.shape, generator=generator)
        step(optimizer)
    return own, optimizer.state_dict()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_is_that_of_torch_to_the_bit_with_what_it_remembers(options):
    (theirs, remembered), (ours, kept) = (
        moved(step, lambda groups: torch.optim.SGD(groups, **options))
        for step in (torch.optim.SGD.step, optimizers.step)
    )
    assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))
    assert remembered["state"].keys() == kept["state"].keys()
    for number, state in remembered["state"].items():
        assert torch.equal(state["momentum_buffer"], kept["state"][number]["momentum_buffer"])


def test_other_optimisers_take_their_own_steps():
    (theirs, _), (ours, _) = (moved(step, torch.optim.Adam) for step in (torch.optim.Adam.step, optimizers.step))
    assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))


class Counting(torch.optim.SGD):
    """Counts its own calls."""

    calls = 0

    def zero_grad(self, set_to_none=True):
        self.calls += 1
        super().zero_grad(set_to_none)


def test_whoever_looks_at_steps_sees_them():
    """A hook, a schedule, which warns when it sees no step, and a `zero_grad` of its own."""
    weight, seen = nn.Parameter(torch.zeros(2)), []
    weight.grad = torch.ones(2)
    optimizer = Counting([weight], lr=0.1)
    optimizer.register_step_post_hook(lambda *_: seen.append("hook"))
    optimizers.step(optimizer)
    plain = torch.optim.SGD([weight], lr=0.1)
    plain.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizers.step(plain)
    assert seen == ["hook", "before"]
    optimizers.forget_gradients(optimizer)
    assert optimizer.calls == 1
    assert weight.grad is None


@pytest.mark.filterwarnings("error")
def test_a_schedule_sees_the_step_before_its_own():
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    optimizers.step(optimizer)
    schedule.step()
    assert weight.tolist() == pytest.approx([-0.1, -0.1])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


def test_gradients_are_forgotten_in_all_groups():
    own = weights()
    for weight in own:
        weight.grad = torch.ones_like(weight)
    optimizers.forget_gradients(torch.optim.SGD([{"params": own[:1]}, {"params": own[1:]}], lr=0.1))
    assert [weight.grad for weight in own] == [None] * 3

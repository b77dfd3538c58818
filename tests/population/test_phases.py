"""The update of several networks at once, against the update of each."""

import pytest
import torch

from clep.equilibrium import CostNudging, CrossEntropy, LinearNudging, Network, SquaredError
from clep.equilibrium.compiled import CompiledSteps
from clep.errors import DataError
from clep.population.batches import Batches
from clep.population.phases import Phases
from clep.population.stack import Stack

GRADIENTS = {
    "linear": lambda beta: LinearNudging(beta=beta),
    "one_sided": lambda beta: LinearNudging(beta=beta, phases="one_sided"),
    "random_sign": lambda beta: LinearNudging(beta=beta, phases="random_sign"),
    "mirrored": lambda beta: LinearNudging(beta=beta, start="mirrored"),
    "vector_field": lambda beta: LinearNudging(beta=beta, rule="vector_field"),
    "predictive": lambda beta: LinearNudging(beta=beta, rule="predictive", phases="one_sided"),
    "cost": lambda beta: CostNudging(beta=beta),
    "outside": lambda beta: CostNudging(beta=beta, nudge="outside"),
}
NETWORKS = {
    "plain": {},
    "by torch": {"compiled": "off"},
    "compiled, with biases": {"bias": True},
    "biases": {"bias": True, "neuron": "tanh"},
    "untied": {"feedback": "untied"},
    "scaled": {"feedback_scale": 0.5},
    "energy": {"dynamics": "energy"},
    "asynchronous": {"relaxation": "asynchronous"},
    "readout": {"readout": "linear"},
    "residual": {"residual_links": 2},
}


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("network", NETWORKS)
def test_each_network_gets_its_own_update(network, gradient):
    """Betas, weights, time steps and the sizes of batches differ."""
    if (network, gradient) == ("energy", "outside"):
        pytest.skip("energy-based dynamics have no outside")
    criterion = CrossEntropy() if network == "readout" else SquaredError()
    drawn = torch.Generator().manual_seed(0)
    xs = [torch.rand(size, 8, generator=drawn) for size in (7, 4, 1)]
    ys = [torch.randint(4, (len(x),), generator=drawn) for x in xs]
    estimates = [GRADIENTS[gradient](beta) for beta in (0.2, 0.3, 0.5)]

    def networks() -> list[Network]:
        made = [
            Network([8, 9, 6, 5, 4], seed=seed, free_steps=8, nudged_steps=3, **NETWORKS[network]) for seed in (0, 1, 2)
        ]
        return [one.with_gradient(estimate) for one, estimate in zip(made, estimates, strict=True)]

    phases = Phases(Stack([one.body() for one in networks()]), estimates, Batches.of(xs))
    losses = phases.losses(ys, criterion)
    found = phases.gradients(losses.incoming, losses, criterion)
    for i, one in enumerate(networks()):
        prediction = estimates[i].predict(one, xs[i])
        loss = estimates[i].loss(prediction, ys[i], criterion)
        loss.backward()
        own = [p.grad for connection in one.connections for p in connection.parameters()]
        own += [] if one.readout is None else [p.grad for p in one.readout.parameters()]
        mine = [stacked[i] for stacked in (*found, *losses.on_readout)]
        for ours, theirs in zip(mine, own, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        assert losses.loss[i] == pytest.approx(float(loss), rel=1e-5)
        for name in ("residual", "halfway"):
            torch.testing.assert_close(getattr(phases.settled(i), name), getattr(prediction.free, name))


def test_all_networks_relax_in_one_compiled_call_and_both_their_nudged_phases_in_another(monkeypatch):
    made, relax = [], CompiledSteps.relax

    def counted(self, course, drive, start, nudge=None, factors=None, *others, **options):
        made.append((len(drive), 1 if factors is None else len(factors[0])))
        return relax(self, course, drive, start, nudge, factors, *others, **options)

    monkeypatch.setattr(CompiledSteps, "relax", counted)
    for compiled, expected in (("auto", [(3, 1), (3, 2)]), ("off", [])):
        networks, estimates = (
            [Network([8, 9, 4], seed=seed, compiled=compiled) for seed in range(3)],
            [LinearNudging()] * 3,
        )
        phases = Phases(Stack([one.body() for one in networks]), estimates, Batches.of([torch.rand(5, 8)] * 3))
        losses = phases.losses([torch.zeros(5, dtype=torch.long)] * 3, SquaredError())
        phases.gradients(losses.incoming, losses, SquaredError())
        assert made == expected
        made.clear()


def test_the_squared_error_of_each_network_is_that_of_torch():
    """Sizes differ: what is padded counts nowhere."""
    drawn = torch.Generator().manual_seed(0)
    xs = [torch.rand(size, 8, generator=drawn) for size in (7, 4, 1)]
    ys = [torch.randint(4, (len(x),), generator=drawn) for x in xs]
    stack = Stack([Network([8, 9, 4], seed=seed).body() for seed in range(3)])
    losses = Phases(stack, [LinearNudging()] * 3, Batches.of(xs)).losses(ys, SquaredError())
    for i, y in enumerate(ys):
        output = losses.output[i, : len(y)].clone().requires_grad_()
        loss = 0.5 * (output - torch.nn.functional.one_hot(y, 4)).square().sum(1).mean()
        loss.backward()
        torch.testing.assert_close(losses.incoming[i, : len(y)], output.grad)
        assert losses.incoming[i, len(y) :].eq(0).all()
        assert losses.loss[i] == pytest.approx(float(loss))
        assert losses.hits[i] == pytest.approx(float((output.argmax(1) == y).float().mean()))


def test_a_label_without_an_output_is_named():
    phases = Phases(Stack([Network([8, 9, 4]).body()]), [LinearNudging()], Batches.of([torch.rand(2, 8)]))
    with pytest.raises(DataError, match="expected classes 0 to 3"):
        phases.losses([torch.tensor([1, 4])], SquaredError())

"""Neuronal adaptation: what it does to the contrast, and the norms that it tells."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from clep.equilibrium import Adaptation, CostNudging, LinearNudging
from clep.errors import ConfigError
from tests.oracles.networks import LOSSES, biased, change, gradient_by, gradient_of, settled
from tests.oracles.vectors import flat, relative_error


def adapted(adaptation, gradient, network, x):
    """The flat gradient of `network` by an estimate under adaptation, and the two norms that it told, or None."""
    told = []
    if adaptation is not None:
        adaptation = replace(adaptation, watch=lambda *norms: told.append(norms))
    gradient = replace(gradient, adaptation=adaptation)
    if isinstance(gradient, CostNudging):
        gradients = gradient_by(gradient, network, x)
    else:
        gradients = gradient_of(LOSSES["mse"], network.with_gradient(gradient), x)
    assert len(told) == (adaptation is not None)
    return flat(gradients), told[0] if told else None


@pytest.mark.parametrize("phases", ["one_sided", "centered"])
@pytest.mark.parametrize("rescale", [False, True])
def test_adaptation_at_a_rate_of_one_leaves_no_contrast(rescale, phases):
    """s <- s*: the update is zero, to the bit. Rounding left over must not be blown up to the norm of the update."""
    network, x = biased([5, 7, 6, 4], seed=2), torch.rand(6, 5)
    update, (before, after) = adapted(Adaptation(3, 1.0, rescale), LinearNudging(0.5, phases), network, x)
    assert not update.any()
    assert float(before) > 0.0
    assert float(after) == 0.0


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("gradient", [LinearNudging(), CostNudging()], ids=["linear", "cost"])
def test_adaptation_without_steps_or_rate_changes_nothing(gradient):
    """No steps: the plain update, to the bit. Rate zero: as many ordinary nudged steps more."""
    network, x = biased([5, 7, 4], nudged_steps=3, seed=2), torch.rand(6, 5)
    plain, told = adapted(None, gradient, network, x)
    assert told is None
    assert torch.equal(adapted(Adaptation(0, 0.5), gradient, network, x)[0], plain)
    longer, _ = adapted(Adaptation(4, 0.0, rescale=False), gradient, network, x)
    change(network, nudged_steps=7)
    assert torch.equal(longer, adapted(None, gradient, network, x)[0])
    assert not torch.allclose(longer, plain)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("phases", ["one_sided", "centered"])
def test_adaptation_changes_the_direction_and_rescaling_keeps_the_norm(phases, record_property):
    """Under centered nudging adaptation shrinks the update by nearly one factor: unless the norm is restored, a gain
    over plain EP would be that of a smaller learning rate."""
    network, x, gradient = settled(), torch.rand(6, 5), LinearNudging(0.5, phases)
    on_parameters = slice(0, -x.numel())
    plain, _ = adapted(None, gradient, network, x)
    shrunk, _ = adapted(Adaptation(5, 0.1, rescale=False), gradient, network, x)
    kept, norms = adapted(Adaptation(5, 0.1, rescale=True), gradient, network, x)
    before, after = map(float, norms)
    cosine = float(functional.cosine_similarity(plain[on_parameters], shrunk[on_parameters], dim=0))
    record_property("cosine_of_adapted_to_plain_update", cosine)
    assert 0.9 < cosine < 1.0 - 1e-6
    assert float(shrunk.norm()) < 0.95 * float(plain.norm())
    assert float(kept[on_parameters].norm()) == pytest.approx(float(plain[on_parameters].norm()), rel=1e-12)
    assert before / after == pytest.approx(float(plain[on_parameters].norm() / shrunk[on_parameters].norm()), rel=1e-12)
    assert relative_error(kept, shrunk * before / after) < 1e-12


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_norms_that_are_told_are_those_of_the_contrasts_without_the_scale_of_the_loss(scale, rescale):
    """A strategy logs their ratio: with the loss in them, or after rescaling, it would log something else."""
    network, x = biased([5, 7, 4], seed=2), torch.rand(6, 5)
    told = []
    adaptation = Adaptation(4, 0.2, rescale, watch=lambda before, after: told.append((before, after)))
    output = network(x)
    (on_output,) = torch.autograd.grad(scale * LOSSES["mse"](output), output)
    nudged = network.with_gradient(LinearNudging(0.3, adaptation=adaptation))
    gradient_of(lambda output: scale * LOSSES["mse"](output), nudged, x)
    ((before, after),) = told
    assert before.shape == after.shape == ()
    largest = float(on_output.abs().max())
    for norm, other in ((before, None), (after, replace(adaptation, rescale=False, watch=None))):
        view = network.with_gradient(LinearNudging(0.3, adaptation=other))
        expected = flat(gradient_of(lambda output: scale * LOSSES["mse"](output), view, x)[:-1])
        assert float(norm) == pytest.approx(float(expected.norm()) / largest, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": -1}, r"^steps: expected an integer of at least 0, got -1$"),
        ({"rate": 1.5}, r"^rate: expected a number in \[0, 1\], got 1.5$"),
        ({"rate": -0.1}, r"^rate: expected a number in \[0, 1\], got -0.1$"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Adaptation(**arguments)

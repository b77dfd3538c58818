"""Networks of Bernoulli neurons: their mean field, their noise, and what their phases share."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from clep.equilibrium import (
    Backpropagation,
    Clamping,
    ConvLayer,
    CostNudging,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
)
from clep.equilibrium.contrast import contrast
from clep.equilibrium.dynamics import Stop
from clep.equilibrium.phases import Term
from tests.oracles.networks import biased, loss_by
from tests.oracles.vectors import flat

JUMP = TimeStep("scalar", mean=1.0)
LEAKY = TimeStep("scalar", mean=0.5)
ARCHITECTURES = {
    "dense": {"sizes": [20, 15, 4]},
    "two hidden layers": {"sizes": [20, 15, 12, 4], "inhibition": 0.5},
    "leaky": {"sizes": [20, 15, 4], "time_step": LEAKY},
    "asynchronous": {"sizes": [20, 15, 12, 4], "relaxation": "asynchronous"},
    "images": {"sizes": [(1, 6, 6), ConvLayer(3, 3, pooling="average"), 4], "neuron": "shifted_sigmoid"},
    "read-out": {"sizes": [20, 15, 4], "readout": "linear", "neuron": "half_hard_sigmoid"},
    "untied feedback": {"sizes": [20, 15, 12, 4], "feedback": "untied", "feedback_scale": 0.5},
    "residual links": {"sizes": [20, 8, 8, 8, 4], "residual_links": 2},
}


def spiking(sizes, **arguments):
    """A network whose hidden neurons are driven to the middle of their range: every one of them is random."""
    arguments = {"dynamics": "bernoulli", "time_step": JUMP, "seed": 1} | arguments
    arguments = {"free_steps": 30, "nudged_steps": 30, "average_steps": 20} | arguments
    network = biased(sizes, **arguments)
    with torch.no_grad():
        for connection in network.connections:
            if connection.bias is not None:
                connection.bias.fill_(0.5)
    return network


def small_weights(network):
    """The network with a third of its weights' size above the input: noise bends the activations little."""
    with torch.no_grad():
        for connection in network.connections[1:]:
            connection.weight.div_(3.0)
    return network


def twin(network):
    """The deterministic network with the same weights."""
    arguments = network.arguments() | {"dynamics": "prototypical"}
    other = Network(**arguments, seed=2)
    other.load_state_dict(network.state_dict())
    return other


def batch(network, n=6):
    x = torch.rand(n, *network.shapes[0])
    return x, torch.arange(n) % network.sizes[-1]


def update(network, x, y, gradient=None):
    """Gradient of one update, flat; by the network's own estimate if no other is given."""
    loss = loss_by(gradient or network.gradient, network, x, y)
    gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True)
    return flat(gradients)


def least_cosine(network, actual, expected):
    """The worst cosine of any parameter: together, those of the output would hide the others."""
    sizes = [parameter.numel() for parameter in network.parameters()]
    pairs = zip(actual.split(sizes), expected.split(sizes), strict=True)
    return min(float(functional.cosine_similarity(a, b, dim=0)) for a, b in pairs)


def sent_signals(network):
    """What goes through each connection, in order: (connection, direction, signal); filled while it relaxes."""
    record = []

    def spy_on(i, connection, name, place):
        method = getattr(connection, name)

        def spy(*args, **kwargs):
            record.append((i, name, args[place].clone()))
            return method(*args, **kwargs)

        setattr(connection, name, spy)

    for i, connection in enumerate(network.connections[1:], start=1):
        spy_on(i, connection, "up", 0)
        spy_on(i, connection, "add_down", 1)
    return record


# ---------------------------------------------------------------- the mean field


@pytest.mark.parametrize("arguments", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_states_of_zero_and_one_make_spikes_certain_and_the_network_its_mean_field(arguments):
    """With weights so large that every state is 0 or 1 nothing is left to chance: states equal those of the twin that
    `dynamics=prototypical` makes, to the bit, in every architecture. What is not drawn must not differ."""
    network = spiking(**{"neuron": "hard_sigmoid"} | arguments, average_steps=1)
    with torch.no_grad():
        for connection in network.connections:
            connection.weight.fill_(0.0)
            if connection.bias is not None:
                connection.bias.copy_(torch.where(torch.arange(len(connection.bias)) % 2 == 0, 400.0, -400.0))
    x, _ = batch(network)
    assert_close(network.free_phase(x).states, twin(network).free_phase(x).states, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("gradient", [None, CostNudging(0.5), CostNudging(0.5, "one_sided"), Clamping()])
def test_average_steps_change_no_bit_of_a_deterministic_network(gradient):
    """`dynamics=prototypical` is the network as it was: states, output and updates, whatever K says."""
    plain, averaged = (biased([20, 15, 4], average_steps=k, seed=1) for k in (1, 15))
    x, y = batch(plain)
    assert_close(averaged.free_phase(x).states, plain.free_phase(x).states, rtol=0.0, atol=0.0)
    assert torch.equal(update(averaged, x, y, gradient), update(plain, x, y, gradient))
    assert averaged.free_phase(x).spikes is None


def deviation(network, x, copies):
    """Root mean square difference, per state, between an average over copies of each sample and the twin."""
    states = network.free_phase(x.repeat_interleave(copies, 0)).states
    expected = twin(network).free_phase(x).states
    means = [state.view(len(x), copies, -1).mean(1) for state in states]
    return [float((m - e.flatten(1)).square().mean().sqrt()) for m, e in zip(means, expected, strict=True)]


@pytest.mark.usefixtures("double")
def test_averages_over_copies_reach_the_mean_field_at_the_root_of_their_number_where_nothing_bends():
    """Weak feedback leaves the drive to the hidden layer alone, and the output stays where the activation is linear:
    E[rho(W z)] = W p, so nothing is biased and the error falls by 4 for 16 times the copies, without end."""
    network = spiking([20, 30, 4], feedback_scale=1e-12, free_steps=3, average_steps=1)
    with torch.no_grad():
        network.connections[1].weight.mul_(0.3)
    x = torch.rand(40, 20)
    errors = [deviation(network, x, n)[-1] for n in (4, 64, 1024)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.25)
    p = twin(network).free_phase(x).states[0]
    one_draw = (p * (1.0 - p)) @ network.connections[1].weight.T.square()
    assert errors[0] == pytest.approx(math.sqrt(float(one_draw.detach().mean()) / 4), rel=0.1)


@pytest.mark.usefixtures("double")
def test_where_the_activation_bends_the_bias_is_half_its_curvature_times_the_variance_of_the_drive():
    """Second order of E[rho(u + noise)]: rho''(u) var / 2, with var = sum_j W_ij^2 p_j (1 - p_j). It stays however many
    copies are averaged, and is what spikes cost beyond noise."""
    network = spiking([20, 60, 4], neuron="shifted_sigmoid", feedback_scale=1e-12, free_steps=3, average_steps=1)
    with torch.no_grad():
        network.connections[1].weight.mul_(0.5)
        network.connections[1].bias.fill_(0.2)
    x = torch.rand(8, 20)
    output = network.free_phase(x.repeat_interleave(10_000, 0)).states[-1].view(8, -1, 4).mean(1)
    hidden, expected = twin(network).free_phase(x).states
    slope = 4.0 * expected * (1.0 - expected)
    curvature = 4.0 * slope * (1.0 - 2.0 * expected)
    variance = (hidden * (1.0 - hidden)) @ network.connections[1].weight.detach().T.square()
    bias = 0.5 * curvature * variance
    assert float(bias.abs().mean()) > 5.0 * float((output - expected - bias).abs().mean())
    assert_close(output - expected, bias, rtol=0.25, atol=0.15 * float(bias.abs().max()))


@pytest.mark.parametrize("length", [1, 5, 20])
def test_a_phase_ends_at_the_mean_of_its_last_states(length):
    """Against the states after each of 30 steps, which phases of fewer steps with the same uniforms end at."""
    network = spiking([20, 15, 4], average_steps=length).eval()
    x, _ = batch(network)
    with torch.no_grad():
        mean = network.free_phase(x).states
        body = network.body()
        dynamics, drive = replace(body.dynamics, averaged=1), body.drive(x)
        ends = [
            dynamics.relax(drive, [torch.zeros(6, 15), torch.zeros(6, 4)], Stop(steps)).states
            for steps in range(31 - length, 31)
        ]
    expected = [torch.stack(layer).mean(0) for layer in zip(*ends, strict=True)]
    assert_close(mean, expected)


# ---------------------------------------------------------------- spikes


@pytest.mark.parametrize("arguments", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_hidden_layers_send_zeros_and_ones_and_states_stay_probabilities(arguments):
    """Spikes up and spikes down, graded outputs down; a probability outside [0, 1] would be a constant spike."""
    network = spiking(**arguments)
    record, (x, _) = sent_signals(network), batch(network)
    states = network.free_phase(x).states
    last = network.depth if network.readout is None else None
    graded = set()
    for i, name, signal in record:
        link = network.links[i]
        if (link.below if name == "up" else link.above) == last:
            graded |= set(signal.unique().tolist())
        else:
            assert set(signal.unique().tolist()) <= {0.0, 1.0}
    assert last is None or len(graded) > 10
    assert all(float(state.min()) >= 0.0 and float(state.max()) <= 1.0 for state in states)
    assert any(0.05 < float(state.mean()) < 0.95 for state in states)


@pytest.mark.parametrize("relaxation", ["synchronous", "asynchronous"])
def test_the_same_spike_goes_up_and_down(relaxation):
    """One draw per layer and step: the middle layer's signal to the layer above is that to the layer below. Drawn
    apart they would be two neurons, and the symmetry that the gradient rests on would be one of expectations only."""
    network = spiking([20, 15, 12, 4], relaxation=relaxation)
    record, (x, _) = sent_signals(network), batch(network)
    network.free_phase(x)
    up = [signal for i, name, signal in record if (i, name) == (2, "up")]  # middle layer to the output
    down = [signal for i, name, signal in record if (i, name) == (1, "add_down")]  # and to the lowest layer
    assert len(up) == len(down) == network.spec.free_steps
    shift = 0 if relaxation == "synchronous" else 1  # the lowest layer moves with the output, after the middle one
    assert sum(torch.equal(a, b) for a, b in zip(up, down, strict=True)) == network.spec.free_steps or shift
    assert (
        len({tuple(signal.flatten().tolist()) for signal in up}) > network.spec.free_steps - 3
    )  # and new at every step


def test_spikes_are_drawn_with_the_probability_of_the_states():
    """A hidden layer without feedback has constant p; its spikes over 30 steps and 400 samples are binomial."""
    network = spiking([20, 15, 4], feedback_scale=1e-12)
    x = torch.rand(20).expand(400, 20)
    free = network.free_phase(x)
    p = free.states[0][0].double()
    expected, variance = 30.0 * p.sum(), 30.0 * (p * (1.0 - p)).sum() / 400.0
    assert free.spikes.shape == (1,)
    assert float(free.spikes[0] - expected) == pytest.approx(0.0, abs=4.0 * float(variance.sqrt()))


# ---------------------------------------------------------------- what phases share


def test_the_same_seed_gives_the_same_numbers_and_each_update_draws_anew():
    first, second, other = (spiking([20, 15, 4], seed=seed) for seed in (1, 1, 9))
    other.load_state_dict(first.state_dict())
    x, y = batch(first)
    updates = [update(first, x, y) for _ in range(3)]
    assert_close([update(second, x, y) for _ in range(3)], updates, rtol=0.0, atol=0.0)
    assert not torch.equal(updates[0], updates[1])
    assert not torch.equal(update(other, x, y), updates[0])


def test_evaluation_is_a_function_of_weights_and_batch_and_leaves_training_as_it_is():
    """Or accuracy would depend on how often it had been measured, and measuring would change what is learned next."""
    undisturbed, network = spiking([20, 15, 4]), spiking([20, 15, 4])
    loaded = spiking([20, 15, 4], seed=5)
    loaded.load_state_dict(network.state_dict())
    x, y = batch(network)
    expected = [update(undisturbed, x, y) for _ in range(2)]
    actual = [update(network, x, y)]
    network.eval()
    with torch.no_grad():
        assert torch.equal(network(x), network(x))
        assert torch.equal(loaded.eval()(x), network(x))
    network.train()
    actual.append(update(network, x, y))
    assert_close(actual, expected, rtol=0.0, atol=0.0)


def test_both_nudged_phases_see_the_same_uniforms():
    """A nudge of nothing leaves them equal to the bit, in every state; independent draws would not."""
    network = spiking([20, 15, 12, 4])
    x, _ = batch(network)
    free = network.free_phase(x)
    ends = [
        free.body.dynamics.relax(free.drive, [s.clone() for s in free.states], Stop(30), lambda s: 0.0 * s).states
        for _ in range(2)
    ]
    assert_close(ends[0], ends[1], rtol=0.0, atol=0.0)


def independent_contrast(network, x, y, gradient):
    """What `update` would be if the two nudged phases drew uniforms of their own."""
    prediction = gradient.predict(network, x)
    free, force, ends = prediction.free, gradient.force(prediction, y, SquaredError()), []
    motion = free.body.dynamics.motion
    for seed, beta in enumerate((gradient.beta, -gradient.beta)):
        dynamics = replace(free.body.dynamics, motion=replace(motion, seed=motion.seed // 2 + seed))
        start = [state.clone() for state in free.states]
        stop = Stop(network.spec.nudged_steps)
        ends.append(dynamics.relax(free.drive, start, stop, lambda s, b=beta: b * force(s)).states)
    return flat(contrast(free, [Term(0.5 / gradient.beta, *ends)], -1.0 / len(x), "contrast"))


def test_common_random_numbers_take_most_of_the_noise_out_of_the_contrast():
    """At beta 0.02 the difference of two averages over 20 steps is noise divided by 0.04."""
    network, gradient = spiking([20, 15, 4]), CostNudging(0.02)
    x, y = batch(network)
    common, independent = (
        torch.stack([estimate(network, x, y, gradient) for _ in range(40)]).var(0).sum()
        for estimate in (update, independent_contrast)
    )
    assert float(independent) > 10.0 * float(common)


@pytest.mark.parametrize("gradient", [CostNudging(0.5), LinearNudging(0.5)], ids=["cost", "linear"])
@pytest.mark.parametrize("name", ["dense", "two hidden layers", "leaky", "images", "read-out"])
def test_the_mean_contrast_points_where_the_gradient_of_the_mean_field_does(name, gradient):
    """Over many draws; a single one is noisy. Weights are small: with large ones the gradient has the bias that states
    have. A nudge of the wrong sign, or of one phase alone, would show here."""
    network = small_weights(spiking(**ARCHITECTURES[name]))
    x, y = batch(network)
    expected = update(twin(network), x, y, gradient)
    mean = torch.stack([update(network, x, y, gradient) for _ in range(30)]).mean(0)
    assert least_cosine(network, mean, expected) > 0.95


def test_the_straight_through_twin_estimates_the_same_gradient():
    """Its forward is the phase of spikes itself, to the bit; its backward takes each spike for its probability."""
    network = small_weights(spiking([20, 15, 12, 4], gradient=Backpropagation())).eval()
    x, y = batch(network)
    with torch.no_grad():
        assert torch.equal(network(x), network.free_phase(x).output)
        relaxed = network(x)
    assert torch.equal(network(x).detach(), relaxed)
    network.train()
    exact = twin(network)
    exact.nudging = Backpropagation()
    mean = torch.stack([update(network, x, y) for _ in range(30)]).mean(0)
    assert least_cosine(network, mean, update(exact, x, y)) > 0.95


@pytest.mark.parametrize("gradient", [Clamping(), CostNudging(0.5, "one_sided"), CostNudging(0.5, nudge="outside")])
def test_other_phases_learn_with_spikes(gradient):
    """CHL and one-sided nudging contrast with the free phase, whose uniforms theirs are where both are as long."""
    network = small_weights(spiking([20, 15, 12, 4]))
    x, y = batch(network)
    expected = update(twin(network), x, y, gradient)
    mean = torch.stack([update(network, x, y, gradient) for _ in range(30)]).mean(0)
    assert least_cosine(network, mean, expected) > 0.9


# ---------------------------------------------------------------- what is wrong with a free phase


def test_noise_is_no_sign_of_unrest():
    """States of 10 to 500 units that never stand still, batch after batch: none of them is reported."""
    for sizes, n in (([20, 10, 4], 8), ([20, 200, 100, 10], 32), ([20, 30, 4], 1), ([20, 30, 4], 3)):
        network = spiking(sizes, free_steps=20)
        verdicts = []
        for _ in range(30):
            verdicts.append(network.free_phase(torch.rand(n, 20)).trouble())
        assert set(verdicts) == {None}


def test_layers_that_swing_together_oscillate_under_the_noise():
    """Two layers of 100 units that silence each other all fire, all fall silent, and so on; half a step ends that."""
    verdicts = {}
    for time_step in (JUMP, LEAKY):
        network = spiking([1, 100, 100, 2], time_step=time_step)
        with torch.no_grad():
            for connection, weight, bias in zip(network.connections, (0.0, -0.02, 0.0), (0.9, 0.9, 0.5), strict=True):
                connection.weight.fill_(weight)
                connection.bias.fill_(bias)
        verdicts[time_step.mean] = network.free_phase(torch.ones(16, 1)).trouble()
    assert verdicts == {1.0: "oscillates", 0.5: None}


@pytest.mark.parametrize("n", [2, 16])
def test_states_that_are_not_numbers_diverge(n):
    network = spiking([20, 15, 4])
    with torch.no_grad():
        network.connections[0].weight[0, 0] = torch.nan
    assert network.free_phase(torch.rand(n, 20)).trouble() == "diverges"

"""Resting rehearsal: stored samples are learned where the present answer does not notice."""

from types import SimpleNamespace

import pytest
import torch
from clep.strategies.resting_rehearsal import RestingRehearsal

import clep
from clep.dense_parameters import parameters_of
from clep.equilibrium.stack import stack_of
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.resting import at_rest, invisible, observed

EP = {"free_steps": 60, "seed": 1}
UNTIED = clep.LinearNudging(phases="centered", beta=0.2, rule="vector_field")


class Answers(clep.Strategy):
    """Outputs for the present batch, and the weights, before and after replay: it stands on both sides of it."""

    adds_penalty = False

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    @torch.no_grad()
    def after_update(self, strategy, **kwargs):
        weights = [parameter.detach().clone() for parameter in strategy.model.parameters()]
        self.seen.append((strategy.model(strategy.mb_x).clone(), weights))


def replayed(stream, network, gradient=None, **options):
    """How far the present answer and the weights move in a replay, at most."""
    before, after = [], []
    strategies = [Answers(before), RestingRehearsal(memory_size=20, lr=0.5, **options), Answers(after)]
    learner = clep.Learner(network, gradient=gradient, lr=0.1)
    clep.Training(learner, strategies, epochs=1, batch_size=8, seed=0).run(stream)
    pairs = list(zip(before, after, strict=True))
    answers = max(float((a - b).abs().max()) for (a, _), (b, _) in pairs)
    moves = [max(float((p - q).abs().max()) for p, q in zip(old, new, strict=True)) for (_, old), (_, new) in pairs]
    assert max(moves[:5]) == 0.0  # nothing is stored yet in the first experience
    return answers, max(moves)


@pytest.mark.parametrize("mask", ["units", "directions"])
@pytest.mark.parametrize(
    ("network", "gradient"),
    [
        (lambda: Feedforward([64, 30, 20, 10], seed=1), None),
        (lambda: clep.Network([64, 30, 10], bias=True, **EP), None),
        (lambda: clep.Network([64, 30, 20, 10], inhibition=2.0, **EP), None),
        (lambda: clep.Network([64, 30, 20, 10], feedback="untied", **EP), UNTIED),
    ],
    ids=["feedforward", "biases", "inhibition", "untied feedback"],
)
def test_the_present_answer_stays_while_the_weights_move(pair, network, gradient, mask):
    answers, weights = replayed(pair, network(), gradient, mask=mask)
    assert answers < 1e-4
    assert weights > 1e-3


def test_without_the_mask_it_does_not_stay(pair):
    assert replayed(pair, Feedforward([64, 30, 20, 10], seed=1), mask="none")[0] > 1e-3


def test_replay_has_the_learning_rate_of_each_layer(pair):
    network = clep.Network([64, 20, 10], seed=1)
    first = network.connections[0].weight.detach().clone()
    learner = clep.Learner(network, lr=0.1, lr_scale=[0.0, 1.0])
    clep.Training(learner, [RestingRehearsal(mask="none")], epochs=1, batch_size=8, seed=0).run(pair)
    assert torch.equal(network.connections[0].weight, first)


def test_a_unit_at_rest_goes_as_far_as_it_may_without_waking_up():
    network = Feedforward([2, 2, 1], bias=False)
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [-0.2, 0.0]]))
    layers, x = parameters_of(network, stack_of(network), "test"), torch.tensor([[0.5, 0.0], [1.0, 0.0]])
    signals = observed(network, x)
    step = [[torch.tensor([[9.0, 4.0], [0.5, 3.0]])], [torch.tensor([[2.0, 7.0]])]]
    (lower,), (upper,) = invisible(step, layers, signals, at_rest(signals, layers))
    # The second unit may rise by 0.2 for the second sample: 0.4 of its step. The first fires: only its silent pixel.
    torch.testing.assert_close(lower, torch.tensor([[0.0, 4.0], [0.2, 1.2]]))
    torch.testing.assert_close(upper, torch.tensor([[0.0, 0.4 * 7.0]]))


def test_a_unit_is_at_rest_if_no_sample_of_the_batch_uses_it():
    network = Feedforward([2, 3, 2], bias=False)
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    signals = observed(network, x)
    resting = at_rest(signals, parameters_of(network, stack_of(network), "test"))
    assert [units.tolist() for units in resting] == [[False, True], [False, True, True], [False, False]]


def test_it_remembers_what_it_stored(digits):
    learner = clep.Learner(clep.Network([64, 60, 10]), lr=0.02)
    strategy = RestingRehearsal(memory_size=60)
    result = clep.Training(learner, [strategy], epochs=2, batch_size=4, seed=0).run(digits)
    assert result.matrix[-1, :2].mean() > 0.25  # 0.0 without replay
    assert 50 < strategy.memory().exemplars <= 60
    assert 0.0 < result.reports[-1].numbers["resting_rehearsal/resting"] < 1.0


def test_stored_images_are_moved_before_they_are_replayed(pair):
    seen = []

    class Watched(RestingRehearsal):
        def _learned(self, strategy, x, y):
            seen.append((x, self._stored[0]))
            return super()._learned(strategy, x, y)

    learner = clep.Learner(clep.Network([64, 20, 10], seed=1))
    clep.Training(learner, [Watched(memory_size=20, shift=1)], epochs=1, batch_size=8, seed=0).run(pair)
    x, stored = (torch.cat([images.flatten(1) for images in part]) for part in zip(*seen, strict=True))
    kept = (x[:, None] == stored[None]).all(2).any(1).float().mean()
    assert 0.0 < kept < 0.5  # one in nine shifts leaves an image where it is
    middle = torch.cat([images for images, _ in seen])[:, 0, 1:7, 1:7].flatten(1)
    parts = torch.cat([images for _, images in seen])[:, 0].unfold(1, 6, 1).unfold(2, 6, 1).flatten(0, 2).flatten(1)
    assert (middle[:, None] == parts[None]).all(2).any(1).all()  # and each of them shows a part of a stored one


def test_what_is_no_image_cannot_be_moved(one_experience):
    strategy = RestingRehearsal(shift=1)
    template = SimpleNamespace(experience=one_experience(torch.rand(4, 64)))
    with pytest.raises(ConfigError, match=r"resting_rehearsal.shift: expected images, .* got inputs of shape \(64,\)"):
        strategy.before_training_exp(template)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (clep.Network([8, 6, 4], neuron="tanh"), "network.neuron: .* needs units that can be silent"),
        (clep.Network([8, 6, 4], dynamics="bernoulli"), "network.neuron: .* dynamics=bernoulli"),
        (Feedforward([8, 6, 4], activation="tanh"), "network.model: resting_rehearsal with mask=units"),
        (torch.nn.Linear(8, 4), "network.model: resting_rehearsal with mask=units"),
        (clep.Network([(1, 8, 8), clep.ConvLayer(4), 10]), "strategies: resting_rehearsal works on .* dense layers"),
    ],
)
def test_learners_without_units_at_rest_are_refused(network, message):
    with pytest.raises(ConfigError, match=message):
        clep.Training(clep.Learner(network), [RestingRehearsal(mask="units")])


@pytest.mark.parametrize("options", [{"memory_size": 0}, {"lr": 0.0}, {"shifts": 1}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        RestingRehearsal(**options)

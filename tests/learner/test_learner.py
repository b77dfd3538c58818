"""The learner in plain Lightning: no stream, no strategies, any data loader."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader

from clep.equilibrium import (
    CEP,
    Backpropagation,
    Clamping,
    CostNudging,
    LinearNudging,
    Network,
    Prediction,
    SquaredError,
    TimeStep,
)
from clep.learner import Learner, accuracy
from clep.specs.optimization import SCHEDULES
from tests.learner.builders import PLAIN, Losses, network, trainer

GRADIENTS = {
    "linear": LinearNudging(0.5),
    "cost": CostNudging(0.5),
    "cost outside": CostNudging(0.2, nudge="outside"),
    "the network's own": None,
    "C-EP": CEP(0.5),
    "CHL": Clamping(),
    "BPTT": Backpropagation(),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_plain_lightning_trains_the_network(name, digits):
    """A `Trainer`, a `DataLoader` and nothing else: the loss falls and unseen digits are read."""
    train, test = digits
    lr = {"lr": 0.2, **PLAIN} if name == "C-EP" else {"lr": {"CHL": 0.02, "BPTT": 0.03}.get(name, 0.1)}
    learner, losses = Learner(network(), gradient=GRADIENTS[name], **lr), Losses()
    trainer(4, callbacks=[losses]).fit(learner, DataLoader(train, batch_size=32, shuffle=True))
    assert losses.losses == sorted(losses.losses, reverse=True)
    assert losses.losses[-1] < 0.5 * losses.losses[0]
    with torch.no_grad():
        assert float(accuracy(learner(test.tensors[0]), test.tensors[1])) > 0.85


def test_plain_lightning_trains_an_ordinary_module_by_backpropagation(digits):
    train, test = digits
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    learner = Learner(module, loss="cross_entropy", optimizer="adam", lr=0.01)
    trainer(4).fit(learner, DataLoader(train, batch_size=32, shuffle=True))
    with torch.no_grad():
        assert float(accuracy(module(test.tensors[0]), test.tensors[1])) > 0.85


def test_a_network_with_a_read_out_learns_as_an_ordinary_module(digits):
    train, test = digits
    torch.manual_seed(0)
    module = nn.Sequential(network(), nn.Linear(10, 10))
    learner = Learner(module, loss="cross_entropy", optimizer="adam", lr=0.01)
    trainer(4).fit(learner, DataLoader(train, batch_size=32, shuffle=True))
    with torch.no_grad():
        assert float(accuracy(module(test.tensors[0]), test.tensors[1])) > 0.85


@pytest.mark.parametrize("gradient", [LinearNudging(0.5), CostNudging(0.5)])
def test_lightning_takes_the_same_steps_as_a_loop_by_hand(gradient, digits):
    """Bit-equal weights: nothing between the estimate and the optimiser scales, drops or repeats a gradient."""
    train, _ = digits
    loader = DataLoader(train, batch_size=200)
    learner = Learner(network(), gradient=gradient, lr=0.1)
    by_hand = copy.deepcopy(learner.network)
    assert by_hand.gradient == gradient
    trainer(2).fit(learner, loader)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            loss = gradient.loss(gradient.predict(by_hand, x), y, SquaredError())
            loss.backward()
            optimizer.step()
    for p, q in zip(learner.network.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(p, q)


def test_mixed_precision_trains(digits):
    """Lightning's autocast covers the forward; the relaxation writes into buffers of one dtype."""
    train, _ = digits
    learner = Learner(network(), lr=0.1)
    before = learner.network.connections[0].weight.clone()
    trainer(precision="bf16-mixed", max_steps=3).fit(learner, DataLoader(train, batch_size=64))
    assert not torch.equal(learner.network.connections[0].weight, before)


def test_validation_reports_loss_and_accuracy_of_the_whole_split(digits):
    """Batches of different sizes: a mean of batch means would weight the last, smaller one too much."""
    _, test = digits
    x, y = test.tensors
    for learner in (Learner(network(), loss="cross_entropy"), Learner(network(), gradient=CostNudging())):
        (values,) = trainer().validate(learner, DataLoader(test, batch_size=100), verbose=False)
        with torch.no_grad():
            output = learner(x)
        assert values["validation/loss"] == pytest.approx(float(learner.criterion(output, y)), rel=1e-5)
        assert values["validation/accuracy"] == pytest.approx(float(accuracy(output, y)), rel=1e-5)


def test_prediction_is_the_largest_of_all_outputs(digits):
    _, test = digits
    x, _ = test.tensors
    learner = Learner(network())
    with torch.no_grad():
        expected = learner(x).argmax(1)
    for data in (test, x):
        batches = trainer().predict(learner, DataLoader(data, batch_size=100))
        assert torch.equal(torch.cat(batches), expected)


def test_accuracy_by_hand():
    output = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [0.6, 0.5]])
    assert float(accuracy(output, torch.tensor([1, 0, 0, 1]))) == 0.5


@pytest.mark.parametrize(("gradient", "differentiable"), [(LinearNudging(), True), (CostNudging(), False)])
def test_a_prediction_holds_what_its_loss_needs(gradient, differentiable):
    learner = Learner(network(), gradient=gradient)
    x, y = torch.rand(4, 64), torch.tensor([0, 1, 2, 3])
    prediction = learner.predict(x)
    assert torch.equal(prediction.output, learner(x))
    assert torch.equal(prediction.free.output, prediction.output)
    assert prediction.output.requires_grad == differentiable
    loss = learner.loss(prediction, y)
    assert_close(loss, SquaredError()(prediction.output, y))
    loss.backward()
    assert all(p.grad.any() for p in learner.parameters())


def test_an_output_from_elsewhere_is_differentiated_as_it_is():
    """A strategy may replace the output, by that of a network with a head, say."""
    learner = Learner(network(), gradient=LinearNudging())
    x, y = torch.rand(4, 64), torch.tensor([0, 1, 2, 3])
    learner.loss(Prediction(2.0 * learner(x)), y).backward()
    assert all(p.grad.any() for p in learner.parameters())


@pytest.mark.parametrize("gradient", GRADIENTS.values(), ids=GRADIENTS)
def test_a_learner_never_changes_the_network_that_it_is_given(gradient, digits):
    """What is trained is a view that shares the weights: everything else stays as it was, through a whole `fit`."""
    given = network(gradient=LinearNudging(0.3))
    kept = {name: value for name, value in vars(given).items() if name != "training"}
    numbers = copy.deepcopy({name: kept[name] for name in ("spec", "sizes", "shapes", "gains")})
    weights = list(given.parameters())
    learner = Learner(given, gradient=gradient, **PLAIN)
    trainer(max_steps=2).fit(learner, DataLoader(digits[0], batch_size=200))
    assert learner.network is not given
    assert learner.gradient == (gradient or given.gradient)
    assert given.gradient == LinearNudging(0.3)
    assert set(vars(given)) - {"training"} == set(kept)
    assert all(getattr(given, name) is value or getattr(given, name) == value for name, value in kept.items())
    assert numbers == {name: kept[name] for name in numbers}
    assert all(p is q for p, q in zip(given.parameters(), learner.network.parameters(), strict=True))
    assert all(p is q for p, q in zip(given.parameters(), weights, strict=True))


def test_two_learners_of_one_network_train_the_same_weights_each_in_its_way(digits):
    given = network()
    first, second = Learner(given, gradient=CostNudging(0.2)), Learner(given, gradient=Backpropagation())
    before = given.connections[0].weight.clone()
    trainer(max_steps=1).fit(first, DataLoader(digits[0], batch_size=200))
    assert not torch.equal(second.network.connections[0].weight, before)
    assert (type(first.gradient), type(second.gradient), type(given.gradient)) == (
        CostNudging,
        Backpropagation,
        LinearNudging,
    )


def test_a_module_that_is_no_network_keeps_its_class_and_its_gradients_are_those_of_autograd():
    module = nn.Linear(4, 2)
    learner = Learner(module)
    assert learner.network is module
    x, y = torch.rand(3, 4), torch.tensor([0, 1, 1])
    learner.loss(learner.predict(x), y).backward()
    expected = torch.autograd.grad(SquaredError()(module(x), y), list(module.parameters()))
    for parameter, gradient in zip(module.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


# ---------------------------------------------------------------- C-EP and what does not settle


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_c_ep_moves_the_weights_after_every_nudged_step(schedule, digits):
    """By hand: p <- p - lr g for each gradient that `updates` yields, which the next one already sees. Updates added up
    and applied at the end would be ordinary EP."""
    gradient, loader = CEP(0.5, "centered"), DataLoader(digits[0], batch_size=200)
    criterion = SquaredError()
    learner = Learner(network(), gradient=gradient, lr=0.3, schedule=schedule, **PLAIN)
    by_hand = copy.deepcopy(learner.network)
    trainer(2).fit(learner, loader)
    for lr in (0.3, 0.3 if schedule == "constant" else 0.15):
        for x, y in loader:
            for gradients in gradient.updates(gradient.predict(by_hand, x), y, criterion):
                for p, g in zip(by_hand.parameters(), gradients, strict=True):
                    p.data.add_(g, alpha=-lr)
    for p, q in zip(learner.network.parameters(), by_hand.parameters(), strict=True):
        assert_close(p, q, rtol=0.0, atol=1e-6)


def test_free_phases_that_oscillate_are_counted_and_reported_once(digits):
    """Two mutually exciting layers in turn: at dt = 1 they swap for ever, in every batch. An average over units or over
    epochs would hide it."""
    restless = Network([64, 32, 10], bias=True, time_step=TimeStep("scalar", mean=1.0), seed=1)
    with torch.no_grad():
        restless.connections[1].weight.fill_(-3.0)
        restless.connections[0].bias.fill_(1.0)
        restless.connections[1].bias.fill_(1.0)
    learner, run = Learner(restless, lr=1e-6), trainer()
    with pytest.warns(UserWarning, match=r"The free phase oscillates: .*network\.time_step\.mean") as told:
        run.fit(learner, DataLoader(digits[0], batch_size=200))
    assert sum("oscillates" in str(w.message) for w in told) == 1
    assert float(run.callback_metrics["train/unsettled"]) == 1.0
    calm = trainer()
    calm.fit(Learner(network(), lr=0.01), DataLoader(digits[0], batch_size=200))
    assert float(calm.callback_metrics["train/unsettled"]) == 0.0


def test_under_bptt_no_free_phase_is_counted(digits):
    """It has no phase whose end is looked at: a share of 0 would say that it settles."""
    run = trainer()
    run.fit(Learner(network(), gradient=Backpropagation(), lr=0.01), DataLoader(digits[0], batch_size=500))
    assert "train/unsettled" not in run.callback_metrics


def test_the_angle_between_forward_and_feedback_weights_is_logged(digits):
    """Untied weights start at a right angle, and under the contrast rule, where both take the same update, turn towards
    each other."""
    untied, run = Learner(network(feedback="untied"), lr=0.1), trainer(3)
    assert untied.network.feedback_angles() == pytest.approx([90.0], abs=10.0)
    run.fit(untied, DataLoader(digits[0], batch_size=32))
    w, b = untied.network.connections[1].weight, untied.network.connections[1].feedback
    by_hand = math.degrees(torch.acos((w * b).sum() / (w.norm() * b.norm())))
    assert float(run.callback_metrics["train/feedback_angle_layer_2"]) == pytest.approx(by_hand, abs=1e-3)
    assert by_hand < 80.0

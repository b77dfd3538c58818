"""The learner in plain Lightning: no stream, no strategies, any data loader."""

import copy
import math

import pytest
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from clep.equilibrium import (
    Backpropagation,
    Clamping,
    ContinualNudging,
    CostNudging,
    CrossEntropy,
    LinearNudging,
    Network,
    SquaredError,
    TimeStep,
)
from clep.errors import ConfigError, DivergenceError
from clep.learner import LOSSES, OPTIMIZERS, SCHEDULES, Learner, Prediction, accuracy

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*have no `val_dataloader`",
    "ignore:.*LeafSpec",
)


@pytest.fixture(scope="module")
def digits():
    """(train, test) of the 8 x 8 digits, images in [0, 1]."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return TensorDataset(x[order[:1437]], y[order[:1437]]), TensorDataset(x[order[1437:]], y[order[1437:]])


def network(**arguments):
    return Network([64, 32, 10], **{"seed": 3, "time_step": TimeStep("lognormal", mean=0.7, spread=0.4)} | arguments)


def trainer(epochs=1, **arguments):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **quiet | arguments)


class Losses(pl.Callback):
    """Collects `train/loss` and the learning rates of every epoch."""

    def __init__(self):
        self.losses, self.rates = [], []

    def on_train_epoch_start(self, trainer, module):
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    def on_train_epoch_end(self, trainer, module):
        self.losses.append(float(trainer.callback_metrics["train/loss"]))


GRADIENTS = {
    "linear": LinearNudging(0.5),
    "cost": CostNudging(0.5),
    "cost outside": CostNudging(0.2, nudge="outside"),
    "the network's own": None,
    "C-EP": ContinualNudging(0.5),
    "CHL": Clamping(),
    "BPTT": Backpropagation(),
}
PLAIN = {"momentum": 0.0}  # what C-EP insists on


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
    trainer(2).fit(learner, loader)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            linear = isinstance(gradient, LinearNudging)
            loss = SquaredError()(by_hand(x), y) if linear else gradient.loss(by_hand, by_hand.free_phase(x), y)
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


@pytest.mark.parametrize(
    ("gradient", "phases_of_forward"), [(LinearNudging(), "differentiable"), (CostNudging(), "kept for the loss")]
)
def test_a_prediction_holds_what_its_loss_needs(gradient, phases_of_forward):
    learner = Learner(network(), gradient=gradient)
    x, y = torch.rand(4, 64), torch.tensor([0, 1, 2, 3])
    prediction = learner.predict(x)
    assert torch.equal(prediction.output, learner(x))
    assert (prediction.free is not None) == (phases_of_forward == "kept for the loss")
    assert prediction.output.requires_grad == (phases_of_forward == "differentiable")
    loss = learner.loss(prediction, y)
    assert_close(loss, SquaredError()(prediction.output, y))
    loss.backward()
    assert all(p.grad.any() for p in learner.parameters())
    # An output that came from elsewhere, a replaced one say, is differentiated as it is.
    assert learner.loss(Prediction(learner(x)), y).requires_grad


# ---------------------------------------------------------------- checkpoints


SAVED = [
    LinearNudging(0.3, "random_sign"),
    CostNudging(-0.7, "one_sided", nudge="outside"),
    Backpropagation(steps=3),
    Clamping(restart=True),
    None,
]


@pytest.mark.parametrize("gradient", SAVED)
def test_a_saved_learner_comes_back_with_the_same_numbers_and_arguments(gradient, digits, tmp_path):
    """Outputs are equal to the bit, so time steps came back too, although the seed did not."""
    train, test = digits
    original = network(neuron="half_hard_sigmoid", free_steps=11, nudged_steps=3, nudging=LinearNudging(0.8), seed=12)
    arguments = {"lr": 0.05, "momentum": 0.5, "weight_decay": 1e-4, "lr_scale": [1.0, 0.5], "schedule": "cosine"}
    learner = Learner(original, gradient=gradient, **arguments)
    trainer().fit(learner, DataLoader(train, batch_size=200))
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt")
    x, y = test.tensors
    assert torch.equal(loaded(x), learner(x))
    assert loaded.network.arguments() == original.arguments()
    assert type(loaded.own_cost) is type(learner.own_cost)
    if isinstance(gradient, LinearNudging | Backpropagation | None):
        assert loaded.network.nudging == (gradient or LinearNudging(0.8))
    elif isinstance(gradient, Clamping):
        assert loaded.own_cost.restart
    else:
        assert loaded.own_cost.nudge == "outside"
        assert (loaded.own_cost.beta, loaded.own_cost.phases) == (-0.7, "one_sided")
    assert loaded.hparams == learner.hparams
    assert {key: loaded.hparams[key] for key in arguments} == arguments
    if not isinstance(gradient, LinearNudging):  # random signs are drawn, and not part of a checkpoint
        for one in (learner, loaded):
            one.zero_grad()
            one.loss(one.predict(x), y).backward()
        for p, q in zip(learner.parameters(), loaded.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad)


def test_a_convolutional_network_with_a_read_out_comes_back_from_its_checkpoint(digits, tmp_path):
    """Its layers are plain values in the checkpoint, and its cost is the one that the loss names."""
    x, y = digits[1].tensors
    layers = [(1, 8, 8), {"channels": 4, "kernel": 3, "pooling": "average"}, 20, 10]
    original = Network(layers, neuron="tanh", readout="linear", feedback="untied", rule="vector_field", seed=2)
    gradient = CostNudging(0.4, "holomorphic", points=3, cost=CrossEntropy())
    learner = Learner(original, gradient=gradient, loss="cross_entropy")
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt")
    assert loaded.network.arguments() == original.arguments()
    for one in (learner, loaded):
        one.loss(one.predict(x), y).backward()
    for p, q in zip(learner.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_saving_does_not_disturb_training(digits, tmp_path):
    train, _ = digits
    learners = [Learner(network(), lr=0.1) for _ in range(2)]
    for learner, saves in zip(learners, (False, True), strict=True):
        for _ in range(2):
            trainer().fit(learner, DataLoader(train, batch_size=200))
            if saves:
                learner.save(tmp_path / "learner.ckpt")
    assert_close(learners[0].state_dict(), learners[1].state_dict(), rtol=0.0, atol=0.0)


def test_a_checkpoint_of_the_trainer_loads_and_training_resumes_to_the_bit(digits, tmp_path):
    """Two epochs, saved after the first, equal two epochs without interruption: momentum and time steps are in it."""
    train, _ = digits
    loader = DataLoader(train, batch_size=200)
    whole, first = Learner(network(), lr=0.1), Learner(network(), lr=0.1)
    trainer(2).fit(whole, loader)
    half = trainer(1)
    half.fit(first, loader)
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = Learner.load_from_checkpoint(tmp_path / "half.ckpt")
    trainer(2).fit(resumed, loader, ckpt_path=tmp_path / "half.ckpt")
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)


def test_an_ordinary_module_is_given_again_when_its_checkpoint_is_loaded(tmp_path):
    def module():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    learner = Learner(module(), loss="cross_entropy")
    learner.save(tmp_path / "learner.ckpt")
    loaded = Learner.load_from_checkpoint(tmp_path / "learner.ckpt", network=module())
    x = torch.rand(3, 64)
    assert torch.equal(loaded(x), learner(x))
    with pytest.raises(ConfigError, match=r"^network: expected a module .* got `NoneType`.*`network=`"):
        Learner.load_from_checkpoint(tmp_path / "learner.ckpt")


def test_a_network_can_be_given_by_its_arguments():
    learner = Learner({"sizes": [64, 32, 10], "seed": 5}, gradient={"nudging": "cost", "beta": 0.3})
    x = torch.rand(2, 64)
    assert torch.equal(learner(x), Network([64, 32, 10], seed=5)(x))
    assert learner.own_cost.beta == 0.3


# ---------------------------------------------------------------- C-EP and what does not settle


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_c_ep_moves_the_weights_after_every_nudged_step(schedule, digits):
    """By hand: p <- p - lr g for each gradient that `updates` yields, which the next one already sees. Updates added up
    and applied at the end would be ordinary EP."""
    gradient, loader = ContinualNudging(0.5, "centered"), DataLoader(digits[0], batch_size=200)
    learner = Learner(network(), gradient=gradient, lr=0.3, schedule=schedule, **PLAIN)
    by_hand = copy.deepcopy(learner.network)
    trainer(2).fit(learner, loader)
    for lr in (0.3, 0.3 if schedule == "constant" else 0.15):
        for x, y in loader:
            for gradients in gradient.updates(by_hand, by_hand.free_phase(x), y):
                for p, g in zip(by_hand.parameters(), gradients, strict=True):
                    p.data.add_(g, alpha=-lr)
    for p, q in zip(learner.network.parameters(), by_hand.parameters(), strict=True):
        assert_close(p, q, rtol=0.0, atol=1e-6)


def test_free_phases_that_oscillate_are_counted_and_reported_once(digits):
    """Two mutually exciting layers in turn: at dt = 1 they swap for ever, in every batch. An average over units or over
    epochs would hide it."""
    restless = Network([64, 32, 10], time_step=TimeStep("scalar", mean=1.0), seed=1)
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


# ---------------------------------------------------------------- optimisers and schedules


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_is_the_one_asked_for(name):
    optimizer = Learner(network(), optimizer=name, lr=0.2, momentum=0.7, weight_decay=0.1).make_optimizer()
    assert type(optimizer) is OPTIMIZERS[name]
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.1)
    assert len(group["params"]) == 4
    if name == "sgd":
        assert group["momentum"] == 0.7


def test_each_layer_has_its_learning_rate():
    """A factor at the wrong layer, or a parameter left out of all groups, would only show as worse learning."""
    learner = Learner(network(), lr=0.2, lr_scale=[1.0, 0.25])
    groups = learner.make_optimizer().param_groups
    assert [group["lr"] for group in groups] == [0.2, 0.05]
    for group, connection in zip(groups, learner.network.connections, strict=True):
        assert [id(p) for p in group["params"]] == [id(connection.weight), id(connection.bias)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedule_runs_from_each_learning_rate_to_zero_in_one_fit(schedule, digits):
    """Cosine: lr_e = lr (1 + cos(pi e / epochs)) / 2, for each connection, and again from the start in the next fit."""
    train, _ = digits
    learner, record = Learner(network(), lr=0.2, lr_scale=[1.0, 0.5], schedule=schedule), Losses()
    for _ in range(2):
        trainer(4, callbacks=[record]).fit(learner, DataLoader(train, batch_size=500))
    cosine = [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    factors = cosine if schedule == "cosine" else [1.0] * 4
    expected = [[0.2 * factor, 0.1 * factor] for factor in factors * 2]
    assert_close(torch.tensor(record.rates), torch.tensor(expected))


def test_a_schedule_starts_afresh_on_an_optimizer_that_is_kept():
    learner = Learner(network(), lr=0.2, lr_scale=[1.0, 0.5], schedule="cosine")
    optimizer = learner.make_optimizer()
    for _ in range(2):
        schedule = learner.make_schedule(optimizer, epochs=3)
        assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.1]
        for _ in range(3):
            optimizer.step()
            schedule.step()
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0, 0.0], abs=1e-12)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Learner(network(), loss="l2"), ["learner.loss", "`l2`", *LOSSES]),
        (lambda: Learner(network(), optimizer="lbfgs"), ["learner.optimizer", "`lbfgs`", *OPTIMIZERS]),
        (lambda: Learner(network(), schedule="linear"), ["learner.schedule", "`linear`", *SCHEDULES]),
        (
            lambda: Learner(network(), gradient=CostNudging(), loss="cross_entropy"),
            ["learner.loss", "`mse`", "`cross_entropy`"],
        ),
        (
            lambda: Learner(network(), gradient=CostNudging(cost=CrossEntropy()), loss="cross_entropy"),
            ["learner.loss", "`cross_entropy`", "network.readout=linear", "learner.nudging=linear"],
        ),
        (
            lambda: Learner(network(readout="linear"), gradient=Clamping()),
            ["learner.nudging", "`clamped`", "network.readout=state"],
        ),
        (
            lambda: Learner(network(), gradient=Clamping(), loss="cross_entropy"),
            ["learner.nudging", "`clamped`", "learner.loss=mse"],
        ),
        (
            lambda: Learner(network(readout="linear"), gradient=ContinualNudging(), **PLAIN),
            ["learner.nudging", "`continual`", "network.readout=state"],
        ),
        (
            lambda: Learner(network(precision="bfloat16"), gradient=Backpropagation()),
            ["learner.nudging", "`bptt`", "network.precision=full"],
        ),
        (
            lambda: Learner(network(neuron="centered_hard_sigmoid"), gradient=Clamping()),
            ["learner.nudging", "`clamped`", "network.neuron=centered_hard_sigmoid"],
        ),
        (
            lambda: Learner(network(), gradient=ContinualNudging()),
            ["learner.optimizer", "`continual`", "learner.momentum=0"],
        ),
        (
            lambda: Learner(network(), gradient=LinearNudging(phases="holomorphic")),
            ["learner.phases", "`holomorphic`", "network.neuron=hard_sigmoid", "tanh"],
        ),
        (lambda: Learner(network(), lr_scale=[1.0]), ["learner.lr_scale", "2 layers", "got 1"]),
        (lambda: Learner(nn.Linear(4, 2), gradient=LinearNudging()), ["learner.gradient", "`Network`", "`Linear`"]),
        (lambda: Learner(nn.Linear(4, 2), lr_scale=[1.0]), ["learner.lr_scale", "`Network`", "`Linear`"]),
        (lambda: Learner(None), ["network", "`NoneType`"]),
        (lambda: Learner(network(), gradient="linear"), ["gradient", "`LinearNudging`", "`CostNudging`", "`str`"]),
    ],
)
def test_bad_arguments_are_refused_with_the_key_and_what_is_allowed(make, words):
    with pytest.raises(ConfigError) as error:
        make()
    assert all(word in str(error.value) for word in words)


def test_a_cosine_over_an_unknown_number_of_epochs_is_refused(digits):
    """Lightning calls it -1 epochs; a cosine over those would swing between `lr` and 0 at every epoch."""
    learner = Learner(network(), schedule="cosine")
    with pytest.raises(ConfigError, match=r"learner\.schedule: `cosine` .* `max_epochs`"):
        trainer(-1, max_steps=3).fit(learner, DataLoader(digits[0], batch_size=500))


@pytest.mark.parametrize("gradient", [LinearNudging(), CostNudging()])
def test_a_network_that_diverges_stops_training_and_names_the_layer(gradient, digits):
    """NaN compares as a wrong prediction: training would go on at chance level to the end."""
    learner = Learner(network(), gradient=gradient)
    with torch.no_grad():
        learner.network.connections[1].weight[0, 0] = math.nan
    message = r"diverged at epoch 0, batch 0: `connections\.1\.weight` .*learner\.lr or learner\.beta"
    with pytest.raises(DivergenceError, match=message):
        trainer().fit(learner, DataLoader(digits[0], batch_size=500))


def test_divergence_of_the_loss_or_of_the_parameters_alone():
    learner = Learner(network())
    learner.check_finite(torch.tensor(1.0), "here")
    learner.check_finite(None, "here")
    with pytest.raises(DivergenceError, match="diverged at here: the loss is inf"):
        learner.check_finite(torch.tensor(math.inf), "here")
    with torch.no_grad():
        learner.network.connections[0].bias[3] = math.inf
    with pytest.raises(DivergenceError, match=r"diverged at there: `connections\.0\.bias`"):
        learner.check_finite(None, "there")

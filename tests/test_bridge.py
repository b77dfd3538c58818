"""The bridge between Lightning and Avalanche: the same weights, events and penalties as plain Avalanche."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from avalanche.benchmarks.utils import TransformGroups, make_avalanche_dataset
from avalanche.core import SupervisedPlugin
from avalanche.training import DER as AvalancheDER
from avalanche.training import ER_ACE as AvalancheERACE
from avalanche.training import Naive
from avalanche.training.plugins import (
    AGEMPlugin,
    EWCPlugin,
    GDumbPlugin,
    GEMPlugin,
    LwFPlugin,
    MIRPlugin,
    ReplayPlugin,
    RWalkPlugin,
    SynapticIntelligencePlugin,
)
from clep.strategies.der import DER
from clep.strategies.er_ace import ERACE
from clep.strategies.mir import MIR
from clep.strategies.si import SI
from torch import nn

import clep
from clep.bridge import LightningTemplate
from clep.errors import ConfigError
from clep.randomness import seed_globals

PLUGINS = {
    "naive": list,
    "ewc": lambda: [EWCPlugin(ewc_lambda=10.0)],
    "si": lambda: [SI(si_lambda=1000.0)],
    "avalanche_si": lambda: [SynapticIntelligencePlugin(si_lambda=1000.0)],
    "lwf": lambda: [LwFPlugin(alpha=1.0, temperature=2.0)],
    "gem": lambda: [GEMPlugin(patterns_per_experience=10, memory_strength=0.5)],
    "agem": lambda: [AGEMPlugin(patterns_per_experience=10, sample_size=8)],
    "replay": lambda: [ReplayPlugin(mem_size=20)],
    "rwalk": lambda: [RWalkPlugin(ewc_lambda=0.1, ewc_alpha=0.9, delta_t=3)],
    "mir": lambda: [MIR(batch_size_mem=8, mem_size=40)],
    "avalanche_mir": lambda: [MIRPlugin(batch_size_mem=8, mem_size=40)],
    "gdumb": lambda: [GDumbPlugin(mem_size=40)],
    "two": lambda: [ReplayPlugin(mem_size=20), EWCPlugin(ewc_lambda=10.0)],
}
OURS = {"der": lambda: [DER(mem_size=40)], "er_ace": lambda: [ERACE(mem_size=40)]}  # templates in Avalanche
PENALTIES = ["ewc", "si", "lwf", "rwalk"]
EPOCHS, BATCH = 2, 16

pytestmark = pytest.mark.filterwarnings("ignore:No loggers specified")


class Spy(SupervisedPlugin):
    """Records the order of events, and the loss before and after the other plugins' `before_backward`."""

    def __init__(self):
        super().__init__()
        self.events = []


def _recorder(event):
    def record(self, strategy, **kwargs):
        self.events.append((event, strategy.clock.train_iterations, float(strategy.loss.detach().sum())))

    return record


for _event in [name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))]:
    setattr(Spy, _event, _recorder(_event))


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=3, samples_per_experience=50, class_order="fixed")


def mlp():
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))


def plain_avalanche(stream, plugins, *, momentum=0.9, reset=False, template=Naive, **kwargs):
    model = mlp()
    strategy = template(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        train_epochs=EPOCHS,
        plugins=plugins,
        evaluator=None,
        **kwargs,
    )
    seed_globals(1)
    for experience in stream.benchmark.train_stream:
        strategy.train(experience, reset_optimizer_state=reset)
    return strategy.model


def bridged(stream, plugins, *, network=None, reset=False, lr=0.05, **kwargs):
    loss = "cross_entropy" if network is None else "mse"
    learner = clep.Learner(network or mlp(), lr=lr, momentum=0.9, loss=loss)
    template = LightningTemplate(learner=learner, plugins=plugins, epochs=EPOCHS, batch_size=BATCH, **kwargs)
    template.samples = stream.samples
    seed_globals(1)
    for experience in stream.benchmark.train_stream:
        template.train(experience, eval_streams=[], reset_optimizer_state=reset)
    return template


def assert_same_weights(first, second):
    for (name, a), (_, b) in zip(first.state_dict().items(), second.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("name", PLUGINS)
def test_final_weights_equal_those_of_plain_avalanche_to_the_bit(name, stream):
    """Same data, draws, events and arithmetic; a hook called early or late moves at least one bit."""
    assert_same_weights(plain_avalanche(stream, PLUGINS[name]()), bridged(stream, PLUGINS[name]()).model)


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_der_plugin_equals_avalanches_der_template_to_the_bit(beta, stream):
    theirs = plain_avalanche(stream, [], template=AvalancheDER, mem_size=40, alpha=0.2, beta=beta)
    assert_same_weights(theirs, bridged(stream, [DER(mem_size=40, alpha=0.2, beta=beta)]).model)


def test_er_ace_plugin_equals_avalanches_er_ace_template_to_the_bit(stream):
    theirs = plain_avalanche(stream, [], template=AvalancheERACE, mem_size=40, batch_size_mem=10)
    assert_same_weights(theirs, bridged(stream, [ERACE(mem_size=40, batch_size_mem=10)]).model)


def test_resetting_the_optimizer_state_equals_avalanches_reset(stream):
    theirs = plain_avalanche(stream, [], reset=True)
    assert_same_weights(theirs, bridged(stream, [], reset=True).model)
    kept = bridged(stream, [], reset=False).model
    assert any(not torch.equal(a, b) for a, b in zip(theirs.parameters(), kept.parameters(), strict=True))


def test_every_event_fires_in_avalanches_order_with_the_same_loss(stream):
    plain, ours = Spy(), Spy()
    plain_avalanche(stream, [plain, EWCPlugin(10.0)])
    bridged(stream, [ours, EWCPlugin(10.0)])
    assert ours.events == plain.events


def test_a_plugin_can_stop_training_in_the_middle_of_an_epoch(stream):
    class Stopper(SupervisedPlugin):
        def after_training_iteration(self, strategy, **kwargs):
            if strategy.clock.train_exp_iterations == 2:
                strategy.stop_training()

    assert_same_weights(plain_avalanche(stream, [Stopper()]), bridged(stream, [Stopper()]).model)


@pytest.mark.parametrize("name", PLUGINS | OURS)
def test_every_plugin_trains_an_equilibrium_network(name, stream):
    plugins = (PLUGINS | OURS)[name]()
    network = clep.Network([64, 20, 10], seed=3)
    before = copy.deepcopy(network.state_dict())
    after = bridged(stream, plugins, network=network).model.state_dict()
    for key, value in after.items():
        assert torch.isfinite(value).all()
        assert key.startswith("dt_") or not torch.equal(value, before[key])


class LossBefore(SupervisedPlugin):
    def before_backward(self, strategy, **kwargs):
        self.loss = float(strategy.loss.detach().sum())


class LossAfter(SupervisedPlugin):
    def __init__(self, first):
        super().__init__()
        self.first, self.penalties = first, []

    def before_backward(self, strategy, **kwargs):
        if strategy.clock.train_exp_counter > 0:
            self.penalties.append(float(strategy.loss.detach().sum()) - self.first.loss)


@pytest.mark.parametrize("name", PENALTIES)
def test_every_regulariser_adds_a_penalty_on_an_equilibrium_network_and_moves_weights(name, stream):
    """A dead penalty is the usual silent defect: it is non-zero here, and the final weights differ from naive ones."""
    first = LossBefore()
    last = LossAfter(first)
    regularised = bridged(stream, [first, *PLUGINS[name](), last], network=clep.Network([64, 20, 10], seed=3)).model
    naive = bridged(stream, [], network=clep.Network([64, 20, 10], seed=3)).model
    assert max(abs(p) for p in last.penalties) > 1e-6
    assert any(not torch.equal(a, b) for a, b in zip(regularised.parameters(), naive.parameters(), strict=True))


OWN_COST = {"cost": clep.CostNudging(), "cep": clep.CEP(), "clamped": clep.Clamping()}


@pytest.mark.parametrize("gradient", OWN_COST)
@pytest.mark.parametrize("name", ["ewc", "lwf", "gem", "agem", "rwalk", "mir", *OURS])
def test_an_estimate_of_its_own_cost_is_refused_with_strategies_that_differentiate_outputs(name, gradient):
    learner = clep.Learner(clep.Network([64, 20, 10]), gradient=OWN_COST[gradient], momentum=0.0)
    plugins = (PLUGINS | OURS)[name]()
    message = r"learner\.gradient: (Cost|CEP|Clamp)\w* cannot be used .*Use learner\.gradient=linear"
    with pytest.raises(ConfigError, match=message):
        LightningTemplate(learner=learner, plugins=plugins)


@pytest.mark.parametrize("gradient", OWN_COST)
@pytest.mark.parametrize("name", ["naive", "replay", "gdumb"])
def test_an_estimate_of_its_own_cost_trains_with_strategies_that_leave_outputs_alone(name, gradient, stream):
    network = clep.Network([64, 20, 10], seed=3)
    learner = clep.Learner(network, gradient=OWN_COST[gradient], lr=0.05, momentum=0.0)
    before = copy.deepcopy(learner.network.state_dict())
    template = LightningTemplate(learner=learner, plugins=PLUGINS[name](), epochs=1, batch_size=BATCH)
    template.train(stream.benchmark.train_stream[0], eval_streams=[])
    assert not torch.equal(before["connections.0.weight"], template.model.connections[0].weight)


def test_c_ep_takes_the_same_steps_in_a_stream_as_in_plain_lightning(stream):
    """Events surround the updates of a batch; none of them may be lost, repeated or made with a stale learning rate."""

    def learner():
        network = clep.Network([64, 20, 10], seed=3)
        return clep.Learner(network, gradient=clep.CEP(), lr=0.5, momentum=0.0, schedule="cosine")

    class Events(SupervisedPlugin):
        def __init__(self):
            super().__init__()
            self.fired = []

        def after_backward(self, strategy, **kwargs):
            self.fired.append("after_backward")

        def before_update(self, strategy, **kwargs):
            self.fired.append("before_update")

        def after_update(self, strategy, **kwargs):
            self.fired.append("after_update")

    events = Events()
    events.adds_penalty = False
    bridged_one, plain = learner(), learner()
    experience = stream.benchmark.train_stream[0]
    template = LightningTemplate(
        learner=bridged_one, plugins=[events], epochs=2, batch_size=BATCH, generator=torch.Generator().manual_seed(1)
    )
    template.samples = stream.samples
    template.train(experience, eval_streams=[])
    loader = stream.train[0].samples.loader(BATCH, shuffle=True, generator=torch.Generator().manual_seed(1))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    pl.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet).fit(plain, loader)
    for p, q in zip(bridged_one.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q)
    assert events.fired == ["after_backward", "before_update", "after_update"] * 2 * len(loader)


def test_c_ep_refuses_gradient_clipping():
    learner = clep.Learner(clep.Network([64, 20, 10]), gradient=clep.CEP(), momentum=0.0)
    with pytest.raises(ConfigError, match=r"learner\.gradient_clip: C-EP"):
        clep.Training(learner, trainer={"gradient_clip_val": 1.0}, epochs=1)


def test_lightning_options_reach_the_trainer_gradient_clipping(stream):
    clipped = clep.Training(clep.Learner(mlp(), lr=1.0, momentum=0.0), epochs=1, trainer={"gradient_clip_val": 1e-6})
    start = copy.deepcopy(clipped.template.model.state_dict())
    clipped.run(stream)
    moved = max((v - start[k]).abs().max() for k, v in clipped.template.model.state_dict().items())
    assert 0 < moved < 1e-4


def test_accumulating_gradients_equals_one_large_batch(stream):
    """Two batches of 25 accumulated make the update of one batch of 50; zeroing in between would halve it."""
    weights = []
    for batch, accumulate in ((50, 1), (25, 2)):
        learner = clep.Learner(mlp().double(), lr=0.1, momentum=0.0, loss="cross_entropy")
        training = clep.Training(learner, batch_size=batch, trainer={"accumulate_grad_batches": accumulate}, epochs=1)
        samples = clep.streams.Samples(stream.samples.x.double(), stream.samples.y)
        experience = stream.train[0]
        double = clep.streams.Stream(
            stream.name, stream.class_order, samples, (experience,), stream.validation, stream.test
        )
        training.template.samples = samples
        training.template.train(double.benchmark.train_stream[0], eval_streams=[])
        weights.append(training.template.model[1].weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-10, atol=1e-12)


def test_each_connection_has_its_own_learning_rate():
    learner = clep.Learner(clep.Network([64, 20, 10]), lr=0.1, lr_scale=[1.0, 0.5])
    assert [group["lr"] for group in learner.make_optimizer().param_groups] == [0.1, 0.05]


def test_data_that_a_plugin_transforms_go_through_avalanches_own_loader(stream):
    """Slices of the stored tensors would skip the transform in silence."""

    class Darken(SupervisedPlugin):
        seen = None

        def after_train_dataset_adaptation(self, strategy, **kwargs):
            darken = TransformGroups({"train": (lambda x: 0 * x, None), "eval": (None, None)})
            strategy.adapted_dataset = make_avalanche_dataset(strategy.adapted_dataset, transform_groups=darken)

        def after_forward(self, strategy, **kwargs):
            Darken.seen = float(strategy.mb_x.abs().max())

    bridged(stream, [Darken()])
    assert Darken.seen == 0.0


class Batches(pl.Callback):
    """Counts the batches that Lightning's own loop goes through."""

    def __init__(self):
        self.seen = 0

    def on_train_batch_end(self, *args):
        self.seen += 1


@pytest.mark.parametrize(
    ("learner", "trainer"),
    [
        ({}, {}),
        ({"schedule": "cosine"}, {}),
        ({}, {"gradient_clip_val": 0.01}),
        ({}, {"gradient_clip_val": 0.001, "gradient_clip_algorithm": "value"}),
        ({"gradient": clep.CEP()}, {}),
    ],
    ids=["plain", "schedule", "clipped", "clipped by value", "C-EP"],
)
def test_lightnings_loop_and_clep_s_own_update_alike(learner, trainer, stream):
    """Callbacks look at batches, so with one Lightning's loop runs; nothing else may differ."""
    ends, counter = [], Batches()
    for arguments in (trainer, trainer | {"callbacks": [counter]}):
        own = {"momentum": 0.0, "loss": "mse"} | learner
        model = clep.Learner(clep.Network([64, 8, 10], seed=3, free_steps=5, nudged_steps=3), lr=0.05, **own)
        spy = Spy()
        spy.adds_penalty = False  # it only looks, so that C-EP bears it
        template = LightningTemplate(learner=model, plugins=[spy], epochs=EPOCHS, batch_size=BATCH, trainer=arguments)
        template.samples = stream.samples
        seed_globals(1)
        for experience in stream.benchmark.train_stream:
            template.train(experience, eval_streams=[])
        ends.append((template.model, spy.events, template.optimizer.param_groups[0]["lr"]))
    assert_same_weights(ends[0][0], ends[1][0])
    assert ends[0][1:] == ends[1][1:]
    assert counter.seen == EPOCHS * sum(len(e.samples.loader(BATCH)) for e in stream.train)

"""Orthogonal weight modification: earlier inputs keep their answers, whatever the learner and the optimiser are."""

import pytest
import torch
from clep.strategies.orthogonal import Orthogonal, projector, tighten

import clep
from clep.errors import ConfigError
from clep.feedforward import Feedforward
from clep.streams import Experience, Samples, Stream

FEATURES = 30
TIGHT = [1e-6]
FRE = {"neuron": "tanh", "readout": "linear", "bias": True}


@pytest.fixture(scope="module")
def stream():
    """Two experiences of two classes, 8 samples each in 30 dimensions: the second has directions of its own."""
    generator = torch.Generator().manual_seed(0)
    samples = Samples(torch.rand(16, FEATURES, generator=generator), torch.tensor([0, 1] * 4 + [2, 3] * 4))
    rows = [tuple(range(8)), tuple(range(8, 16))]
    parts = tuple(Experience(i, (2 * i, 2 * i + 1), samples.rows(list(r)), r) for i, r in enumerate(rows))
    return Stream("made", (0, 1, 2, 3), samples, parts, (), parts)


class Note(clep.Strategy):
    """The outputs for the samples of the first experience, after each one."""

    adds_penalty = False

    def __init__(self, x):
        super().__init__()
        self.x, self.outputs, self.weights = x, [], []

    @torch.no_grad()
    def after_training_exp(self, strategy, **kwargs):
        self.outputs.append(strategy.model(self.x).detach().clone())
        self.weights.append([p.detach().clone() for p in strategy.model.parameters()])


def moved(stream, network, gradient=None, own=True, feedback=False, pull=0.0, **options):
    """How far outputs for earlier inputs, and weights, move in the second experience."""
    note = Note(stream.train[0].samples.x)
    learner = clep.Learner(network, gradient=gradient, **({"lr": 0.1} | options))
    strategies = [Orthogonal(alpha=TIGHT, feedback=feedback, pull=pull), note] if own else [note]
    clep.Training(learner, strategies, epochs=2, batch_size=8, seed=0).run(stream)
    weights = max(float((a - b).abs().max()) for a, b in zip(*note.weights, strict=True))
    return float((note.outputs[1] - note.outputs[0]).abs().max()), weights


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [{"momentum": 0.0}, {"momentum": 0.9, "weight_decay": 0.1}, {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1}],
    ids=["sgd", "momentum and decay", "adam"],
)
def test_a_linear_network_answers_earlier_inputs_as_before(stream, bias, optimizer):
    outputs, weights = moved(stream, Feedforward([FEATURES, 4], bias=bias), **optimizer)
    assert outputs < 1e-5
    assert weights > 1e-3  # and it learns
    assert moved(stream, Feedforward([FEATURES, 4], bias=bias), own=False, **optimizer)[0] > 0.05


def test_so_does_a_deep_one(stream):
    outputs, weights = moved(stream, Feedforward([FEATURES, 40, 20, 4], bias=True))
    assert outputs < 1e-4
    assert weights > 1e-3


@pytest.mark.parametrize(
    "gradient",
    [clep.LinearNudging(beta=0.2, phases="centered"), clep.CostNudging(beta=0.2), clep.CEP(), clep.Backpropagation()],
    ids=lambda gradient: type(gradient).__name__,
)
def test_every_gradient_of_an_equilibrium_network_can_be_projected(stream, gradient):
    options = {"momentum": 0.0, "lr": 0.02} if isinstance(gradient, clep.CEP) else {}
    outputs, weights = moved(stream, clep.Network([FEATURES, 40, 4], bias=True), gradient, feedback=True, **options)
    assert outputs < 1e-4
    assert weights > 1e-5


@pytest.mark.parametrize("wiring", ["tied", "untied"])
def test_only_both_sides_keep_what_feedback_tells_lower_layers(stream, wiring):
    """Up to what the states still move at the end of a free phase."""
    gradient = clep.LinearNudging(beta=0.2, phases="centered", rule="vector_field")
    options = {"neuron": "tanh", "feedback": wiring, "free_steps": 50}
    outputs = {
        both: moved(stream, clep.Network([FEATURES, 40, 4], **options), gradient, feedback=both)[0]
        for both in (False, True)
    }
    assert outputs[True] < 1e-4
    assert outputs[False] > 1e-3


def test_a_read_out_sends_nothing_down(stream):
    gradient = clep.LinearNudging(beta=0.1, phases="one_sided", rule="vector_field")
    assert moved(stream, clep.Network([FEATURES, 40, 4], **FRE), gradient)[0] < 1e-4


def test_the_projection_is_that_of_recursive_least_squares():
    """Zeng et al.: P <- P - P r r^T P / (alpha + r^T P r), one sample after another."""
    r = torch.rand(20, 6, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    unit = float((r.T @ r / 20).diagonal().mean())
    expected, alpha = torch.eye(6, dtype=torch.double), 0.3
    for row in r:
        k = expected @ row
        expected = expected - torch.outer(k, k) / (20 * alpha * unit + row @ k)
    torch.testing.assert_close(projector(r.T @ r / 20, 1, alpha), expected)


def test_with_the_pull_a_linear_layer_finds_what_all_samples_together_ask_for():
    """As recursive least squares does; the projection alone keeps nothing but what alpha protects."""
    generator = torch.Generator().manual_seed(3)
    samples = Samples(torch.randn(80, 6, generator=generator), torch.arange(80) % 4)
    rows = [tuple(range(40)), tuple(range(40, 80))]
    parts = tuple(Experience(i, (0, 1, 2, 3), samples.rows(list(r)), r) for i, r in enumerate(rows))
    stream = Stream("made", (0, 1, 2, 3), samples, parts, (), parts)
    expected = torch.linalg.lstsq(samples.x, torch.eye(4)[samples.y]).solution.T
    apart = {}
    for pull in (0.0, 1.0):
        network, strategy = Feedforward([6, 4], bias=False), Orthogonal(alpha=[1.0], pull=pull)
        learner = clep.Learner(network, lr=0.4, momentum=0.0)
        clep.Training(learner, [strategy], epochs=40, batch_size=40, seed=0).run(stream)
        apart[pull] = float((network.layers[0].weight - expected).abs().max())
    assert apart[1.0] < 1e-4
    assert apart[0.0] > 1e-2
    sums = sum(samples.x[list(r)].T @ samples.x[list(r)] / 40 for r in rows)
    torch.testing.assert_close(strategy.state["below"][0], sums)
    assert strategy.memory().statistics_bytes == 4 * 6**2 + 4 * 4 * 6


def test_batches_tighten_the_projection_as_one_sample_each_of_their_means_does():
    """Woodbury: after any number of batches, P is the inverse of I plus the sum of q q^T / (alpha m)."""
    batches = torch.rand(12, 5, 6, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    p, expected = torch.eye(6, dtype=torch.double), torch.eye(6, dtype=torch.double)
    for batch in batches:
        tighten(p, batch, 0.3)
        expected += torch.outer(batch.mean(0), batch.mean(0)) / (0.3 * (batch**2).mean())
    torch.testing.assert_close(p, torch.linalg.inv(expected))
    tighten(p, torch.zeros(5, 6, dtype=torch.double), 0.3)  # nothing came in
    torch.testing.assert_close(p, torch.linalg.inv(expected))


def test_protected_batches_keep_what_one_class_at_a_time_would_overwrite():
    """Ten experiences of one digit each: without the projection only the last is known."""
    config = {
        "stream": {"name": "digits", "experiences": 10},
        "network": {"name": "feedforward", "hidden": [100], "bias": True},
        "learner": {"lr": 1.0, "momentum": 0.0, "loss": "cross_entropy", "batch_size": 8, "epochs": 2},
    }
    options = {"strategy": {"orthogonal": {"protects": "batches", "pull": 0.0, "alpha": [0.3, 8.0]}}}
    result = clep.run(config | {"strategies": ["orthogonal"]} | options)
    assert result.accuracy > 0.6
    assert clep.run(config | {"strategies": ["naive"]}).accuracy < 0.15


def test_a_stopped_course_goes_on_with_the_projection_of_its_batches(stream):
    learner = clep.Learner(Feedforward([FEATURES, 4], bias=True), lr=0.1)
    strategy = Orthogonal(protects="batches", pull=0.0)
    clep.Training(learner, [strategy], epochs=2, batch_size=4, seed=0).run(stream)
    (p,) = strategy.state["projectors"]["below"]
    assert strategy.memory().statistics_bytes == p.nbytes == 4 * (FEATURES + 1) ** 2
    again = Orthogonal(protects="batches", pull=0.0)
    again.load_state_dict(strategy.state_dict())
    torch.testing.assert_close(again.state["projectors"]["below"][0], p, rtol=0.0, atol=0.0)


def test_the_pull_needs_sums_over_samples():
    with pytest.raises(ConfigError, match=r"^pull: it needs sums over samples; set it to 0, or protects=samples$"):
        Orthogonal(protects="batches")
    assert set(Orthogonal.searched({"protects": "batches"})) == {"alpha[0]"}
    assert set(Orthogonal.searched({})) == {"alpha[0]", "pull"}


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (
            clep.Network([(1, 8, 8), clep.ConvLayer(4), 10]),
            {},
            "strategies: orthogonal works on the weights of dense layers",
        ),
        (clep.Network([8, 6, 4], feedback="dendritic"), {}, "strategies: orthogonal needs the weights of each layer"),
        (torch.nn.Linear(8, 4), {}, "strategies: orthogonal needs the signals below each layer"),
        (clep.Network([8, 6, 4]), {"alpha": [1.0, 1.0, 1.0]}, "strategy.orthogonal.alpha: expected 1 or 2 values"),
        (Feedforward([8, 6, 4]), {"feedback": True}, "strategy.orthogonal.feedback: Feedforward has no feedback"),
    ],
)
def test_what_cannot_be_protected_is_refused(network, options, message):
    with pytest.raises(ConfigError, match=message):
        clep.Training(clep.Learner(network), [Orthogonal(**options)])


@pytest.mark.parametrize("options", [{"alpha": [0.0]}, {"alpha": 1.0}, {"feedbacks": True}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Orthogonal(**options)

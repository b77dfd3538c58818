"""What every registered strategy owes: documentation, a configuration, training, modesty with randomness, accounts."""

import random
import re

import numpy as np
import pytest
import torch
from avalanche.training import Naive
from torch import nn

import clep
from clep import registry
from clep.bridge import LightningTemplate
from clep.build import build_strategies
from clep.config import builtin, compose
from clep.equilibrium import SquaredError
from clep.randomness import seed_globals
from clep.strategy import Strategy

pytestmark = [
    pytest.mark.filterwarnings("ignore:No loggers specified"),
    pytest.mark.filterwarnings("ignore:Call to deprecated function"),
]

# Small and quick where the defaults are not; memories smaller than what they are offered (2 experiences of 40 samples).
ARGUMENTS = {
    "agem": {"patterns_per_experience": 7, "sample_size": 6},
    "awake_rehearsal": {"memory_size": 13},
    "der": {"mem_size": 24, "batch_size_mem": 4},
    "er_ace": {"mem_size": 24, "batch_size_mem": 4},
    "gdumb": {"mem_size": 30},
    "gem": {"patterns_per_experience": 6},
    "mir": {"mem_size": 24, "batch_size_mem": 4},
    "replay": {"mem_size": 15},
    "rwalk": {"delta_t": 3},
    "sleep_replay": {"steps": 150},
}
STORED = {"agem": 14, "awake_rehearsal": 13, "der": 24, "er_ace": 24, "gdumb": 30, "gem": 12, "mir": 24, "replay": 15}
KEEPS_STATISTICS = {"agem", "der", "ewc", "gdumb", "gem", "lwf", "rwalk", "si", "sleep_replay"}
# Other data in the first experience by definition: everything at once, a balanced memory.
OTHER_FIRST_BATCHES = {"joint", "gdumb"}
# Draws from torch's global generator in order to give Avalanche's weights to the bit.
DRAWS_GLOBALLY = {"der", "er_ace", "gem"}

ALL = registry.names()
OURS = [name for name in ALL if issubclass(registry.find(name), Strategy) and name != "joint"]
SAMPLE_BYTES = 64 * 4 + 8


def built(name, seed=0):
    return build_strategies(compose({"strategies": [name], "seed": seed, "strategy": {name: ARGUMENTS.get(name, {})}}))


def bridge(stream, plugins, seed=0):
    """Weights, accuracies and reports after both experiences, on a small equilibrium network."""
    seed_globals(seed)
    network = clep.Network([64, 12, 10], seed=seed)
    training = clep.Training(clep.Learner(network, lr=0.1), plugins, epochs=2, batch_size=10, seed=seed)
    result = training.run(stream)
    return {k: v.clone() for k, v in training.template.model.state_dict().items()}, result


def same(first, second):
    return all(torch.equal(value, second[key]) for key, value in first.items())


# documentation and configuration


@pytest.mark.parametrize("name", ALL)
def test_its_docstring_names_every_parameter(name):
    cls = registry.find(name)
    assert cls.__doc__
    ours = cls.__module__.startswith("clep.")  # Google style; Avalanche has several
    for parameter in registry.parameters(cls):
        pattern = rf"^ +{parameter}: \S" if ours else rf"\b{parameter}\b"
        assert re.search(pattern, f"{cls.__doc__}\n{cls.__init__.__doc__}", re.MULTILINE), parameter


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_has_a_value_without_being_asked_for(name):
    """By its default or by `configs/strategy/<name>.yaml`; the values build."""
    composed = compose({"strategies": [name]}).strategy.get(name, {})
    assert bool(composed) is (name in builtin("strategy"))
    values = registry.defaults(registry.find(name)) | composed
    assert set(values) == set(registry.parameters(registry.find(name)))
    (plugin,) = registry.build([name], {name: values})
    assert type(plugin) is registry.find(name)


def test_there_is_no_configuration_of_an_unknown_strategy():
    assert set(builtin("strategy")) <= set(ALL)


# training


@pytest.mark.parametrize("name", ALL)
def test_it_trains_two_experiences_in_the_bridge_and_keeps_its_accounts(name, pair):
    weights, result = bridge(pair, built(name))
    start = clep.Network([64, 12, 10]).state_dict()
    for key, value in weights.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, start[key]) is key.startswith("dt_"), key
    assert len(result.reports) == (1 if name == "joint" else 2)
    last = result.matrix[-1]
    assert ((last >= 0) & (last <= 1)).all()
    for report in result.reports:
        memory = report.memory
        assert min(memory.exemplars, memory.exemplar_bytes, memory.statistics_bytes) >= 0
        assert memory.exemplar_bytes == memory.exemplars * SAMPLE_BYTES
        assert all(np.isfinite(value) for value in report.numbers.values())
    if name in ARGUMENTS or name in KEEPS_STATISTICS:
        assert result.reports[-1].memory.exemplars == STORED.get(name, 0)
        assert (result.reports[-1].memory.statistics_bytes > 0) is (name in KEEPS_STATISTICS)


@pytest.mark.parametrize("name", OURS)
def test_a_strategy_of_ours_gives_the_same_weights_inside_plain_avalanche(name, pair, mlp):
    """To the bit, on an ordinary MLP: neither side of the bridge knows anything that the other lacks."""
    weights = []
    for bridged in (False, True):
        needs_phases = name == "neuronal_adaptation"
        model = clep.Network([64, 12, 10], seed=3) if needs_phases else mlp(64, 12, 10)
        loss = "mse" if needs_phases else "cross_entropy"
        options = {"train_mb_size": 10, "train_epochs": 2}
        if bridged:
            learner = clep.Learner(model, lr=0.1, momentum=0.9, loss=loss)
            template = LightningTemplate(learner=learner, plugins=built(name), epochs=2, batch_size=10)
            template.samples = pair.samples
        else:
            template = Naive(
                model=model,
                optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
                criterion=SquaredError() if needs_phases else nn.CrossEntropyLoss(),
                plugins=built(name),
                evaluator=None,
                **options,
            )
        seed_globals(1)
        start = {k: v.clone() for k, v in model.state_dict().items()}
        for experience in pair.benchmark.train_stream:
            template.train(experience, eval_streams=[], reset_optimizer_state=True)
        template.eval(pair.benchmark.test_stream)
        weights.append(template.model.state_dict())
        assert not same(start, weights[-1])
        assert all(torch.isfinite(value).all() for value in weights[-1].values())
    assert same(*weights)


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_weights_and_the_same_matrix(name, pair):
    first, second = (bridge(pair, built(name, seed=5), seed=5) for _ in range(2))
    assert same(first[0], second[0])
    np.testing.assert_array_equal(first[1].matrix, second[1].matrix)
    assert [r.numbers for r in first[1].reports] == [r.numbers for r in second[1].reports]


# modesty


class Probe(Strategy):
    """Records the batches of the first experience, what it draws, and what the global generators would draw next."""

    adds_penalty = False

    def __init__(self):
        super().__init__()
        self.batches, self.drawn, self.states = [], [], []

    def after_forward(self, strategy, **kwargs):
        if strategy.clock.train_exp_counter == 0:
            self.batches.append((strategy.mb_x.tolist(), strategy.mb_y.tolist()))

    def after_training_exp(self, strategy, **kwargs):
        self.drawn.append(self.draw(1000, 5))

    def after_training(self, strategy, **kwargs):
        legacy = np.random.get_state()[1].tolist()  # noqa: NPY002 - what Avalanche draws from
        self.states.append((torch.get_rng_state().tolist(), legacy, random.getstate()))


@pytest.fixture(scope="module")
def alone(pair):
    probe = Probe()
    bridge(pair, [probe])
    assert len(probe.batches) == 8
    assert len(probe.states) == 2
    return probe


@pytest.mark.parametrize("name", sorted(set(ALL) - OTHER_FIRST_BATCHES))
@pytest.mark.parametrize("first", [True, False])
def test_it_leaves_the_first_batches_and_the_draws_of_others_alone(name, first, pair, alone):
    """A comparison of strategies is one of strategies only if nothing else differs."""
    probe = Probe()
    bridge(pair, [probe, *built(name)] if first else [*built(name), probe])
    assert probe.batches == alone.batches
    assert probe.drawn == alone.drawn
    if name in OURS and name not in DRAWS_GLOBALLY:
        assert probe.states == alone.states


@pytest.mark.parametrize(("global_seed", "seed", "equal"), [(9, 0, True), (0, 1, False)])
def test_batches_follow_from_the_seed_of_the_training_alone(global_seed, seed, equal, pair, alone):
    """Not from torch's global generator, which Avalanche's plugins draw from between experiences."""
    probe = Probe()
    seed_globals(global_seed)
    learner = clep.Learner(clep.Network([64, 12, 10]), lr=0.1)
    clep.Training(learner, [probe], epochs=2, batch_size=10, seed=seed).run(pair)
    assert (probe.batches == alone.batches) is equal

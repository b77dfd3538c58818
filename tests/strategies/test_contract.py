"""What every registered strategy owes: documentation, a configuration, accounts, and the checks of `clep.testing`."""

import re

import pytest

import clep
from clep import registry
from clep.config import builtin, compose
from clep.randomness import seed_globals
from clep.strategy import Strategy
from clep.testing import NotApplicable, Subject, cases

# Small and quick where the defaults are not; memories that fill in 3 experiences of 20 samples.
ARGUMENTS = {
    "agem": {"patterns_per_experience": 7, "sample_size": 6},
    "awake_rehearsal": {"memory_size": 13},
    "der": {"mem_size": 10, "batch_size_mem": 4},
    "er_ace": {"mem_size": 10, "batch_size_mem": 4},
    "gdumb": {"mem_size": 10},
    "gem": {"patterns_per_experience": 6},
    "mir": {"mem_size": 10, "batch_size_mem": 4},
    "replay": {"mem_size": 15},
    "resting_rehearsal": {"memory_size": 11},
    "ridge": {"features": 12},
    "rwalk": {"delta_t": 3},
    "top_down_dreams": {"steps": 3},
}
STORED = {
    "agem": 21,
    "awake_rehearsal": 13,
    "der": 10,
    "er_ace": 10,
    "gdumb": 10,
    "gem": 18,
    "mir": 10,
    "replay": 15,
    "resting_rehearsal": 11,
}
KEEPS_STATISTICS = {"agem", "class_means", "der", "dreams", "ewc", "gdumb", "gem", "lwf", "orthogonal", "ridge"}
KEEPS_STATISTICS |= {"rwalk", "si", "slda", "sleep_replay", "top_down_dreams"}
SAMPLE_BYTES = 64 * 4 + 8
# What differs most between strategies, for the price of two or three runs each.
ALWAYS = {"training", "parameters", "seeds", "draws[before]", "second_run", "memory", "logs", "avalanche"}
ALL = registry.names()
SUBJECTS = {
    name: Subject(name, **(compose({"strategies": [name]}).strategy.get(name, {}) | ARGUMENTS.get(name, {})))
    for name in ALL
}


def marked(name, case):
    """Avalanche's own plug-ins work in Avalanche, so that this is quick to see once in a while."""
    always = case in ALWAYS and (case != "avalanche" or issubclass(registry.find(name), Strategy))
    return pytest.param(name, case, marks=() if always else pytest.mark.slow, id=f"{name}-{case}")


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


# the suite


@pytest.mark.parametrize(("name", "case"), [marked(name, case) for name in ALL for case in cases()])
def test_it_keeps_the_contract_of_strategies(name, case):
    check, arguments = cases()[case]
    try:
        check.run(SUBJECTS[name], *arguments)
    except NotApplicable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", ALL)
def test_it_keeps_as_much_as_its_parameters_say(name):
    reports = SUBJECTS[name].reference.result.reports
    for report in reports:
        assert report.memory.exemplar_bytes == report.memory.exemplars * SAMPLE_BYTES
    assert reports[-1].memory.exemplars == STORED.get(name, 0)
    assert (reports[-1].memory.statistics_bytes > 0) is (name in KEEPS_STATISTICS)


# batches


class Probe(Strategy):
    """Records its batches."""

    adds_penalty = False

    def __init__(self):
        super().__init__()
        self.batches = []

    def after_forward(self, strategy, **kwargs):
        self.batches.append((strategy.mb_x.tolist(), strategy.mb_y.tolist()))


@pytest.fixture(scope="module")
def alone(pair):
    return batches(pair, seed=0)


def batches(stream, seed):
    probe = Probe()
    learner = clep.Learner(clep.Network([64, 12, 10]), lr=0.1)
    clep.Training(learner, [probe], epochs=2, batch_size=10, seed=seed).run(stream)
    assert len(probe.batches) == 16
    return probe.batches


@pytest.mark.parametrize(("global_seed", "seed", "equal"), [(9, 0, True), (0, 1, False)])
def test_batches_follow_from_the_seed_of_the_training_alone(global_seed, seed, equal, pair, alone):
    """Not from torch's global generator, which Avalanche's plugins draw from between experiences."""
    seed_globals(global_seed)
    assert (batches(pair, seed) == alone) is equal

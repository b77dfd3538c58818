"""A default has one home: what Python does without an argument is what the configuration does without the key."""

import ast
import dataclasses
import inspect
from collections import Counter
from pathlib import Path

import pytest
from clep.strategies.awake_rehearsal import AwakeRehearsal, AwakeRehearsalOptions
from clep.strategies.neuronal_adaptation import NeuronalAdaptation
from clep.strategies.sleep_replay import SleepReplay, SleepReplayOptions

import clep
from clep import parts, schema, specs
from clep.equilibrium import CEP, Adaptation, Backpropagation, Clamping, CostNudging, LinearNudging
from clep.equilibrium.gradients import gradient_class
from clep.feedforward import Feedforward
from clep.schema import Config
from clep.specs import ConvLayer, Dendrites, LearnerSpec, NetworkSpec, Optimization, Spec, StreamSpec, TimeStep

CONFIG = Config()
ESTIMATE = ["beta", "phases", "points", "start", "rule"]

# Callable, the section with the same keys, and the keys that must be there: without them the test could pass empty.
API = {
    "Network": (clep.Network, CONFIG.network, NetworkSpec.names()),
    "Feedforward": (Feedforward, CONFIG.network, ["bias"]),
    "ConvLayer": (clep.ConvLayer, CONFIG.network, ["kernel", "stride", "padding", "pooling", "pool"]),
    "TimeStep": (clep.TimeStep, CONFIG.network.time_step, TimeStep.names()),
    "Dendrites": (clep.Dendrites, CONFIG.network.dendrites, Dendrites.names()),
    "Learner": (clep.Learner, CONFIG.learner, Optimization.names()),
    "LinearNudging": (LinearNudging, CONFIG.learner, ESTIMATE),
    "CostNudging": (CostNudging, CONFIG.learner, [*ESTIMATE, "nudge"]),
    "CEP": (CEP, CONFIG.learner, [*ESTIMATE, "nudge"]),
    "Clamping": (Clamping, CONFIG.learner, ["rule", "restart"]),
    "Backpropagation": (Backpropagation, CONFIG.learner, ["bptt_steps"]),
    "NeuronalAdaptation": (NeuronalAdaptation, Adaptation(), Adaptation.names()),
    "SleepReplay": (SleepReplay, SleepReplayOptions(), SleepReplayOptions.names()),
    "AwakeRehearsal": (AwakeRehearsal, AwakeRehearsalOptions(), AwakeRehearsalOptions.names()),
    "Training": (
        clep.Training,
        CONFIG.learner,
        ["batch_size", "epochs", "cuda_graph", "evaluate_epochs", "reset_optimizer"],
    ),
    "stream": (clep.stream, CONFIG.stream, [name for name in StreamSpec.names() if name != "name"]),
}


def defaults_of(callable) -> dict:
    parameters = inspect.signature(callable).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def plain(value):
    """A default for comparison: specs and factories by their values, one value for all layers as that value."""
    if isinstance(value, Spec):
        return value.plain()
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def default(callable, name):
    value = defaults_of(callable)[name]
    if dataclasses.is_dataclass(callable):  # a list or a section is made anew for each instance
        value = next(field for field in dataclasses.fields(callable) if field.name == name)
        value = value.default_factory() if value.default is dataclasses.MISSING else value.default
    return plain(value)


@pytest.mark.parametrize("name", API)
def test_every_keyword_of_the_api_has_the_default_of_its_key(name):
    callable, section, required = API[name]
    keys = {field.name for field in dataclasses.fields(section)} & set(defaults_of(callable))
    assert set(required) <= keys
    different = {key for key in keys - {"gradient"} if default(callable, key) != plain(getattr(section, key))}
    assert different == set()


def test_every_estimate_is_compared():
    assert {callable for callable, *_ in API.values()} >= set(map(gradient_class, parts.own("gradient")))


@pytest.mark.parametrize("make", [clep.Network, clep.stream, clep.Training])
def test_the_seed_is_the_same_too(make):
    assert defaults_of(make)["seed"] == CONFIG.seed


def test_without_a_gradient_a_network_and_a_learner_have_that_of_the_configuration():
    network = clep.Network([4, 3, 2])
    assert network.gradient == clep.Learner(network).gradient == gradient_class(CONFIG.learner.gradient)()


def test_a_network_without_options_is_that_of_the_configuration():
    assert clep.Network([4, 3, 2]).spec.plain() == {name: CONFIG.network.plain()[name] for name in NetworkSpec.names()}


def test_a_convolutional_layer_of_a_section_is_that_of_python():
    (layer,) = dataclasses.replace(CONFIG.network, channels=[8]).convolutions
    assert layer == ConvLayer(8)


# ---------------------------------------------------------------- one declaration of each option

SECTIONS = [getattr(specs, name) for name in specs.__all__ if inspect.isclass(getattr(specs, name))]
SECTIONS += [schema.DataSection, schema.TrackingSection, schema.TuneSection, Config]
OF_STRATEGIES = [Adaptation, AwakeRehearsalOptions, SleepReplayOptions]


def is_option(node) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", None) == "option"


def declared() -> dict[str, list[str]]:
    """Class -> the names that its body declares by `option(...)`, as often as it does, in the specs and the schema."""
    folder = Path(specs.__file__).parent
    names: dict[str, list[str]] = {}
    for path in [*folder.glob("*.py"), Path(schema.__file__)]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                lines = [line for line in node.body if isinstance(line, ast.AnnAssign) and is_option(line.value)]
                names.setdefault(node.name, []).extend(line.target.id for line in lines)
    return names


DECLARED = declared()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_no_option_of_a_section_is_declared_twice(section):
    """Two declarations of one key would drift apart, as its default in Python and in the configuration once did."""
    times = Counter(name for cls in section.__mro__ for name in DECLARED.get(cls.__name__, []))
    assert set(times) == set(section.names())
    assert [name for name, count in times.items() if count > 1] == []


def test_gradients_declare_none_of_their_options_again():
    options = set(LearnerSpec.names())
    for cls in map(gradient_class, parts.own("gradient")):
        assert not options & set(vars(cls).get("__annotations__", {}))


@pytest.mark.parametrize("section", SECTIONS + OF_STRATEGIES, ids=lambda section: section.__name__)
def test_every_option_says_what_it_does(section):
    for field in section.declared():
        assert len(field.metadata["meaning"]) > 5
        assert not field.metadata["meaning"].endswith(".")

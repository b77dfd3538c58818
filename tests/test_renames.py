"""Old names: each works for one version, with one warning that names the new one, and then is an error."""

import importlib
import sys
import warnings
from pathlib import Path

import pytest
import torch

from clep import renames
from clep.config import compose, to_dict
from clep.equilibrium import CEP, Backpropagation, Clamping, CostNudging, Dendrites, LinearNudging, Network
from clep.errors import ConfigError, RenamedWarning
from clep.feedforward import Feedforward
from clep.learner import Learner

DATA = Path(__file__).parent / "data"
FIRST_WITHOUT = ".".join(map(str, (renames.LAST[0], renames.LAST[1] + 1, 0)))
SENTENCE = "`{}` is now `{}`; the old form works in version {}.{} and no longer after it"


def sentence(old: str, new: str) -> str:
    return SENTENCE.format(old, new, *renames.LAST)


@pytest.fixture
def next_version(monkeypatch):
    monkeypatch.setattr(renames, "version", lambda: FIRST_WITHOUT)


@pytest.fixture
def forgotten(monkeypatch):
    """Modules under their old names, imported anew in this test."""
    for name in renames.MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)


def there(module: str):
    """A module; without the warnings of one that is itself old."""
    return warned(lambda: importlib.import_module(module))[0]


def warned(action) -> tuple[object, list[str]]:
    """The result of an action, and the texts of its RenamedWarnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    return result, [str(warning.message) for warning in caught if warning.category is RenamedWarning]


# ---------------------------------------------------------------- modules and names


def packages_of(name: str) -> list[str]:
    """A module and the packages around it that were renamed, outermost first."""
    parts = name.split(".")
    return [old for n in range(1, len(parts) + 1) if (old := ".".join(parts[:n])) in renames.MODULES]


@pytest.mark.parametrize("old", renames.MODULES)
def test_an_old_module_has_what_the_new_one_has_and_says_so_once(old, forgotten):
    """A second run of a module would make classes of its own, and `isinstance` would fail."""
    new = importlib.import_module(renames.MODULES[old])
    module, texts = warned(lambda: importlib.import_module(old))
    public = {name: value for name, value in vars(new).items() if not name.startswith("__")}
    assert {name: value for name, value in vars(module).items() if name in public} == public
    packages = packages_of(old)
    if renames.MODULES[old] == f"{renames.MODULES[packages[0]]}.{old.rpartition('.')[2]}":
        packages = packages[:1]  # whose warning says it all
    assert texts == [sentence(name, renames.MODULES[name]) for name in packages]
    assert warned(lambda: importlib.import_module(old))[1] == []


def test_old_modules_overwrite_nothing_in_the_new_package(forgotten):
    """`clep.sleep.simulation` is a function, and was before somebody imported `clep.spiking.simulation`."""
    import clep.sleep

    before = dict(vars(clep.sleep))
    for old in renames.MODULES:
        warned(lambda old=old: importlib.import_module(old))
    assert {name: value for name, value in vars(clep.sleep).items() if name in before} == before


@pytest.mark.parametrize("old", renames.MODULES)
def test_an_old_module_is_an_error_in_the_next_version(old, forgotten, next_version):
    first = packages_of(old)[0]
    with pytest.raises(ConfigError) as caught:
        importlib.import_module(old)
    assert str(caught.value) == sentence(first, renames.MODULES[first])


def test_a_module_that_never_was_is_no_module():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("clep.spikings")


@pytest.mark.parametrize(("module", "old"), renames.NAMES)
def test_an_old_name_is_the_new_one_and_says_so(module, old):
    home, new = renames.NAMES[module, old]
    found, texts = warned(lambda: getattr(there(module), old))
    assert found is getattr(importlib.import_module(home), new)
    assert texts == [sentence(f"{module}.{old}", f"{home}.{new}")]


@pytest.mark.parametrize(("module", "old"), renames.NAMES)
def test_an_old_name_is_an_error_in_the_next_version(module, old, next_version):
    with pytest.raises(ConfigError) as caught:
        getattr(importlib.import_module(module), old)
    assert str(caught.value) == sentence(f"{module}.{old}", ".".join(renames.NAMES[module, old]))


@pytest.mark.parametrize("module", sorted({module for module, _ in renames.NAMES}))
def test_a_name_that_never_was_is_no_attribute(module):
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'Nothing'"):
        _ = importlib.import_module(module).Nothing


# ---------------------------------------------------------------- keys

KEYS = {
    "learner.nudging": (["learner.nudging=cost"], ["learner.gradient=cost"], "learner.gradient"),
    "learner.nudging=continual": (
        ["learner.nudging=continual", "learner.momentum=0"],
        ["learner.gradient=cep", "learner.momentum=0"],
        "learner.gradient=cep",
    ),
    "network.rule": (["network.rule=vector_field"], ["learner.rule=vector_field"], "learner.rule"),
    "network.firing": (["network.firing=bernoulli"], ["network.dynamics=bernoulli"], "network.dynamics"),
    "network.firing, rate": (
        ["network=stoch_ep", "network.firing=rate"],
        ["network=stoch_ep", "network.dynamics=prototypical"],
        "network.dynamics",
    ),
    "network.dendrites=null": (
        ["network=dendritic_ep", "network.dendrites=null"],
        ["network=dendritic_ep", "network.feedback=tied"],
        "network.feedback=tied",
    ),
    "network.dendrites without network.feedback": (
        ["network.dendrites.gain=0.3"],
        ["network.feedback=dendritic", "network.dendrites.gain=0.3"],
        "network.feedback=dendritic with network.dendrites",
    ),
    "strategy.sleep_replay.statistics=poisson": (
        ["strategies=sleep_replay", "strategy.sleep_replay.statistics=poisson"],
        ["strategies=sleep_replay", "strategy.sleep_replay={statistics: seen, spikes: poisson}"],
        "strategy.sleep_replay.spikes=poisson",
    ),
}
"""Old key -> (old way, new way, new key)."""


@pytest.mark.parametrize("key", KEYS)
def test_an_old_key_means_what_the_new_one_means_and_says_so(key):
    old, new, name = KEYS[key]
    composed, texts = warned(lambda: compose({}, old))
    assert texts == [sentence(key.partition(",")[0], name)]
    assert composed == compose({}, new)
    assert warned(lambda: compose({}, new))[1] == []


@pytest.mark.parametrize("key", KEYS)
def test_an_old_key_is_an_error_in_the_next_version(key, next_version):
    old, new, name = KEYS[key]
    with pytest.raises(ConfigError) as caught:
        compose({}, old)
    assert str(caught.value) == sentence(key.partition(",")[0], name)
    compose({}, new)


def test_an_old_key_in_a_file_or_a_mapping_is_understood_and_the_mapping_is_left_alone(tmp_path):
    (tmp_path / "mine.yaml").write_text("network: {rule: vector_field}\nlearner: {nudging: clamped}\n")
    given = {"network": {"rule": "vector_field"}, "learner": {"nudging": "clamped"}}
    for source in (tmp_path / "mine.yaml", given):
        composed, texts = warned(lambda source=source: compose(source))
        assert (composed.learner.rule, composed.learner.gradient) == ("vector_field", "clamped")
        assert len(texts) == 2
    assert given == {"network": {"rule": "vector_field"}, "learner": {"nudging": "clamped"}}


def test_a_new_key_beside_an_old_one_counts():
    composed, _ = warned(lambda: compose({"network": {"rule": "contrast"}}, ["learner.rule=vector_field"]))
    assert composed.learner.rule == "vector_field"


def test_spikes_of_sleep_that_were_a_statistic_are_a_parameter_of_their_own():
    from clep.strategies.sleep_replay import SleepReplay

    parameters, _ = warned(lambda: compose({}, KEYS["strategy.sleep_replay.statistics=poisson"][0]))
    assert SleepReplay(**parameters.strategy["sleep_replay"]).spikes == "poisson"


# ---------------------------------------------------------------- what was stored

OF_NETWORK = {
    "dendritic_ep": {"feedback": "dendritic", "dynamics": "prototypical"},
    "stoch_ep": {"feedback": "tied", "dynamics": "bernoulli", "average_steps": 20},
    "chl": {"feedback": "tied", "dynamics": "prototypical"},
    "fre_rnn": {"feedback": "tied", "readout": "linear"},
}
OF_LEARNER = {
    "dendritic_ep": {"gradient": "linear", "rule": "contrast", "lr": 0.1},
    "stoch_ep": {"gradient": "linear", "rule": "contrast"},
    "chl": {"gradient": "clamped", "rule": "contrast"},
    "fre_rnn": {"gradient": "linear", "rule": "vector_field", "phases": "one_sided"},
}


@pytest.mark.parametrize("name", OF_NETWORK)
def test_a_configuration_that_a_run_stored_composes_to_the_same_meaning(name):
    composed, texts = warned(lambda: compose(DATA / f"old_{name}.yaml"))
    assert composed == compose(None, [f"network={name}", "tracking.experiment=clep"])  # its default in version 0.1
    for section, expected in (("network", OF_NETWORK[name]), ("learner", OF_LEARNER[name])):
        assert to_dict(composed)[section] == to_dict(composed)[section] | expected
    assert len(texts) == len(set(texts)) == 4


def old_network(**changes) -> dict:
    """The arguments of a network in a checkpoint of version 0.1, all of them."""
    time_step = {"distribution": "lognormal", "mean": 0.6, "spread": 0.5, "min": 0.05, "max": 1.0, "per": "neuron"}
    numbers = {"feedback_scale": 1.0, "inhibition": 0.0, "residual_links": 0, "tolerance": 0.0, "average_steps": 1}
    numbers |= {"free_steps": 20, "nudged_steps": 4}
    names = {"neuron": "hard_sigmoid", "init": "fan_in", "dynamics": "prototypical", "feedback": "tied"}
    names |= {
        "readout": "state",
        "relaxation": "synchronous",
        "precision": "full",
        "rule": "contrast",
        "firing": "rate",
    }
    others = {"sizes": [4, 3, 2], "bias": True, "time_step": time_step, "dendrites": None}
    return others | names | numbers | changes


PHASES = {"phases": "centered", "points": 4, "start": "free"}
BRANCHES = {"basal": 2, "apical": 2, "density": 0.5, "gain": 0.2, "apical_dense": False}
CHECKPOINTS = {
    "dendrites": (
        old_network(dendrites=BRANCHES),
        {"nudging": "linear", "beta": 0.5, **PHASES},
        {},
        {"feedback": "dendritic"},
        LinearNudging(),
    ),
    "spikes": (
        old_network(firing="bernoulli", average_steps=2),
        {"nudging": "cost", "nudge": "outside", "beta": 0.4, **PHASES},
        {},
        {"dynamics": "bernoulli", "average_steps": 2},
        CostNudging(0.4, nudge="outside"),
    ),
    "rule": (
        old_network(rule="vector_field"),
        {"nudging": "linear", "beta": 0.3, **PHASES},
        {},
        {"feedback": "tied"},
        LinearNudging(0.3, rule="vector_field"),
    ),
    "C-EP": (
        old_network(),
        {"nudging": "continual", "nudge": "inside", "beta": 0.3, **PHASES},
        {"momentum": 0.0},
        {"free_steps": 20, "nudged_steps": 4},
        CEP(0.3),
    ),
    "BPTT": (old_network(), {"nudging": "bptt", "steps": 3}, {}, {}, Backpropagation(bptt_steps=3)),
    "CHL": (old_network(), {"nudging": "clamped", "restart": True}, {}, {}, Clamping(restart=True)),
}


def optimization(**changes) -> dict:
    values = {"loss": "mse", "optimizer": "sgd", "lr": 0.01, "lr_scale": [], "momentum": 0.9, "weight_decay": 0.0}
    return values | {"schedule": "constant"} | changes


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_an_old_checkpoint_loads_with_the_same_meaning(name, tmp_path):
    network, gradient, changes, spec, estimate = CHECKPOINTS[name]
    old = {"network": network, "gradient": gradient, **optimization(**changes)}
    written = Learner(**old)
    written.save(tmp_path / "old.ckpt")
    stored = torch.load(tmp_path / "old.ckpt", weights_only=True)
    torch.save(stored | {"hyper_parameters": old}, tmp_path / "old.ckpt")
    learner = Learner.load_from_checkpoint(tmp_path / "old.ckpt")
    assert {key: getattr(learner.network.spec, key) for key in spec} == spec
    assert (learner.network.sizes, learner.network.spec.bias) == ((4, 3, 2), True)
    assert learner.gradient == estimate
    x = torch.rand(3, 4)
    assert torch.equal(learner(x), written(x))


def test_an_old_checkpoint_of_a_feedforward_network_loads():
    network = {"sizes": [4, 3, 2], "activation": "tanh", "bias": False}
    learner = Learner(network=network, gradient=None, **optimization())
    assert isinstance(learner.network, Feedforward)
    assert learner.network.arguments() == network | {"init": "fan_in"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"firing": "bernoulli"}, {"dynamics": "bernoulli"}),
        ({"firing": "rate", "dynamics": "energy"}, {"dynamics": "energy"}),
        ({"dendrites": Dendrites(basal=3)}, {"feedback": "dendritic", "dendrites": Dendrites(basal=3)}),
        ({"dendrites": None}, {}),
        ({"nudging": LinearNudging(0.2)}, {"gradient": LinearNudging(0.2)}),
    ],
)
def test_an_old_keyword_of_a_network_means_the_new_one_and_warns_once(old, new):
    with pytest.warns(RenamedWarning) as told:
        network = Network([5, 4, 3], **old)
    assert len(told) == 1
    expected = Network([5, 4, 3], **new)
    assert (network.spec, network.gradient) == (expected.spec, expected.gradient)

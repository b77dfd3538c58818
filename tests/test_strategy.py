"""The plug-in API: names, parameters, hooks, whether the loss is touched, what is kept of the past."""

import inspect
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, Optional

import pytest
import torch
from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training import Naive
from avalanche.training.plugins import EWCPlugin, LRSchedulerPlugin, LwFPlugin, ReplayPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from clep.strategies.der import DER
from clep.strategies.gem import GEM
from clep.strategies.sleep_replay import SleepReplay
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import clep
from clep import strategy
from clep.errors import ConfigError
from clep.randomness import seed_for
from clep.strategy import Memory, Strategy, build, memory_of, touches_loss

pytestmark = [
    pytest.mark.filterwarnings("ignore:No loggers specified"),
    pytest.mark.filterwarnings("ignore:Call to deprecated function"),
]

# name -> whether it adds to the loss, changes gradients or calls the model in the training iteration
BUILT_IN = {
    "naive": False,
    "joint": False,
    "awake_rehearsal": False,
    "sleep_replay": False,
    "neuronal_adaptation": False,
    "replay": False,
    "gdumb": False,
    "ewc": True,
    "si": True,
    "lwf": True,
    "gem": True,
    "agem": True,
    "der": True,
    "er_ace": True,
    "rwalk": True,
    "mir": True,
}
REQUIRED = {
    "ewc": {"ewc_lambda": 1.0},
    "agem": {"patterns_per_experience": 5, "sample_size": 5},
    "mir": {"batch_size_mem": 8},
}


class Typed(Strategy):
    """One parameter of each type; `seen` is what it was built with."""

    def __init__(
        self,
        *,
        number: float = 0.5,
        count: int = 1,
        flag: bool = False,
        word: str = "a",
        maybe: Optional[int] = None,  # noqa: UP045 - as third-party plugins write it
        values: Sequence[float] = (1.0, 2.0),
        pair: tuple[int, ...] = (1, 2),
        choice: Literal["left", "right"] = "left",
        anything=None,
    ) -> None:
        super().__init__()
        self.seen = {"number": number, "count": count, "values": values, "choice": choice}


class Plain(SupervisedPlugin):
    """An Avalanche plugin that overrides no hook of the training iteration."""

    def before_training_epoch(self, strategy, **kwargs):
        """Nothing."""


PATH = f"{__name__}:Typed"


def refusal(names, arguments=None):
    with pytest.raises(ConfigError) as caught:
        strategy.build(names, arguments)
    return str(caught.value)


# names


def test_the_registry_names_every_built_in_strategy_and_finds_a_plugin_for_each():
    assert set(BUILT_IN) <= set(strategy.names())
    assert strategy.names() == sorted(strategy.names())
    for name in strategy.names():
        assert issubclass(strategy.find(name), BasePlugin)
    assert strategy.find("sleep_replay") is SleepReplay
    assert strategy.find("ewc") is EWCPlugin


def test_the_installed_names_are_those_of_the_source():
    """Metadata of an older build, left beside the source, would silently run other classes under these names."""
    source = Path(__file__).parents[1] / "pyproject.toml"
    if not source.is_file():
        pytest.skip("runs from a checkout only")
    declared = tomllib.loads(source.read_text())["project"]["entry-points"][strategy.GROUP]
    installed = {entry.name: entry.value for entry in entry_points(group=strategy.GROUP)}
    assert declared.items() <= installed.items(), "reinstall clep (make install) and delete clep.egg-info"


def test_an_unknown_name_is_answered_with_the_nearest_all_names_and_the_way_to_ones_own():
    message = refusal(["slep_replay"])
    assert message.startswith(
        "strategies: unknown strategy `slep_replay`; did you mean `sleep_replay`? Valid strategies: "
    )
    assert ", ".join(strategy.names()) + ". A strategy of your own is named by its import path" in message


@pytest.mark.parametrize("name", ["avalanche.training:DER", "avalanche.training:ER_ACE", "avalanche.training.Naive"])
def test_an_avalanche_template_is_refused_by_name(name):
    """Mixed into the bridge, a template would run without its loss and without an error."""
    message = refusal([name])
    assert message.startswith(f"strategies: `{name}` is an Avalanche template, not a plugin")
    assert "`der` here, ER-ACE `er_ace`" in message


@pytest.mark.parametrize("form", ["my_module:Mine", "my_module.Mine"])
def test_an_import_path_names_a_strategy_of_ones_own(form, tmp_path, monkeypatch):
    source = "import clep\n\nclass Mine(clep.Strategy):\n    def __init__(self, *, k: int = 3):\n"
    source += "        super().__init__()\n        self.k = k\n"
    (tmp_path / "my_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    (built,) = strategy.build([form], {form: {"k": 4}, "ewc": {"nonsense": 1}})
    assert (type(built).__name__, built.k) == ("Mine", 4)
    assert refusal([form], {form: {"k": "4"}}) == f"strategy.{form}.k: expected int, got '4'."
    del sys.modules["my_module"]


@pytest.mark.parametrize("name", ["no_such_module:Mine", "clep.strategy:Nothing", ":Mine", "clep.", "..a"])
def test_an_import_path_that_leads_nowhere_is_refused_with_the_reason(name):
    message = refusal([name])
    assert message.startswith(f"strategies: cannot import `{name}` (")
    assert "must be importable" in message


@pytest.mark.parametrize("name", ["collections:OrderedDict", "math:pi", "clep.strategy:build", "torch.nn:Linear"])
def test_what_is_not_a_plugin_is_refused(name):
    assert refusal([name]) == f"strategies: `{name}` is not an Avalanche plugin class; derive it from `clep.Strategy`."


# parameters


def test_the_typed_constructor_is_the_schema():
    (built,) = strategy.build([PATH], {PATH: {"number": 2, "count": 3, "values": [1, 0.5], "choice": "right"}})
    assert built.seen == {"number": 2, "count": 3, "values": [1, 0.5], "choice": "right"}
    assert list(strategy.parameters(Typed)) == list(inspect.signature(Typed).parameters)
    assert strategy.parameters(SupervisedPlugin) == {}


def test_defaults_are_plain_values_that_build_again():
    assert strategy.defaults(Typed) == {
        "number": 0.5,
        "count": 1,
        "flag": False,
        "word": "a",
        "maybe": None,
        "values": [1.0, 2.0],
        "pair": [1, 2],
        "choice": "left",
        "anything": None,
    }
    (built,) = strategy.build([PATH], {PATH: strategy.defaults(Typed)})
    assert built.seen["values"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("number", "1.0", "expected float, got '1.0'."),
        ("number", True, "expected float, got True."),
        ("count", 1.0, "expected int, got 1.0."),
        ("count", False, "expected int, got False."),
        ("count", None, "expected int, got None."),
        ("flag", 1, "expected bool, got 1."),
        ("word", 1, "expected str, got 1."),
        ("maybe", 0.5, "expected int or null, got 0.5."),
        ("values", 0.5, "expected a list of float, got 0.5."),
        ("values", "12", "expected a list of float, got '12'."),
        ("values", [1.0, "2"], "expected a list of float, got [1.0, '2']."),
        ("pair", [1, 0.5], "expected a list of int, got [1, 0.5]."),
        ("choice", "lef", "unknown value `lef`; did you mean `left`? Valid values: left, right"),
        ("choice", 3, "unknown value `3`. Valid values: left, right"),
        ("nmber", 1.0, "unknown key `nmber`; did you mean `number`? Valid keys: anything, choice, count, flag, "),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_key(key, value, expected):
    assert refusal([PATH], {PATH: {key: value}}).startswith(f"strategy.{PATH}.{key}: {expected}")


@pytest.mark.parametrize(
    "values",
    [
        {"number": 1, "count": 2, "flag": True, "word": "", "maybe": 3, "values": [], "pair": (1,), "choice": "right"},
        {"number": -1.5, "maybe": None, "values": (1, 2.5), "anything": {"a": object()}},
    ],
)
def test_values_that_fit_are_taken(values):
    strategy.build([PATH], {PATH: values})


@given(value=st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(), st.lists(st.integers())))
def test_a_number_fits_a_float_and_nothing_else_does(value):
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        strategy.build([PATH], {PATH: {"number": value}})
    except ConfigError:
        assert not fits
    else:
        assert fits


def test_a_required_parameter_is_asked_for_by_its_key():
    assert refusal(["ewc"]) == "strategy.ewc.ewc_lambda: a value is required; set strategy.ewc.ewc_lambda=..."
    assert refusal(["agem"], {"agem": {"patterns_per_experience": 3}}).startswith("strategy.agem.sample_size: ")


def test_what_a_constructor_refuses_is_refused_by_the_strategys_name():
    message = refusal(["sleep_replay"], {"sleep_replay": {"decay": 1.5}})
    assert message == "strategy.sleep_replay.decay: expected a value in [0, 1], got 1.5."
    message = refusal(["ewc"], {"ewc": {"ewc_lambda": 1.0, "mode": "online"}})  # Avalanche asserts
    assert message.startswith("strategy.ewc: EWCPlugin refuses these parameters: ")
    assert "decay_factor" in message


def test_an_annotation_that_only_type_checkers_know_does_not_stop_a_plugin():
    class Checked(SupervisedPlugin):
        def __init__(self, policy: "NotImportedHere" = None):  # noqa: F821
            super().__init__()

    strategy._check("checked", Checked, {"policy": 1})


def test_ranges_and_choices_are_refused_in_words():
    assert strategy.in_range("x", 2.0, 2.0, 2.0) == 2.0
    with pytest.raises(ConfigError, match=r"^x: expected a value in \[0, 1\], got 1\.1\.$"):
        strategy.in_range("x", 1.1, 0.0, 1.0)
    with pytest.raises(ConfigError, match=r"^x: expected a value of at least 0, got -1\.$"):
        strategy.in_range("x", -1, 0.0)
    with pytest.raises(ConfigError, match=r"^x: expected .* got nan\.$"):
        strategy.in_range("x", float("nan"), 0.0)
    assert strategy.one_of("side", "left", ["left", "right"]) == "left"
    with pytest.raises(
        ConfigError, match=r"^side: unknown side `lefft`; did you mean `left`\? Valid sides: left, right$"
    ):
        strategy.one_of("side", "lefft", ["left", "right"])


# hooks


def test_a_misspelt_hook_is_refused_where_the_class_is_defined():
    """Avalanche would never call it, and the strategy would be naive training under another name."""
    with pytest.raises(TypeError, match=r"Mine\.before_trainning_exp: .* did you mean `before_training_exp`\?"):
        type("Mine", (Strategy,), {"before_trainning_exp": lambda self, strategy, **kwargs: None})
    with pytest.raises(TypeError, match=r"Mine\.after_batch: unknown hook `after_batch`"):
        type("Mine", (Strategy,), {"after_batch": lambda self, strategy, **kwargs: None})


def test_every_hook_of_avalanche_and_helpers_of_ones_own_are_accepted():
    hooks = [name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_"))]
    assert len(hooks) >= 20
    type("Mine", (Strategy,), dict.fromkeys([*hooks, "helper", "_before_sleep"], lambda self, strategy, **kwargs: None))


# randomness


def test_each_built_strategy_draws_from_a_generator_of_its_own():
    first, second = strategy.build(["sleep_replay", "awake_rehearsal"], seed=3)
    assert first.generator.initial_seed() == seed_for(3, "strategy sleep_replay")
    assert second.generator.initial_seed() == seed_for(3, "strategy awake_rehearsal")
    (alone,) = strategy.build(["awake_rehearsal"], seed=3)
    assert alone.draw(1000, 9) == second.draw(1000, 9) != first.draw(1000, 9)
    (other,) = strategy.build(["awake_rehearsal"], seed=4)
    alone.seed_with(seed_for(3, "strategy awake_rehearsal"))
    assert other.draw(1000, 9) != alone.draw(1000, 9)


def test_draws_are_different_indices_in_random_order_that_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    drawn = Strategy().draw(50, 50)
    assert sorted(drawn) == list(range(50)) != drawn
    assert len(set(Strategy().draw(50, 7))) == 7
    assert torch.equal(torch.get_rng_state(), state)


def test_own_draws_come_from_the_strategys_generator_and_go_on_where_they_stopped():
    """Avalanche's storage policies draw from torch's global generator, which others draw from as well."""
    mine, expected = Strategy(), torch.Generator().manual_seed(0)
    state = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with mine.own_draws():
            drawn.append(torch.rand(5))
    assert torch.equal(torch.stack(drawn), torch.stack([torch.rand(5, generator=expected) for _ in range(2)]))
    with pytest.raises(RuntimeError), mine.own_draws():
        torch.rand(-1)
    assert torch.equal(torch.get_rng_state(), state)


# the loss


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_known_of_every_built_in_strategy_whether_it_touches_the_loss(name):
    """A wrong False would let cost nudging drop the penalty in silence; a wrong True would refuse a good set."""
    (built,) = strategy.build([name], REQUIRED)
    assert touches_loss(built) is BUILT_IN[name]


def test_the_hooks_of_other_plugins_tell_whether_they_touch_the_loss():
    class Outside(BasePlugin):
        """Knows the events of an experience only."""

    for hook in ("before_forward", "after_forward", "before_backward", "after_backward", "before_update"):
        assert touches_loss(type("Mine", (SupervisedPlugin,), {hook: lambda self, strategy, **kwargs: None})())
        assert touches_loss(type("Mine", (Strategy,), {hook: lambda self, strategy, **kwargs: None})())
    assert not touches_loss(Plain())
    assert not touches_loss(Outside())
    assert not touches_loss(Strategy())
    assert not touches_loss(type("Mine", (DER,), {"touches_loss": False})())


# what is kept of the past


@pytest.fixture(scope="module")
def stream():
    return clep.stream("digits", experiences=3, samples_per_experience=30)


MODEL_BYTES = 4 * (64 * 5 + 5 + 5 * 10 + 10)
SAMPLE_BYTES = 64 * 4 + 8


def trained(plugin, stream, experiences=2):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    template = Naive(
        model=model,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=10,
        plugins=[plugin],
        evaluator=None,
    )
    for experience in stream.benchmark.train_stream[:experiences]:
        template.train(experience)
    return plugin


def test_memories_add_up():
    assert Memory(1, 20, 300) + Memory(4, 50, 600) == Memory(5, 70, 900)
    assert Strategy().memory() == memory_of(Strategy()) == memory_of(Plain()) == Memory()


@pytest.mark.parametrize(("size", "stored"), [(7, 7), (100, 60)])
def test_replay_keeps_its_samples(size, stored, stream):
    assert memory_of(trained(ReplayPlugin(mem_size=size), stream)) == Memory(stored, stored * SAMPLE_BYTES)
    assert memory_of(ReplayPlugin(mem_size=size)) == Memory()


def test_a_storage_policy_counts_once_however_often_it_is_referred_to(stream):
    policy = ReservoirSamplingBuffer(9)
    plugin = ReplayPlugin(mem_size=9, storage_policy=policy)
    plugin.same_again = [policy, {"here": policy}]
    assert memory_of(trained(plugin, stream)) == Memory(9, 9 * SAMPLE_BYTES)


def test_ewc_keeps_weights_and_importances_of_every_experience(stream):
    assert memory_of(trained(EWCPlugin(1.0), stream)) == Memory(statistics_bytes=2 * 2 * MODEL_BYTES)
    online = EWCPlugin(1.0, mode="online", decay_factor=0.5)
    assert memory_of(trained(online, stream)) == Memory(statistics_bytes=2 * MODEL_BYTES)


def test_lwf_keeps_the_latest_model(stream):
    assert memory_of(trained(LwFPlugin(), stream)) == Memory(statistics_bytes=MODEL_BYTES)


def test_gem_keeps_samples_and_one_gradient_for_each_earlier_experience(stream):
    memory = memory_of(trained(GEM(patterns_per_experience=6), stream, experiences=3))
    assert memory == Memory(18, 18 * SAMPLE_BYTES, 2 * MODEL_BYTES)


def test_der_keeps_samples_and_the_outputs_on_them(stream):
    assert memory_of(trained(DER(mem_size=11), stream)) == Memory(11, 11 * SAMPLE_BYTES, 11 * 10 * 4)


def test_a_plugin_that_keeps_nothing_counts_nothing_of_what_it_refers_to():
    """The optimiser's and the learner's own memory is not memory of the past."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(3))], lr=0.1)
    assert memory_of(LRSchedulerPlugin(torch.optim.lr_scheduler.StepLR(optimizer, 1))) == Memory()


# logs


def test_a_log_is_taken_once():
    mine = Strategy()
    mine.log("a/b", torch.tensor(2.5))
    mine.log("c", 1)
    assert mine.take_log() == {"a/b": 2.5, "c": 1.0}
    assert mine.take_log() == {}


class Untyped(clep.Strategy):
    """Parameters without annotations."""

    def __init__(self, share=0.5, name="x"):
        super().__init__()


def test_an_unannotated_parameter_takes_what_its_default_is(monkeypatch):
    """Otherwise a text reaches the strategy and fails there, without the name of the key."""
    path = f"{__name__}:Untyped"
    with pytest.raises(ConfigError, match=r"Untyped\.share: expected float or a list of float, got 'half'"):
        build([path], {path: {"share": "half"}})
    build([path], {path: {"share": 1, "name": 3}})
    build([path], {path: {"share": [0.1, 0.2]}})

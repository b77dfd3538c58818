"""Strategies by name: the registry, and parameters checked against the typed constructor."""

import inspect
import math
import re
import sys
from collections.abc import Sequence
from typing import Literal, Optional

import pytest
from avalanche.core import BasePlugin, SupervisedPlugin
from avalanche.training.plugins import EWCPlugin
from clep.strategies.neuronal_adaptation import NeuronalAdaptation
from clep.strategies.sleep_replay import SleepReplay
from hypothesis import given
from hypothesis import strategies as st

import clep
from clep import registry
from clep.errors import ConfigError
from clep.randomness import seed_for
from clep.registry import build
from clep.strategy import Strategy
from tests.test_capabilities import BUILT_IN

pytestmark = [
    pytest.mark.filterwarnings("ignore:No loggers specified"),
    pytest.mark.filterwarnings("ignore:Call to deprecated function"),
]


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


PATH = f"{__name__}:Typed"


def refusal(names, arguments=None):
    with pytest.raises(ConfigError) as caught:
        registry.build(names, arguments)
    return str(caught.value)


# names


def test_the_registry_names_every_built_in_strategy_and_finds_a_plugin_for_each():
    assert set(BUILT_IN) <= set(registry.names())
    assert registry.names() == sorted(registry.names())
    for name in registry.names():
        assert issubclass(registry.find(name), BasePlugin)
    assert registry.find("sleep_replay") is SleepReplay
    assert registry.find("ewc") is EWCPlugin


def test_an_unknown_name_is_answered_with_the_nearest_all_names_and_the_way_to_ones_own():
    message = refusal(["slep_replay"])
    assert message.startswith(
        "strategies: unknown strategy `slep_replay`; did you mean `sleep_replay`? Valid strategies: "
    )
    assert ", ".join(registry.names()) + ". Name your own strategy by its import path" in message


@pytest.mark.parametrize("name", ["avalanche.training:DER", "avalanche.training:ER_ACE", "avalanche.training.Naive"])
def test_an_avalanche_template_is_refused_by_name(name):
    """Mixed into the bridge, a template would run without its loss and without an error."""
    message = refusal([name])
    assert message.startswith(f"strategies: `{name}` is an Avalanche template, not a plugin")
    assert "`der` here, ER-ACE is `er_ace`" in message


@pytest.mark.parametrize("form", ["my_module:Mine", "my_module.Mine"])
def test_an_import_path_names_a_strategy_of_ones_own(form, tmp_path, monkeypatch):
    source = "import clep\n\nclass Mine(clep.Strategy):\n    def __init__(self, *, k: int = 3):\n"
    source += "        super().__init__()\n        self.k = k\n"
    (tmp_path / "my_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_module", raising=False)  # of another test
    (built,) = registry.build([form], {form: {"k": 4}, "ewc": {"nonsense": 1}})
    assert (type(built).__name__, built.k) == ("Mine", 4)
    assert refusal([form], {form: {"k": "4"}}) == f"strategy.{form}.k: expected an integer, got '4'"
    del sys.modules["my_module"]


@pytest.mark.parametrize("name", ["no_such_module:Mine", "clep.strategy:Nothing", ":Mine", "clep.", "..a"])
def test_an_import_path_that_leads_nowhere_is_refused_with_the_reason(name):
    assert refusal([name]).startswith(f"strategies: cannot import `{name}`: ")


@pytest.mark.parametrize("name", ["collections:OrderedDict", "math:pi", "clep.registry:build", "torch.nn:Linear"])
def test_what_is_not_a_plugin_is_refused(name):
    assert refusal([name]) == f"strategies: `{name}` is not an Avalanche plugin class; derive it from `clep.Strategy`."


# parameters


def test_the_typed_constructor_is_the_schema():
    (built,) = registry.build([PATH], {PATH: {"number": 2, "count": 3, "values": [1, 0.5], "choice": "right"}})
    assert built.seen == {"number": 2, "count": 3, "values": [1, 0.5], "choice": "right"}
    assert list(registry.parameters(Typed)) == list(inspect.signature(Typed).parameters)
    assert registry.parameters(SupervisedPlugin) == {}


def test_defaults_are_plain_values_that_build_again():
    assert registry.defaults(Typed) == {
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
    (built,) = registry.build([PATH], {PATH: registry.defaults(Typed)})
    assert built.seen["values"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("number", "1.0", "expected a number, got '1.0'"),
        ("number", True, "expected a number, got True"),
        ("count", 1.0, "expected an integer, got 1.0"),
        ("count", False, "expected an integer, got False"),
        ("count", None, "expected an integer, got None"),
        ("flag", 1, "expected true or false, got 1"),
        ("word", 1, "expected a string, got 1"),
        ("maybe", 0.5, "expected an integer or null, got 0.5"),
        ("values", 0.5, "expected a list of numbers, got 0.5"),
        ("values", "12", "expected a list of numbers, got '12'"),
        ("values", [1.0, "2"], "expected a list of numbers, got [1.0, '2']"),
        ("pair", [1, 0.5], "expected a list of integers, got [1, 0.5]"),
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
    registry.build([PATH], {PATH: values})


@given(value=st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(), st.lists(st.integers())))
def test_a_number_fits_a_float_and_nothing_else_does(value):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and (abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value))
    try:
        registry.build([PATH], {PATH: {"number": value}})
    except ConfigError:
        assert not fits
    else:
        assert fits


class Adapted(NeuronalAdaptation):
    def __init__(self, *, times: int = 2):
        super().__init__(steps=times)


def test_a_subclass_with_a_constructor_of_its_own_has_its_own_parameters():
    """The options of the parent stand in a signature that Python hands down to every subclass."""
    assert registry.defaults(Adapted) == {"times": 2}
    assert registry.ranges(Adapted) == {}
    (built,) = registry.build([f"{__name__}:Adapted"], {f"{__name__}:Adapted": {"times": 4}})
    assert built.adaptation.steps == 4


def test_a_required_parameter_is_asked_for_by_its_key():
    assert refusal(["ewc"]) == "strategy.ewc.ewc_lambda: a value is required, as in ewc_lambda=..."
    assert refusal(["agem"], {"agem": {"patterns_per_experience": 3}}).startswith("strategy.agem.sample_size: ")


def test_what_a_constructor_refuses_is_refused_by_the_strategys_name():
    message = refusal(["sleep_replay"], {"sleep_replay": {"decay": 1.5}})
    assert message == "strategy.sleep_replay.decay: expected a number in [0, 1], got 1.5"
    message = refusal(["ewc"], {"ewc": {"ewc_lambda": 1.0, "mode": "online"}})  # Avalanche asserts
    assert message.startswith("strategy.ewc: EWCPlugin refuses these parameters: ")
    assert "decay_factor" in message


def test_an_annotation_that_only_type_checkers_know_does_not_stop_a_plugin():
    class Checked(SupervisedPlugin):
        def __init__(self, policy: "NotImportedHere" = None):  # noqa: F821
            super().__init__()

    registry.check_arguments(Checked, {"policy": 1})


class Untyped(clep.Strategy):
    """Parameters without annotations."""

    def __init__(self, share=0.5, name="x"):
        super().__init__()


def test_an_unannotated_parameter_takes_what_its_default_is():
    """Otherwise a text reaches the strategy and fails there, without the name of the key."""
    path = f"{__name__}:Untyped"
    with pytest.raises(ConfigError, match=r"Untyped\.share: expected a number or a list of numbers, got 'half'"):
        build([path], {path: {"share": "half"}})
    build([path], {path: {"share": 1, "name": 3}})
    build([path], {path: {"share": [0.1, 0.2]}})


# randomness


def test_each_built_strategy_draws_from_a_generator_of_its_own():
    first, second = registry.build(["sleep_replay", "awake_rehearsal"], seed=3)
    assert first.generator.initial_seed() == seed_for(3, "strategy sleep_replay")
    assert second.generator.initial_seed() == seed_for(3, "strategy awake_rehearsal")
    (alone,) = registry.build(["awake_rehearsal"], seed=3)
    assert alone.draw(1000, 9) == second.draw(1000, 9) != first.draw(1000, 9)
    (other,) = registry.build(["awake_rehearsal"], seed=4)
    alone.seed_with(seed_for(3, "strategy awake_rehearsal"))
    assert other.draw(1000, 9) != alone.draw(1000, 9)


@pytest.mark.parametrize(("key", "value"), [("patterns_per_experience", 0), ("memory_strength", -0.5)])
def test_values_of_gem_out_of_range_are_refused_by_their_key(key, value):
    assert re.match(rf"strategy\.gem\.{key}: expected an? \w+ of at least ", refusal(["gem"], {"gem": {key: value}}))

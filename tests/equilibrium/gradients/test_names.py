"""Estimates by name or by import path, with their options."""

import pytest

from clep import parts
from clep.equilibrium import (
    CEP,
    Adaptation,
    Backpropagation,
    Clamping,
    CostNudging,
    LinearNudging,
)
from clep.equilibrium.gradients import gradient_class, gradient_from, known_name, name_of
from clep.errors import ConfigError

OWN = """
    from dataclasses import dataclass
    from clep.equilibrium import CostNudging, Gradient

    @dataclass(frozen=True)
    class Cautious(CostNudging):
        caution: float = 0.5

    @dataclass(frozen=True)
    class Nothing(Gradient):
        much: int = 1

        def predict(self, network, x): ...

        def loss(self, prediction, y, criterion): ...

    number = 3
"""
MADE = [
    LinearNudging(0.3, "holomorphic", points=6, rule="vector_field"),
    CostNudging(0.3, "centered", "outside", start="mirrored"),
    CEP(-0.3, "random_sign"),
    Clamping(True, rule="predictive"),
    Backpropagation(7),
]


@pytest.mark.parametrize("gradient", MADE, ids=lambda gradient: type(gradient).__name__)
def test_name_and_plain_options_make_an_estimate_again(gradient):
    """They are what a checkpoint holds; an option left out would come back as its default."""
    again = gradient_from({"name": name_of(gradient)} | gradient.plain())
    assert type(again) is type(gradient)
    assert again == gradient


def test_every_built_in_estimate_is_found_by_its_name():
    assert {name_of(gradient) for gradient in MADE} == set(parts.own("gradient"))
    assert all(known_name(gradient) == name_of(gradient) for gradient in MADE)


def test_adaptation_is_no_option():
    """A strategy sets it; in a checkpoint it would be set twice."""
    gradient = CostNudging(adaptation=Adaptation())
    assert "adaptation" not in gradient.plain()
    assert "adaptation" not in CostNudging.option_names()
    with pytest.raises(ConfigError, match=r"^adaptation: unknown option `adaptation`"):
        gradient_from({"name": "cost", "adaptation": None})


def test_an_estimate_of_ones_own_is_found_by_its_import_path(own_module):
    module = own_module(OWN)
    for name, options in (("Cautious", {"caution": 0.25, "beta": 0.1}), ("Nothing", {"much": 2})):
        made = gradient_from({"name": f"{module}:{name}"} | options)
        assert type(made) is gradient_class(f"{module}.{name}")
        assert all(made.plain()[key] == value for key, value in options.items())
        assert name_of(made) == f"{module}:{name}"
        assert gradient_from({"name": name_of(made)} | made.plain()) == made


def test_an_estimate_of_ones_own_counts_as_the_built_in_one_that_it_derives_from(own_module):
    """What is refused for cost nudging is refused for it."""
    module = own_module(OWN)
    assert known_name(gradient_from({"name": f"{module}:Cautious"})) == "cost"
    assert known_name(gradient_from({"name": f"{module}:Nothing"})) == f"{module}:Nothing"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "costs"}, ["gradient: ", "`costs`", "did you mean `cost`?", *parts.own("gradient"), "import path"]),
        ({"name": "no_such_module:It"}, ["gradient: ", "cannot import `no_such_module:It`", "must be installed"]),
        ({"name": "MODULE:It"}, ["gradient: ", "cannot import"]),
        ({"name": "MODULE:number"}, ["gradient: ", "not a class derived from `clep.equilibrium.Gradient`"]),
        ({"name": "builtins:dict"}, ["gradient: ", "not a class derived from `clep.equilibrium.Gradient`"]),
        ({"name": "linear", "betta": 0.1}, ["betta: ", "unknown option", "did you mean `beta`?", "phases"]),
        ({"name": "bptt", "beta": 0.1}, ["beta: ", "unknown option", "bptt_steps"]),
        ({"name": "linear", "beta": "high"}, ["beta: ", "expected a number", "got 'high'"]),
    ],
)
def test_what_is_no_estimate_is_refused(own_module, values, words):
    module = own_module(OWN)
    with pytest.raises(ConfigError) as error:
        gradient_from(values | {"name": values["name"].replace("MODULE", module)})
    assert str(error.value).startswith(words[0])
    assert all(word in str(error.value) for word in words), error.value

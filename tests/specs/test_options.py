"""How an option is declared and checked: types and ranges in one wording, frozen specs, keywords that can be read."""

import dataclasses
import inspect
import pydoc

import pytest

import clep
from clep.checks import Interval
from clep.config import Config
from clep.errors import ConfigError
from clep.learner import Learner
from clep.specs import (
    ConvLayer,
    LearnerSpec,
    NetworkSection,
    NetworkSpec,
    Optimization,
    Spec,
    StreamSpec,
    TimeStep,
)
from clep.specs.options import from_keywords, option, signature_of, taken_by, takes

EXAMPLES = [
    NetworkSpec(bias=True, time_step=TimeStep("gamma", 0.5), dendrites=clep.Dendrites(basal=3), feedback="dendritic"),
    NetworkSection(channels=[4, 8], kernel=[5, 3], hidden=[]),
    LearnerSpec(gradient="clamped", restart=True, lr_scale=[1.0, 0.5]),
    StreamSpec(class_order=[2, 0, 1], samples_per_experience=7),
    ConvLayer(4, pooling="average"),
]


@dataclasses.dataclass(frozen=True)
class Inner(Spec):
    """A section within a section."""

    share: float = option(0.5, "a share", "[0, 1]")


@dataclasses.dataclass(frozen=True)
class Outer(Spec):
    """A spec of a test."""

    count: int = option(2, "how many", "[1, inf)")
    sizes: list[int] = option([3], "sizes", "[1, inf)")
    limit: float | None = option(None, "a limit", "(0, inf)")
    inner: Inner = option(Inner(), "a section")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"count": 0}, "count: expected an integer of at least 1, got 0"),
        ({"count": 2.0}, "count: expected an integer of at least 1, got 2.0"),
        ({"count": True}, "count: expected an integer of at least 1, got True"),
        ({"count": None}, "count: expected an integer of at least 1, got None"),
        ({"sizes": [3, 0]}, "sizes: expected a list of integers of at least 1, got [3, 0]"),
        ({"sizes": 3}, "sizes: expected a list of integers of at least 1, got 3"),
        ({"limit": 0.0}, "limit: expected a number above 0 or null, got 0.0"),
        ({"limit": "x"}, "limit: expected a number above 0 or null, got 'x'"),
        ({"inner": {"share": 2}}, "inner.share: expected a number in [0, 1], got 2"),
        (
            {"inner": {"shaer": 1}},
            "inner.shaer: unknown argument `shaer`; did you mean `share`? Valid arguments: share",
        ),
        ({"inner": 3}, "inner: expected a mapping with keys of share, got 3"),
        (
            {"cuont": 3},
            "cuont: unknown argument `cuont`; did you mean `count`? Valid arguments: count, inner, limit, sizes",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_one_wording(values, text):
    with pytest.raises(ConfigError) as caught:
        from_keywords(Outer, values)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "values",
    [{"count": 1}, {"sizes": []}, {"limit": 1e-9}, {"inner": {"share": 0}}, {"inner": Inner(1)}, {"limit": None}],
)
def test_the_neighbours_of_what_is_refused_pass(values):
    made = from_keywords(Outer, values)
    assert {name: getattr(made, name) for name in values} == values | (
        {"inner": made.inner} if isinstance(values.get("inner"), dict) else {}
    )


def test_sequences_become_lists_so_that_equal_specs_are_equal():
    assert from_keywords(Outer, {"sizes": (3, 4)}) == Outer(sizes=[3, 4])


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: type(spec).__name__)
def test_specs_are_frozen(spec):
    for name in spec.names():
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(spec, name, getattr(spec, name))


@pytest.mark.parametrize("spec", EXAMPLES, ids=lambda spec: type(spec).__name__)
def test_plain_values_make_the_same_spec_again(spec):
    plain = spec.plain()
    assert list(plain) == spec.names()
    assert not any(isinstance(value, Spec) for value in plain.values())
    assert from_keywords(type(spec), plain) == spec
    assert from_keywords(type(spec), plain) is not spec


def test_two_specs_share_no_list():
    Outer().sizes.append(9)
    assert Outer().sizes == Outer.default("sizes") == [3]
    Outer.default("sizes").append(9)
    assert Outer().sizes == [3]


def test_plain_values_are_copies():
    """Lists in the plain values of a spec would be a way to change it although it is frozen."""
    made = Outer(sizes=[3, 4])
    made.plain()["sizes"].append(9)
    assert made.sizes == [3, 4]


def test_a_spec_is_not_changed_through_the_list_it_was_made_of():
    sizes = [3, 4]
    made = from_keywords(Outer, {"sizes": sizes})
    sizes.append(0)
    assert made.sizes == [3, 4]


def options(spec) -> list:
    fields = list(spec.declared())
    return fields + [
        inner
        for field in fields
        if isinstance(value := spec.default(field.name), Spec)
        for inner in options(type(value))
    ]


@pytest.mark.parametrize("field", options(Config), ids=lambda field: field.name)
def test_every_range_is_an_interval_that_holds_its_default(field):
    interval = field.metadata["range"]
    default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    for number in default if isinstance(default, list) else [default]:
        if interval is not None and number is not None:
            assert number in Interval.of(interval)


# ---------------------------------------------------------------- constructors that take a spec


@takes(Outer)
class Holder:
    """Holds.

    Args:
        name: of it.
    """

    def __init__(self, name: str, *, seed: int = 0, **options) -> None:
        self.spec = from_keywords(Outer, options)


def test_a_class_that_takes_a_spec_shows_its_options_in_signature_and_docstring():
    parameters = inspect.signature(Holder).parameters
    assert list(parameters) == ["name", "seed", *Outer.names()]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in Outer.names())
    assert (parameters["count"].default, parameters["count"].annotation) == (2, int)
    assert inspect.getdoc(Holder).startswith("Holds.\n\nArgs:\n    name: of it.")
    assert "Options (see `Outer`):\n    count: how many\n    sizes: sizes\n" in inspect.getdoc(Holder)


class Heir(Holder):
    def __init__(self, *, seed: int = 0) -> None:
        super().__init__("heir", count=3)


class Plain(Holder):
    pass


def test_a_subclass_takes_the_options_of_its_parent_unless_its_own_constructor_says_otherwise():
    assert [taken_by(cls) for cls in (Holder, Plain, Heir, int)] == [Outer, Outer, None, None]
    assert list(signature_of(Heir).parameters) == ["seed"]
    assert signature_of(Plain) == signature_of(Holder) == inspect.signature(Holder)


def test_a_field_that_the_taker_sets_is_no_keyword():
    """Otherwise what the user gives would be overwritten without a word."""
    assert from_keywords(Outer, {"count": 3}, limit=2.0) == Outer(count=3, limit=2.0)
    with pytest.raises(ConfigError, match=r"^limit: unknown argument `limit`\. Valid arguments: count, inner, sizes"):
        from_keywords(Outer, {"limit": 3.0}, limit=2.0)


@pytest.mark.parametrize(("cls", "spec"), [(clep.Network, NetworkSpec), (Learner, Optimization)])
def test_help_lists_every_option_with_its_meaning(cls, spec):
    text = pydoc.plain(pydoc.render_doc(cls))
    signature = text.partition("\n |\n")[0] or text
    for field in spec.declared():
        assert field.name in signature
        assert f"{field.name}: {field.metadata['meaning'][:60]}" in text


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: clep.Network([4, 3, 2], free_step=3),
            "free_step: unknown argument `free_step`; did you mean `free_steps`?",
        ),
        (lambda: clep.Network([4, 3, 2], free_steps=0), "free_steps: expected an integer of at least 1, got 0"),
        (
            lambda: clep.Network([4, 3, 2], time_step={"maen": 1.0}),
            "time_step.maen: unknown argument `maen`; did you mean `mean`?",
        ),
        (
            lambda: clep.Network([4, 3, 2], time_step={"mean": 2.0}),
            "time_step.mean: expected a number in (0, 1], got 2.0",
        ),
        (
            lambda: clep.Network([4, 3, 2], time_step=0.5),
            "time_step: expected a mapping with keys of distribution, mean",
        ),
        (
            lambda: Learner(clep.Network([4, 3, 2]), lr_scael=[1.0]),
            "lr_scael: unknown argument `lr_scael`; did you mean `lr_scale`?",
        ),
        (lambda: Learner(clep.Network([4, 3, 2]), lr=0.0), "lr: expected a number above 0, got 0.0"),
    ],
)
def test_constructors_name_their_own_parameter(make, text):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(text)

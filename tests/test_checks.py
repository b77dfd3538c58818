"""Checks of values: one wording for types, ranges and unknown names."""

from typing import Literal

import pytest

from clep.checks import Interval, check, fits, in_range, one_of, problem, unknown, words
from clep.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "inside", "outside", "said"),
    [
        ("(0, 1]", [1e-9, 1.0], [0.0, 1.1, float("nan")], "in (0, 1]"),
        ("[0, 1)", [0.0, 0.99], [-0.1, 1.0], "in [0, 1)"),
        ("[1, inf)", [1, 10**9], [0.99, float("inf")], "of at least 1"),
        ("(0, inf)", [1e-9], [0.0, float("inf")], "above 0"),
        ("(-inf, 2]", [-1e9, 2], [2.1], "of at most 2"),
        ("(-inf, 2)", [1.99], [2.0], "below 2"),
        ("(-inf, inf)", [0.0], [float("inf"), float("nan")], "that is finite"),
    ],
)
def test_an_interval_holds_what_its_brackets_say(text, inside, outside, said):
    interval = Interval.of(text)
    assert all(number in interval for number in inside)
    assert not any(number in interval for number in outside)
    assert interval.words == said


@pytest.mark.parametrize(
    ("kind", "good", "bad", "said"),
    [
        (int, [1, -1], [True, 1.0, "1", None], "an integer"),
        (float, [1, 1.5], [True, "1.5", None], "a number"),
        (bool, [True], [1, "true", None], "true or false"),
        (str, ["a"], [1, None], "a string"),
        (int | None, [1, None], [1.5], "an integer or null"),
        (list[int], [[], [1]], [1, [1.5], [True]], "a list of integers"),
        (list[list[str]], [[["a"]], []], [["a"], [[1]]], "a list of lists of strings"),
        (dict[str, int], [{}], [[]], "dict"),
        (Literal["a", "b"], ["a"], ["c", 1], "one of a, b"),
    ],
)
def test_a_value_fits_its_type_or_is_told_in_words(kind, good, bad, said):
    assert all(fits(value, kind) for value in good)
    assert not any(fits(value, kind) for value in bad)
    assert words(kind) == said


def test_a_list_is_out_of_range_if_one_number_is():
    assert problem([1, 2], list[int], "[1, inf)") is None
    assert problem([1, 0], list[int], "[1, inf)") == "expected a list of integers of at least 1, got [1, 0]"


def test_unknown_names_get_the_nearest_and_all_that_are_valid():
    assert unknown("ewcc", ["si", "ewc"], "strategy") == (
        "unknown strategy `ewcc`; did you mean `ewc`? Valid strategies: ewc, si"
    )
    assert unknown("zzz", ["ewc"], "key") == "unknown key `zzz`. Valid keys: ewc"
    assert unknown("x", ["y"], "key", nearest="a.x") == "unknown key `x`; did you mean `a.x`? Valid keys: y"


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda: check("n", 0, int, "[1, inf)"), "n: expected an integer of at least 1, got 0"),
        (lambda: check("n", "x", Literal["a"]), "n: unknown value `x`. Valid values: a"),
        (lambda: in_range("p", 1.5, 0.0, 1.0), "p: expected a number in [0, 1], got 1.5"),
        (lambda: in_range("p", 0.0, above=0.0), "p: expected a number above 0, got 0.0"),
        (lambda: one_of("rule", "hebbb", ["hebb", "bcm"]), "rule: unknown value `hebbb`; did you mean `hebb`? Valid"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_name_of_the_parameter(action, text):
    with pytest.raises(ConfigError) as caught:
        action()
    assert str(caught.value).startswith(text)


def test_what_fits_is_returned():
    values = check("n", 1, int, "[1, inf)"), in_range("p", 0.5, 0.0, 1.0), in_range("p", 1.0, above=0.0, high=1.0)
    assert values == (1, 0.5, 1.0)
    assert one_of("rule", "hebb", ["hebb"]) == "hebb"

"""Checks of values, and one wording for refusing them throughout clep.

A part names its own parameter (`beta: expected ...`); the caller adds the path with `clep.errors.within("learner")`.
"""

import difflib
import math
import re
import types
import typing
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

from clep.errors import ConfigError

T = TypeVar("T")

_SINGULAR = {int: "an integer", float: "a number", bool: "true or false", str: "a string", types.NoneType: "null"}
_PLURAL = {int: "integers", float: "numbers", bool: "true or false", str: "strings"}
_UNIONS = (typing.Union, types.UnionType)


@dataclass(frozen=True)
class Interval:
    """A range of numbers in mathematical notation: `(0, 1]` is above 0 and at most 1.

    Example:
        >>> 0.0 in Interval.of("(0, 1]"), 1.0 in Interval.of("(0, 1]")
        (False, True)
        >>> Interval.of("[1, inf)").words
        'of at least 1'
    """

    low: float
    high: float
    with_low: bool
    with_high: bool

    @classmethod
    def of(cls, text: str) -> "Interval":
        """Read an interval such as `[1, inf)`."""
        low, high = map(float, text[1:-1].split(","))
        return cls(low, high, text[0] == "[", text[-1] == "]")

    def __contains__(self, number: float) -> bool:
        """Whether a number lies inside; NaN never does."""
        above = self.low < number or (self.with_low and number == self.low)
        below = number < self.high or (self.with_high and number == self.high)
        return above and below

    @property
    def words(self) -> str:
        """The interval in words that follow "a number"."""
        if self.high == math.inf:
            if self.low == -math.inf:
                return "that is finite"
            return f"of at least {self.low:g}" if self.with_low else f"above {self.low:g}"
        if self.low == -math.inf:
            return f"of at most {self.high:g}" if self.with_high else f"below {self.high:g}"
        return f"in {'[' if self.with_low else '('}{self.low:g}, {self.high:g}{']' if self.with_high else ')'}"


def unknown(name: str, valid: Iterable[str], what: str, *, nearest: str | None = None) -> str:
    """Say that a name is unknown, suggest the nearest one and list all valid ones.

    Args:
        name: what was given.
        valid: all valid names.
        what: the kind of name, in the singular: "key", "strategy", "value".
        nearest: the name to suggest; by default the one in `valid` whose spelling is nearest, ignoring case.

    Example:
        >>> unknown("cnetered", ["centered", "one_sided"], "value")
        'unknown value `cnetered`; did you mean `centered`? Valid values: centered, one_sided'
    """
    valid = sorted(map(str, valid))
    spelled = {choice.lower(): choice for choice in valid}
    nearest = nearest or next((spelled[s] for s in difflib.get_close_matches(str(name).lower(), spelled, n=1)), None)
    guess = f"; did you mean `{nearest}`?" if nearest else "."
    plural = what + "es" if what.endswith("s") else re.sub("([^aeiou])y$", r"\1ie", what) + "s"
    return f"unknown {what} `{name}`{guess} Valid {plural}: {', '.join(valid)}"


def fits(value: Any, kind: Any) -> bool:
    """Whether a plain value has a type. A boolean is not a number; types that YAML cannot express fit every value."""
    origin, options = get_origin(kind), get_args(kind)
    if origin in _UNIONS:
        return any(fits(value, option) for option in options)
    if origin is Literal:
        return value in options
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(fits(entry, options[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict)
    if isinstance(kind, type) and is_dataclass(kind):
        return isinstance(value, dict | kind)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, types.NoneType) else True


def words(kind: Any, interval: str | None = None) -> str:
    """Describe a type and the range of its numbers in the words of an error message.

    Example:
        >>> words(int, "[1, inf)"), words(float | None)
        ('an integer of at least 1', 'a number or null')
        >>> words(list[float], "[0, inf)")
        'a list of numbers of at least 0'
    """
    origin, options = get_origin(kind), get_args(kind)
    inside = f" {Interval.of(interval).words}" if interval else ""
    if origin in _UNIONS:
        return " or ".join(words(option, None if option is types.NoneType else interval) for option in options)
    if origin is Literal:
        return f"one of {', '.join(map(str, options))}"
    if origin in (list, tuple, Sequence):
        return f"a list of {_plural(options[0])}{inside}"
    return _SINGULAR.get(kind, getattr(kind, "__name__", str(kind))) + inside


def problem(value: Any, kind: Any, interval: str | None = None) -> str | None:
    """Say what is wrong with a value, or None if nothing is.

    Args:
        value: a plain value.
        kind: the type it should have.
        interval: the range of the number, or of each number of a list; see `Interval.of`.

    Example:
        >>> problem(0, int, "[1, inf)")
        'expected an integer of at least 1, got 0'
    """
    choices = next((get_args(k) for k in _options(kind) if get_origin(k) is Literal), None)
    if choices is not None and not fits(value, kind):
        return unknown(str(value), map(str, choices), "value")
    numbers = value if isinstance(value, list | tuple) else [value]
    numbers = [number for number in numbers if isinstance(number, int | float)]
    inside = interval is None or all(number in Interval.of(interval) for number in numbers)
    if not (fits(value, kind) and inside):
        return f"expected {words(kind, interval)}, got {shown(value)}"
    if any(isinstance(number, int) and abs(number) >= 2**63 for number in numbers):
        return f"expected {words(kind, interval)}, below 2^63, got {shown(value)}"
    return None


def shown(value: Any) -> str:
    """A value for a message, cut where it is too long to read.

    Example:
        >>> shown([0, 1]), len(shown(10**1000))
        ('[0, 1]', 100)
    """
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:97]}..."


def check(name: str, value: T, kind: Any, interval: str | None = None) -> T:
    """Return `value` if it has the type and lies in the range; see `problem`.

    Args:
        name: the parameter, for the message.
        value: its value.
        kind: the type it should have.
        interval: the range of its numbers.

    Raises:
        ConfigError: otherwise; names the parameter, what is allowed and what it got.

    Example:
        >>> check("steps", 5, int, "[1, inf)")
        5
    """
    if (found := problem(value, kind, interval)) is not None:
        raise ConfigError(f"{name}: {found}")
    for number in value if isinstance(value, list | tuple) else [value]:
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"{name}: expected {words(kind, interval)}, finite, got {shown(value)}")
    return value


def in_range(
    name: str, value: float, low: float = -math.inf, high: float = math.inf, *, above: float | None = None
) -> float:
    """Return `value` if `low <= value <= high`, or `above < value <= high`.

    Args:
        name: the parameter, for the message.
        value: its value.
        low: the smallest value allowed.
        high: the largest value allowed.
        above: a bound that the value must exceed, instead of `low`.

    Raises:
        ConfigError: otherwise; names the parameter and the range.

    Example:
        >>> in_range("rate", 0.1, above=0.0, high=1.0)
        0.1
    """
    closed = above is None
    interval = Interval(low if above is None else above, high, closed, True)
    if value not in interval:
        raise ConfigError(f"{name}: expected a number {interval.words}, got {value!r}")
    return value


def one_of(name: str, value: str, valid: Iterable[str], what: str = "value") -> str:
    """Return `value` if it is one of `valid`.

    Args:
        name: the parameter, for the message.
        value: its value.
        valid: all valid values.
        what: the kind of value, in the singular.

    Raises:
        ConfigError: otherwise; names the parameter, the nearest choice and all choices.

    Example:
        >>> one_of("phases", "centered", ["centered", "one_sided"])
        'centered'
    """
    valid = list(valid)
    if value not in valid:
        raise ConfigError(f"{name}: {unknown(str(value), valid, what)}")
    return value


def repeats(name: str, entries: Sequence[Any]) -> None:
    """Refuse a list that has an entry twice.

    Args:
        name: the parameter, for the message.
        entries: its entries.

    Raises:
        ConfigError: if an entry stands there twice.

    Example:
        >>> repeats("seeds", [0, 1])
    """
    for entry, times in Counter(map(str, entries)).items():
        if times > 1:
            raise ConfigError(f"{name}: expected each entry once, got `{entry}` {times} times")


def _plural(kind: Any) -> str:
    if get_origin(kind) in (list, tuple, Sequence):
        return f"lists of {_plural(get_args(kind)[0])}"
    return _PLURAL.get(kind) or words(kind)


def _options(kind: Any) -> Sequence[Any]:
    return get_args(kind) if get_origin(kind) in _UNIONS else [kind]

"""How a spec declares an option, and how a constructor takes the options of a spec as its keywords."""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass
from typing import Any, TypeVar, get_type_hints

from clep.checks import check, one_of
from clep.errors import ConfigError, within

S = TypeVar("S", bound="Spec")
C = TypeVar("C", bound=Any)


def option(default: Any, meaning: str, interval: str | None = None, *, kw_only: bool = False) -> Any:
    """A field of a spec.

    Args:
        default: its value if none is given; `dataclasses.MISSING` makes it required. Every instance gets its own copy
            of a list, a mapping or another spec.
        meaning: what it does, in words that can follow its name on the reference page.
        interval: the range of its numbers, as in `clep.checks.Interval`.
        kw_only: whether a constructor takes it only by keyword.
    """
    metadata = {"meaning": meaning, "range": interval}
    if isinstance(default, list | dict | Spec):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata, kw_only=kw_only)
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass(frozen=True)
class Spec:
    """Base of all specs; making one checks types and ranges.

    Raises:
        ConfigError: for a value of the wrong type or out of range, naming the option.

    Example:
        >>> from dataclasses import dataclass
        >>> from clep.specs import option
        >>> @dataclass(frozen=True)
        ... class Oven(Spec):
        ...     degrees: int = option(200, "temperature in Celsius", "[0, 300]")
        >>> Oven(degrees=180).plain()
        {'degrees': 180}
        >>> Oven(degrees=400)
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: degrees: expected an integer in [0, 300], got 400
    """

    def __post_init__(self) -> None:
        hints = hints_of(type(self))
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), hints[field.name]
            if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
                check(field.name, value, kind, field.metadata.get("range"))
            elif not isinstance(value, kind):
                keys = ", ".join(field.name for field in dataclasses.fields(kind))
                raise ConfigError(f"{field.name}: expected a mapping with keys of {keys}, got {value!r}")

    @classmethod
    def declared(cls) -> Iterator[Field[Any]]:
        """The fields declared by `option`."""
        return (field for field in dataclasses.fields(cls) if "meaning" in field.metadata)

    @classmethod
    def names(cls) -> list[str]:
        """The names of the options."""
        return [field.name for field in cls.declared()]

    @classmethod
    def default(cls, name: str) -> Any:
        """The default of an option."""
        field = next(field for field in dataclasses.fields(cls) if field.name == name)
        return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()

    def part(self, spec: "type[Spec]") -> dict[str, Any]:
        """The options that `spec` declares, as keywords."""
        return {name: getattr(self, name) for name in spec.names()}

    def plain(self) -> dict[str, Any]:
        """The options as plain values; they suffice to make the same spec again."""
        return {
            field.name: value.plain() if isinstance(value, Spec) else copy.deepcopy(value)
            for field in self.declared()
            for value in [getattr(self, field.name)]
        }


def hints_of(spec: type) -> dict[str, Any]:
    """The types of the fields of a dataclass."""
    if spec not in _HINTS:
        _HINTS[spec] = get_type_hints(spec)
    return _HINTS[spec]


_HINTS: dict[type, dict[str, Any]] = {}  # a look-up takes longer than making a spec


def from_keywords(spec: type[S], values: Mapping[str, Any], **own: Any) -> S:
    """Make a spec from keyword arguments; nested specs may be given as mappings.

    Args:
        spec: class of the spec.
        values: options by name.
        **own: fields that the caller sets; they are no keywords.

    Raises:
        ConfigError: for an unknown keyword, with the nearest valid one, or a value that does not fit.

    Example:
        >>> from clep.specs import NetworkSpec
        >>> from_keywords(NetworkSpec, {"bias": True, "time_step": {"mean": 0.5}}).time_step.mean
        0.5
    """
    hints = {field.name: hints_of(spec)[field.name] for field in dataclasses.fields(spec) if field.name not in own}
    made = dict(values)
    for name, value in values.items():
        one_of(name, name, hints, "argument")
        if isinstance(value, Mapping) and dataclasses.is_dataclass(hints[name]):
            with within(name):
                made[name] = from_keywords(hints[name], value)
        elif isinstance(value, list | tuple):
            made[name] = list(value)
    return spec(**made, **own)


def takes(spec: type[Spec]) -> Callable[[C], C]:
    """Show the options of a spec in the signature and the docstring of a class or function that takes them.

    It must take them as `**options`. Options that it names itself are left out.
    """

    def show(taker: C) -> C:
        signature = inspect.signature(taker.__init__ if isinstance(taker, type) else taker)  # type: ignore[misc]
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD and p.name != "self"]
        options = [field for field in spec.declared() if field.name not in signature.parameters]
        listed = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=spec.default(field.name),
                annotation=hints_of(spec)[field.name],
            )
            for field in options
        ]
        returned = signature.empty if isinstance(taker, type) else signature.return_annotation
        shown = inspect.Signature([*own, *listed], return_annotation=returned)
        lines = [f"    {field.name}: {field.metadata['meaning']}" for field in options]
        documentation = "\n".join(
            [inspect.cleandoc(taker.__doc__ or ""), "", f"Options (see `{spec.__name__}`):", *lines]
        )
        taker.__signature__, taker.__doc__, taker._takes = shown, documentation, spec
        return taker

    return show


def taken_by(taker: Any) -> type[Spec] | None:
    """The spec whose options a class or function takes, or None.

    Example:
        >>> import clep
        >>> taken_by(clep.Network).__name__
        'NetworkSpec'
    """
    found: type[Spec] | None = vars(_constructed_by(taker)).get("_takes")
    return found


def signature_of(taker: Any) -> inspect.Signature:
    """The signature of a class or function, with the options that it takes from a spec, without `self`.

    Unlike `inspect.signature`, it does not show the options of a parent for a class that has its own `__init__`.
    """
    home = _constructed_by(taker)
    if isinstance(home, type) and "__signature__" not in vars(home):
        signature = inspect.signature(home.__init__)  # type: ignore[misc]
        return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "self"])
    return inspect.signature(home)


def _constructed_by(taker: Any) -> Any:
    """The class whose `__init__` a class uses; a function itself."""
    if not isinstance(taker, type):
        return taker
    return next(cls for cls in taker.__mro__ if "__init__" in vars(cls))

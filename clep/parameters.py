"""The typed signature of a class or function as the schema of its parameters, for parts of every kind."""

import inspect
import re
import traceback
import typing
from collections.abc import Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin

from clep.checks import check, one_of
from clep.errors import ClepError, ConfigError, within
from clep.specs.options import signature_of, taken_by

Known = Mapping[str, tuple[Any, str | None]]
"""Parameter -> its type and its range, for signatures that say neither."""

_NONE: Known = MappingProxyType({})
_INTERVAL = re.compile(r"^[\[(][^,]+,[^,]+[\])]$")
_PLAIN = bool | int | float | str | None


def parameters(taker: Any, *, known: Known = _NONE, given: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """Read the parameters of a class or function from its signature, with their types as annotations.

    Args:
        taker: a class or a function; one that takes the options of a spec has these, too.
        known: types of parameters that come before those of the signature.
        given: names of parameters that the caller passes itself; they are left out.

    Example:
        >>> def kept(x, *, rate: float = 0.5): ...
        >>> parameters(kept, given=["x"])["rate"].annotation
        <class 'float'>
    """
    signature = signature_of(taker)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {name: p for name, p in signature.parameters.items() if p.kind in kinds and name not in given}
    if taken_by(taker) is None:
        hints = {name: _plain(hint) for name, hint in _hints(taker).items()}
        found = {
            name: p.replace(annotation=known.get(name, (hints.get(name, p.empty),))[0]) for name, p in found.items()
        }
    return found


def ranges(taker: Any, *, known: Known = _NONE) -> dict[str, str | None]:
    """Read the ranges of the parameters, as in `clep.checks.Interval`.

    They come from a spec, or from the annotation: `rate: Annotated[float, "[0, 1]"]`.

    Args:
        taker: a class or a function.
        known: ranges of parameters that come before those of the signature.

    Example:
        >>> from typing import Annotated
        >>> def kept(*, rate: Annotated[float, "[0, 1]"] = 0.5): ...
        >>> ranges(kept)
        {'rate': '[0, 1]'}
    """
    spec = taken_by(taker)
    if spec is not None:
        return {field.name: field.metadata["range"] for field in spec.declared()}
    said = {name: _interval(hint) for name, hint in _hints(taker).items()}
    return {name: text for name, text in said.items() if text} | {name: text for name, (_, text) in known.items()}


def defaults(taker: Any, *, given: Collection[str] = ()) -> dict[str, Any]:
    """Read the defaults that a configuration can hold: numbers, strings, None and lists of these.

    Args:
        taker: a class or a function.
        given: names of parameters that the caller passes itself; they are left out.

    Example:
        >>> def kept(*, rates: tuple[float, ...] = (0.5, 1.0)): ...
        >>> defaults(kept)
        {'rates': [0.5, 1.0]}
    """
    found = {name: p.default for name, p in parameters(taker, given=given).items() if p.default is not p.empty}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    return {name: value for name, value in values.items() if _is_plain(value)}


def check_arguments(
    taker: Any, values: Mapping[str, Any], *, known: Known = _NONE, given: Collection[str] = (), typed: bool = True
) -> None:
    """Check plain values against the parameters of a class or function: names, types and ranges.

    Args:
        taker: a class or a function.
        values: parameter -> value.
        known: types and ranges that come before those of the signature.
        given: names of parameters that the caller passes itself; nobody else can set them.
        typed: whether each parameter must have a type or a default.

    Raises:
        ConfigError: for an unknown or missing parameter or a wrong value, naming the parameter.

    Example:
        >>> def kept(*, rate: float = 0.5): ...
        >>> check_arguments(kept, {"rate": "half"})
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: rate: expected a number, got 'half'
    """
    schema, intervals = parameters(taker, known=known, given=given), ranges(taker, known=known)
    for key, parameter in schema.items() if typed else ():
        if parameter.annotation is parameter.empty and parameter.default is parameter.empty:
            name = f"{taker.__name__}.__init__" if isinstance(taker, type) else taker.__name__
            raise ConfigError(
                f"{key}: {name} gives it neither a type nor a default, so nothing can check its "
                f"value; annotate it, as in `{key}: float`"
            )
    for key, value in values.items():
        one_of(key, key, schema, "key")
        check(key, value, _kind_of(schema[key]), intervals.get(key))
    for key, parameter in schema.items():
        if parameter.default is inspect.Parameter.empty and key not in values:
            raise ConfigError(f"{key}: a value is required, as in {key}=...")


def made(
    taker: Any,
    options: Mapping[str, Any],
    *args: Any,
    key: str,
    options_key: str = "",
    given: Collection[str] = (),
    **own: Any,
) -> Any:
    """What a class or function makes of plain options, checked first.

    Args:
        taker: a class or a function.
        options: parameter -> plain value.
        *args: what the caller passes by position.
        key: what names the taker.
        options_key: what holds the options; by default `KEY_options`.
        given: names of parameters that the caller passes; nobody else can set them.
        **own: what the caller passes by name.

    Raises:
        ConfigError: for an unknown or missing option or a wrong value, and if the taker fails.

    Example:
        >>> def power(*, exponent: int = 2):
        ...     return lambda x: x**exponent
        >>> made(power, {"exponent": 3}, key="cost")(2)
        8
        >>> made(power, {"exponnet": 3}, key="cost")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: cost_options.exponnet: unknown key `exponnet`; did you mean `exponent`? Valid keys: ...
    """
    try:
        with within(options_key or f"{key}_options"):
            check_arguments(taker, options, given=given)
            return taker(*args, **own, **options)
    except ClepError:
        raise
    except Exception as error:
        file, line = traceback.extract_tb(error.__traceback__)[-1][:2]
        name = getattr(taker, "__qualname__", type(taker).__name__)
        raise ConfigError(
            f"{key}: {name} cannot be made ({file}, line {line}): {type(error).__name__}: {error}"
        ) from error


def _hints(taker: Any) -> dict[str, Any]:
    """The annotations of a class's constructor or of a function; none if only type checkers can see one of them."""
    with suppress(NameError):
        constructor: Any = taker.__init__ if isinstance(taker, type) else taker  # type: ignore[misc]
        return typing.get_type_hints(constructor, include_extras=True)
    return {}


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _interval(hint: Any) -> str | None:
    """The range that an annotation says."""
    said = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((text for text in said if isinstance(text, str) and _INTERVAL.match(text)), None)


def _kind_of(parameter: inspect.Parameter) -> Any:
    """What a parameter takes; without annotation, if its default is a number, one number or one per experience."""
    if parameter.annotation is not parameter.empty:
        return parameter.annotation
    is_number = isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
    return float | list[float] if is_number else Any


def _is_plain(value: Any) -> bool:
    return all(isinstance(entry, _PLAIN) for entry in (value if isinstance(value, list) else [value]))

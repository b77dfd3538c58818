"""What is tested: a network or a data set by name, with its options."""

from typing import Any

from clep import parts


class Part:
    """A network or a data set with its options, for the checks of `clep.testing`.

    Args:
        kind: `network` or `dataset`.
        part: a registered name, an import path, or a class or function at the top of a module.
        options: its own parameters; those left out have their defaults.

    Example:
        >>> Part("dataset", "digits").name
        'digits'
    """

    def __init__(self, kind: str, part: Any, /, **options: Any) -> None:
        self.kind = kind
        self.name = part if isinstance(part, str) else parts.name_of(kind, part)
        self.options = options

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"Part({self.kind!r}, {self.name!r}{given})"

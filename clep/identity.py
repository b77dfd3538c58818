"""What a result is of: its configuration, the contents of its data, the plug-ins that it used, and clep's own code."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

TAG = "clep.identity"
"""The tag of a run for its identity; those of the parts are below it, as in `clep.identity.data`."""
NONE = "none"
"""The part of a result without plug-ins."""
UNREADABLE = "unreadable"
"""The part of data that are not there."""

_WORDS = {"configuration": "configuration", "data": "data", "plugins": "plug-ins", "code": "code of clep"}
_SHOWN = 8  # characters of a digest in a message


@dataclass(frozen=True)
class Identity:
    """What tells a result from others: two runs of one identity give the same numbers.

    Attributes:
        configuration: hash of the keys that a result depends on.
        data: hashes of the samples to learn from and to test on, `TRAIN+TEST`.
        plugins: each module of own code with its distribution's version, if it has one, and a hash of its source;
            `none` without any.
        code: version of clep, and a hash of its source: `VERSION+HASH`.
        source: what the data are called in messages; not part of the identity.

    Example:
        >>> old = Identity("c0ffee", "aaaa+bbbb", "none", "0.1.0+1234", "mine.npz")
        >>> new = Identity("c0ffee", "aaaa+dddd", "none", "0.1.0+1234", "mine.npz")
        >>> new.differences(old)
        ['data changed: mine.npz, to test on (was bbbb, is dddd)']
        >>> new.digest == old.digest, Identity.from_tags(new.tags) == new
        (False, True)
    """

    configuration: str
    data: str
    plugins: str
    code: str
    source: str = field(default="", compare=False)

    @property
    def parts(self) -> dict[str, str]:
        """Part -> its value."""
        return {name: getattr(self, name) for name in _WORDS}

    @property
    def digest(self) -> str:
        """All parts in 32 characters."""
        return digest_of(self.parts)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run that has this identity."""
        return {TAG: self.digest} | {f"{TAG}.{name}": value for name, value in self.parts.items()}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self | None:
        """The identity of a stored run; None if it has none, as in versions before identities."""
        parts = {name: tags[f"{TAG}.{name}"] for name in _WORDS if f"{TAG}.{name}" in tags}
        return cls(**parts) if len(parts) == len(_WORDS) else None

    def changed(self, other: "Identity") -> list[str]:
        """The names of the parts that differ."""
        return [name for name, value in self.parts.items() if other.parts[name] != value]

    def differences(self, other: "Identity") -> list[str]:
        """What differs from an earlier identity, one text for each part.

        Args:
            other: the earlier one.
        """
        told = {"data": self._of_data, "plugins": self._of_plugins}
        return [
            f"{_WORDS[name]} changed{told[name](other) if name in told else _was(other.parts[name], self.parts[name])}"
            for name in self.changed(other)
        ]

    def _of_data(self, other: "Identity") -> str:
        both = zip(("to learn from", "to test on"), other.data.split("+"), self.data.split("+"), strict=False)
        changes = [f"{role}{_was(before, now)}" for role, before, now in both if before != now]
        return f": {self.source or other.source or 'samples'}, {', '.join(changes)}"

    def _of_plugins(self, other: "Identity") -> str:
        before, now = _modules(other.plugins), _modules(self.plugins)
        changes = [
            f"{module}{_was(before.get(module, NONE), now.get(module, NONE))}"
            for module in sorted({*before, *now})
            if before.get(module) != now.get(module)
        ]
        return f": {', '.join(changes)}"


def digest_of(values: object) -> str:
    """A hash of plain values, 32 characters.

    Example:
        >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}), len(digest_of([]))
        (True, 32)
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def _was(before: str, now: str) -> str:
    return f" (was {_short(before)}, is {_short(now)})"


def _short(value: str) -> str:
    """A value with its digest, which ends it, as short as people compare it."""
    head, mark, digest = value.rpartition("+")
    return value if value == UNREADABLE else f"{head}{mark}{digest[:_SHOWN]}"


def _modules(plugins: str) -> dict[str, str]:
    """Module -> version and hash, of the part `plugins`."""
    pairs = (entry.partition("=") for entry in plugins.split(", ") if plugins != NONE)
    return {module: value for module, _, value in pairs}

"""Run a pipeline by its name: one of clep, of another package, or of your own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clep import parts
from clep.checks import shown
from clep.config import Config
from clep.errors import ConfigError, within
from clep.parameters import check_arguments

_GIVEN = ("config",)


@dataclass(frozen=True)
class Plain:
    """What a pipeline returned that says nothing of how it is printed.

    Attributes:
        value: plain containers, or a text.
    """

    value: Any

    def to_json(self) -> Any:
        """The value."""
        return self.value

    def to_text(self) -> str:
        """A text as it is, anything else as JSON."""
        return self.value if isinstance(self.value, str) else json.dumps(self.value, indent=2, default=str)


def run(name: str, config: Config, options: Mapping[str, Any] | None = None) -> Any:
    """Call a pipeline, `function(config, *, ...)`.

    Args:
        name: a registered name, or an import path `module:function`.
        config: what to run.
        options: its own typed keyword-only parameters.

    Returns:
        What it returned, if it has `to_text` and `to_json`; otherwise a `Plain` around it.

    Raises:
        ConfigError: for an unknown name or parameter, or a wrong value.
    """
    function, options = parts.find("pipeline", name), options or {}
    if not callable(function):
        raise ConfigError(
            f"pipeline: expected a function that takes a configuration, and `{name}` is {shown(function)}"
        )
    with within("pipeline"):
        check_arguments(function, options, given=_GIVEN)
    result = function(config, **options)
    return result if hasattr(result, "to_text") and hasattr(result, "to_json") else Plain(result)

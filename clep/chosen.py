"""What a user sets for nothing: keys that a command does not read, and parameters of strategies that nobody chose."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clep.cells import names_in
from clep.config import Config, given
from clep.errors import ConfigError, UnusedWarning


def check_chosen(
    source: str | Path | Mapping[str, Any] | Config | None,
    overrides: Sequence[str],
    composed: Config,
    *,
    cells: bool = False,
) -> None:
    """Refuse parameters of a strategy that is not chosen; those in a file are named once.

    A file may have parameters of all strategies that it names in `strategies` or in its cells.

    Args:
        source: the configuration that the user names.
        overrides: `key=value` texts of the user.
        composed: what both make.
        cells: whether the strategies are those of the cells.

    Raises:
        ConfigError: for an override; the message begins with the key.

    Example:
        >>> from clep.config import compose
        >>> changes = ["strategies=si", "strategy.ewc.ewc_lambda=1"]
        >>> check_chosen(None, changes, compose(None, changes))
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: strategy.ewc.ewc_lambda: changes nothing: `ewc` is not chosen, but si; add it or ...
    """
    chosen = _of_cells(composed) if cells else set(composed.strategies or ["naive"])
    of_file, typed = given(source, overrides)
    for key, reason in in_vain(typed, chosen):
        raise ConfigError(f"{key}: {reason}")
    named = chosen | set(of_file.get("strategies", ()))
    if of_file.keys() & {"cells", "grid"}:
        named |= _of_cells(composed)
    for key, reason in in_vain(of_file, named):
        warnings.warn(f"{key}: {reason}", UnusedWarning, stacklevel=2)


def in_vain(values: Mapping[str, Any], chosen: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the key of each parameter whose strategy is not chosen, and why it changes nothing.

    Args:
        values: nested values with the key `strategy`, if there are any parameters.
        chosen: names of strategies.

    Example:
        >>> [key for key, _ in in_vain({"strategy": {"ewc": {"mode": "online"}, "si": {}}}, {"si"})]
        ['strategy.ewc.mode']
    """
    for name, parameters in values.get("strategy", {}).items():
        if name not in chosen:
            names = ", ".join(sorted(chosen))
            for key in parameters:
                reason = f"changes nothing: `{name}` is not chosen, but {names}; add it or leave this out"
                yield f"strategy.{name}.{key}", reason


def refuse_ignored(config: Config, overrides: Iterable[str]) -> None:
    """Refuse changes that a comparison would not read: its cells have their own strategies, its seeds are `seeds`.

    Args:
        config: the comparison.
        overrides: the `key=value` texts that it was composed with.

    Raises:
        ConfigError: with the key to set instead.

    Example:
        >>> from clep.config import compose
        >>> refuse_ignored(compose(None, ["strategies=ewc"]), ["strategies=ewc"])
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: strategies: `clep compare` takes sets of strategies from its cells; set cells=[[ewc]]
    """
    changed = {text.partition("=")[0] for text in overrides}
    if "strategies" in changed and all(isinstance(cell, list) for cell in config.cells):
        fix = f"cells=[[{','.join(config.strategies)}]]"
        raise ConfigError(f"strategies: `clep compare` takes sets of strategies from its cells; set {fix}")
    if "seed" in changed:
        raise ConfigError(f"seed: `clep compare` runs every cell with each of `seeds`; set seeds=[{config.seed}]")


def _of_cells(config: Config) -> set[str]:
    """The strategies of a comparison, controls included."""
    own = config.strategies or ["naive"]
    shares = any(isinstance(cell, dict) and cell.get("strategies") is None for cell in config.cells)
    return {*names_in(config.cells), *config.controls, *(own if shares else ())}

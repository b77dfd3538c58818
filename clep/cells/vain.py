"""Changes of a cell that change nothing in it."""

from collections.abc import Callable, Collection, Iterator, Sequence

from clep.errors import ConfigError
from clep.schema import Config, parts_of, unused


def not_chosen(change: str, chosen: Collection[str]) -> str | None:
    """The strategy whose parameters a `key=value` text sets, if it is not one of `chosen`.

    Example:
        >>> not_chosen("strategy.ewc.ewc_lambda=1", ["si"]), not_chosen("learner.lr=1", ["si"])
        ('ewc', None)
    """
    parts = parts_of(_key(change))
    return parts[1] if parts[0] == "strategy" and len(parts) > 1 and parts[1] not in chosen else None


def of_others(changes: Sequence[str], chosen: Sequence[str]) -> Iterator[str]:
    """Say of each change to a strategy that a cell has not why it does nothing.

    Args:
        changes: `key=value` texts.
        chosen: the strategies of the cell.

    Example:
        >>> list(of_others(["strategy.ewc.ewc_lambda=1"], ["si"]))
        ['`strategy.ewc.ewc_lambda=1` changes nothing: the cell has si, and not `ewc`']
    """
    for change in changes:
        if (name := not_chosen(change, chosen)) is not None:
            has = ", ".join(chosen) or "no strategy"
            yield f"`{change}` changes nothing: the cell has {has}, and not `{name}`"


def idle_changes(changes: Sequence[str], composed: Config, compose: Callable[[Sequence[str]], Config]) -> Iterator[str]:
    """Say of each option that a cell sets, and that does not act in it, why; see `clep.specs.idle`.

    A stored cell has all keys of its network's file, also those that do not act: these are left out.

    Args:
        changes: the `key=value` texts of the cell.
        composed: the configuration of the cell.
        compose: makes the configuration of other changes.
    """
    for key, reason in unused(composed):
        others = [change for change in changes if _key(change) != key]
        if len(others) == len(changes):
            continue
        try:
            without = dict(unused(compose(others)))
        except ConfigError:
            continue
        if without.get(key) != reason:
            yield f"{key}: {reason}"


def _key(change: str) -> str:
    return change.partition("=")[0]

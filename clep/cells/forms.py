"""The ways of writing the cells of a configuration, and the one way in which a configuration keeps them.

cells: [naive, [ewc, sleep_replay], awake_rehearsal+sleep_replay]    # sets of strategies
cells:
  - {label: long sleep, strategies: [sleep_replay], set: [strategy.sleep_replay.keep=0.8]}
  - {set: [network=ep]}                                              # with the strategies of the configuration
cells:                                                               # labels with their changes, as in a claim
  deep: {set: ["network.hidden=[256,256]"]}
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from clep.cells.cell import Cell
from clep.checks import one_of
from clep.errors import ConfigError
from clep.schema import label

_KEYS = ("label", "strategies", "set")
_FORMS = "a set of strategies, as in [ewc, sleep_replay], or {label: ..., strategies: [...], set: [key=value, ...]}"


class _Given(NamedTuple):
    """A cell as it was written; without strategies it has those of the whole comparison."""

    label: str
    strategies: list[str] | None
    changes: list[str]


def read_cells(values: Any) -> list[Cell]:
    """Read cells in any of their forms.

    Args:
        values: what the key `cells` holds.

    Raises:
        ConfigError: for anything else; the message begins with `cells[i]`, or `cells.LABEL` in a mapping.

    Example:
        >>> [cell.label for cell in read_cells(["naive", ["ewc", "si"], {"set": ["network=ep", "learner.lr=0.1"]}])]
        ['naive', 'ewc+si', 'ep, lr=0.1']
        >>> read_cells({"deep": {"set": ["network.hidden=[8,8]"]}})[0].set
        ('network.hidden=[8,8]',)
    """
    return [
        Cell(name, (*(() if names is None else [f"strategies={text_of(names)}"]), *changes))
        for name, names, changes in _given(values)
    ]


def normal(values: Any) -> list[Any]:
    """Cells in any of their forms as a list of cells as a configuration keeps them; see `kept`.

    Args:
        values: what the key `cells` holds.

    Raises:
        ConfigError: as `read_cells`.

    Example:
        >>> normal("naive"), normal({"wide": {"set": ["network.hidden=[512]"]}})
        ([['naive']], [{'label': 'wide', 'strategies': None, 'set': ['network.hidden=[512]']}])
    """
    return [kept(*cell) for cell in _given(values)]


def kept(name: str, strategies: Sequence[str] | None, changes: Sequence[str]) -> list[str] | dict[str, Any]:
    """A cell as a configuration keeps it: its strategies alone if they say everything.

    Args:
        name: its label.
        strategies: its strategies; None for those of the whole comparison.
        changes: its other `key=value` changes.

    Example:
        >>> kept("ewc+si", ["ewc", "si"], []), kept("mine", ["ewc"], [])
        (['ewc', 'si'], {'label': 'mine', 'strategies': ['ewc'], 'set': []})
    """
    if strategies is not None and not changes and name == label(strategies):
        return list(strategies)
    return {"label": name, "strategies": None if strategies is None else list(strategies), "set": list(changes)}


def names_in(cells: Iterable[Any]) -> set[str]:
    """The strategies of cells as a configuration keeps them.

    Example:
        >>> sorted(names_in([["ewc"], {"label": "x", "strategies": ["si"], "set": []}]))
        ['ewc', 'si']
    """
    return {name for cell in cells for name in (cell if isinstance(cell, list) else cell.get("strategies") or ())}


def text_of(value: Any) -> str:
    """A value as YAML that fits after `key=`.

    Example:
        >>> text_of([1, 2]), text_of(1e-05), text_of("on"), text_of(None)
        ('[1, 2]', '1.0e-05', "'on'", 'null')
    """
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _given(values: Any) -> list[_Given]:
    if isinstance(values, Mapping):
        return [_of_mapping(f"cells.{name}", _body(str(name), body)) for name, body in values.items()]
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list):
        raise ConfigError(f"cells: expected a list of cells, each {_FORMS}, got {values!r}")
    return [_read(f"cells[{i}]", entry) for i, entry in enumerate(values)]


def _body(name: str, body: Any) -> dict[str, Any]:
    """A cell of a mapping, which is named by its key."""
    if body is not None and not isinstance(body, Mapping):
        raise ConfigError(f"cells.{name}: expected the changes of the cell, as in {{set: [key=value]}}, got {body!r}")
    return {str(key): value for key, value in (body or {}).items()} | {"label": name}


def _read(key: str, entry: Any) -> _Given:
    if isinstance(entry, Mapping):
        return _of_mapping(key, {str(name): value for name, value in entry.items()})
    names = _strategies(key, entry)
    return _Given(label(names), names, [])


def _of_mapping(key: str, values: Mapping[str, Any]) -> _Given:
    for name in values:
        one_of(f"{key}.{name}", name, _KEYS, "key")
    changes = values.get("set") or []
    if not isinstance(changes, list) or not all(isinstance(change, str) and "=" in change for change in changes):
        raise ConfigError(f"{key}.set: expected a list of key=value changes, as in [network=ep], got {changes!r}")
    given = values.get("strategies")
    names = None if given is None else _strategies(f"{key}.strategies", given)
    spoken = [*([] if names is None else [label(names)]), *map(spoken_change, changes)]
    if not (name := str(values.get("label") or ", ".join(spoken))):
        raise ConfigError(f"{key}: expected {_FORMS}, got {dict(values)!r}")
    return _Given(name, names, list(changes))


def spoken_change(change: str) -> str:
    """A change in as few words as a label needs.

    Example:
        >>> spoken_change("network=ep"), spoken_change("strategy.ewc.ewc_lambda=10")
        ('ep', 'ewc_lambda=10')
    """
    key, _, value = change.partition("=")
    return value if key in ("stream", "network", "strategies") else f"{key.rpartition('.')[2]}={value}"


def strategies_of(value: Any) -> list[str] | None:
    """A set of strategies given as a list or as `a+b`; None for anything else.

    Example:
        >>> strategies_of("ewc+si"), strategies_of(["ewc"]), strategies_of(3)
        (['ewc', 'si'], ['ewc'], None)
    """
    names = value.split("+") if isinstance(value, str) else value
    valid = isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names)
    return [name.strip() for name in names] if valid else None


def _strategies(key: str, value: Any) -> list[str]:
    names = strategies_of(value)
    if names is None:
        raise ConfigError(f"{key}: expected {_FORMS}, got {value!r}")
    return names

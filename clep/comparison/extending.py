"""Add seeds or cells to a stored comparison: what its configuration becomes, and what may not change."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from clep.comparison.stored import StoredComparison, find
from clep.config import Config, cells_of, compose, to_dict, tracking_in
from clep.errors import ConfigError
from clep.schema import label_of, meaning

How = Literal["into", "resume"]
_OF_THE_MACHINE = ("workers", "engine", "data", "tracking", "baseline")
_ADDED = ("seeds", "cells", "grid")


def extended(run_id: str, overrides: Sequence[str], how: How = "into") -> StoredComparison:
    """Find a comparison and add what `overrides` ask for to its configuration.

    Args:
        run_id: the id of the comparison, or the beginning of it.
        overrides: `key=value` texts: `seeds`, `cells` and `grid` add to those that are there (not with `resume`);
            `workers`, `engine.*`, `baseline`, `data.*` and `tracking.*` change what no result depends on.
        how: the option that asks for it, for messages.

    Raises:
        ConfigError: for another key, since the results that are there would not have it, and for a cell with the label
            of another one.
    """
    for key in map(_key, overrides):
        _refuse_other(key, how)
    given = tracking_in(overrides)
    stored = find(run_id, given.uri, how)
    asked = compose(to_dict(stored.config), overrides)
    place = stored.config.tracking
    config = replace(
        asked,
        seeds=list(dict.fromkeys([*stored.config.seeds, *asked.seeds])),
        cells=_union(stored.config, asked),
        # What was reused when it was made says nothing about what may be reused now.
        tracking=replace(asked.tracking, uri=place.uri, experiment=place.experiment, reuse=given.reuse),
    )
    cells_of(config)  # refuses an unknown strategy and baseline
    return replace(stored, config=config)


def _key(text: str) -> str:
    return text.partition("=")[0]


def _refuse_other(key: str, how: How) -> None:
    section = key.partition(".")[0]
    if key == "tracking.experiment":
        raise ConfigError(f"tracking.experiment: with --{how} a comparison stays in its experiment; remove it")
    if section in _OF_THE_MACHINE or (how == "into" and section in _ADDED):
        return
    if section in _ADDED:
        raise ConfigError(f"{key}: --resume only runs what is missing; to add {section}, use --into instead")
    if section != "strategy":
        meaning(key)  # refuses what is no key
    raise ConfigError(
        f"{key}: with --{how} the results that are there keep their configuration. Add a cell with another value, as "
        f"in cells='[{{label: NAME, set: [{key}=VALUE]}}]', or start another comparison"
    )


def _union(stored: Config, asked: Config) -> list[Any]:
    """The cells of both; those of one label must be the same."""
    kept = {label_of(cell): cell for cell in stored.cells}
    before, after = (
        {cell.label: _what_is_run(composed) for cell, composed in cells_of(replace(config, baseline=""))}
        for config in (stored, asked)
    )
    for i, cell in enumerate(asked.cells):
        label = label_of(cell)
        if label in before and before[label] != after[label]:
            raise ConfigError(
                f"cells[{i}]: the comparison has another cell `{label}`; give this one another label, as in "
                "{label: NAME, strategies: [...], set: [...]}"
            )
        kept.setdefault(label, cell)
    return list(kept.values())


def _what_is_run(cell: Config) -> Config:
    """A cell without what no result depends on."""
    apart = Config()
    parameters = {name: values for name, values in cell.strategy.items() if name in cell.strategies}
    return replace(
        cell, strategy=parameters, seeds=apart.seeds, workers=1, data=apart.data, tracking=apart.tracking, baseline=""
    )

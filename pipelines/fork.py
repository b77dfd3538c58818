"""Go on from the middle of a run with other settings, as a new run that names where it came from."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from clep.pipelines import class_incremental

from clep import tracking, unfinished
from clep.build import CELL_TAG, build_learner, build_stream, build_training, cell_tags, identity, resolved
from clep.checkpoints import Checkpoints, Saved, Snapshot, State
from clep.comparison.stored import config_of
from clep.config import Config, compose, label, replace, to_dict, tracking_in
from clep.errors import ConfigError
from clep.measuring import ExperienceReport
from clep.randomness import reproducible
from clep.registry import name_of
from clep.results import Result
from clep.specs.optimization import Optimization
from clep.streams import Stream
from clep.training import TrainingResult

FORKED, FORKED_AFTER = "clep.forked_from", "clep.forked_after"
"""Tags of a fork: the run it went on from, and how many experiences they share."""
_SAME = ("stream", "seed", "cells", "grid", "seeds")


class _ReachedError(Exception):
    """The experience after which a fork begins has ended."""


def fork(
    run_id: str, after: int, changes: Sequence[str] = (), *, on_progress: Callable[[Any], None] | None = None
) -> Result:
    """Go on from a run with other settings.

    Args:
        run_id: the id of the run, or the beginning of it.
        after: number of experiences that both runs share, at least 1.
        changes: `key=value` texts.
        on_progress: as in `class_incremental.run`.

    Raises:
        ConfigError: if there is no such run, for a key that both runs must share, and for a setting that is part of
            what the run has learned, such as the size of a memory.
        DataError, DivergenceError, KeyboardInterrupt: as in `class_incremental.run`.
    """
    for text in changes:
        key = text.partition("=")[0]
        if key.partition(".")[0] in _SAME:
            raise ConfigError(f"{key}: a fork shares it with the run it goes on from; remove it, or start another run")
    uri = tracking.tracking_uri(tracking_in(changes).uri)
    origin = tracking.run_of(uri, run_id, "run")
    if "seed" not in origin.tags or "strategies" not in origin.tags:
        name = origin.tags.get("mlflow.runName", origin.run_id)
        raise ConfigError(f"run: expected the id of a run with one seed, got that of `{name}`")
    old = config_of(uri, origin)
    old = resolved(replace(old, tracking={"uri": uri}))
    new = compose(to_dict(old), list(changes))
    new = resolved(dataclasses.replace(new, strategy={name: new.strategy.get(name, {}) for name in new.strategies}))
    with reproducible(new.seed, new.threads):
        stream = build_stream(new)
        if not 1 <= after < len(stream.train):
            raise ConfigError(f"after: expected an integer in [1, {len(stream.train) - 1}], got {after}")
        _refuse_other_network(old, new, stream)
        snapshot = _taken_over(_snapshot(uri, origin.run_id, old, stream, after), old, new, stream)
    same = old.learner.part(Optimization) == new.learner.part(Optimization)
    came_from = {"run_id": origin.run_id, "after": after, "optimizer": same}
    start = unfinished.Start(Saved(snapshot), origin=came_from)
    return class_incremental.run(new, tags=_tags(new, origin.run_id, after), on_progress=on_progress, start=start)


def _tags(config: Config, run_id: str, after: int) -> dict[str, str]:
    """Those of a cell of its own: a fork is no seed of the cell that its configuration would make."""
    came_from = f"from {run_id[:8]} after {after}"
    tags = cell_tags(config, f"{label(config.strategies)} ({came_from})")
    return tags | {CELL_TAG: f"{tags[CELL_TAG]} {came_from}", FORKED: run_id, FORKED_AFTER: str(after)}


def _snapshot(uri: str, run_id: str, config: Config, stream: Stream, after: int) -> Snapshot:
    """What the run had learned: from its checkpoint, or else by training its first experiences again."""
    folder = unfinished.Folder(uri, run_id)
    checkpoints, record = Checkpoints(folder.path), folder.record()
    if record is not None and record.identity == identity(config).tags and checkpoints.has(after):
        return checkpoints.after(after)
    print(f"clep: {run_id[:8]} kept no checkpoint after {after}; training its first {after} again", file=sys.stderr)
    training = build_training(config, stream)

    def stop(report: ExperienceReport, so_far: TrainingResult) -> None:
        if len(so_far.reports) == after:
            raise _ReachedError

    with contextlib.suppress(_ReachedError):
        training.run(stream, stop)
    return training.snapshot()


def _refuse_other_network(old: Config, new: Config, stream: Stream) -> None:
    """Refuse what a network is made with: weights, time steps and generators are those that were learned with."""
    if old.network == new.network:
        return
    one, other = (build_learner(config, stream).network for config in (old, new))
    mine, others = one.state_dict(), other.state_dict()
    if mine.keys() == others.keys() and all(
        mine[name].shape == others[name].shape and torch.equal(mine[name], others[name]) for name in mine
    ):
        return
    key = next(
        f.name for f in dataclasses.fields(old.network) if getattr(old.network, f.name) != getattr(new.network, f.name)
    )
    raise ConfigError(f"network.{key}: the weights were learned in another network; a fork cannot change it")


def _taken_over(snapshot: Snapshot, old: Config, new: Config, stream: Stream) -> Snapshot:
    """The state for the strategies of the fork: those of both runs keep what they remember, others begin.

    Raises:
        ConfigError: for an option that decided what a strategy remembers.
    """
    before, now = (State(build_training(config, stream).template, stream) for config in (old, new))
    remembered: Mapping[str, Any] = snapshot.plain["plugins"]
    for name, attributes in now.differences(before).items():
        strategy = name_of(type(now.plugins[name]))
        if strategy in new.strategies and attributes & {*remembered.get(name, {})}:
            former, options = old.strategy[strategy], new.strategy[strategy]
            key = next((key for key in options if options[key] != former.get(key)), "")
            raise ConfigError(
                f"strategy.{strategy}.{key}: what the strategy remembers was made with the former value; a fork cannot "
                "change it"
            )
    kept = {name: remembered.get(name, {}) for name in now.plugins}
    left = {name: state for name, state in remembered.items() if name not in kept}
    return snapshot._replace(plain=snapshot.plain | {"plugins": kept, "left": left})

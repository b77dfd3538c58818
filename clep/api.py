"""Three calls of the Python API, each for a whole job."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clep import build, recording, tracking
from clep.chosen import check_chosen, refuse_ignored
from clep.comparison.extending import extended
from clep.comparison.stored import load as stored_comparison
from clep.config import Config
from clep.config import compose as config_of
from clep.errors import ConfigError
from clep.learner import Learner
from clep.pipelines import class_incremental
from clep.pipelines import compare as comparing
from clep.results import Comparison, Result
from clep.workers import refuse_unguarded

Source = str | Path | Mapping[str, Any] | Config | None


def compose(config: Source = None, overrides: Sequence[str] = ()) -> Config:
    """Compose a configuration and refuse what `run` would refuse before it trains, as `clep show` does.

    Args:
        config: as for `run`.
        overrides: as for `run`.

    Returns:
        The complete configuration, with every parameter of its strategies; `run` takes it.

    Raises:
        ConfigError: for anything wrong that shows without the data, or with them if they are there already.
        StrategyError: if a strategy cannot be made.

    Example:
        >>> from clep import compose
        >>> compose(overrides=["strategies=[gem]"]).strategy["gem"]
        {'patterns_per_experience': 20, 'memory_strength': 0.5}
    """
    composed = config_of(config, overrides)
    check_chosen(config, overrides, composed)
    build.check(composed)
    return build.resolved(composed)


def run(config: Source = None, overrides: Sequence[str] = ()) -> Result:
    """Run a class-incremental pipeline, as `clep run` does.

    Args:
        config: a built-in name, a YAML path, a mapping or a `Config`; None for class-incremental digits.
        overrides: `key=value` strings, as on the command line.

    Returns:
        The numbers of `clep run --json`.

    Raises:
        ConfigError, DataError: before anything is trained.
        DivergenceError: if training diverges.

    Example:
        >>> from clep import run
        >>> result = run(overrides=["stream.samples_per_experience=32", "network.hidden=[16]", "learner.epochs=1"])
        >>> result.status, len(result.accuracy_matrix)
        ('FINISHED', 5)
    """
    refuse_unguarded()
    composed = config_of(config, overrides)
    check_chosen(config, overrides, composed)
    result: Result = class_incremental.run(composed)
    return result


def compare(
    config: Source = None,
    overrides: Sequence[str] = (),
    *,
    resume: bool | str = False,
    into: str = "",
    workers: int | None = None,
) -> Comparison:
    """Compare cells over seeds in worker processes, as `clep compare` does.

    A script that calls this needs the usual `if __name__ == "__main__":` guard, since workers import it. With
    `workers=0` the runs take place in this process, one after another, with the same numbers.

    Args:
        config: as for `run`.
        overrides: as for `run`.
        resume: whether to reuse runs of the same configuration and version from the store; or the id of a stored
            comparison, to run what it lacks.
        into: the id of a stored comparison, to add the seeds or cells of `overrides` to it.
        workers: number of processes, for `workers=N` in `overrides`; None for what these or the configuration say.

    Returns:
        The numbers of `clep compare --json`.

    Raises:
        ConfigError, DataError: for anything wrong with a cell, before the first one is trained; a script without the
            guard.

    Example:
        >>> from clep import compare
        >>> small = ["stream.samples_per_experience=32", "network.hidden=[16]", "learner.epochs=1"]
        >>> comparison = compare({"cells": [["naive"]], "controls": [], "seeds": [0]}, small, workers=0)
        >>> len(comparison.runs)
        1
    """
    refuse_unguarded()
    overrides = [*overrides, *([] if workers is None else [f"workers={workers}"])]
    comparison: Comparison
    if into or isinstance(resume, str):
        if config is not None:
            raise ConfigError("config: a stored comparison has a configuration of its own; pass None")
        stored = extended(into, overrides) if into else extended(str(resume), overrides, "resume")
        comparison = comparing.extend(stored)
        return comparison
    composed = config_of(config, overrides)
    refuse_ignored(composed, overrides)
    check_chosen(config, overrides, composed, cells=True)
    comparison = comparing.compare(composed, resume=resume)
    return comparison


def load_comparison(run_id: str, *, tracking_uri: str | None = None) -> Comparison:
    """Read a comparison back from MLflow, with what has been added to it since.

    Args:
        run_id: the id of the comparison, as `clep compare` prints it, or the beginning of it.
        tracking_uri: where it is stored; by default where `clep compare` stores it.

    Raises:
        ConfigError: if there is no such comparison.

    Example:
        >>> import clep
        >>> small = ["stream.samples_per_experience=20", "learner.epochs=1", "seeds=[0]", "workers=0"]
        >>> comparison = clep.compare(overrides=[*small, "cells=[naive]", "controls=none"])
        >>> load_comparison(comparison.parent_run_id).rows[0].label
        'naive'
    """
    return stored_comparison(run_id, tracking_uri)


def load(
    run_id_or_path: str | Path,
    *,
    tracking_uri: str | None = None,
    network: Callable[..., Any] | None = None,
    trust: bool | None = None,
) -> Learner:
    """Load the trained learner of a run.

    Parts of other packages are found by the names that these register. What is named by an import path is imported for
    a run, as `clep resume` does, since its configuration names it too; and not for a file, which may come from anyone.

    Args:
        run_id_or_path: an MLflow run id, or the path of a checkpoint file.
        tracking_uri: where the run is stored; by default where `clep run` stores it.
        network: the module to put the weights into, or the class or function that makes it; by default what the
            checkpoint names.
        trust: whether to import what is named by an import path; None for runs only.

    Raises:
        ConfigError: if there is no such run, or a part is not installed or not trusted.
        DataError: if the file is missing or damaged.

    Example:
        >>> import clep
        >>> learner = clep.Learner(clep.Network([64, 16, 10]))
        >>> learner.save("learner.ckpt")
        >>> load("learner.ckpt").network.spec.neuron
        'hard_sigmoid'
    """
    path = Path(run_id_or_path)
    given: dict[str, Any] = {"map_location": "cpu"} | ({} if network is None else {"network": network})
    if path.is_file():
        return Learner.load_from_checkpoint(path, trust=bool(trust), **given)
    uri = tracking.tracking_uri(tracking_uri)
    names = recording.CHECKPOINT, recording.OLD_CHECKPOINT
    with tracking.artifacts(uri, str(run_id_or_path), *names) as path:
        return Learner.load_from_checkpoint(path, trust=trust is not False, **given)

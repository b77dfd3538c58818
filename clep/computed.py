"""Metrics that a configuration or a table names: a number of a run, computed from what its result holds.

A metric is a function. It takes by name what it needs of a run, `GIVEN`, and its own typed keyword-only parameters,
and returns a number, or None where it is undefined. It changes no training, so stored runs need none to have it.
"""

import inspect
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clep import metric_names, parts
from clep.checks import repeats, shown
from clep.errors import ConfigError, UnusedWarning, within
from clep.metrics import Array, none_if_nan, taught
from clep.parameters import check_arguments

GIVEN = ("R", "before", "learned", "untrained", "sizes", "learned_at", "run")
"""What a metric can take by name: the accuracy matrix R (n, m) after consolidation; `before`, the same before it;
`learned` (m,), right after the training of each experience; `untrained` (m,), before any training; `sizes` (m,), the
samples of each evaluation experience; `learned_at` (m,), which experience teaches it (see `clep.metrics`); and `run`,
everything that `Result.to_json` gives."""

Options = Mapping[str, Mapping[str, Any]]
"""Metric -> its parameters."""

_TRIAL = {
    "accuracy_matrix": [[0.9, 0.1, 0.1], [0.6, 0.9, 0.1], [0.5, 0.7, 0.9]],
    "accuracy_before_consolidation": [[1.0, 0.1, 0.1], [0.5, 1.0, 0.1], [0.4, 0.6, 1.0]],
    "accuracy_untrained": [0.1, 0.1, 0.1],
    "sizes": [10, 10, 10],
}


def label(name: str) -> str:
    """What a metric is called in tables and in MLflow: its registered name, or the last part of its import path.

    Example:
        >>> label("my_package.metrics:retention"), label("max_forgetting")
        ('retention', 'max_forgetting')
    """
    return name.replace(":", ".").rpartition(".")[2]


def check(names: Sequence[str], options: Options) -> None:
    """Refuse metrics that cannot be computed; each is tried on a run of three experiences.

    Args:
        names: registered names and import paths.
        options: their parameters.

    Raises:
        ConfigError: for an unknown name or parameter, a wrong value, two metrics of one label, a name that every run
            has already, or a metric that fails or returns no number.

    Example:
        >>> check(["max_forgetting"], {"max_forgetting": {"j": 1}})
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: metric.max_forgetting.j: unknown key `j`. Valid keys: i
    """
    repeats("metrics", [label(name) for name in names])
    for name in names:
        function = parts.find("metric", name)
        if not callable(function):
            raise ConfigError(f"metrics: expected a function, and `{name}` is {shown(function)}")
        taken = metric_names.METRICS.get(f"final/{label(name)}")
        if taken is not None and name not in parts.names("metric"):
            raise ConfigError(
                f"metrics: every run has a number `{label(name)}` already ({taken.meaning}); rename yours"
            )
        with within(f"metric.{name}"):
            check_arguments(function, options.get(name, {}), given=GIVEN)
        try:
            _value(function, options.get(name, {}), _TRIAL)
        except Exception as error:
            raise ConfigError(f"metrics: `{name}` fails on a run of three experiences: {_why(error)}") from error


def of_run(name: str, options: Options) -> Callable[[Mapping[str, Any]], float | None]:
    """A metric as a function of a run; where it fails, the reason is said once and the value is None.

    Args:
        name: a registered name or an import path.
        options: parameters of metrics by their names.

    Example:
        >>> run = {"accuracy_matrix": [[1.0, 0.0], [0.25, 1.0]], "sizes": [10, 10]}
        >>> of_run("max_forgetting", {})(run)
        0.75
    """
    function = parts.find("metric", name)

    def value(run: Mapping[str, Any]) -> float | None:
        if not run.get("accuracy_matrix"):
            return None
        try:
            return _value(function, options.get(name, {}), run)
        except Exception as error:
            where = f"run {run.get('run_id')}" if run.get("run_id") else "a run"
            warnings.warn(f"metrics: `{name}` of {where} is left out: {_why(error)}", UnusedWarning, stacklevel=2)
            return None

    return value


def _value(function: Callable[..., Any], options: Mapping[str, Any], run: Mapping[str, Any]) -> float | None:
    R, before = _array(run, "accuracy_matrix"), _array(run, "accuracy_before_consolidation")
    before = before if before.size else R
    given = {
        "R": R,
        "before": before,
        "learned": taught(before, run.get("learned_at")),
        "untrained": _array(run, "accuracy_untrained"),
        "sizes": _array(run, "sizes"),
        "learned_at": run.get("learned_at"),
        "run": run,
    }
    taken = inspect.signature(function).parameters
    value = function(**{name: each for name, each in given.items() if name in taken}, **options)
    return None if value is None else none_if_nan(float(value))


def _array(run: Mapping[str, Any], key: str) -> Array:
    """NaN where a number is undefined."""
    return np.array(run.get(key) or [], dtype=np.float64)


def _why(error: Exception) -> str:
    file, line = traceback.extract_tb(error.__traceback__)[-1][:2]
    return f"{type(error).__name__}: {error} ({file}, line {line})"

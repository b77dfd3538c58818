"""Anyone's function as the loader of a data set: what it is called with, and what it may return."""

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from clep import parameters
from clep.datasets.arrays import Dataset, Four, Raw
from clep.datasets.names import GIVEN
from clep.errors import ClepError, ConfigError, DataError, within

Loader = Callable[..., Any]
"""A function that returns a data set in one of the forms that `raw_of` knows."""

_PARTS = ("x_train", "y_train", "x_test", "y_test")


def called(name: str, loader: Loader, passed: Mapping[str, Any], options: Mapping[str, Any]) -> Raw:
    """Call the function of a data set with what it takes.

    Args:
        name: the name of the data set, for messages.
        loader: the function.
        passed: values of `root`, `download` and, if the user gave one, `path`; those that it takes are passed by name.
        options: its own parameters.

    Raises:
        ConfigError: for an unknown or missing parameter, a wrong value, a path that it needs or does not take, or a
            function that returns no data set.
        DataError: if it fails.

    Example:
        >>> import numpy as np
        >>> def noise(*, samples: int = 4):
        ...     x, y = np.random.default_rng(0).random((samples, 2)), np.arange(samples) % 2
        ...     return x, y, x, y
        >>> called("noise", noise, {"download": False}, {"samples": 8}).arrays[0].shape
        (8, 2)
    """
    if not callable(loader):
        raise ConfigError(f"name: `{name}` is {type(loader).__name__}; expected a function that returns a data set")
    takes = inspect.signature(loader).parameters
    if "path" in passed and "path" not in takes:
        raise ConfigError(f"path: `{name}` takes no path, got `{passed['path']}`; drop it")
    if "path" in takes and "path" not in passed and takes["path"].default is inspect.Parameter.empty:
        raise ConfigError(f"path: `{name}` needs one, got null; set stream.path")
    with within("dataset_options"):
        parameters.check_arguments(loader, options, given=GIVEN)
    try:
        found = loader(**{key: value for key, value in passed.items() if key in takes}, **options)
    except (ClepError, MemoryError):
        raise
    except Exception as error:
        file, line = traceback.extract_tb(error.__traceback__)[-1][:2]
        raise DataError(f"data set `{name}` failed ({file}, line {line}): {type(error).__name__}: {error}") from error
    return raw_of(name, found)


def raw_of(name: str, found: Any) -> Raw:
    """What the function of a data set returned, before any check of its values.

    Args:
        name: the name of the data set.
        found: a `Raw` or a `Dataset`; or `x_train, y_train, x_test, y_test`, arrays or tensors; or an Avalanche
            benchmark, whose experiences are kept.

    Raises:
        ConfigError: for anything else.

    Example:
        >>> import numpy as np
        >>> x, y = np.zeros((4, 2)), np.arange(4) % 2
        >>> raw_of("mine", (x, y, x, y)).sources[0]
        'mine: `x_train`'
    """
    sources: Four = tuple(f"{name}: `{part}`" for part in _PARTS)  # type: ignore[assignment]
    if isinstance(found, Raw):
        return replace(found, name=name)
    if isinstance(found, Dataset):
        arrays = tuple(_array(getattr(found, part)) for part in _PARTS)
        layout = "channels_first" if found.x_train.ndim == 4 else "auto"
        return Raw(name, arrays, sources, layout=layout, class_names=found.class_names)  # type: ignore[arg-type]
    if isinstance(found, tuple | list) and len(found) == len(_PARTS):
        return Raw(name, tuple(map(_array, found)), sources)  # type: ignore[arg-type]
    if hasattr(found, "train_stream") and hasattr(found, "test_stream"):
        (x, y, train), (x_test, y_test, test) = map(_of_experiences, (found.train_stream, found.test_stream))
        return Raw(name, (x, y, x_test, y_test), sources, layout="channels_first", experiences=(train, test))
    got = f"{len(found)} values" if isinstance(found, tuple | list) else type(found).__name__
    raise ConfigError(
        f"name: `{name}` returned {got}; expected x_train, y_train, x_test, y_test, or a `clep.datasets.Raw` or "
        "`Dataset`, or an Avalanche benchmark"
    )


def _of_experiences(experiences: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, labels and the experience of each sample in a stream of Avalanche, as it shows them for evaluation."""
    samples, labels, numbers = [], [], []
    for number, experience in enumerate(experiences):
        for x, y, *_ in experience.dataset.eval():
            samples.append(_array(x))
            labels.append(int(y))
            numbers.append(number)
    return np.stack(samples), np.array(labels), np.array(numbers)


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)

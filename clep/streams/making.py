"""From a name to a stream: load the data set, hold a part out, and let a scenario make experiences of the rest."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clep import datasets, parameters, parts
from clep.checks import check
from clep.datasets.checking import named
from clep.errors import ClepError, ConfigError, DataError, within
from clep.randomness import generator_for
from clep.specs.options import from_keywords, takes
from clep.specs.stream import GIVEN, SHARED, StreamSpec
from clep.streams.dealing import class_order_of, held_out, labels_of
from clep.streams.experiences import Experience, Stream


@takes(StreamSpec)
def stream(
    name: str = StreamSpec.name, *, seed: int = 0, root: str | None = None, download: bool = True, **options: Any
) -> Stream:
    """Load a data set and make a stream of it.

    Args:
        name: a data set of `clep list datasets`, or the import path of a function that returns one.
        seed: seeds the class order, the validation split, the choice of samples and whatever else the scenario draws,
            each with its own generator.
        root: folder of the image files; None for the user's cache directory.
        download: whether missing files may be downloaded.

    Returns:
        The stream; the samples of an experience are x (N, C, H, W) or (N, features), float32, and y (N,), int64.

    Raises:
        ConfigError: if a value is out of range or does not fit the data set; the message names the argument.
        DataError: if the data are missing or damaged.

    Example:
        >>> digits = stream("digits", class_order="fixed")
        >>> [experience.classes for experience in digits.train]
        [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
        >>> rotated = stream("digits", scenario="rotated", experiences=3)
        >>> [experience.name for experience in rotated.test]
        ['0 degrees', '60 degrees', '120 degrees']
    """
    if not isinstance(given := options.get("class_order", []), str | list):
        options["class_order"] = np.asarray(given).tolist()  # of any array, tensor or range
    spec = from_keywords(StreamSpec, {"name": name, **options})
    check("seed", seed, int)
    how: dict[str, Any] = {"layout": spec.layout, "scale": spec.scale, "standardize": spec.standardize}
    where: dict[str, Any] = {"root": root, "download": download, "path": spec.path}
    check_scenario(spec)
    whole = datasets.load(name, **where, options=spec.dataset_options, **how)
    labels = [] if spec.classes is None else sorted(labels_of("classes", spec.classes, whole))
    data = whole.of_classes(labels) if labels else whole
    mask = held_out(data.y_train, spec.validation_fraction, generator_for(seed, "validation"))
    _check_classes(data, mask, spec)
    order = class_order_of(spec.class_order, data, seed, labels)
    kept, apart = (torch.nonzero(rows).flatten() for rows in (~mask, mask))
    if not len(apart):
        made = _made(data, order, seed, spec)
        nothing = tuple(replace(tested, samples=tested.samples.rows([])) for tested in made.test)
        made = replace(made, validation=nothing)
    else:
        made = _made(data.rows(kept, torch.arange(len(data.y_test))), order, seed, spec)
        numbers = data.experiences and data.experiences[0]
        as_test = replace(
            data.rows(kept, torch.arange(0)),
            x_test=data.x_train[apart],
            y_test=data.y_train[apart],
            experiences=None if numbers is None else (numbers[kept], numbers[apart]),
        )
        made = replace(made, validation=_made(as_test, order, seed, spec).test)
    made = replace(made, evaluate_on=spec.evaluate_on, digests=data.digests)
    return _limited(made, spec, generator_for(seed, "samples"))


def scenario(name: str) -> Callable[..., Any]:
    """The function of a scenario.

    Args:
        name: one of `clep list streams`, or the import path `module:function` of your own.

    Raises:
        ConfigError: if there is none, or it is no function.

    Example:
        >>> scenario("permuted").__name__
        'permuted'
    """
    found: Any = parts.find("stream", name, "scenario")
    if not callable(found) or "data" not in inspect.signature(found).parameters:
        raise ConfigError(f"scenario: `{name}` is no function of `data`; expected one as in `def mine(data, *, seed)`")
    return found  # type: ignore[no-any-return]


def check_scenario(spec: StreamSpec) -> None:
    """Refuse settings that the scenario does not take, before any data are there.

    Raises:
        ConfigError: naming the key.

    Example:
        >>> from clep.specs.stream import StreamSpec
        >>> check_scenario(StreamSpec(scenario="permuted", sizes=[5, 5]))
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: sizes: the scenario `permuted` takes no `sizes`; drop it
    """
    function = scenario(spec.scenario)
    takes = inspect.signature(function).parameters
    for key in SHARED:
        if key not in takes and getattr(spec, key) != StreamSpec.default(key):
            raise ConfigError(f"{key}: the scenario `{spec.scenario}` takes no `{key}`; drop it")
    with within("scenario_options"):
        parameters.check_arguments(function, spec.scenario_options, given=GIVEN)


def _made(data: datasets.Dataset, order: list[int], seed: int, spec: StreamSpec) -> Stream:
    """What the scenario makes of a data set."""
    function = scenario(spec.scenario)
    takes = inspect.signature(function).parameters
    passed = {"seed": seed, "experiences": spec.experiences, "class_order": order, "sizes": spec.sizes}
    try:
        found = function(data, **{k: v for k, v in passed.items() if k in takes}, **spec.scenario_options)
    except (ClepError, MemoryError):
        raise
    except Exception as error:
        file, line = traceback.extract_tb(error.__traceback__)[-1][:2]
        what = f"`{spec.scenario}` failed ({file}, line {line})"
        raise ConfigError(f"scenario: {what}: {type(error).__name__}: {error}") from error
    if not isinstance(found, Stream):
        got = type(found).__name__
        raise ConfigError(
            f"scenario: `{spec.scenario}` returned {got}; expected a `clep.streams.Stream`, as `stream_of` makes it"
        )
    return found


def _check_classes(data: datasets.Dataset, apart: Tensor, spec: StreamSpec) -> None:
    """Refuse a class without samples to learn from or to measure on: its accuracy would be undefined."""

    def absent(y: Tensor) -> list[int]:
        return torch.nonzero(torch.bincount(y, minlength=data.classes) == 0).flatten().tolist()

    to_test = absent(data.y_test) if spec.evaluate_on == "test" else []
    if to_test and spec.missing_test == "refuse":
        raise DataError(
            f"{data.sources[3]} has no sample of class {named(to_test[0], data.class_names)}; add some, or set "
            "stream.missing_test=ignore to measure over the samples that there are."
        )
    found = {"train": absent(data.y_train[~apart])}
    if spec.evaluate_on == "validation":
        without = absent(data.y_train[apart])
        found["validation"] = [] if spec.missing_test == "ignore" and len(without) < data.classes else without
    for part, classes in found.items():
        if classes:
            raise ConfigError(
                f"validation_fraction: {spec.validation_fraction} leaves class {named(classes[0], data.class_names)} "
                f"of `{spec.name}` without a {part} sample; choose it nearer to 0.5"
            )


def _limited(made: Stream, spec: StreamSpec, choice: torch.Generator) -> Stream:
    """The stream with at most as many samples in each experience as the user asked for."""
    fewer = replace(
        made,
        validation=tuple(_some(experience, spec.evaluation_samples) for experience in made.validation),
        test=tuple(_some(experience, spec.evaluation_samples) for experience in made.test),
    )
    limit = spec.samples_per_experience
    if limit is None:
        return fewer
    train = []
    for experience in made.train:
        chosen = torch.randperm(len(experience), generator=choice)[:limit]
        rows = tuple(torch.as_tensor(experience.rows)[chosen].tolist())
        train.append(replace(experience, samples=experience.samples.rows(chosen), rows=rows))
    return replace(fewer, train=tuple(train))


def _some(experience: Experience, limit: int | None) -> Experience:
    """The experience with at most `limit` of its samples, the same ones every time."""
    if limit is None:
        return experience
    n = len(experience)
    chosen = torch.randperm(n, generator=generator_for(0, "evaluation samples"))[:limit]
    return replace(experience, samples=experience.samples.rows(chosen.sort().values))

"""The options of a stream."""

from dataclasses import dataclass
from typing import Any, Literal

from clep.checks import fits, repeats, unknown
from clep.errors import ConfigError
from clep.specs.options import Spec, option

SHARED = ("experiences", "class_order", "sizes")
"""Keys that a scenario gets if its function takes them; one that it does not take must not be set."""
GIVEN = ("data", "seed", *SHARED)
"""What a scenario gets besides its own parameters, by name."""


@dataclass(frozen=True)
class StreamSpec(Spec):
    """The data set and how it becomes experiences: the section `stream` of a configuration.

    Raises:
        ConfigError: for a value out of range, or values that make no sense together.

    Example:
        >>> StreamSpec(experiences=2).evaluate_on
        'test'
    """

    name: str = option(
        "digits",
        "a data set of `clep list datasets`, the import path `module:function` of your own, or the path of a YAML file "
        "with these keys",
    )
    dataset_options: dict[str, Any] = option({}, "parameters of the function of your own data set")
    scenario: str = option(
        "class_incremental",
        "what the experiences are: a name of `clep list streams`, or the import path `module:function` of your own",
    )
    scenario_options: dict[str, Any] = option({}, "parameters of the scenario")
    experiences: int = option(
        5,
        "number of experiences, or of groups of classes where they come back; classes are dealt out in order, as "
        "evenly as they divide",
        "[1, inf)",
    )
    sizes: list[int] | None = option(
        None,
        "number of classes in each experience, as in [4,2,2,2], which says how many there are, too; null deals them "
        "out evenly",
        "[1, inf)",
    )
    classes: list[Any] | None = option(None, "the classes of the data set to use, as numbers or as names; null for all")
    class_order: Any = option(
        "shuffled", "`shuffled` by the seed, `fixed` (0, 1, 2, ...), or the list of classes, as numbers or as names"
    )
    validation_fraction: float = option(
        0.0, "share of each class's training samples that is held out and never trained on", "[0, 1)"
    )
    samples_per_experience: int | None = option(
        None, "largest number of training samples per experience, drawn by the seed; null for all", "[1, inf)"
    )
    evaluate_on: Literal["test", "validation"] = option("test", "the samples to measure accuracies on")
    evaluate: str = option(
        "all",
        "which experiences are measured after each one: `all`; `seen`, those learned so far; or `every:10`, all after "
        "every 10th and after the last, and in between only the one just learned. Over long streams, `all` costs more "
        "than training; what is not measured is null",
    )
    evaluation_samples: int | None = option(
        None,
        "largest number of samples per experience to measure on, the same for every seed; null for all",
        "[1, inf)",
    )
    missing_test: Literal["refuse", "ignore"] = option(
        "refuse",
        "what to do about a class without samples to measure on: `refuse` it, or `ignore` it and measure over the "
        "samples that there are",
    )
    path: str | None = option(None, "the file of the stream `npz`, or the folder of the stream `folder`")
    layout: Literal["auto", "channels_first", "channels_last"] = option(
        "auto", "the order of the axes of stored images; `auto` tells by their shape and says so if channels are last"
    )
    scale: float | None = option(
        None,
        "the number by which samples are divided, 1 to take them as they are; null tells by their type and range",
        "(0, inf)",
    )
    standardize: bool = option(
        False, "whether to subtract the mean and divide by the deviation over all classes; looks ahead in the stream"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_order()
        self._check_classes()
        if self.evaluate not in ("all", "seen"):
            every(self.evaluate)
        if self.sizes is not None:
            if self.experiences not in (len(self.sizes), self.default("experiences")):
                raise ConfigError(
                    f"experiences: {self.experiences} of them, but sizes says {len(self.sizes)}; drop one of the two"
                )
            object.__setattr__(self, "experiences", len(self.sizes))
        if self.evaluate_on == "validation" and self.validation_fraction == 0:
            raise ConfigError(
                "evaluate_on: `validation` has no samples while validation_fraction is 0; set "
                "validation_fraction=0.1, say, or evaluate on `test`"
            )

    def _check_classes(self) -> None:
        if self.classes is None:
            return
        names = bool(self.classes) and isinstance(self.classes[0], str)
        for wrong in [entry for entry in self.classes if not (isinstance(entry, str) if names else _is_label(entry))]:
            expected = "names of classes" if names else "classes as integers from 0"
            raise ConfigError(f"classes: expected {expected}, got {wrong!r}")
        if not self.classes:
            raise ConfigError("classes: expected at least one class, got []; null uses all")
        repeats("classes", self.classes)

    def _check_order(self) -> None:
        order = self.class_order
        if isinstance(order, list | tuple):
            names = bool(order) and isinstance(order[0], str)
            for wrong in [entry for entry in order if not (isinstance(entry, str) if names else _is_label(entry))]:
                expected = "names of classes" if names else "classes as integers from 0"
                raise ConfigError(f"class_order: expected {expected}, got {wrong!r}")
            repeats("class_order", order)
        elif order not in ("shuffled", "fixed"):
            raise ConfigError(
                f"class_order: {unknown(str(order), ['shuffled', 'fixed'], 'value')}, or a list of classes, as in "
                "[0, 1, 2]"
            )


def every(evaluate: str) -> int:
    """The K of `every:K`.

    Args:
        evaluate: a value of `stream.evaluate` other than `all` and `seen`.

    Raises:
        ConfigError: if it is none.

    Example:
        >>> every("every:10")
        10
    """
    word, colon, number = evaluate.partition(":")
    if word != "every" or not (number.isascii() and number.isdecimal() and int(number)):
        found = unknown(evaluate, ["all", "seen"], "value") if not colon else f"expected an integer, got {evaluate!r}"
        raise ConfigError(f"evaluate: {found}, or `every:K` with K of at least 1, as in every:10")
    return int(number)


def _is_label(entry: Any) -> bool:
    return fits(entry, int) and entry >= 0

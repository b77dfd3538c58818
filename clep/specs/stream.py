"""The options of a class-incremental stream."""

from dataclasses import dataclass
from typing import Any, Literal

from clep.checks import fits, repeats, unknown
from clep.errors import ConfigError
from clep.specs.options import Spec, option


@dataclass(frozen=True)
class StreamSpec(Spec):
    """The data set and how its classes are cut into experiences: the section `stream` of a configuration.

    Raises:
        ConfigError: for a value out of range, or values that make no sense together.

    Example:
        >>> StreamSpec(experiences=2).evaluate_on
        'test'
    """

    name: str = option("digits", "a data set of `clep list streams`, or the path of a YAML file with these keys")
    experiences: int = option(
        5, "number of experiences; classes are dealt out in order, as evenly as they divide", "[1, inf)"
    )
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
        if self.evaluate_on == "validation" and self.validation_fraction == 0:
            raise ConfigError(
                "evaluate_on: `validation` has no samples while validation_fraction is 0; set "
                "validation_fraction=0.1, say, or evaluate on `test`"
            )

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


def _is_label(entry: Any) -> bool:
    return fits(entry, int) and entry >= 0

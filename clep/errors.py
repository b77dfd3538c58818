"""The errors that clep raises on purpose; a message says where, what was given, what is allowed and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ClepError(Exception):
    """Base of every error that clep raises on purpose. The command line prints its message without a traceback."""


class ConfigError(ClepError, ValueError):
    """A configuration key or an argument has a value that cannot be used; raised before anything is trained.

    The message begins with the name of the parameter and a colon; `within` adds the path.
    """


class DataError(ClepError):
    """A data file is missing, damaged or of the wrong shape; the message names its path and what to do."""


class DivergenceError(ClepError, ArithmeticError):
    """Training produced a value that is not finite; the message names the experience, the layer and the step."""


class StrategyError(ClepError):
    """A strategy or plug-in failed; the message names it, its hook, the experience, and the line of its own code."""


class NetworkError(ClepError):
    """A network of another package failed on a batch; the message names it, and the line of its own code."""


class SettlingWarning(UserWarning):
    """The free phase of an equilibrium network oscillates or diverges; in MLflow it is counted as `train/unsettled`."""


class SleepWarning(UserWarning):
    """A sleep did nothing to a layer, or took too much; the message names the layer and says what to set."""


class InputWarning(UserWarning):
    """Data were read in the likely way where another is possible; the message names the key that settles it."""


class UnusedWarning(UserWarning):
    """Something that was set, or a strategy that was chosen, has no effect; said once, by name."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read; the message names it and says what happens instead."""


class DeclarationWarning(UserWarning):
    """A strategy does in training what it does not declare; the message names it, its hook and the declaration."""


class UncountedWarning(UserWarning):
    """A strategy keeps something whose size nobody knows; the message names it, and says where to count it."""


class StaleWarning(UserWarning):
    """Stored results do not count any more, since their data, plug-ins or code changed; the message says what."""


class RenamedWarning(FutureWarning):
    """Something is used by its old name, which works for one version; see `clep.renames`."""


WARNINGS = (
    CheckpointWarning,
    InputWarning,
    RenamedWarning,
    SettlingWarning,
    SleepWarning,
    StaleWarning,
    UncountedWarning,
    UnusedWarning,
)
"""The warnings that clep gives on purpose; the command line prints each as one line."""


def is_for_its_authors(category: type[Warning], filename: str) -> bool:
    """Whether a library reminds its own authors of what it still calls: its users cannot change that.

    Python hides such warnings by default, and Avalanche shows them all the same.

    Args:
        category: class of the warning.
        filename: the file that it is about.

    Example:
        >>> is_for_its_authors(DeprecationWarning, "mine.py")
        False
    """
    return issubclass(category, DeprecationWarning) and "site-packages" in Path(filename).parts


class MissingExtraError(ClepError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""


class TrialsFailedError(ClepError):
    """Every trial of a search failed."""


@contextmanager
def within(path: str) -> Iterator[None]:
    """Put a path in front of the parameter that a `ConfigError` raised inside names.

    Args:
        path: where the parameter stands, without a dot at the end.

    Raises:
        ConfigError: the one from inside, with the longer name.

    Example:
        >>> from clep.errors import ConfigError
        >>> with within("learner"):
        ...     raise ConfigError("beta: expected a number other than 0, got 0.0")
        Traceback (most recent call last):
            ...
        clep.errors.ConfigError: learner.beta: expected a number other than 0, got 0.0
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}") from error

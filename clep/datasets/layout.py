"""Which axis of stored images holds the channels."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

from clep.errors import ConfigError, InputWarning

_CHANNELS = range(1, 5)  # what one expects of images: grey, grey with alpha, colours, colours with alpha
_FIRST, _LAST = "(N, channels, height, width)", "(N, height, width, channels)"


class Order(NamedTuple):
    """The axes of stored samples.

    Attributes:
        axes: the permutation that brings the channels first; None for no change.
        words: the axes and their sizes, for messages.
    """

    axes: tuple[int, ...] | None
    words: str


def channels_first(shape: Sequence[int], source: str, layout: str = "auto", known: str = "auto") -> Order:
    """How to bring the channels of images first.

    With `auto`, channels are last if that axis has 1 to 4 entries and both others have more.

    Args:
        shape: of the stored samples, (N, features), (N, H, W) or 4 axes.
        source: where they come from, for messages.
        layout: `auto`, `channels_first` or `channels_last`: what the user says.
        known: what the file's format says, in the same words.

    Raises:
        ConfigError: naming `layout`, if both orders are possible, or the user says what the format excludes.

    Example:
        >>> channels_first((100, 3, 32, 32), "x.npz").axes
        >>> channels_first((100, 32, 32, 3), "x.npz", "channels_last").axes
        (0, 3, 1, 2)
    """
    if layout != "auto" and (len(shape) == 2 or known not in ("auto", layout)):
        have = "vectors have no channels" if len(shape) == 2 else "its format puts the channels first"
        raise ConfigError(f"layout: {source}: {have}; use layout=auto, got `{layout}`")
    if len(shape) != 4:
        return Order(None, _sized("(N, features)" if len(shape) == 2 else "(N, height, width)", shape))
    stated = layout if layout != "auto" else known
    last = stated == "channels_last" or (stated == "auto" and _looks_last(shape, source))
    if last and stated == "auto":
        warnings.warn(
            f"{source}: its shape {tuple(shape)} is read as {_LAST}; set stream.layout=channels_last to confirm the "
            "channels, or stream.layout=channels_first",
            InputWarning,
            stacklevel=2,
        )
    return Order((0, 3, 1, 2) if last else None, _sized(_LAST if last else _FIRST, shape))


def _looks_last(shape: Sequence[int], source: str) -> bool:
    _, first, middle, last = shape
    if first == last and first in _CHANNELS and middle > 1:
        raise ConfigError(
            f"layout: {source}: its shape {tuple(shape)} can be {_FIRST} or {_LAST}; set stream.layout=channels_first "
            "or channels_last"
        )
    return last in _CHANNELS and first > last and middle > last


def _sized(names: str, shape: Sequence[int]) -> str:
    return f"{names} = {tuple(shape)}"

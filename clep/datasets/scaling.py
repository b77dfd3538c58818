"""The range of stored samples: by what to divide them, so that they come into [0, 1]."""

import warnings
from typing import NamedTuple

import numpy as np

from clep.errors import ConfigError, InputWarning

_BYTE = 255
_NEAR = 2  # floats up to here are about the size of 1, and stay as they are


class _Range(NamedTuple):
    """Type, smallest and largest value of an array, and whether all of them are integers."""

    dtype: np.dtype
    low: float
    high: float
    whole: bool

    @classmethod
    def of(cls, x: np.ndarray) -> "_Range":
        whole = x.dtype.kind != "f" or bool((x == np.trunc(x)).all())
        return cls(x.dtype, float(x.min()), float(x.max()), whole)

    def __str__(self) -> str:
        return f"{self.dtype} from {self.low:.6g} to {self.high:.6g}"


def divisor(
    x_train: np.ndarray, x_test: np.ndarray, sources: tuple[str, str], scale: float | None, *, standardize: bool
) -> float:
    """The number by which samples are divided.

    It is recognised by type and range, of the training samples; the test samples must not be on another scale:

    - booleans, and anything in [0, 1]: 1; floats up to 2 are near enough;
    - integers of any type, also stored as floats, whose largest is in 128 ... 255: bytes, 255;
    - larger unsigned integers that use the highest bit of their type: the largest value of the type.

    Args:
        x_train, x_test: the samples.
        sources: where the two come from, for messages.
        scale: the number, if the user gives it; None to recognise it.
        standardize: whether the samples will be standardized, which makes their scale irrelevant.

    Raises:
        ConfigError: naming `scale`, if the numbers could mean several things, or the two parts differ.
    """
    if scale is not None:
        _check_scale(x_train, sources[0], scale)
        return scale
    train, test = _Range.of(x_train), _Range.of(x_test)
    found = _recognised(train)
    if found is None:
        if not standardize:
            raise ConfigError(f"scale: {sources[0]}: {train}: {_unclear(train)}")
        return 1
    if test.high > _NEAR * found or test.low < -found or (found > 1 and 0 < test.high <= 1):
        raise ConfigError(
            f"scale: {sources[0]} holds {train}, but {sources[1]} holds {test}: two scales; save both in one range, "
            "or set stream.scale to the number that divides both (1 takes the values as they are)"
        )
    if found == _BYTE and train.dtype.kind == "f":
        warnings.warn(
            f"{sources[0]}: {train}, whole numbers, are read as bytes and divided by 255; set stream.scale=255 to "
            "confirm it, or stream.scale=1 to take the values as they are",
            InputWarning,
            stacklevel=2,
        )
    return found


def _check_scale(x: np.ndarray, source: str, scale: float) -> None:
    """Refuse a number that leaves nothing of the samples in float32."""
    top = max(abs(float(x.min())), abs(float(x.max())))
    kinds = np.finfo(np.float32)
    if not kinds.tiny <= scale <= kinds.max or (top and not kinds.tiny <= top / scale <= kinds.max):
        raise ConfigError(f"scale: {source}: {_Range.of(x)}, divided by {scale:g}, leaves nothing in float32")


def _recognised(found: _Range) -> float | None:
    if found.low < 0:
        return None
    if found.high <= (_NEAR if found.dtype.kind == "f" else 1):
        return 1
    if found.whole and (_BYTE + 1) / 2 <= found.high <= _BYTE:
        return _BYTE
    if found.dtype.kind == "u" and found.high >= (top := int(np.iinfo(found.dtype).max)) / 2:
        return float(top)
    return None


def _unclear(found: _Range) -> str:
    """What such a range could mean, and the setting for each meaning."""
    as_is = "stream.scale=1 to take the values as they are"
    if found.low < 0:
        return (
            "negative inputs are not rates, which equilibrium networks and sleep expect; bring them into [0, 1], or "
            f"set stream.standardize=true, or {as_is}"
        )
    high = np.format_float_positional(found.high, trim="-")
    dark = ", stream.scale=255 for dark bytes" if found.whole and found.high < _BYTE / 2 else ""
    return f"neither [0, 1] nor whole bytes; set stream.scale={high} to divide by the largest value{dark}, or {as_is}"

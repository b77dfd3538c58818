"""One image file, decoded by its content."""

import io
from collections.abc import Callable

import numpy as np

from clep.datasets.files import reason
from clep.errors import DataError

_FORMATS = ("PNG", "JPEG")  # by content; Pillow would hand other formats to other programs (EPS to Ghostscript)
_READ_AS = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB"}  # Pillow's mode of a file -> the mode it is read in


def decoded(source: str, read: Callable[[], bytes]) -> np.ndarray:
    """The image (C, H, W) in a file, uint8.

    Args:
        source: names the file in messages.
        read: returns its bytes.

    Raises:
        DataError: if it is neither PNG nor JPEG, damaged, partly transparent, or not in 8 bits.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        content = read()
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            mode, clear = image.mode, "transparency" in image.info
            clear = clear and int(np.asarray(image.convert("RGBA"))[..., 3].min()) < 255
            pixels = np.asarray(image.convert(_READ_AS[mode])) if mode in _READ_AS else None
    except DataError:
        raise
    except UnidentifiedImageError as error:
        begin = f"it begins with {content[:20]!r}" if content else "it is empty"
        raise DataError(f"{source}: neither a PNG nor a JPEG image: {begin}; replace or remove it.") from error
    except Exception as error:  # a damaged image can raise anything
        raise DataError(f"{source}: cannot be read ({reason(error)}); replace or remove it.") from error
    if clear:
        raise DataError(f"{source}: some pixels are transparent; save it without, as grey levels or RGB.")
    if pixels is None:
        raise DataError(f"{source}: pixels of type {mode}; save it in 8 bits, as grey levels or RGB without alpha.")
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def described(image: np.ndarray) -> str:
    """Size and colours of an image (C, H, W) in words."""
    channels, height, width = image.shape
    return f"{width} x {height} pixels in {'colours' if channels == 3 else 'grey levels'}"

"""The garbage collector while a command starts.

Libraries make half a million objects while they are imported, and all of them stay. Python looks at them again and
again meanwhile, which takes a fifth of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = (100_000, 50, 50)  # not never: a command that trains nothing has no other end of its start

_usual: tuple[int, int, int] | None = None
_freezes = False


@contextmanager
def seldom() -> Iterator[None]:
    """Collect seldom, until `as_usual` is called or the block ends.

    Objects that the caller has frozen stay so: nobody can thaw some and not others.

    Example:
        >>> import gc
        >>> with seldom():
        ...     first, *_ = gc.get_threshold()
        >>> first
        100000
    """
    global _usual, _freezes
    if _usual is not None:
        yield
        return
    _usual, _freezes = gc.get_threshold(), not gc.get_freeze_count()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        as_usual()
        if _freezes:
            gc.unfreeze()  # otherwise torch's compiler reports it all as leaked when this process ends


def libraries_are_loaded() -> None:
    """If this is the start of a command, what is there by now stays: no later collection need look at it.

    Call it before there are data, which shall go when they are no longer needed.

    Example:
        >>> libraries_are_loaded()
    """
    if _usual is not None and _freezes:
        gc.freeze()


def as_usual() -> None:
    """The start is over: collect as often as before. Training makes cycles that hold data.

    Example:
        >>> as_usual()
    """
    global _usual
    if _usual is not None:
        gc.set_threshold(*_usual)
        _usual = None

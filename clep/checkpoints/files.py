"""A checkpoint as one file: plain values and tensors behind a checksum, written whole or not at all."""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clep.errors import DataError
from clep.foreign import content_of

_MAGIC = b"clep checkpoint 1\n"
_DIGEST = 32  # bytes of SHA-256
PARTIAL = ".partial"
"""How the names of files end that are being written."""


def write(path: Path, plain: Any, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint; whatever happens meanwhile, `path` holds all of it or what it held before.

    Args:
        path: the file.
        plain: what JSON can hold.
        tensors: by name, on the CPU.

    Raises:
        OSError: if it cannot be written, as on a full disk.
    """
    buffer = io.BytesIO()
    torch.save({"plain": json.dumps(plain), "tensors": dict(tensors)}, buffer)
    content = buffer.getbuffer()
    replace(path, _MAGIC, hashlib.sha256(content).digest(), content)


def replace(path: Path, *pieces: bytes | memoryview) -> None:
    """Write a file under another name, wait until the disk has it, and rename it.

    Args:
        path: the file.
        pieces: its content.

    Raises:
        OSError: if it cannot be written; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=path.name, suffix=PARTIAL, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    with suppress(OSError):  # not every file system lets a folder be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """Read a checkpoint: plain values and tensors; nothing in it is executed.

    Args:
        path: the file.

    Raises:
        DataError: if it is missing, damaged or no checkpoint.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the checkpoint {path} cannot be read ({error.strerror or error})") from error
    if not content.startswith(_MAGIC):
        raise DataError(f"{path} is no checkpoint of this version of clep, or damaged at its start")
    start = len(_MAGIC) + _DIGEST
    digest, body = content[len(_MAGIC) : start], memoryview(content)[start:]
    if hashlib.sha256(body).digest() != digest:
        raise DataError(f"the checkpoint {path} is damaged: its checksum is wrong")
    try:
        held = content_of(io.BytesIO(body), "its content")
        return json.loads(held["plain"]), held["tensors"]
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no checkpoint of clep ({error})") from error

"""Whether a file is a checkpoint of a learner, found out without running or importing anything that it names."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from clep.errors import DataError

_CODE = "_instantiator"
"""What older versions of Lightning import, whatever a file says here."""


def check_checkpoint(source: Any) -> dict[str, Any]:
    """Refuse what is no checkpoint of a learner.

    Args:
        source: the path of a file, or an open one, which is left at its beginning.

    Returns:
        What it holds.

    Raises:
        DataError: if it is missing, damaged or something else, if it asks for code, or holds weights that are not
            finite; the message begins with the path.

    Example:
        >>> import torch
        >>> torch.save({"state_dict": {}}, "other.ckpt")
        >>> check_checkpoint("other.ckpt")
        Traceback (most recent call last):
            ...
        clep.errors.DataError: other.ckpt: no checkpoint of a learner: it has no `hyper_parameters`
    """
    content = content_of(source, str(source))
    for key in ("state_dict", "hyper_parameters"):
        if not isinstance(content, Mapping) or not isinstance(content.get(key), Mapping):
            raise DataError(f"{source}: no checkpoint of a learner: it has no `{key}`")
    if _CODE in content["hyper_parameters"]:
        raise DataError(f"{source}: it names code to run (`{_CODE}`), which no checkpoint of a learner does")
    for name, value in content["state_dict"].items():
        if not isinstance(value, Tensor):
            raise DataError(f"{source}: `{name}` is no tensor")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise DataError(f"{source}: `{name}` holds values that are not finite; the training that wrote it diverged")
    return content


def content_of(source: Any, name: str) -> Any:
    """The content of a file: containers, numbers, texts and tensors, and nothing else that a pickle could ask for.

    Args:
        source: the path of a file, or an open one, which is left at its beginning.
        name: what messages call it.

    Raises:
        DataError: if it is missing, damaged, or holds anything else; the message begins with the name.
    """
    if isinstance(source, str | Path) and not Path(source).is_file():
        raise DataError(f"{name}: there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age of a format
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{name}: not a checkpoint, or one that asks for code, which is not run; if you trust it, use torch.load"
        ) from error
    except (OSError, EOFError, BadZipFile, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{name}: damaged, or not a checkpoint: {' '.join(str(error).split())[:200]}") from error
    finally:
        if hasattr(source, "seek"):
            source.seek(0)

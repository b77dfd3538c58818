"""`Strategy.rehearse`: further samples for the training of the present experience."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clep.checks import shown
from clep.errors import StrategyError
from clep.streams import Samples, avalanche_dataset

HOOKS = ("after_train_dataset_adaptation", "before_training_exp")
"""Where samples may be appended: the data of the experience are there, and no batch was drawn yet."""
OPEN = "_rehearsed"
"""The attribute of a strategy that collects samples, while one of these hooks runs and at no other time."""


class Rehearsal:
    """Collects samples in one hook, and appends them to the data of the experience when the hook is over.

    Args:
        name: of the strategy, for messages.
        template: the training template.
    """

    def __init__(self, name: str, template: Any) -> None:
        self._name, self._template = name, template
        self._samples: list[Samples] = []

    def add(self, x: Any, y: Any) -> None:
        """Collect samples; see `Strategy.rehearse`."""
        like = self._template.adapted_dataset[0][0]
        try:
            samples = Samples(_inputs(x, like), _labels(y))
            if len(samples.x) != len(samples.y):
                raise ValueError(
                    f"y: expected one label for each of the {len(samples.x)} samples, got {len(samples.y)}"
                )
        except (ValueError, TypeError) as error:
            raise StrategyError(f"strategies: {self._name}.rehearse: {error}") from error
        if len(samples):
            self._samples.append(samples)

    def finish(self, hook: str, **kwargs: Any) -> None:
        """Append what was collected, and build the loader anew if it was built already.

        Args:
            hook: the hook that is over.
            **kwargs: what it was called with.
        """
        if not self._samples:
            return
        template = self._template
        joined = Samples(*(torch.cat([getattr(part, name) for part in self._samples]) for name in ("x", "y")))
        rows = template.rows_for(joined) if hasattr(template, "rows_for") else None
        template.adapted_dataset = template.adapted_dataset.concat(avalanche_dataset(joined, rows))
        if hook == "before_training_exp":
            old, made = template.dataloader, getattr(template, "made_loader", None)
            template.make_train_dataloader(**kwargs)
            if old is not made if made is not None else type(old) is not type(template.dataloader):
                raise StrategyError(
                    f"strategies: {self._name}.rehearse: another strategy has put a {type(old).__name__} in place of "
                    "the data loader, which would not hold these samples; call `rehearse` in "
                    "`after_train_dataset_adaptation`"
                )


def with_rehearsal(name: str, hook: Callable[..., None]) -> Callable[..., None]:
    """A hook within which its strategy may call `rehearse`.

    Args:
        name: one of `HOOKS`.
        hook: what the class of the strategy defines as such.
    """

    @functools.wraps(hook)
    def rehearsing(self: Any, strategy: Any, *args: Any, **kwargs: Any) -> None:
        if OPEN in vars(self):  # called by the hook of a subclass
            hook(self, strategy, *args, **kwargs)
            return
        rehearsal = Rehearsal(type(self).__name__, strategy)
        setattr(self, OPEN, rehearsal)
        try:
            hook(self, strategy, *args, **kwargs)
        finally:
            delattr(self, OPEN)
        rehearsal.finish(name, **kwargs)

    return rehearsing


def open_hooks(cls: type) -> None:
    """Make `rehearse` work in the hooks that a class defines."""
    for name in HOOKS:
        if inspect.isfunction(hook := vars(cls).get(name)):
            setattr(cls, name, with_rehearsal(name, hook))


def _inputs(x: Any, like: Tensor) -> Tensor:
    """Inputs as those of the stream, (n, ...)."""
    if isinstance(x, list | tuple):
        x = torch.stack([torch.as_tensor(one) for one in x]) if x else like.new_zeros((0, *like.shape))
    inputs = torch.as_tensor(x).detach()
    if not inputs.is_floating_point() or inputs.shape[1:] != like.shape:
        raise ValueError(
            f"x: expected samples like those of the stream, {('n', *like.shape)} of {like.dtype}, got "
            f"{tuple(inputs.shape)} of {inputs.dtype}"
        )
    if not bool(torch.isfinite(inputs).all()):
        raise ValueError("x: it has values that are not finite")
    return inputs.to(like.device, like.dtype).clone()


def _labels(y: Any) -> Tensor:
    """Labels of any integer type as int64, (n,)."""
    if isinstance(y, Tensor):
        y = y.detach().cpu().numpy()
    labels = np.asarray([getattr(label, "item", lambda one=label: one)() for label in y])
    if labels.ndim != 1 or (len(labels) and (labels.dtype.kind not in "iu" or labels.min() < 0)):
        raise ValueError(f"y: expected class indices (n,), integers from 0 on, got {shown(y)}")
    return torch.as_tensor(labels.astype(np.int64))

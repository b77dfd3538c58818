"""A device that is not the CPU, on any machine: tensors without values, which torch refuses to mix or to read."""

from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

ELSEWHERE = "meta"
"""Torch's fake tensors may claim to be on `cuda` too, but without a card its autograd does not follow them there."""


@contextmanager
def without_values():
    """Tensors are fake: operations that mix devices raise, and so does every read of a value by the host."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # it takes seconds to load

    autocast = torch.autocast

    def known(device_type, *args, **kwargs):  # torch has no autocast for `meta`
        return nullcontext() if device_type == ELSEWHERE else autocast(device_type, *args, **kwargs)

    enabled = patch("torch.is_autocast_enabled", lambda device_type=None: False)
    with patch("torch.autocast", known), enabled, FakeTensorMode():
        yield


def move(module):
    """Give a module fake parameters and buffers elsewhere, shaped as its own; call it in `without_values`."""
    for part in module.modules():
        for name, own in part._parameters.items():
            if own is not None:
                part._parameters[name] = nn.Parameter(torch.empty(own.shape, dtype=own.dtype, device=ELSEWHERE))
        for name, own in part._buffers.items():
            if own is not None:
                part._buffers[name] = torch.empty(own.shape, dtype=own.dtype, device=ELSEWHERE)
    return module


class Reads(TorchDispatchMode):
    """Counts how often the host reads a value: with a card, it waits for all that was asked of the card before."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))

"""A graphics card for tests: tensors that say they are on `cuda`, refuse to be mixed with others, and use the CPU.

What a program does with its device can be run with it from end to end, real values included. Where a card raises, this
one does: an operation on tensors of both devices, a generator of the other one, and a view of its memory as an array.
"""

from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import torch
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
_aten = torch.ops.aten
_CROSS = {_aten.copy_.default, _aten._to_copy.default}  # the operations that may take tensors of both
_INDEX = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default}  # an index may be on the CPU
_generators = {}  # those of the card, by what identifies them


class OnCard(torch.Tensor):
    """A tensor on the card; `inner` has its values."""

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, value):
        self.inner = value.inner

    def untyped_storage(self):
        return self.inner.untyped_storage()

    def data_ptr(self):
        return self.inner.data_ptr()

    def __repr__(self, **_):
        return f"OnCard({self.inner})"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = OnCard(self.inner.clone()).requires_grad_(self.requires_grad)
            if isinstance(self, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied.detach(), self.requires_grad)
            memo[id(self)] = copied
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = tree_leaves(args[:1] if func in _INDEX else (args, kwargs))
        off = [t for t in given if isinstance(t, torch.Tensor) and not isinstance(t, OnCard) and t.dim()]
        if off and func not in _CROSS:
            raise RuntimeError(
                f"{func}: tensors are not all on one device: one of shape {tuple(off[0].shape)} is on the CPU"
            )
        if any(isinstance(value, torch._C.Generator) and value._cdata not in _generators for value in given):
            raise RuntimeError(f"{func}: expected a 'cuda' generator, got one of the CPU")
        result = func(*_inner(args), **_inner(kwargs))
        if (
            isinstance(args[0] if args else None, torch.Tensor)
            and func._schema.is_mutable
            and result is _inner(args[0])
        ):
            return args[0]
        return tree_map(lambda t: OnCard(t) if isinstance(t, torch.Tensor) else t, result)


class _Generator(torch.Generator):
    """A generator, of the card if it is made for it."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        if _is_card(device):
            _generators[made._cdata] = made  # an operation gets another object for the same generator
        return made


def _inner(tree):
    return tree_map(lambda t: t.inner if isinstance(t, OnCard) else t, tree)


def _is_card(value):
    return isinstance(value, str | torch.device) and torch.device(value).type == "cuda"


class _Placing(TorchFunctionMode):
    """Makes, moves and reads tensors where a program says `device=cuda`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, first = getattr(func, "__name__", ""), args[0] if args else None
        if isinstance(first, OnCard) and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if isinstance(first, OnCard) and name == "tolist":
            return first.inner.tolist()
        if name in ("to", "cpu", "cuda") and isinstance(first, torch.Tensor):
            return self._moved(func, name, first, args, kwargs)
        makes = name == "new_tensor" or func is torch.nn.functional.one_hot  # tensors of their own, in C++
        if makes and isinstance(first, OnCard):
            return OnCard(func(first.inner, *args[1:], **kwargs))
        if _is_card(kwargs.get("device")):
            made = func(*args, **(kwargs | {"device": "cpu"}))
            return made if isinstance(made, OnCard) else OnCard(made)
        return func(*args, **kwargs)

    def _moved(self, func, name, tensor, args, kwargs):
        given = [*args[1:], *kwargs.values()]
        like = [other for other in given if isinstance(other, torch.Tensor)]
        devices = [other.device for other in like] + [
            torch.device(d) for d in given if isinstance(d, str | torch.device)
        ]
        dtypes = [other.dtype for other in like] + [d for d in given if isinstance(d, torch.dtype)]
        dtype, copies = dtypes[0] if dtypes else tensor.dtype, kwargs.get("copy", False)
        to_card = {"cpu": False, "cuda": True}.get(name, isinstance(tensor, OnCard))
        to_card = devices[0].type == "cuda" if devices else to_card
        if to_card == isinstance(tensor, OnCard):
            return tensor if dtype == tensor.dtype and not copies else torch.Tensor.to(tensor, dtype, copy=copies)
        values = _inner(tensor.detach()).to(dtype).clone()
        return OnCard(values) if to_card else values


def _apply(module, function, recurse=True):
    """`nn.Module._apply`, which moves parameters in place; tensors of this card have nothing to be moved into."""
    for child in module.children() if recurse else ():
        child._apply(function)
    with torch.no_grad():
        for name, own in module._parameters.items():
            moved = own if own is None else function(own)
            if moved is not own:
                module._parameters[name] = torch.nn.Parameter(moved, own.requires_grad)
        for name, own in module._buffers.items():
            module._buffers[name] = own if own is None else function(own)
    return module


def _backward(node, *gradients, apply=BackwardCFunction.apply):
    with _Placing():  # autograd leaves the modes of its caller
        return apply(node, *gradients)


@contextmanager
def card():
    """There is a card, as far as tensors are concerned."""
    with (
        _Placing(),
        patch.object(BackwardCFunction, "apply", _backward),
        patch("torch.nn.Module._apply", _apply),
        patch("torch.Generator", _Generator),
        patch("torch.autocast", lambda *_, **__: nullcontext()),
        patch("torch.is_autocast_enabled", lambda *_: False),
    ):
        yield

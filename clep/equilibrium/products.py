"""Matrix products for relaxations, by torch's fastest kernel."""

import functools

import torch
from torch import Tensor

_WORTH = 2**20  # multiplications needed for oneDNN's kernel to pay off
_INNER = 64  # and the smallest inner size


def times_transposed(a: Tensor, b: Tensor, base: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """`base` + a b^T, (m, n), for `a` (m, k), `b` (n, k) and `base` (m, n), (n,) or None; may be written to `out`.

    Outside autograd and traces, large products in single precision on a CPU go to oneDNN: torch's BLAS is about twice
    as slow on AMD processors. oneDNN returns a new tensor.
    """
    if not torch.compiler.is_compiling() and suits_onednn(a, b) and _has_onednn():
        product: Tensor
        if base is None or base.dim() == 1:
            product = torch.ops.mkldnn._linear_pointwise(a, b, base, "none", [], "")
        else:
            product = torch.ops.mkldnn._linear_pointwise.binary(a, base, b, None, "add")
        return product
    return torch.mm(a, b.T, out=out) if base is None else torch.addmm(base, a, b.T, out=out)


def suits_onednn(a: Tensor, b: Tensor) -> bool:
    """Whether `times_transposed` takes oneDNN's kernel for a product, if this build of torch has it."""
    if a.shape[0] * b.numel() < _WORTH or b.shape[1] < _INNER:
        return False
    plain = a.dtype == b.dtype == torch.float32 and a.device.type == b.device.type == "cpu"
    return plain and not torch.is_grad_enabled()


@functools.cache
def _has_onednn() -> bool:
    """Whether this build of torch has the operators; its compiler uses them too."""
    x, weight = torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    try:
        product = torch.ops.mkldnn._linear_pointwise.binary(x, x, weight, None, "add")
        biased = torch.ops.mkldnn._linear_pointwise(x, weight, x[0], "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return torch.equal(product, x + weight.T) and torch.equal(biased, x[0] + weight.T)

"""Tensors in 8 or 16 bits."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

StoredAs = Literal["int8", "float16"]

_LARGEST = 127  # of the codes in 8 bits


@dataclass(frozen=True, eq=False)
class Packed:
    """A tensor of numbers in few bytes.

    Attributes:
        codes: int8, or float16 without a scale.
        scale: what a code of 1 stands for in each row, float32, (..., 1); None if the codes are the numbers.
    """

    codes: Tensor
    scale: Tensor | None = None

    @property
    def numbers(self) -> Tensor:
        """The numbers, float32."""
        numbers = self.codes.float()
        return numbers if self.scale is None else numbers * self.scale

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + (0 if self.scale is None else self.scale.nbytes)


def packed(numbers: Tensor, stored_as: StoredAs) -> Packed:
    """Pack a tensor: 16-bit floats, or 8-bit integers with a scale for each row.

    Args:
        numbers: (..., d); a row is what lies along the last dimension.
        stored_as: the form.

    Example:
        >>> import torch
        >>> packed(torch.tensor([0.0, 1.0, -2.0]), "int8").codes
        tensor([   0,   64, -127], dtype=torch.int8)
    """
    if stored_as == "float16":
        return Packed(numbers.to(torch.float16))
    scale = (numbers.abs().amax(-1, keepdim=True) / _LARGEST).float()
    codes = numbers / scale.where(scale > 0, 1.0)
    return Packed(codes.round().clamp(-_LARGEST, _LARGEST).to(torch.int8), scale)

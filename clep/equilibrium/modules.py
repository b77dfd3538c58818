"""Lists of torch modules whose class type checkers know."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from torch import nn

M = TypeVar("M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[M]):
    """An `nn.ModuleList` of modules of one class; torch's own returns plain `nn.Module`s."""

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, idx: slice) -> "Modules[M]": ...
        @overload
        def __getitem__(self, idx: int) -> M: ...
        def __getitem__(self, idx: int | slice) -> "M | Modules[M]": ...
        def __iter__(self) -> Iterator[M]: ...

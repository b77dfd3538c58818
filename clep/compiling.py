"""Functions compiled by numba, and the threads of the matrix products in them."""

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numba
import threadpoolctl


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile at the first call; the result is kept on disk if a folder for it is writable."""
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


def compiled_with_fused_products(function: Callable[..., Any]) -> Any:
    """The same; a sum of a product is rounded once, which takes half as long."""
    return compiled(function, fastmath={"contract"})


class OneThread:
    """Within this context, matrix products in compiled functions take one thread: SciPy's BLAS has threads of its own.

    To ask and to set them takes microseconds.
    """

    def __enter__(self) -> None:
        self._before = [(library, n) for library in _libraries() if (n := library.num_threads) != 1]
        for library, _ in self._before:
            library.set_num_threads(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for library, threads in self._before:
            library.set_num_threads(threads)


@functools.cache
def _libraries() -> list[Any]:
    """The BLAS of SciPy, which compiled functions call; every BLAS of the process where it has none of its own."""
    import scipy.linalg.cython_blas  # noqa: F401 - loads it

    found = [known for known in threadpoolctl.ThreadpoolController().lib_controllers if known.user_api == "blas"]
    own = [known for known in found if "scipy.libs" in known.filepath or "scipy/.dylibs" in known.filepath]
    return own or found

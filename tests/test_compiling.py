"""Compiling, where nothing can be kept on disk as well, and the threads of compiled products."""

import numba

from clep import compiling
from clep.compiling import OneThread, compiled


def test_code_compiles_where_nothing_can_be_kept_on_disk(monkeypatch):
    """As in a read-only installation without a home: numba then refuses to cache at all."""
    njit = numba.njit

    def refusing(*args, cache=False, **kwargs):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **kwargs)

    monkeypatch.setattr(numba, "njit", refusing)
    assert compiled(lambda x: x + 1)(2) == 3


class Library:
    """A BLAS of several threads."""

    def __init__(self):
        self.num_threads = 4

    def set_num_threads(self, threads):
        self.num_threads = threads


def test_products_take_one_thread_until_the_last_context_has_ended(monkeypatch):
    blas = Library()
    monkeypatch.setattr(compiling, "_libraries", lambda: [blas])
    first, second = OneThread(), OneThread()
    first.__enter__()
    with second:
        assert blas.num_threads == 1
        first.__exit__(None, None, None)  # as of another thread, which ends earlier
        assert blas.num_threads == 1
    assert blas.num_threads == 4

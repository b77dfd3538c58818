"""Compiling, where nothing can be kept on disk as well."""

import numba

from clep.compiling import compiled


def test_code_compiles_where_nothing_can_be_kept_on_disk(monkeypatch):
    """As in a read-only installation without a home: numba then refuses to cache at all."""
    njit = numba.njit

    def refusing(*args, cache=False, **kwargs):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **kwargs)

    monkeypatch.setattr(numba, "njit", refusing)
    assert compiled(lambda x: x + 1)(2) == 3

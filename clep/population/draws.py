"""The global generators of a member: each has states of its own, as in a process of its own."""

import random
from typing import Any

import numpy as np
import torch


class GlobalDraws:
    """The states of torch's, numpy's and Python's global generators while another member draws from them.

    Example:
        >>> import torch
        >>> draws = GlobalDraws()
        >>> draws.keep()
        >>> first = torch.rand(1)
        >>> draws.restore()
        >>> torch.equal(torch.rand(1), first)
        True
    """

    def __init__(self) -> None:
        self._states: tuple[Any, ...] | None = None

    def keep(self) -> None:
        """Note the present states."""
        self._states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002

    def restore(self) -> None:
        """Go on from the states that were noted; nothing happens if there are none."""
        if self._states is not None:
            torch.set_rng_state(self._states[0])
            np.random.set_state(self._states[1])  # noqa: NPY002
            random.setstate(self._states[2])

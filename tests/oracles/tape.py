"""A CUDA graph in slow motion, on the CPU: the operations of a function are noted once, with the memory they work on,
and repeated as they are. Nothing of the function's Python runs again, so what it decided is fixed, as in a graph.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """Notes every operation; a read of a value by the host cannot be repeated, and is an error as in a graph."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("the host reads a value while a graph is recorded")
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        """Repeat the operations, in the same memory."""
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Recorder:
    """Records as `clep.graphs.on_cuda` does, and counts.

    Attributes:
        tapes: one for each recording.
        replays: how often any of them was repeated.
    """

    def __init__(self):
        self.tapes, self.replays = [], 0

    def __call__(self, function):
        with Tape() as tape:
            outputs = function()
        with torch.no_grad():
            for output in outputs:  # a graph computes nothing while it is recorded
                output.fill_(torch.nan)
        self.tapes.append(tape)

        def replay():
            self.replays += 1
            tape.replay()

        return outputs, replay

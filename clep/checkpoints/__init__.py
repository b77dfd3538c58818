"""Checkpoints: the state of a training in files, from which it goes on as if nothing had happened.

`codec` writes objects as plain values and tensors, `samples` those of a stream, `files` one checkpoint as a file,
`state` a whole training, and `sequence` keeps the checkpoints of a run.
"""

from clep.checkpoints.codec import UnsavableError
from clep.checkpoints.sequence import Checkpoints, Saved
from clep.checkpoints.state import Snapshot, State

__all__ = ["Checkpoints", "Saved", "Snapshot", "State", "UnsavableError"]

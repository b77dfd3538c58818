"""Search for hyperparameters: spaces, the study that keeps the trials, and the result.

`clep tune` draws values from a space (see `clep.search.spaces`) for each trial of a study (`clep.search.studies`), and
returns a `Tuned`.
"""

from clep.search.spaces import Space, changes, check_ends, declared, present, space_of, suggest
from clep.search.studies import ask, finished, identity_of, open_study
from clep.search.tuned import Tuned, write

__all__ = [
    "Space",
    "Tuned",
    "ask",
    "changes",
    "check_ends",
    "declared",
    "finished",
    "identity_of",
    "open_study",
    "present",
    "space_of",
    "suggest",
    "write",
]

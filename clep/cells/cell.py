"""The description of one cell of a comparison; imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One row of a comparison.

    Attributes:
        label: its name.
        set: `key=value` changes.
        config: the pipeline that this cell starts from; empty for that of the whole comparison.
        published: the number in a paper, as a fraction, if one is known.
        source: where that number comes from.
        at_least: the accuracy that the claim promises.
        note: if it is not run, why, e.g. because its data are not available.
        seeds: seeds of a cell that is too slow for all of them; empty for all.
        at: its labels on the axes of its grid; empty if it does not come from one.

    Example:
        >>> Cell("sleep", set=("strategies=sleep_replay",), published=0.48).label
        'sleep'
    """

    label: str
    set: tuple[str, ...] = ()
    config: str = ""
    published: float | None = None
    source: str = ""
    at_least: float | None = None
    note: str = ""
    seeds: tuple[int, ...] = ()
    at: tuple[str, ...] = ()

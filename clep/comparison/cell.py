"""A cell of a comparison, as its description gives it. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One row of a comparison.

    Attributes:
        label: its name.
        set: `key=value` changes.
        config: the pipeline that this cell starts from; empty for that of the whole comparison.
        published: the number of a paper, a fraction, where one is known.
        source: where that number is from.
        at_least: accuracy that the claim promises.
        note: why it is not run, if it is not, e.g. data that cannot be had.
        seeds: those of this cell, where it takes so long that it has fewer than the others; empty for all.
        at: its labels on the axes of the grid that it comes from; empty for others.
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

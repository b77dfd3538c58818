"""Final accuracy against the bytes kept of the past, of all cells of a claim: what a byte buys."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clep.columns import in_bytes
from clep.report.drawing import GRID, INK, PALE_INK, Runs, drawn_for, styles
from clep.statistics import summary

BYTES = "bytes_in_8_bits"
"""The column of a claim that asks for this figure."""
_NONE = "0"
_STEPS_TO_ZERO = 0.6  # powers of ten between nothing and the least that is kept


@drawn_for("claim", "bytes")
def memory_figure(rows: Runs, axes: Sequence[str] = ()) -> Figure | None:
    """Mean and 95 % interval over seeds against bytes, on a logarithmic axis with nothing at its left.

    Cells whose names differ only in a number are one line. What learns everything at once is a level line, and a
    published number a star in the colour of its cell.

    Args:
        rows: cells as `clep.claims.as_json` gives them; without the column `BYTES` there is no figure.
        axes: of a grid, which this figure does not look at.
    """
    shown = [row for row in rows if row["by_seed"] and row.get("columns", {}).get(BYTES) is not None]
    if not shown:
        return None
    joint = [row for row in shown if _family(row["label"]).startswith("joint")]
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in (row for row in shown if row not in joint):
        lines.setdefault(_family(row["label"]), []).append(row)
    kept = [row["columns"][BYTES] for row in shown if row["columns"][BYTES] > 0]
    zero = np.log10(min(kept, default=100.0)) - _STEPS_TO_ZERO
    figure = Figure(figsize=(8.2, 5.2), layout="constrained", facecolor="white")
    panel = figure.subplots()
    looks = styles(lines)
    for name, cells in lines.items():
        _line(panel, name, sorted(cells, key=lambda row: row["columns"][BYTES]), looks[name], zero)
    for row, dashes in zip(joint, ("--", ":", "-."), strict=False):
        panel.axhline(row["mean"], color=INK, linewidth=1.0, linestyle=dashes, label=row["label"], zorder=1)
    _axis(panel, kept, zero)
    figure.legend(loc="outside right upper", frameon=False, fontsize=7.5)
    return figure


def _line(panel: Axes, name: str, cells: Sequence[Mapping[str, Any]], look: Any, zero: float) -> None:
    found = [summary(row["by_seed"]) for row in cells]
    x = [_place(row, zero) for row in cells]
    mean = np.array([each.mean for each in found], dtype=np.float64)
    low, high = (np.array([getattr(each, end) for each in found], dtype=np.float64) for end in ("low", "high"))
    panel.errorbar(
        x,
        mean,
        yerr=np.nan_to_num(np.stack([mean - low, high - mean])),
        label=name,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        markersize=4.5,
        linewidth=1.1,
        capsize=2,
        markerfacecolor="white" if "BPTT" in name else look.colour,
    )
    for row, place in zip(cells, x, strict=True):
        if row["published"] is not None:
            label = f"{row['source'] or row['label']} (published)"
            panel.plot([place], [row["published"]], "*", color=look.colour, markersize=9, label=label, linestyle="none")


def _axis(panel: Axes, kept: Sequence[float], zero: float) -> None:
    last = int(np.ceil(np.log10(max(kept, default=1000.0))))
    powers = range(int(np.ceil(zero + _STEPS_TO_ZERO)), last + 1)
    panel.set_xticks([zero, *powers], [_NONE, *(in_bytes(10**power) for power in powers)])
    panel.set(xlim=(zero - 0.2, last + 0.1), ylim=(0, 1.02), xlabel="bytes kept of the past", ylabel="final accuracy")
    panel.axvline(zero + _STEPS_TO_ZERO / 2, color=PALE_INK, linewidth=0.7, linestyle=(0, (1, 3)))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color=GRID)
    panel.set_axisbelow(True)


def _place(row: Mapping[str, Any], zero: float) -> float:
    count = row["columns"][BYTES]
    return float(np.log10(count)) if count > 0 else zero


def _family(label: str) -> str:
    """The name of a cell without its number.

    Example:
        >>> _family("rehearsal 1 000 + sleep"), _family("dreams 5, BPTT"), _family("er_ace 20")
        ('rehearsal + sleep', 'dreams, BPTT', 'er_ace')
    """
    return re.sub(r"\s+\d[\d ]*\b", "", label).strip()

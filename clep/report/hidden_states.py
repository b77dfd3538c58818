"""The hidden states of an equilibrium network over the steps of a free phase."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from clep.report.drawing import COLOURS, GRID, write


def plot_hidden_states(
    magnitude: Sequence[Sequence[float]], participation: Sequence[Sequence[float]], path: str | Path, title: str = ""
) -> None:
    """Write the course of the hidden states over a free phase as PNG; see `hidden_states_figure`."""
    write(hidden_states_figure(magnitude, participation, title), path)


def hidden_states_figure(
    magnitude: Sequence[Sequence[float]], participation: Sequence[Sequence[float]], title: str = ""
) -> Figure:
    """How large and how distributed hidden states are, over the steps of a free phase, a line per layer.

    Args:
        magnitude: Mean |s| of each hidden layer, lowest first, after each step, from step 1 on.
        participation: Participation ratio, in the same form; NaN is left out.
        title: Shown above.
    """
    figure = Figure(figsize=(8.6, 3.4), layout="constrained", facecolor="white")
    for axes, courses, name in zip(
        figure.subplots(1, 2), (magnitude, participation), ("mean |s|", "participation ratio"), strict=True
    ):
        for layer, values in enumerate(courses):
            steps = np.arange(1, len(values) + 1)
            label, colour = f"hidden layer {layer + 1}", COLOURS[(layer + 2) % len(COLOURS)]
            axes.plot(steps, values, label=label, color=colour, linewidth=1.8)
        largest = max((value for values in courses for value in values if np.isfinite(value)), default=0.0)
        axes.set(xlabel="step of the free phase", ylim=(0, 1.1 * largest or 1.0))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title(name, loc="left", size=10)
        axes.grid(axis="y", color=GRID)
        axes.spines[["top", "right"]].set_visible(False)
    if len(magnitude) > 1:
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", size=10)
    return figure

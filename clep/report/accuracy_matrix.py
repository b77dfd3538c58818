"""The accuracy matrix as a heat map and as CSV."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import ArrayLike

from clep.report.drawing import INK, write

WHITE_FROM = 0.55
"""Accuracy from which white numbers are easier to read than dark ones."""
_LARGEST_WITH_NUMBERS = 20  # experiences in a heat map whose cells can hold a number


def plot_accuracy_matrix(matrix: ArrayLike, path: str | Path, title: str = "Accuracy") -> None:
    """Write the heat map of an accuracy matrix as PNG; see `accuracy_matrix_figure`."""
    write(accuracy_matrix_figure(matrix, title), path)


def accuracy_matrix_figure(matrix: ArrayLike, title: str = "Accuracy") -> Figure:
    """Heat map of R[i, j], accuracy on experience j after experience i, with its values.

    Args:
        matrix: Fractions, (n, m); None or NaN is left blank.
        title: Shown above.
    """
    R = np.asarray(matrix, dtype=np.float64)
    n, m = R.shape
    high, wide = (min(2.6 + 0.4 * size, 10.0) for size in (n, m))
    figure = Figure(figsize=(wide + 0.6, high), layout="compressed", facecolor="white")
    axes = figure.subplots()
    image = heat_map(axes, R, 8.5 if max(n, m) <= _LARGEST_WITH_NUMBERS else 0.0)
    axes.hlines(np.arange(n - 1) + 0.5, -0.5, m - 0.5, color="white", linewidth=1)
    axes.vlines(np.arange(m - 1) + 0.5, -0.5, n - 0.5, color="white", linewidth=1)
    rows, columns = (range(0, size, 1 + (size - 1) // _LARGEST_WITH_NUMBERS) for size in (n, m))
    axes.set(xticks=columns, yticks=rows, xlabel="accuracy on experience", ylabel="after training on experience")
    axes.set_title(title, loc="left", size=10, pad=8)
    colours = figure.colorbar(image, ax=axes, shrink=0.8, aspect=28)
    colours.ax.tick_params(length=0, labelsize=8)
    colours.ax.spines["outline"].set_visible(False)
    return figure


def heat_map(axes: Axes, R: np.ndarray, size: float) -> AxesImage:
    """Draw an accuracy matrix: white for 0, dark for 1, grey where it is undefined.

    Args:
        axes: where.
        R: fractions, (n, m).
        size: of the numbers in it, in points; 0 for none.
    """
    image = axes.imshow(np.ma.masked_invalid(R), cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(R):
        if size and np.isfinite(value):
            colour = "white" if value > WHITE_FROM else INK
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=size)
    axes.set_facecolor("#F4F4F4")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def write_matrix_csv(matrix: ArrayLike, path: str | Path) -> None:
    """Write an accuracy matrix in full precision: a column per experience, a row per experience trained, NaN empty."""
    R = np.asarray(matrix, dtype=np.float64)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(f"experience_{j:02d}" for j in range(R.shape[1]))
        writer.writerows(["" if np.isnan(value) else float(value) for value in row] for row in R)

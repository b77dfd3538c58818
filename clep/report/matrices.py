"""The accuracy matrix of each cell, mean over its seeds."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from clep.report.accuracy_matrix import heat_map
from clep.report.cells import DrawnCell
from clep.report.drawing import PAGE, drawn_for
from clep.report.panels import panels

_ACROSS = 4
_WITH_NUMBERS = 6  # experiences whose numbers can still be read
_WIDTH = 16  # characters of the names of an experience


@drawn_for("page", "matrices")
def matrices_figure(*, cells: Sequence[DrawnCell]) -> Figure | None:
    """Heat maps of R[i, j], accuracy on experience j after experience i; classes on the axes.

    Args:
        cells: best first.
    """
    shown = [cell for cell in cells if cell.after.size]
    if not shown:
        return None
    words = "class" if shown[0].has_classes else "experience"
    figure, grid = panels(
        shown,
        across=_ACROSS,
        width=PAGE,
        height=0,
        gaps=(0.3, 0.22),
        title_size=6,
        labels=(f"accuracy on {words}", f"after training on {words}"),
    )
    for axes, cell in zip(grid, shown, strict=True):
        mean = cell.after.mean(axis=0)
        heat_map(axes, mean, 5.5 if max(mean.shape) <= _WITH_NUMBERS else 0.0)
        for n, ticks in zip(mean.shape, (axes.set_yticks, axes.set_xticks), strict=True):
            names = experience_names(cell.classes, n)
            places = range(0, n, 1 + (n - 1) // 10)
            ticks(places, [names[k].replace("$", r"\$") for k in places])  # a name is no formula
        axes.tick_params(labelsize=5.5)
    return figure


def experience_names(classes: Sequence[Sequence[str]], n: int) -> list[str]:
    """What the axes of a matrix call the experiences: their classes, or their index.

    Args:
        classes: names of the classes of each experience; empty if unknown or different between seeds.
        n: number of experiences on the axis; where they are others than those of the classes, they have numbers.

    Example:
        >>> experience_names([["0", "1"], ["2", "3", "4", "5"]], 2), experience_names([], 2)
        (['0 1', '2…5'], ['0', '1'])
        >>> experience_names([["golden retriever", "cat"]], 1)
        ['golden r…cat']
    """
    if len(classes) != n:
        return [str(i) for i in range(n)]
    names = [" ".join(part) for part in classes]
    long = [len(part) >= 4 or len(name) > _WIDTH for part, name in zip(classes, names, strict=True)]
    return [
        f"{part[0][: _WIDTH // 2]}…{part[-1][: _WIDTH // 2]}" if cut else name
        for part, name, cut in zip(classes, names, long, strict=True)
    ]

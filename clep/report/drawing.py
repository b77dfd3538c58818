"""Shared by all figures: colours, markers, writing a file, and the list of figures that clep draws automatically.

Every figure has its own file in this folder. With the decorator `drawn_for` it is drawn for every comparison or claim
and stored in MLflow, with no change elsewhere.
"""

import importlib
import io
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure
from PIL import Image

Runs = Sequence[Mapping[str, Any]]

# Okabe & Ito's colours, distinct for any colour vision; each with a marker, since the colours may not suffice.
COLOURS = ("#8A8A8A", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#000000", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "p")
INK, GRID = "#333333", "#E6E6E6"
_DPI = 120

Draw = Callable[..., Figure | None]
D = TypeVar("D", bound=Draw)
_FIGURES: dict[str, dict[str, Draw]] = {}


def drawn_for(kind: str, name: str) -> Callable[[D], D]:
    """Have a function draw the file `name` for everything of a kind.

    Args:
        kind: `comparison`, whose figures get `runs` and `classes`, or `claim`, whose figures get `rows` and `axes`.
            The function returns None if it has nothing to draw.
        name: name of the file, without `.png`; empty for the main figure of a claim, whose file has just the claim's
            name.
    """

    def register(function: D) -> D:
        _FIGURES.setdefault(kind, {})[name] = function
        return function

    return register


def draw(kind: str, folder: Path, *, prefix: str = "", **numbers: Any) -> Iterator[Path]:
    """Write every figure of a kind as PNG and yield its path.

    Args:
        kind: see `drawn_for`.
        folder: where the files go.
        prefix: put in front of the file names, joined by `_`.
        numbers: what to draw.
    """
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    for name, function in _FIGURES.get(kind, {}).items():
        if (figure := function(**numbers)) is not None:
            path = folder / f"{'_'.join(filter(None, (prefix, name)))}.png"
            write(figure, path)
            yield path


def write(figure: Figure, path: str | Path) -> None:
    """Write a PNG with 256 colours: a third of the size, and it looks the same."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    colours = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, format="PNG", optimize=True)

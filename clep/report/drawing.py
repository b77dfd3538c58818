"""Shared by all figures: how a cell looks, writing a file, and the list of figures that clep draws automatically.

Every figure has its own file in this folder. With the decorator `drawn_for` it is drawn for every comparison or claim
and stored in MLflow, with no change elsewhere.
"""

import importlib
import io
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

Runs = Sequence[Mapping[str, Any]]

# Okabe & Ito's colours, distinct for any colour vision; each with a marker, since the colours may not suffice.
COLOURS = ("#8A8A8A", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#000000", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*", "<", ">", "p")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
INK, PALE_INK, GRID = "#333333", "#6B6B6B", "#E6E6E6"
COLUMN, PAGE = 3.4, 7.0
"""Width of a figure in inches: one column of a journal, which is also that of a telephone, or two."""
_DPI = 120

_KNOWN = (
    "naive",
    "awake_rehearsal",
    "sleep_replay",
    "awake_rehearsal+sleep_replay",
    "neuronal_adaptation",
    "neuronal_adaptation+sleep_replay",
    "joint",
    "ewc",
    "si",
    "lwf",
    "gem",
    "agem",
    "er_ace",
    "der",
    "replay",
    "rwalk",
    "mir",
    "gdumb",
    "class_means",
    "slda",
    "ridge",
    "dreams",
)
"""Cells that look the same in every comparison."""

_FONTS = "'DejaVu Sans', Verdana, sans-serif"  # Verdana is as wide, other fonts are narrower: nothing overlaps

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and edited, and files stay small
    "pdf.fonttype": 42,  # embeds the font itself, as journals ask
}

Draw = Callable[..., Figure | None]
D = TypeVar("D", bound=Draw)
_FIGURES: dict[str, dict[str, Draw]] = {}


@dataclass(frozen=True)
class Style:
    """How a cell looks in every figure.

    Attributes:
        colour, marker: of its dots, as matplotlib takes them.
        dashes: of its lines.
    """

    colour: str
    marker: str
    dashes: Any


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """Colour, marker and line of each cell, no two alike up to 88 cells.

    The sets of built-in strategies in `_KNOWN` look the same in every comparison. Other cells take what is free, in
    their order.

    Args:
        labels: the cells.

    Example:
        >>> found = styles(["mine", "naive", "sleep_replay"])
        >>> found["sleep_replay"] == styles(["sleep_replay"])["sleep_replay"], found["mine"].marker
        (True, 's')
    """
    labels = list(dict.fromkeys(labels))
    places = {label: _KNOWN.index(label) for label in labels if label in _KNOWN}
    free = (place for place in range(len(labels) + len(_KNOWN)) if place not in places.values())
    places |= {label: next(free) for label in labels if label not in _KNOWN}
    return {label: _style(places[label]) for label in labels}


def _style(place: int) -> Style:
    around = place // len(COLOURS)
    return Style(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], DASHES[around % len(DASHES)])


def drawn_for(kind: str, name: str) -> Callable[[D], D]:
    """Have a function draw the file `name` for everything of a kind.

    Args:
        kind: `comparison`, whose figures get `runs` and `classes`; `page`, whose figures get `cells` (see
            `clep.report.cells`) and stand on the page of a comparison; or `claim`, whose figures get `rows` and
            `axes`. The function returns None if it has nothing to draw.
        name: name of the file, without ending; empty for the main figure of a claim, whose file has just the claim's
            name.
    """

    def register(function: D) -> D:
        _FIGURES.setdefault(kind, {})[name] = function
        return function

    return register


def figures(kind: str, **numbers: Any) -> Iterator[tuple[str, Figure]]:
    """Build every figure of a kind that has something to show, and yield it with its name.

    Args:
        kind: see `drawn_for`.
        numbers: what to draw.
    """
    for name, function in _registered().get(kind, {}).items():
        with matplotlib.rc_context(_SETTINGS if kind == "page" else {}):
            figure = function(**numbers)
        if figure is not None:
            yield name, figure


def _registered() -> dict[str, dict[str, Draw]]:
    """Every figure by kind and name, once all files of this folder have been imported."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return _FIGURES


def draw(kind: str, folder: Path, *, prefix: str = "", **numbers: Any) -> Iterator[Path]:
    """Write every figure of a kind as PNG and yield its path.

    Args:
        kind: see `drawn_for`.
        folder: where the files go.
        prefix: put in front of the file names, joined by `_`.
        numbers: what to draw.
    """
    for name, figure in figures(kind, **numbers):
        path = folder / f"{'_'.join(filter(None, (prefix, name)))}.png"
        write(figure, path)
        yield path


def write(figure: Figure, path: str | Path) -> None:
    """Write a PNG with 256 colours: a third of the size, and it looks the same."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    colours = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(path, format="PNG", optimize=True)


def write_pdf(figure: Figure, path: Path) -> None:
    """Write a PDF with its fonts embedded; the same numbers give the same bytes."""
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(path, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": "clep"})


def svg(figure: Figure, name: str) -> str:
    """The figure as an SVG document; text is text, and the same numbers give the same characters.

    Args:
        figure: what to write.
        name: of the figure; names within the document start with it, so that many can stand in one page.
    """
    drawn = io.StringIO()
    with matplotlib.rc_context(_SETTINGS | {"svg.hashsalt": name, "svg.id": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": "clep"})
    return re.sub(r"'DejaVu Sans'[^;\"]*", _FONTS, drawn.getvalue())

"""Shared by all pages: filling in a template, heat maps as tables, and definitions."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike

from clep.report.accuracy_matrix import WHITE_FROM
from clep.report.matrices import experience_names


@cache
def _environment() -> Any:
    import jinja2  # takes a while, and most commands write no page

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clep.report.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(text: str) -> Any:
    """The text, escaped, with places where a line may break: names of cells have no spaces."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([+/])(?=[A-Za-z])", r"\1<wbr>", str(escape(text))))


def render(template: str, **values: Any) -> str:
    """A page from one of the templates in `templates`; everything but SVG is escaped.

    Args:
        template: name of its file.
        values: what it shows.
    """
    return str(_environment().get_template(template).render(**values))


def inline(svg: str) -> str:
    """An SVG document as a part of a page: without its head, and as wide as there is room.

    Args:
        svg: the document.

    Example:
        >>> inline('<?xml version="1.0"?><svg width="3pt" height="2pt" viewBox="0 0 3 2"></svg>')
        '<svg viewBox="0 0 3 2"></svg>'
    """
    head, body = svg[svg.index("<svg") :].split(">", 1)
    head = re.sub(r' (width|height|xmlns:xlink|version)="[^"]*"', "", head)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # groups have the same names in every figure
    return f"{head}>{body.strip()}"


def heat_map(matrix: ArrayLike, classes: Sequence[Sequence[str]], *, has_classes: bool = True) -> dict[str, Any]:
    """An accuracy matrix as the template `heat` shows it.

    Args:
        matrix: fractions, (n, m); NaN is left blank.
        classes: names of the classes of each evaluation experience; empty if unknown.
        has_classes: whether they are classes, rather than names of experiences.

    Returns:
        `names` of the columns, `trained` of the rows, `what` they are, and `rows` of entries with `text`, `colour` and
        `ink`.
    """
    values = np.asarray(matrix, dtype=np.float64)
    trained, names = (experience_names(classes, n) for n in values.shape)
    rows = [[_cell(value) for value in row] for row in values]
    what = "classes" if classes and has_classes and len(names) == len(trained) else "experiences"
    return {"names": names, "trained": trained, "rows": rows, "what": what}


def _cell(value: float) -> dict[str, str]:
    if not np.isfinite(value):
        return {"text": "", "colour": "#f4f4f4", "ink": "#333333"}
    ink = "#ffffff" if value > WHITE_FROM else "#333333"
    return {"text": f"{value:.2f}", "colour": to_hex(colormaps["Blues"](float(value))), "ink": ink}

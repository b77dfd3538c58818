"""The page of a single run; plain HTML and lines of SVG, which cost next to nothing beside the run itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clep import metrics
from clep.answer import MEASURES
from clep.columns import Run, bytes_of, in_bytes
from clep.report.about import About, packages
from clep.report.cells import classes_of
from clep.report.drawing import INK, PALE_INK, styles
from clep.report.html.pages import heat_map, render

_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 320.0, 12.0, 152.0  # of the curves, in units of the SVG

Array = NDArray[np.float64]


def run_page(run: Run, about: About) -> str:
    """The page as HTML.

    Args:
        run: the result as `Result.to_json` gives it.
        about: what stands at the foot.
    """
    title = f"{run['label']}, seed {run['seed']}: {run['network']} on {run['stream']}"
    return render(
        "run.html.j2",
        title=title,
        sentence=_sentence(run),
        error=run.get("error") or "",
        numbers=list(_numbers(run)),
        courses=_courses(run),
        matrices=_matrices(run),
        about=about,
        packages=packages(),
    )


def _sentence(run: Run) -> str:
    if run["status"] != "FINISHED":
        return f"{run['label']} did not finish: {'diverged' if run.get('diverged') else run['status'].lower()}."
    parts = [f"final accuracy {run['accuracy']:.3f}"]
    if run.get("forgetting_since_training") is not None:
        parts.append(f"{run['forgetting_since_training']:.3f} of what training taught forgotten")
    elif run.get("forgetting") is not None:
        parts.append(f"{run['forgetting']:.3f} forgotten since consolidation; since training: not recorded")
    return f"{run['label']}: {', '.join(parts)}."


def _numbers(run: Run) -> list[tuple[str, str, str]]:
    """Name, value and meaning."""
    found = [(m.title, _number(run.get(m.key)), f"{m.meaning}; {m.better} is better") for m in MEASURES]
    if run.get("chance"):
        found.append(("chance", f"{run['chance']:.3f}", "accuracy of the best constant answer"))
    memory = run.get("memory") or {}
    if memory:
        found.append(("kept of the past", in_bytes(bytes_of(run)), f"{memory.get('exemplars', 0)} stored samples"))
    if run.get("updates"):
        found.append(("updates", f"{run['updates']}", "of the weights"))
    seconds = run.get("seconds") or {}
    if seconds:
        parts = ", ".join(f"{part} {value:.2f}" for part, value in seconds.items() if part != "total")
        found.append(("seconds", f"{seconds.get('total', sum(seconds.values())):.2f}", parts))
    return found


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _matrices(run: Run) -> list[dict[str, Any]]:
    after, before = _matrix(run, "accuracy_matrix"), _matrix(run, "accuracy_before_consolidation")
    if not after.size:
        return []
    classes, named = classes_of(run), not run.get("experience_names")
    if not before.size or np.array_equal(after, before, equal_nan=True):
        return [{"title": "accuracy", **heat_map(after, classes, has_classes=named)}]
    return [
        {"title": "before each consolidation", **heat_map(before, classes, has_classes=named)},
        {"title": "after each consolidation", **heat_map(after, classes, has_classes=named)},
    ]


def _matrix(run: Run, key: str) -> Array:
    return np.asarray(run.get(key) or np.empty((0, 0)), dtype=np.float64)


def _courses(run: Run) -> list[dict[str, Any]]:
    after, before = _matrix(run, "accuracy_matrix"), _matrix(run, "accuracy_before_consolidation")
    if len(after) < 2 or np.isnan(after[0]).all():  # one experience, or joint training
        return []
    colour = styles([run["label"]])[run["label"]].colour
    sizes, at = run.get("sizes") or [1] * after.shape[1], run.get("learned_at") or ()
    seen = [("after consolidation", _seen(after, sizes, at), colour, False)]
    of_means = [np.nan if value is None else float(value) for value in run.get("accuracy_of_means") or []]
    if len(of_means) == len(after):
        seen.append(("by class means of hidden states", of_means, PALE_INK, False))
    since = [metrics.forgetting(after, i, at) for i in range(len(after))]
    forgotten = [("since consolidation", since, PALE_INK, True)]
    if before.size:
        learned = metrics.taught(before, at)
        values = [metrics.forgetting_since_training(after, learned, i, at) for i in range(len(after))]
        forgotten.insert(0, ("since training", values, colour, False))
        if not np.array_equal(after, before, equal_nan=True):
            seen.append(("before consolidation", _seen(before, sizes, at), PALE_INK, True))
    courses = [_course("Accuracy on the experiences seen so far", seen)]
    if not np.isnan(since[1:]).all():
        courses.append(_course("Forgetting", forgotten))
    return courses


def _seen(matrix: Array, sizes: Sequence[int], at: Sequence[int | None]) -> list[float]:
    return [metrics.seen_accuracy(matrix, sizes, i, at) for i in range(len(matrix))]


def _course(title: str, lines: Sequence[tuple[str, Sequence[float], str, bool]]) -> dict[str, Any]:
    """Coordinates of curves over the experiences."""
    every = [value for _, values, _, _ in lines for value in values if np.isfinite(value)]
    low = min(0.0, np.floor(min(every, default=0.0) * 5) / 5)
    n = len(lines[0][1])

    def x(i: int) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * i / (n - 1), 1)

    def y(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / (1.0 - low), 1)

    drawn = []
    for _, values, colour, dashed in lines:
        marks = [(x(i), y(value)) for i, value in enumerate(values) if np.isfinite(value)]
        points = " ".join(f"{a},{b}" for a, b in marks)
        drawn.append({"points": points, "marks": marks, "colour": colour or INK, "dashed": dashed})
    told = [f"{'dashed' if dashed else 'solid'}: {name}" for name, _, _, dashed in lines]
    return {
        "title": title,
        "text": "; ".join(told),
        "lines": drawn,
        "ticks": [(y(value), f"{value:.1f}") for value in np.linspace(low, 1.0, round((1.0 - low) * 5) + 1)],
        "steps": [(x(i), str(i)) for i in range(0, n, 1 + (n - 1) // 12)],
        "axis": "after experience",
    }

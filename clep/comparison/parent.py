"""The parent run of a comparison in MLflow: what holds for all of its runs, the numbers over seeds, and its page."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from clep import metric_names, tables, tracking
from clep.answer import MEASURES, Answer, CellAnswer
from clep.build import CELL_TAG
from clep.comparison.cells import Job
from clep.comparison.ledger import Ledger
from clep.config import to_dict
from clep.results import Comparison, Result

# Sections and keys that are not about one run.
_OF_THE_WHOLE = "tracking", "cells", "controls", "grid", "baseline", "seeds", "workers", "tune"
_PAGE_WIDTH = 760  # pixels; MLflow's page shows pictures as they are, and a wider one pushes its right side away
_CURVES = 21  # lines in a plot that can still be told apart
_COURSES = metric_names.ACCURACY_SEEN, metric_names.FORGETTING_SINCE_TRAINING_AVERAGE
_OF_EXPERIENCE = metric_names.FORGETTING_SINCE_TRAINING_EXPERIENCE
_STEPS = "Its metrics are over seeds, each with one step, 0. Differences are to the baseline, paired by seed."


def shared_params(jobs: Sequence[Job]) -> dict[str, str]:
    """The parameters that hold for every run. Only where no run is added later: MLflow's parameters cannot change.

    Args:
        jobs: at least one.

    Example:
        >>> from clep.comparison import Cell, plan
        >>> from clep.config import compose
        >>> cells = [(Cell(name), compose(None, [f"strategies={name}"])) for name in ("naive", "joint")]
        >>> shared = shared_params(plan(cells, seeds=[0, 1]))
        >>> shared["learner.epochs"], "strategies" in shared, "seed" in shared
        ('12', False, False)
    """
    first, *others = (tracking.flatten(to_dict(job.config)) for job in jobs)
    shared = {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    return {key: value for key, value in shared.items() if key.partition(".")[0] not in _OF_THE_WHOLE}


def tags(jobs: Sequence[Job]) -> dict[str, str]:
    """The tags of the parent run: that it is a comparison, and of what. Unlike parameters, they are set anew when seeds
    or cells are added.

    Args:
        jobs: the jobs.

    Example:
        >>> from clep.comparison import Cell, plan
        >>> from clep.config import compose
        >>> tags(plan([(Cell("naive"), compose())], seeds=[0, 1]))
        {'comparison': 'true', 'cells': 'naive', 'seeds': '0, 1', 'stream': 'digits', 'network': 'hts_ep'}
    """
    of_job = {
        "cells": lambda job: job.cell,
        "seeds": lambda job: str(job.config.seed),
        "stream": lambda job: job.config.stream.name,
        "network": lambda job: job.config.network.name,
    }
    told = {name: ", ".join(dict.fromkeys(map(of, jobs))) for name, of in of_job.items()}
    return tracking.flatten({"comparison": "true", **told})


def failure(runs: Iterable[Result]) -> str:
    """Which runs did not finish; empty if all did.

    Example:
        >>> from clep.results import Result
        >>> runs = [Result(None, status, "", "digits", "ep", ["naive"], seed=7) for status in ("FINISHED", "FAILED")]
        >>> failure(runs)
        'did not finish: naive, seed 7'
    """
    names = [f"{run.label}, seed {run.seed}" for run in runs if run.failed]
    return f"did not finish: {'; '.join(names)}" if names else ""


def numbers(answer: Answer) -> dict[str, float | None]:
    """The metrics of the parent run: for each cell and measure mean, standard deviation, interval and number of seeds,
    and the difference to the baseline."""
    names = _names([cell.label for cell in answer.cells])
    return {
        metric_names.CELL.format(cell=names[cell.label], number=number): value
        for cell in answer.cells
        for number, value in _of_cell(cell).items()
    }


def _of_cell(cell: CellAnswer) -> dict[str, float | None]:
    found: dict[str, float | None] = {"seeds": len(cell.seeds), "learned_nothing": float(cell.learned_nothing)}
    for key in (measure.key for measure in MEASURES):
        summary, difference = cell.summaries[key], cell.differences.get(key)
        found |= {f"{key}_{name}": getattr(summary, name) for name in ("mean", "sd", "low", "high", "n")}
        if difference is not None:
            parts = "mean", "sd", "low", "high", "n", "effect", "p"
            found |= {f"{key}_difference_{name}": getattr(difference, name) for name in parts}
    return found


def _names(labels: Iterable[str]) -> dict[str, str]:
    """Label -> what MLflow allows in a name, each another."""
    names: dict[str, str] = {}
    for label in labels:
        name = known = re.sub(r"[^\w. -]+", " ", label).strip()[:150] or "cell"
        count = 1
        while name in names.values():
            count += 1
            name = f"{known} {count}"
        names[label] = name
    return names


def view(parent: tracking.Run, jobs: Sequence[Job], runs: Iterable[Result], ledger: Ledger) -> str:
    """Store the view of a comparison in MLflow's charts and return the link to it.

    Args:
        parent: the run of the comparison.
        jobs: its jobs.
        runs: their results.
        ledger: knows which of them are not children of this run.
    """
    ids = [run.run_id for run in runs if run.run_id] if ledger.reused else []
    run_filter = tracking.runs_filter(parent.run_id, ids)
    cells = list(dict.fromkeys(ledger.tags(job)[CELL_TAG] for job in jobs))
    key = tracking.store_view(parent, run_filter, group_by=CELL_TAG, groups=cells)
    return tracking.charts_link(ledger.experiment_id, run_filter, view=key)


def overview(files: Iterable[Path], folder: Path) -> Path | None:
    """Write the first figure once more, as narrow as MLflow's page; None without any figure.

    Args:
        files: what was written of a comparison.
        folder: where the copy goes.
    """
    figure = next((file for file in files if file.suffix == ".png"), None)
    if figure is None:
        return None
    with Image.open(figure) as image:
        small = image.convert("RGB")
    small.thumbnail((_PAGE_WIDTH, small.height))
    path = folder / "overview.png"
    small.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path


def describe(comparison: Comparison, experiment_id: str, *, link: str, picture: Path | None) -> str:
    """The page of a comparison in MLflow: the answer, the table, the picture, and links to charts.

    Args:
        comparison: what to describe.
        experiment_id: the MLflow experiment of its runs.
        link: address within the UI of the charts of its runs.
        picture: a figure among the artifacts, if there is one; see `overview`.
    """
    answer = comparison.answer
    table = tables.plain([cell.row for cell in answer.cells], comparison.shown)
    text = "\n\n".join([f"**{answer.sentence}**", f"```\n{table}\n```", *answer.notes])
    return with_links(text, comparison.runs, comparison.parent_run_id, experiment_id, link=link, picture=picture)


def with_links(
    text: str, runs: Iterable[Result], parent_run_id: str, experiment_id: str, *, link: str, picture: Path | None
) -> str:
    """A text, the picture, and links to charts, as many as MLflow's limit leaves room for.

    Args:
        text: what comes first.
        runs: their curves are plotted; of one seed if those of all would be too many to tell apart.
        parent_run_id: the run that has the picture.
        experiment_id: the MLflow experiment of the runs.
        link: address within the UI of the charts of the runs.
        picture: a figure among the artifacts, if there is one; see `overview`.
    """
    end = f"\n\n{_STEPS}"
    if picture is not None:
        text += f"\n\n![{picture.stem}](get-artifact?path={quote(picture.name)}&run_uuid={parent_run_id})"
    text += f"\n\n- [Charts of all runs, grouped by cell]({link})"
    for curve in _curves([run for run in runs if not run.failed], experiment_id):
        if len(text) + len(curve) + len(end) < tracking.DESCRIPTION_LENGTH:
            text += f"\n{curve}"
    return text + end


def _curves(runs: Sequence[Result], experiment_id: str) -> Iterator[str]:
    if len(runs) > _CURVES:
        runs = [run for run in runs if run.seed == runs[0].seed][:_CURVES]
    ids = [str(run.run_id) for run in runs]
    experiences = range(len(runs[0].accuracy_seen) - 1) if runs else []
    for name in (*_COURSES, *(_OF_EXPERIENCE.format(experience=j) for j in experiences)) if runs else ():
        yield f"- [{name}]({tracking.curves_link(ids, experiment_id, name)})"

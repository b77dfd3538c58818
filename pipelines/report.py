"""Report what is stored: collect runs into one comparison, and write its page, table and figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clep import computed, report
from clep.checks import one_of
from clep.columns import chosen, metrics_in
from clep.comparison import page
from clep.comparison.collecting import Collected, collect
from clep.results import FILE, Comparison, Result


@dataclass(frozen=True)
class Report:
    """What was found, and where its page is.

    Attributes:
        comparison: the runs.
        notes: what was left out, in words.
        files: what was written.
    """

    comparison: Comparison
    notes: list[str]
    files: list[Path]

    @property
    def tracking_uri(self) -> str:
        """The store of the runs."""
        return self.comparison.tracking_uri

    @property
    def parent_run_id(self) -> str:
        """The id of the comparison; empty if the runs are of several."""
        return self.comparison.parent_run_id

    @property
    def run_id(self) -> str | None:
        """The id of the run, if there is but one."""
        return self._only.run_id if self._only else None

    @property
    def failures(self) -> list[str]:
        """Which runs did not finish, and why; one line each."""
        return self.comparison.failures

    @property
    def again(self) -> str:
        """The command that runs what failed once more; empty if there is none."""
        return self.comparison.again

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        written = {"notes": self.notes, "files": [str(path) for path in self.files]}
        return self.comparison.to_json() | written

    def to_text(self) -> str:
        """What `clep compare` prints at its end, what was left out, and where the page is."""
        found = self._only.to_text() if self._only else self.comparison.to_text()
        return "\n".join([found, *self.notes, f"Written to {self.files[0].parent}/"])

    @property
    def _only(self) -> Result | None:
        """The run, if there is but one and it is reported by itself."""
        alone = len(self.comparison.runs) == 1 and not self.parent_run_id
        return self.comparison.runs[0] if alone else None


def run(
    ids: Sequence[str] = (), *, output: str | Path = "report", columns: Sequence[str] = (), **selection: Any
) -> Report:
    """Collect stored runs and write their page.

    Args:
        ids: comparisons, claims and runs; see `clep.comparison.collecting.collect`.
        output: the folder of the page; created if missing.
        columns: more columns of the table; see `clep.columns.chosen`.
        **selection: the other arguments of `collect`.

    Raises:
        ConfigError: if nothing is found, or if what is found cannot be compared; nothing is written then.
    """
    more = chosen(columns)
    computed.check(metrics_in(columns), {})
    collected: Collected = collect(ids, **selection)
    comparison = collected.comparison
    comparison = replace(comparison, columns=tuple(dict.fromkeys([*comparison.columns, *more])))
    collected = replace(collected, comparison=comparison)
    if baseline := comparison.baseline:
        one_of("baseline", baseline, [row.label for row in comparison.rows], "cell")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    written = _write(collected, folder)
    return Report(comparison, collected.notes, list(written))


def _write(collected: Collected, folder: Path) -> Iterator[Path]:
    """The page of a comparison; for a single run, its small one."""
    comparison, config = collected.comparison, collected.config
    uri, run = comparison.tracking_uri, comparison.runs[0]
    if comparison.parent_run_id and config is not None:
        about = report.about_comparison(config, uri, comparison.parent_run_id, collected.code)
        yield from page.write(comparison, folder, about)
    elif config is not None:
        about = replace(report.about_run(config, uri, str(run.run_id)), code=collected.code)
        (path := folder / "report.html").write_text(report.run_page(run.to_json(), about), encoding="utf-8")
        yield path
        (path := folder / FILE).write_text(json.dumps(run.to_json()), encoding="utf-8")
        yield path
    else:
        yield from page.write(comparison, folder, report.About(code=collected.code, notes=collected.notes))

"""MLflow's own page at the link that clep prints, in a real browser: all cells of the default comparison, with bars."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

import clep
from clep.config import Config, cells_of, compose
from clep.workers import Message
from tests.oracles.stores import empty_store
from tests.pipelines.conftest import SMALL

CELLS = [cell.label for cell, _ in cells_of(compose())]
CONTROLS = ["class_means", "slda", "ridge"]  # of `make run`, beside those that are cells of it anyway
BARS = """() => [...document.querySelectorAll(".plot-container")]
    .map(chart => chart.querySelectorAll(".bars .point path").length).filter(n => n)"""


def in_this_process(function, jobs, **options):
    """Jobs one after another, as `run_jobs` runs them in processes of their own, which take long to start."""
    for index, job in enumerate(jobs):
        reports = []
        value = function(job, reports.append)
        yield from (Message(index, "progress", report) for report in reports)
        yield Message(index, "done", value)


@contextmanager
def served(run_id, uri):
    """The link that `clep ui` prints, while it runs."""
    command = [sys.executable, "-m", "clep", "ui", run_id, "--tracking", uri, "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield next(link for line in process.stdout for link in re.findall(r"http\S+", line))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def assert_every_cell_has_its_bars(chromium, link, cells):
    page = chromium.new_page(viewport={"width": 1700, "height": 1400})
    page.goto(link)
    page.locator(".plot-container .bars .point").first.wait_for(timeout=120_000)
    n = len(cells)
    page.wait_for_function(f"() => {{ const n = ({BARS})(); return n.length >= 4 && Math.max(...n) === {n} }}")
    assert sorted(page.evaluate(BARS)) == [n - 1, n - 1, n - 1, n]  # joint has an accuracy and nothing to forget
    groups = page.get_by_text("Group:").all_inner_texts()
    for cell in cells:
        assert [group for group in groups if group.startswith(f"Group: {cell} |")], cell
    page.close()


@pytest.mark.timeout(300)
def test_the_printed_link_shows_every_cell_with_its_bars(chromium, tmp_path, monkeypatch):
    """The comparison of `make run`, in small: seven cells."""
    assert len(CELLS) == 7
    monkeypatch.setattr("clep.on_ray.run_jobs", in_this_process)
    config = SMALL | {"tracking": {"uri": empty_store(tmp_path)}, "seeds": [0], "controls": []}
    found = clep.compare(config)
    assert [run.label for run in found.runs] == CELLS == [clep.config.label(cell) for cell in Config.default("cells")]
    with served(found.parent_run_id, found.tracking_uri) as link:
        assert_every_cell_has_its_bars(chromium, link, CELLS)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_link_of_a_finished_make_run_shows_every_cell_with_its_bars(chromium, tmp_path):
    command = [sys.executable, "-m", "clep", "compare"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    run_id = re.search(r"clep ui ([0-9a-f]{32})", done.stdout.splitlines()[-1]).group(1)
    with served(run_id, f"sqlite:///{tmp_path}/mlflow.db") as link:
        assert_every_cell_has_its_bars(chromium, link, [*CELLS, *CONTROLS])

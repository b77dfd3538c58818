"""MLflow's own page at the link that clep prints, in a real browser."""

import re
import signal
import subprocess
import sys

import pytest

import clep
from tests.pipelines.conftest import SMALL

CELLS = [["naive"], ["sleep_replay"], ["joint"]]


@pytest.fixture
def served(tmp_path):
    """The link that `clep ui` prints for a tiny comparison."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    found = clep.compare(SMALL | {"tracking": {"uri": uri}, "cells": CELLS, "seeds": [0, 1], "workers": 1})
    command = [sys.executable, "-m", "clep.cli", "ui", found.parent_run_id, "--tracking", uri, "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield next(link for line in process.stdout for link in re.findall(r"http\S+", line))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.timeout(300)
def test_the_printed_link_shows_every_cell_with_its_bars(chromium, served):
    page = chromium.new_page(viewport={"width": 1700, "height": 1400})
    page.goto(served)
    page.locator(".plot-container .bars .point").first.wait_for(timeout=120_000)
    bars = """() => [...document.querySelectorAll(".plot-container")]
        .map(chart => chart.querySelectorAll(".bars .point path").length).filter(n => n)"""
    page.wait_for_function(f"() => {{ const n = ({bars})(); return n.length >= 4 && Math.max(...n) === 3 }}")
    assert sorted(page.evaluate(bars)) == [2, 2, 2, 3]  # joint has an accuracy and nothing to forget
    groups = page.get_by_text("Group:").all_inner_texts()
    for (name,) in CELLS:
        assert [group for group in groups if group.startswith(f"Group: {name} |")], name
    page.close()

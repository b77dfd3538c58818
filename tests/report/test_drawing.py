"""How figures are written, and which of them clep draws by itself."""

import subprocess
import sys

import pytest
from matplotlib.figure import Figure
from PIL import Image

from clep import report
from clep.report import drawing
from tests.report.test_accuracy_matrix import MATRIX
from tests.report.test_comparison import RUNS


def test_plots_are_png_files_of_readme_width(tmp_path):
    drawing.write(report.comparison_figure(RUNS, classes=10), tmp_path / "comparison.png")
    report.plot_accuracy_matrix(MATRIX, tmp_path / "matrix.png", title="naive, seed 0")
    with Image.open(tmp_path / "comparison.png") as image:
        assert (image.format, image.width) == ("PNG", 1200)
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 50
    for name in ("comparison.png", "matrix.png"):
        assert 5_000 < (tmp_path / name).stat().st_size < 100_000


def test_drawing_leaves_matplotlibs_global_state_alone(tmp_path):
    code = (
        "import sys; from clep import report; report.plot_accuracy_matrix([[1.0]], 'm.png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_a_figure_that_registers_itself_is_drawn_for_every_comparison(tmp_path, monkeypatch):
    """Adding a figure touches its own file only."""
    monkeypatch.setattr(drawing, "_FIGURES", {"comparison": dict(drawing._registered()["comparison"])})

    @report.drawn_for("comparison", "runs")
    def runs_figure(runs, classes):
        return Figure() if runs else None

    files = list(report.draw("comparison", tmp_path, runs=RUNS, classes=10))
    assert [file.name for file in files] == ["comparison.png", "runs.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert [file.name for file in report.draw("comparison", tmp_path, prefix="mine", runs=RUNS, classes=10)] == [
        "mine_comparison.png",
        "mine_runs.png",
    ]


@pytest.mark.parametrize(("axes", "names"), [(["decay", "learner.lr"], ["mine.png"]), ([], [])])
def test_a_claim_has_a_figure_of_its_own_name_if_it_has_a_grid(axes, names, tmp_path):
    row = {"at": ["without", "0.1"] if axes else [], "by_seed": {0: 0.5}, "mean": 0.5, "std": None}
    assert [file.name for file in report.draw("claim", tmp_path, prefix="mine", rows=[row], axes=axes)] == names

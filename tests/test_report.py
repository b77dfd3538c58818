"""Figures are inspected as matplotlib objects; tables and files are compared with what a reader would write by hand."""

import csv
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from PIL import Image

from clep import report

MATRIX = [[0.9, 0.0, 0.1], [0.5, 0.8, 0.0], [None, 0.25, 0.7]]


def run(label, seed, seen):
    return {"label": label, "seed": seed, "accuracy_seen": seen, "accuracy": seen[-1] if seen else None}


RUNS = [
    run("naive", 0, [1.0, 0.5, 0.3]),
    run("sleep_replay", 0, [1.0, 0.8, 0.6]),
    run("naive", 1, [0.8, 0.3, 0.1]),
    run("sleep_replay", 1, [0.9, 0.8, 0.7]),
    run("awake_rehearsal+sleep_replay", 0, []),
    run("joint", 0, [None, None, 0.96]),
    run("joint", 1, [None, None, 0.98]),
]


@pytest.fixture
def panels():
    figure = report.comparison_figure(RUNS, classes=10)
    figure.draw_without_rendering()
    return figure.axes


def line(axes, label):
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


def words(axes):
    return [text.get_text() for text in axes.texts]


# A grid


def test_a_grid_shows_every_seed_and_the_spread_at_the_numbers_of_its_last_axis():
    rows = [
        {"at": [condition, dt, lr], "by_seed": {0: a, 1: b}, "mean": (a + b) / 2, "std": std}
        for condition in ("mnist", "digits")
        for dt, lr, a, b, std in (("scalar", "0.1", 0.8, 0.9, 0.07), ("scalar", "1.0", 0.2, 0.6, 0.28))
    ]
    rows += [{"at": ["digits", "uniform", "1.0"], "by_seed": {}, "mean": None, "std": None}]
    figure = report.grid_figure(rows, over="learner.lr")
    figure.draw_without_rendering()
    above, other, below, _ = figure.axes
    assert (above.get_title(loc="left"), other.get_title(loc="left")) == ("mnist", "digits")
    np.testing.assert_allclose(line(above, "scalar").get_ydata(), [0.85, 0.4])
    np.testing.assert_allclose(line(below, "scalar").get_ydata(), [0.07, 0.28])
    np.testing.assert_allclose(line(above, "scalar").get_xdata(), [0.1, 1.0], rtol=0.05)
    dots = [dot for part in above.collections if isinstance(part, PathCollection) for dot in part.get_offsets()[:, 1]]
    assert sorted(dots) == [0.2, 0.6, 0.8, 0.9]
    assert below.get_xscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["scalar", "uniform"]


def test_a_grid_over_words_has_them_at_equal_distances():
    rows = [{"at": ["scalar", word], "by_seed": {0: 0.5}, "mean": 0.5, "std": None} for word in ("ep", "chl")]
    axes = report.grid_figure(rows, over="network").axes[1]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ep", "chl"]
    assert axes.get_xscale() == "linear"


# Accuracy matrix


def test_every_defined_entry_of_the_matrix_is_shown_in_its_cell_and_others_are_blank():
    axes = report.accuracy_matrix_figure(MATRIX, "a title").axes[0]
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(shown) == 8
    assert (shown[(0, 1)], shown[(1, 2)], shown[(2, 0)]) == ("0.50", "0.25", "0.10")  # (column j, row i)
    assert (0, 2) not in shown
    values = axes.images[0].get_array()
    assert values[1, 0] == 0.5
    assert values.mask[2, 0]
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.get_title(loc="left") == "a title"


def test_numbers_can_be_read_on_dark_and_on_light_cells():
    axes = report.accuracy_matrix_figure([[1.0, 0.0], [0.5, 0.6]]).axes[0]
    colours = axes.images[0].cmap
    for text in axes.texts:
        background, ink = np.mean(colours(float(text.get_text()))[:3]), np.mean(to_rgba(text.get_color())[:3])
        assert abs(background - ink) > 0.3


def test_a_large_matrix_is_drawn_without_numbers_and_with_few_ticks():
    axes = report.accuracy_matrix_figure(np.full((50, 50), 0.5)).axes[0]
    assert len(axes.texts) == 0
    assert len(axes.get_xticks()) <= 20


# Comparison


def test_courses_are_means_over_seeds_with_a_band_of_one_standard_deviation(panels):
    left = panels[0]
    np.testing.assert_allclose(line(left, "naive").get_ydata(), [0.9, 0.4, 0.2])
    np.testing.assert_allclose(line(left, "sleep_replay").get_ydata(), [0.95, 0.8, 0.65])
    band = left.collections[0].get_paths()[0].vertices
    std = math.sqrt(2) * 0.1
    assert band[band[:, 0] == 2][:, 1].min() == pytest.approx(0.2 - std)
    assert band[band[:, 0] == 2][:, 1].max() == pytest.approx(0.2 + std)


def test_a_cell_with_only_a_final_value_is_a_dashed_line_at_it(panels):
    joint = line(panels[0], "joint")
    assert joint.get_linestyle() == "--"
    np.testing.assert_allclose(joint.get_ydata(), [0.97, 0.97])
    assert line(panels[0], "naive").get_linestyle() == "-"


def test_chance_is_one_over_the_number_of_classes_in_both_panels(panels):
    assert list(line(panels[0], "chance").get_ydata()) == [0.1, 0.1]
    assert list(line(panels[1], "chance").get_xdata()) == [0.1, 0.1]


def test_bars_follow_the_order_of_the_cells_from_top_to_bottom(panels):
    right = panels[1]
    labels = [label.get_text() for label in right.get_yticklabels()]
    assert labels == ["naive", "sleep_replay", "awake_rehearsal\n+ sleep_replay", "joint"]
    assert right.yaxis_inverted()
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in right.patches}
    assert bars == {0: pytest.approx(0.2), 1: pytest.approx(0.65), 3: pytest.approx(0.97)}


def test_every_seed_is_a_dot_and_the_numbers_stand_beside(panels):
    right = panels[1]
    dots = [np.asarray(dots.get_offsets()) for dots in right.collections if isinstance(dots, PathCollection)]
    assert [sorted(cell[:, 0]) for cell in dots] == [[0.1, 0.3], [0.6, 0.7], [0.96, 0.98]]
    assert [round(cell[:, 1].mean()) for cell in dots] == [0, 1, 3]
    assert words(right) == ["0.200 ± 0.141", "0.650 ± 0.071", "failed", "0.970 ± 0.014"]


def test_a_cell_has_the_same_colour_in_both_panels_and_cells_differ(panels):
    left, right = panels
    colours = [line(left, label).get_color() for label in ("naive", "sleep_replay", "joint")]
    assert len(set(colours)) == 3
    assert [to_rgba(bar.get_facecolor())[:3] for bar in right.patches] == [to_rgba(colour)[:3] for colour in colours]


def test_more_cells_than_colours_still_look_different():
    runs = [run(f"cell {k}", 0, [1.0, 0.5]) for k in range(16)]
    left = report.comparison_figure(runs, classes=2).axes[0]
    styles = {(line(left, r["label"]).get_color(), line(left, r["label"]).get_marker()) for r in runs}
    assert len(styles) == 16


def test_one_seed_has_no_whisker_and_no_deviation():
    axes = report.comparison_figure([run("naive", 0, [1.0, 0.5])], classes=10).axes[1]
    assert words(axes) == ["0.500"]
    assert not axes.containers[1:]


@pytest.mark.parametrize("names", [1, 4])
def test_nothing_overlaps_and_nothing_is_cut_off(names):
    """Labels of cells end left of the keys, start right of the left panel, and do not reach into one another."""
    runs = [run("+".join(["neuronal_adaptation"] * names) + str(k), 0, [1.0, 0.5]) for k in range(8)]
    figure = report.comparison_figure(runs, classes=10)
    figure.draw_without_rendering()
    left, right = figure.axes
    labels = [label.get_window_extent() for label in right.get_yticklabels()]
    keys = [key.get_window_extent() for key in right.get_lines() if key.get_label() != "chance"]
    numbers = [text.get_window_extent() for text in right.texts]
    assert len(labels) == len(keys) == len(numbers) == 8
    assert min(label.x0 for label in labels) > left.get_window_extent().x1
    assert max(label.x1 for label in labels) < min(key.x0 for key in keys)
    assert max(key.x1 for key in keys) < right.get_window_extent().x0
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(labels))
    assert max(number.x1 for number in numbers) <= figure.bbox.x1


def test_plots_are_png_files_of_readme_width(tmp_path):
    report.plot_comparison(RUNS, tmp_path / "comparison.png", classes=10)
    report.plot_accuracy_matrix(MATRIX, tmp_path / "matrix.png", title="naive, seed 0")
    with Image.open(tmp_path / "comparison.png") as image:
        assert (image.format, image.width) == ("PNG", 1200)
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 50
    for name in ("comparison.png", "matrix.png"):
        assert 5_000 < (tmp_path / name).stat().st_size < 100_000


def test_hidden_states_are_a_line_per_layer_from_the_first_step_on(tmp_path):
    magnitude, participation = [[0.1, 0.2, 0.3], [0.0, 0.5, 0.4]], [[3.0, 4.0, 5.0], [float("nan"), 2.0, 1.0]]
    figure = report.hidden_states_figure(magnitude, participation, title="naive, seed 0")
    for axes, courses in zip(figure.axes, (magnitude, participation), strict=True):
        for line, course in zip(axes.lines, courses, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(line.get_ydata(), course)
        assert axes.get_ylim() == (0.0, pytest.approx(1.1 * np.nanmax(courses)))  # a course that settles stays in sight
    assert [text.get_text() for text in axes.get_legend().texts] == ["hidden layer 1", "hidden layer 2"]
    report.plot_hidden_states(magnitude, participation, tmp_path / "hidden.png")
    assert (tmp_path / "hidden.png").read_bytes()[:4] == b"\x89PNG"


def test_drawing_leaves_matplotlibs_global_state_alone(tmp_path):
    code = (
        "import sys; from clep import report; report.plot_accuracy_matrix([[1.0]], 'm.png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


# Text


def summary(mean, std, n):
    return {"mean": mean, "std": std, "n": n}


def test_the_table_shows_means_deviations_failures_and_missing_values():
    table = [
        {
            "label": "naive",
            "status": "FINISHED",
            "accuracy": summary(0.19444, 0.0031, 3),
            "forgetting": summary(0.9, 0.01, 3),
            "learned_accuracy": summary(0.99, 0.0, 3),
        },
        {
            "label": "awake_rehearsal+sleep_replay",
            "status": "FAILED",
            "accuracy": summary(0.9, None, 1),
            "forgetting": summary(-0.05, None, 1),
            "learned_accuracy": summary(1.0, None, 1),
        },
        {
            "label": "joint",
            "status": "FINISHED",
            "accuracy": summary(0.9787, 0.0021, 3),
            "forgetting": summary(None, None, 0),
            "learned_accuracy": summary(None, None, 0),
        },
        {
            "label": "ewc",
            "status": "KILLED",
            "accuracy": summary(None, None, 0),
            "forgetting": summary(None, None, 0),
            "learned_accuracy": summary(None, None, 0),
        },
    ]
    assert report.format_table(table).splitlines() == [
        "cell                          final accuracy  forgetting      learned accuracy  seeds",
        "----------------------------  --------------  --------------  ----------------  ----------",
        "naive                         0.194 +- 0.003  0.900 +- 0.010  0.990 +- 0.000    3",
        "awake_rehearsal+sleep_replay  0.900           -0.050          1.000             1 (failed)",
        "joint                         0.979 +- 0.002  -               -                 3",
        "ewc                           -               -               -                 0 (killed)",
    ]
    assert report.format_table(table).isascii()


def test_a_matrix_file_has_a_header_empty_cells_and_every_digit(tmp_path):
    matrix = [[1 / 3, math.nan], [0.5, 1.0]]
    report.write_matrix_csv(matrix, tmp_path / "matrix.csv")
    lines = (tmp_path / "matrix.csv").read_text().splitlines()
    assert lines == ["experience_00,experience_01", "0.3333333333333333,", "0.5,1.0"]
    with (tmp_path / "matrix.csv").open() as file:
        rows = [[float(value or "nan") for value in row] for row in list(csv.reader(file))[1:]]
    np.testing.assert_array_equal(rows, matrix)

"""The figure of a comparison, inspected as matplotlib objects."""

import math
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba

from clep import report
from tests.report.conftest import line, words


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

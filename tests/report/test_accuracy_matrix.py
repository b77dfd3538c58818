"""The accuracy matrix, as a figure and as a file."""

import csv
import math

import numpy as np
from matplotlib.colors import to_rgba

from clep import report

MATRIX = [[0.9, 0.0, 0.1], [0.5, 0.8, 0.0], [None, 0.25, 0.7]]


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


def test_a_matrix_file_has_a_header_empty_cells_and_every_digit(tmp_path):
    matrix = [[1 / 3, math.nan], [0.5, 1.0]]
    report.write_matrix_csv(matrix, tmp_path / "matrix.csv")
    lines = (tmp_path / "matrix.csv").read_text().splitlines()
    assert lines == ["experience_00,experience_01", "0.3333333333333333,", "0.5,1.0"]
    with (tmp_path / "matrix.csv").open() as file:
        rows = [[float(value or "nan") for value in row] for row in list(csv.reader(file))[1:]]
    np.testing.assert_array_equal(rows, matrix)

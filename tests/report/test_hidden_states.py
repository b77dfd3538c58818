"""The figure of hidden states, inspected as matplotlib objects."""

import numpy as np
import pytest

from clep import report


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

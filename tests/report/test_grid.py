"""The figure of a grid, inspected as matplotlib objects."""

import numpy as np
from matplotlib.collections import PathCollection

from clep import report
from tests.report.conftest import line


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

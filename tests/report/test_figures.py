"""The figures of a page, inspected as matplotlib objects."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from clep import report
from clep.answer import ACCURACY, SINCE_TRAINING
from clep.report import drawing
from clep.report.drawing import figures
from tests.oracles.stored import DEFAULT_CELLS, comparison, failed, result
from tests.report.conftest import words
from tests.report.test_looks import cells_of


def drawn(found, name):
    figure = next(figure for known, figure in figures("page", cells=cells_of(found)) if known == name)
    figure.draw_without_rendering()
    return figure


@pytest.fixture(scope="module")
def seven():
    return comparison()


def dots(axes):
    return [np.asarray(part.get_offsets()) for part in axes.collections if isinstance(part, PathCollection)]


def test_forgetting_has_a_bar_two_definitions_and_a_dot_per_seed_least_first(seven):
    axes = drawn(seven, "forgetting").axes[0]
    ranked = seven.answer.ranked
    assert len(ranked) == 6  # joint training has nothing to forget
    means = [cell.summaries["forgetting_since_training"].mean for cell in ranked]
    assert means == sorted(means)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], means)
    for cell, seeds in zip(ranked, dots(axes), strict=True):
        np.testing.assert_allclose(seeds[:, 0], list(cell.summaries["forgetting_since_training"].by_seed.values()))
    strokes = [part.get_xdata() for part in axes.lines if part.get_linewidth() == 1.8]
    np.testing.assert_allclose([x[0] for x in strokes], [cell.summaries["forgetting"].mean for cell in ranked])
    intervals = [part.get_xdata() for part in axes.lines if part.get_linewidth() == 0.9]
    found = ranked[0].summaries["forgetting_since_training"]
    np.testing.assert_allclose(intervals[0], [found.low, found.high])
    assert words(axes)[:2] == [f"1  {ranked[0].label}", f"{means[0]:.3f}"]


def test_a_cell_that_learned_nothing_is_last_and_says_so():
    lost = [result("lost", seed, keeps=0.99, accuracy=0.1) for seed in (0, 1)]
    found = comparison(("naive", "ewc"), (0, 1), more=lost)
    assert any(text.startswith("learned nothing") for text in words(drawn(found, "forgetting").axes[0])[-2:])
    assert "3  lost (learned nothing)" in [text.get_text() for text in drawn(found, "accuracy_over_the_stream").texts]


def test_forgetting_that_was_not_recorded_is_said_and_not_drawn_as_zero():
    old = {"forgetting_since_training": None, "accuracy_before_consolidation": [], "learned_in_training": None}
    found = comparison(("naive", "ewc"), (0, 1), **old)
    names = set(dict(figures("page", cells=cells_of(found))))
    assert {"consolidation", "forgetting_over_the_stream", "accuracy_against_forgetting"}.isdisjoint(names)
    axes = drawn(found, "forgetting").axes[0]
    assert not axes.patches
    assert words(axes)[1::2] == ["since training: not recorded"] * 2


@pytest.mark.parametrize(
    ("name", "measure"), [("differences_in_forgetting", SINCE_TRAINING), ("differences_in_accuracy", ACCURACY)]
)
def test_differences_are_those_to_the_baseline_with_their_intervals(seven, name, measure):
    axes = drawn(seven, name).axes[0]
    others = [cell for cell in seven.answer.cells if cell.differences and cell.differences[measure.key].n]
    assert seven.answer.baseline not in [cell.label for cell in others]
    whiskers = [part.get_xdata() for part in axes.lines if part.get_linewidth() == 1.4]
    expected = [(cell.differences[measure.key].low, cell.differences[measure.key].high) for cell in others]
    np.testing.assert_allclose(whiskers, expected)
    for cell, seeds in zip(others, dots(axes), strict=True):
        np.testing.assert_allclose(seeds[:, 0], list(cell.differences[measure.key].by_seed.values()))


def test_a_difference_that_is_not_shown_has_an_open_marker():
    found = comparison(("naive", "neuronal_adaptation", "ewc"), (0, 1, 2))
    axes = drawn(comparison(("ewc", "naive"), (0,)), "differences_in_forgetting").axes[0]
    markers = [part for part in axes.lines if part.get_markersize() == 5]
    assert [part.get_markerfacecolor() for part in markers] == ["white"]  # one seed shows nothing
    axes = drawn(found, "differences_in_forgetting").axes[0]
    markers = [part for part in axes.lines if part.get_markersize() == 5]
    assert all(part.get_markerfacecolor() == part.get_color() for part in markers)


def test_nothing_kept_stands_at_the_left_under_the_tick_0(seven):
    axes = drawn(seven, "accuracy_against_bytes").axes[0]
    ticks = dict(zip(axes.get_xticks(), [tick.get_text() for tick in axes.get_xticklabels()], strict=True))
    zero = min(ticks)
    assert ticks[zero] == "0"
    assert ticks[2.0] == "100 B"
    by_label = {cell.label: seeds[:, 0] for cell, seeds in zip(cells_of(seven), dots(axes), strict=True)}
    assert set(by_label["naive"]) == {zero}
    np.testing.assert_allclose(by_label["sleep_replay"], np.log10(296))


def test_numbers_beside_coinciding_points_do_not_cover_one_another(seven):
    axes = drawn(seven, "accuracy_against_forgetting").axes[0]
    labels = [text for text in axes.texts if text.get_text().isdigit()]
    assert sorted(text.get_text() for text in labels) == list("123456")
    boxes = [text.get_window_extent() for text in labels]
    assert not [(a, b) for k, a in enumerate(boxes) for b in boxes[:k] if a.overlaps(b)]


def test_courses_are_means_over_seeds_with_a_band_from_the_lowest_to_the_highest(seven):
    axes = drawn(seven, "forgetting_over_the_stream").axes[0]
    runs = [run for run in seven.runs if run.label == "sleep_replay"]
    every = np.array([[np.mean(np.diag(r.matrix_before)[:i] - r.matrix[i, :i]) for i in range(1, 5)] for r in runs])
    cells = [cell for cell in cells_of(seven) if cell.label != "joint"]
    place = [cell.label for cell in cells].index("sleep_replay")
    np.testing.assert_allclose(axes.lines[place].get_ydata(), every.mean(axis=0))
    assert axes.lines[place].get_xdata().round().tolist() == [1, 2, 3, 4]  # before, there is nothing to forget
    band = axes.collections[place].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (pytest.approx(every.min()), pytest.approx(every.max()))


def test_curves_that_coincide_stand_side_by_side_and_their_numbers_apart(seven):
    figure = drawn(seven, "accuracy_over_the_stream")
    axes = figure.axes[0]
    cells = cells_of(seven)
    twins = [axes.lines[[c.label for c in cells].index(name)] for name in ("naive", "neuronal_adaptation")]
    np.testing.assert_array_equal(twins[0].get_ydata(), twins[1].get_ydata())
    assert (np.abs(twins[0].get_xdata() - twins[1].get_xdata()) > 0.01).all()
    numbers = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(numbers) == 7
    assert all(upper.y0 >= lower.y0 + 0.7 * lower.height for lower, upper in pairwise(numbers))


@pytest.mark.parametrize("n", [8, 9])
def test_more_curves_than_can_be_told_apart_get_a_panel_each(n):
    found = comparison([f"cell {k}" for k in range(n)], (0, 1))
    figure = drawn(found, "accuracy_over_the_stream")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ([] if n == 8 else [f"{cell.number}  {cell.label}" for cell in cells_of(found)])


def test_arrows_lead_from_before_to_after_each_consolidation_of_the_cells_that_have_one(seven):
    figure = drawn(seven, "consolidation")
    assert len(figure.axes) == 3  # those with sleep
    cell = next(cell for cell in cells_of(seven) if cell.consolidates)
    arrows = [(text.xyann, text.xy) for text in figure.axes[0].texts]  # from, to
    new, old = arrows[:5], arrows[5:]
    before, after = cell.before.mean(axis=0), cell.after.mean(axis=0)
    np.testing.assert_allclose([start[1] for start, _ in new], np.diag(before))
    np.testing.assert_allclose([end[1] for _, end in new], np.diag(after))
    np.testing.assert_allclose([start[1] for start, _ in old], [before[i, :i].mean() for i in range(1, 5)])
    np.testing.assert_allclose([end[1] for _, end in old], [after[i, :i].mean() for i in range(1, 5)])


def test_matrices_are_means_with_classes_on_the_axes_unless_seeds_differ_in_them():
    one = comparison(("naive", "joint"), (3,))
    axes = drawn(one, "matrices").axes[0]
    names = [" ".join(map(str, part)) for part in one.runs[0].classes]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == names
    named = [[f"${label}" for label in part] for part in one.runs[0].classes]  # and no name is a formula
    one = dataclasses.replace(one, runs=[dataclasses.replace(run, class_names=named) for run in one.runs])
    axes = drawn(one, "matrices").axes[0]
    assert [tick.get_text().replace("\\$", "$") for tick in axes.get_xticklabels()] == [" ".join(n) for n in named]
    axes.figure.draw_without_rendering()
    several = comparison(("naive", "joint"), (0, 1))
    axes = drawn(several, "matrices").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list("01234")
    cell = cells_of(several)[0]
    np.testing.assert_allclose(axes.images[0].get_array(), np.mean([r["accuracy_matrix"] for r in cell.runs], axis=0))


@pytest.mark.parametrize(("n", "seeds"), [(1, (0,)), (2, (0, 1, 2)), (7, tuple(range(8))), (30, (0, 1, 2))])
def test_every_figure_is_drawn_for_any_number_of_cells_and_seeds_and_no_text_leaves_it(n, seeds):
    labels = (*DEFAULT_CELLS, *(f"set {k} of strategies+sleep_replay+<b>tau</b>={k / 10}" for k in range(23)))
    found = comparison(labels[:n], seeds)
    drawn_figures = dict(figures("page", cells=cells_of(found)))
    assert {"forgetting", "accuracy_over_the_stream", "matrices", "seconds"} <= set(drawn_figures)
    for name, figure in drawn_figures.items():
        figure.draw_without_rendering()
        for text in (text for axes in figure.axes for text in [*axes.texts, axes.title, axes._left_title]):
            box = text.get_window_extent()
            assert not text.get_text() or (box.x0 > -1 and box.x1 < figure.bbox.x1 + 1), (name, text.get_text())


def test_names_and_numbers_of_rows_do_not_cover_one_another():
    found = comparison([f"{'a_long_name_' * 5}{k}" for k in range(12)], (0, 1))
    for name in ("forgetting", "differences_in_accuracy", "seconds"):
        texts = drawn(found, name).axes[0].texts
        for label, number in zip(texts[::2], texts[1::2], strict=True):
            assert label.get_window_extent().x1 < number.get_window_extent().x0 + 3, name


def test_runs_without_a_stream_or_without_an_end_have_no_curves():
    found = comparison(("naive",), (0,), experiences=1, more=[failed("naive", 1)])
    names = set(dict(figures("page", cells=cells_of(found))))
    assert "matrices" in names
    assert not {"forgetting", "accuracy_over_the_stream", "differences_in_forgetting"} & names
    nothing = comparison((), (), more=[failed("naive", 0)])
    assert dict(figures("page", cells=cells_of(nothing))) == {}


def test_a_figure_of_a_page_takes_its_place_by_itself(monkeypatch):
    """Adding a figure touches its own file only."""
    found = comparison(("naive",), (0, 1))
    monkeypatch.setattr(drawing, "_FIGURES", {"page": dict(drawing._registered()["page"])})
    report.drawn_for("page", "my_own")(dict(drawing._FIGURES["page"])["seconds"])
    svgs = {name: report.svg(figure, name) for name, figure in figures("page", cells=cells_of(found))}
    page = report.comparison_page(found.answer, cells_of(found), svgs, report.About(), title="t")
    assert 'id="figure-my_own"' in page

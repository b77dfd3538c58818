"""The figure of accuracy against bytes: what stands where."""

import numpy as np
import pytest

from clep.report.memory import memory_figure


def row(label, count, *accuracies, **more):
    by_seed = dict(enumerate(accuracies))
    mean = float(np.mean(accuracies)) if accuracies else None
    found = {"label": label, "by_seed": by_seed, "mean": mean, "published": None, "source": ""}
    return found | {"columns": {"bytes_in_8_bits": count}} | more


ROWS = [
    row("naive", 0, 0.2, 0.2),
    row("rehearsal 200", 200_000, 0.8, 0.9),
    row("rehearsal 1 000", 1_000_000, 0.9, 0.92),
    row("rehearsal 20", 20_000, 0.4, 0.5),
    row("rehearsal 20, BPTT", 20_000, 0.4, 0.45),
    row("sleep", 3_000, 0.6, 0.6, published=0.485, source="SRC"),
    row("joint", 0, 0.95, 0.95),
    row("dreams 5", 220_000),
]


@pytest.fixture(scope="module")
def panel():
    figure = memory_figure(ROWS, [])
    figure.draw_without_rendering()
    return figure.axes[0]


def lines(panel):
    found = {bars.get_label(): bars.lines[0] for bars in panel.containers}
    return {name: np.asarray(line.get_xydata()) for name, line in found.items()}


def test_cells_that_differ_in_a_number_are_one_line_in_the_order_of_their_bytes(panel):
    found = lines(panel)
    assert set(found) == {"naive", "rehearsal", "rehearsal, BPTT", "sleep"}  # a cell without runs is left out
    np.testing.assert_allclose(found["rehearsal"], [[np.log10(20_000), 0.45], [np.log10(2e5), 0.85], [6.0, 0.91]])


def test_nothing_kept_is_at_the_left_of_all_bytes_and_says_zero(panel):
    ((place, _),) = lines(panel)["naive"]
    assert place < np.log10(3_000)
    assert panel.get_xticklabels()[0].get_text() == "0"
    assert panel.get_xticks()[0] == place


def test_joint_training_is_a_level_line_and_a_published_number_a_star_above_its_bytes(panel):
    level = [line for line in panel.lines if line.get_label() == "joint"]
    assert [value for line in level for value in line.get_ydata()] == [0.95, 0.95]
    (star,) = [line for line in panel.lines if line.get_label() == "SRC (published)"]
    np.testing.assert_allclose(star.get_xydata(), [[np.log10(3_000), 0.485]])


def test_a_claim_that_does_not_ask_for_bytes_has_no_such_figure():
    assert memory_figure([row("naive", 0, 0.2) | {"columns": {}}], []) is None

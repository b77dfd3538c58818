"""The ways of writing cells: which cells they are."""

import pytest

from clep.cells import names_in, normal, read_cells
from clep.config import compose


@pytest.mark.parametrize(
    "written",
    [
        [["naive"], ["ewc", "si"]],
        ["naive", "ewc+si"],
        ["naive", "ewc + si"],
        [{"strategies": ["naive"]}, {"strategies": "ewc+si"}],
        [{"label": "naive", "strategies": ["naive"]}, ["ewc", "si"]],
        {"naive": {"strategies": "naive"}, "ewc+si": {"strategies": ["ewc", "si"]}},
    ],
)
def test_sets_of_strategies_are_kept_as_lists_however_they_are_written(written):
    assert normal(written) == compose({"cells": written}).cells == [["naive"], ["ewc", "si"]]


def test_a_cell_has_a_label_its_strategies_and_its_changes():
    cells = read_cells([{"label": "mine", "strategies": ["ewc"], "set": ["network=ep"]}, {"set": ["learner.lr=1"]}])
    assert [(cell.label, cell.set) for cell in cells] == [
        ("mine", ("strategies=[ewc]", "network=ep")),
        ("lr=1", ("learner.lr=1",)),
    ]


def test_what_is_kept_is_read_again_as_the_same_cells():
    written = ["naive", {"label": "x", "set": ["network=ep"]}, {"strategies": ["a", "b"], "set": ["learner.lr=1"]}]
    assert read_cells(normal(written)) == read_cells(written)
    assert normal(normal(written)) == normal(written)
    assert names_in(normal(written)) == {"naive", "a", "b"}

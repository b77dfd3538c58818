"""Grids: which cells they make, and what is refused."""

import pytest

from clep.cells import grids
from clep.errors import ConfigError

GRID = {
    "depth": {"shallow": ["network.hidden=[8]"], "deep": ["network.hidden=[8,8]", "learner.epochs=2"]},
    "learner.lr": [0.1, 1],
}


def test_every_combination_is_a_cell_with_the_changes_of_all_its_alternatives():
    axes, cells = grids.read_grid(GRID)
    assert [axis.name for axis in axes] == ["depth", "learner.lr"]
    assert [cell.label for cell in cells] == ["shallow, 0.1", "shallow, 1", "deep, 0.1", "deep, 1"]
    assert cells[2].at == ("deep", "0.1")
    assert cells[2].set == ("network.hidden=[8,8]", "learner.epochs=2", "learner.lr=0.1")
    assert grids.axis_of(axes, ("1", "0.1")) == 1
    assert grids.axis_of(axes, ("deep", "0.1")) is None
    assert grids.read_grid(None) == ((), ())


def test_an_axis_of_values_may_hold_null():
    axes, cells = grids.read_grid({**GRID, "stream.samples_per_experience": [10, None]})
    assert list(axes[2].points) == ["10", "null"]
    assert cells[1].set[-1] == "stream.samples_per_experience=null"


def test_a_list_of_grids_is_finer_in_some_places_and_has_no_cell_twice():
    fine = {"depth": {"shallow": ["network.hidden=[8]"]}, "learner.lr": [1, 0.3]}
    axes, cells = grids.read_grid([GRID, fine])
    assert [cell.label for cell in cells] == ["shallow, 0.1", "shallow, 1", "deep, 0.1", "deep, 1", "shallow, 0.3"]
    assert list(axes[1].points) == ["0.1", "1", "0.3"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({**GRID, "learner.rate": [1]}, r"^grid\.learner\.rate: unknown key `learner\.rate`.*any name"),
        ({**GRID, "learner.lrr": [1]}, r"^grid\.learner\.lrr: unknown key `learner\.lrr`; did you mean `learner\.lr`"),
        ({**GRID, "depth": {"deep": "learner.lr=1"}}, r"grid\.depth\.deep: expected a list of strings, got 'lear"),
        ({**GRID, "seed": 3}, r"grid\.seed: expected a list of values, or labels with their changes, got 3"),
        ({**GRID, "depth": {"deep": ["network=ep", 3]}}, r"grid\.depth\.deep: expected a list of strings, got \['net"),
        ({"learner.lr": [1]}, r"^grid: expected at least two axes"),
        ({**GRID, "learner.lr": [1, 0.1, 1]}, r"^grid\.learner\.lr: expected each value once, got `1` again"),
        ([], r"^grid: expected at least two axes"),
        ([GRID, {"learner.lr": [1], "depth": {"deep": []}}], r"the same axes in each"),
        ([GRID, {**GRID, "depth": {"deep": ["network=ep"]}}], r"grid\.depth\.deep: expected the same changes wherever"),
    ],
)
def test_what_is_no_grid_is_refused_with_the_name_of_what_is_wrong(grid, message):
    with pytest.raises(ConfigError, match=message):
        grids.read_grid(grid)


def test_one_axis_is_enough_where_that_is_allowed():
    axes, cells = grids.read_grid({"strategies": ["naive", "ewc+si", ["der"]]}, least=1)
    assert [cell.set for cell in cells] == [("strategies=[naive]",), ("strategies=[ewc, si]",), ("strategies=[der]",)]
    assert list(axes[0].points) == ["naive", "ewc+si", "der"]

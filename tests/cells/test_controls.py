"""Controls: which cells a comparison has without being asked."""

import dataclasses

import pytest

from clep.cells import with_controls, without_controls
from clep.config import cells_of, compose
from clep.errors import ConfigError
from clep.schema import Config, label_of

USUAL = ["naive", "joint", "class_means", "slda", "ridge"]


def labels(*changes):
    config = compose(None, changes)
    return [label_of(cell) for cell in with_controls(config)]


def test_every_comparison_has_the_usual_controls_after_its_own_cells():
    assert labels("cells=[sleep_replay]") == ["sleep_replay", *USUAL]
    assert labels("cells=[joint,sleep_replay,naive]") == ["joint", "sleep_replay", "naive", *USUAL[2:]]
    assert labels()[-3:] == USUAL[2:]


@pytest.mark.parametrize("left_out", ["controls=none", "controls=[]"])
def test_they_can_be_left_out(left_out):
    assert labels("cells=[sleep_replay]", left_out) == ["sleep_replay"]


def test_they_can_be_chosen_and_have_parameters():
    changes = ["cells=[sleep_replay]", "controls=[ridge,ewc]", "strategy.ridge.features=50"]
    config = compose(None, changes)
    *_, ridge, ewc = cells_of(dataclasses.replace(config, cells=with_controls(config)))
    assert ridge[1].strategy["ridge"] == {"features": 50}
    assert ewc[1].strategy["ewc"]["ewc_lambda"] > 0  # as in the file of the strategy


def test_a_cell_with_the_strategy_of_a_control_is_this_control_whatever_else_it_changes():
    assert labels("cells=[{label: deep, strategies: naive, set: ['network.hidden=[9,9]']}]") == ["deep", *USUAL[1:]]


def test_each_stream_of_a_comparison_has_controls_of_its_own():
    found = labels("grid={stream: [digits, mnist], strategies: [sleep_replay]}", "controls=[ridge]")
    assert found == ["digits, sleep_replay", "mnist, sleep_replay", "ridge", "ridge, mnist"]


@pytest.mark.parametrize(
    "changes", [[], ["cells=[[ewc]]"], ["cells=[[ewc],[naive],[joint]]", "controls=[joint,ridge]"]]
)
def test_without_its_controls_a_comparison_has_the_cells_that_give_it_again(changes):
    config = compose(None, changes)
    both = dataclasses.replace(config, cells=with_controls(config))
    shorter = dataclasses.replace(config, cells=without_controls(both))
    assert with_controls(shorter) == both.cells
    assert changes or shorter.cells == Config.default("cells")


def test_an_unknown_control_is_named():
    with pytest.raises(ConfigError, match=r"controls: .*`ridgee`.*`ridge`"):
        labels("controls=[ridgee]")

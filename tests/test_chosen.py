"""Parameters of a strategy that nobody chose: refused where they are typed, named where a file has them."""

import warnings

import pytest

from clep import claims, cli
from clep.chosen import check_chosen
from clep.config import cells_of, compose
from clep.errors import ConfigError, UnusedWarning

TYPED = "strategy.ewc.ewc_lambda=1"


def checked(source, *changes, cells=False):
    check_chosen(source, changes, compose(source, changes), cells=cells)


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ([TYPED], False),
        (["strategies=si", "strategy={ewc: {ewc_lambda: 1}}"], False),
        ([TYPED], True),  # the default cells have no ewc
        (["cells=[[si],[naive]]", TYPED], True),
    ],
)
def test_a_typed_parameter_of_a_strategy_that_is_not_chosen_is_refused(changes, cells):
    with pytest.raises(ConfigError, match=r"^strategy\.ewc\.ewc_lambda: changes nothing: `ewc` is not chosen"):
        checked(None, *changes, cells=cells)


@pytest.mark.parametrize(
    "words", ["run strategies=si", "show strategies=si", "tune strategies=si", "compare cells=[si]"]
)
def test_every_command_refuses_it_before_anything_is_loaded(words, capsys):
    assert cli.main([*words.split(), TYPED]) == 2
    assert "clep: error: strategy.ewc.ewc_lambda: changes nothing" in capsys.readouterr().err


def test_parameters_of_a_chosen_strategy_are_taken(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("strategy: {ewc: {ewc_lambda: 1}}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked(None, "strategies=ewc", TYPED)
        checked(None, "cells=[[ewc]]", TYPED, cells=True)
        checked(None, "strategies=ewc", "grid.network=[ep,hts_ep]", TYPED, cells=True)  # its cells inherit them
        checked(path, "strategies=ewc")
        checked("mnist")  # ships constants for sleep
        checked({"strategies": ["ewc"], "strategy": {"ewc": {"ewc_lambda": 1}}}, "strategies=si")  # one file, many runs
        checked({"cells": ["ewc"], "strategy": {"ewc": {"ewc_lambda": 1}}}, "strategies=si")


def test_a_file_with_parameters_that_none_of_its_own_strategies_takes_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("strategies: si\nstrategy: {ewc: {ewc_lambda: 1}}\n")
    with pytest.warns(UnusedWarning, match=r"^strategy\.ewc\.ewc_lambda: changes nothing: `ewc` is not chosen, but si"):
        checked(path)


def test_a_cell_that_sets_a_strategy_of_others_is_refused_by_its_place():
    cell = "{label: mine, strategies: [si], set: [strategy.ewc.ewc_lambda=1]}"
    expected = r"^cells\[1\]: set: `strategy.ewc.ewc_lambda=1` changes nothing: the cell has si.*\(cell `mine`\)"
    with pytest.raises(ConfigError, match=expected):
        compose(None, [f"cells=[naive, {cell}]"])


def test_combinations_of_a_grid_that_differ_in_nothing_are_named():
    grid = ["grid.strategies=[naive,ewc]", "grid.strategy.ewc.ewc_lambda=[1,2]"]
    with pytest.warns(UnusedWarning, match=r"^grid.strategy.ewc.ewc_lambda: .*=2.*\(cell `naive, ewc_lambda=2`\)"):
        assert len(cells_of(compose(None, grid))) == 4


def test_an_option_that_does_not_act_in_a_cell_is_named():
    cell = "{label: mine, set: [network=feedforward, network.free_steps=3]}"
    with pytest.warns(UnusedWarning, match=r"^cells\[1\]: network.free_steps: 3 changes nothing.*\(cell `mine`\)"):
        compose(None, [f"cells=[naive, {cell}]"])


def test_options_that_only_the_file_of_a_network_sets_are_not_named():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = compose(None, ["grid.network=[ep,feedforward,bptt]", "grid.learner.lr=[0.1,1]"])
        assert compose(config) == config


CLAIM = """claim: one sentence
set: [{shared}]
cells:
  one: {{set: [strategies=si, {own}]}}
  two: {{set: [strategies=naive]}}
"""


@pytest.mark.parametrize(
    ("shared", "own", "given", "expected"),
    [
        ("seed=1", "learner.lr=1", [], r"^mine.yaml: set: `seed=1` would change nothing in a claim; use `seeds`"),
        ("learner.lr=1", "seed=1", [], r"^mine.yaml: cells.one.set: `seed=1` would change nothing"),
        ("learner.lr=1", TYPED, [], r"^cells.one.set: `strategy.ewc.ewc_lambda=1` changes nothing: the cell has si"),
        (TYPED, "learner.lr=1", [], r"^strategy.ewc.ewc_lambda: changes nothing: no cell of the claim has .* `ewc`"),
        ("learner.lr=1", "learner.lr=1", [TYPED], r"^strategy.ewc.ewc_lambda: changes nothing: no cell of the claim"),
    ],
)
def test_a_claim_with_a_change_for_nobody_is_refused(shared, own, given, expected, tmp_path):
    (tmp_path / "mine.yaml").write_text(CLAIM.format(shared=shared, own=own))
    with pytest.raises(ConfigError, match=expected):
        list(claims.read(tmp_path / "mine.yaml", "mine.yaml").composed(given))


def test_a_claim_may_set_what_only_one_of_its_cells_takes(tmp_path):
    (tmp_path / "mine.yaml").write_text(CLAIM.format(shared="strategy.si.si_lambda=2", own="strategy.si.eps=0.1"))
    assert len(list(claims.read(tmp_path / "mine.yaml", "mine.yaml").composed(["strategy.si.eps=0.2"]))) == 2

"""`clep list`: every name with its description, without importing what it names."""

import json
from importlib import resources

import pytest

from clep import catalogue, config, parts
from clep.cli import main
from tests.oracles.foreign import GROUPS, SOURCE
from tests.oracles.packages import install


@pytest.mark.parametrize(("what", "group"), [("networks", "network"), ("configs", "pipeline"), ("claims", "claim")])
def test_list_names_and_describes_the_built_in_files(capsys, what, group):
    assert main(["list", what]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert rows == [[name, text] for name, text in config.builtin(group).items()]


def test_list_strategies_gives_import_paths_and_the_docstrings_of_our_own(capsys):
    assert main(["list", "strategies"]) == 0
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["ewc"][0] == "avalanche.training.plugins:EWCPlugin"
    path, description = rows["awake_rehearsal"]
    assert path == "clep.strategies.awake_rehearsal:AwakeRehearsal"
    source = (resources.files("clep.strategies") / "awake_rehearsal.py").read_text(encoding="utf-8")
    assert f'class AwakeRehearsal(Strategy):\n    """{description}' in source


def test_list_without_a_word_lists_everything(capsys):
    assert main(["list"]) == 0
    sections = capsys.readouterr().out.split("\n\n")
    named = [section.partition(":")[0] for section in sections]
    assert tuple(named) == catalogue.SECTIONS
    assert all("\n  " in section for section in sections)


def test_json_has_the_same_rows_as_the_text(capsys):
    assert main(["list", "networks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"networks": [list(row) for row in config.builtin("network").items()]}


@pytest.mark.parametrize("width", [60, 79, 100, 160])
def test_on_a_terminal_no_line_is_wider_than_it_and_no_word_is_lost(monkeypatch, capsys, width):
    assert main(["list"]) == 0
    plain = capsys.readouterr().out
    monkeypatch.setattr(catalogue, "terminal_width", lambda: width)
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    left_out = {word for word in plain.split() if word not in shown.split()}
    assert all(":" in word for word in left_out)  # import paths, where there is no room for them
    assert ("clep.strategies.naive:Naive" in shown) == (width == 160)


@pytest.mark.parametrize("what", ["neurons", "connections", "costs", "gradients"])
def test_parts_of_a_network_are_listed_with_a_line_of_their_own(what, capsys):
    assert main(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)[what]
    assert {name for name, *_ in rows} == set(parts.own(what.removesuffix("s")))
    assert all(line for *_, line in rows)


def test_those_of_another_package_are_among_them(tmp_path, monkeypatch, capsys):
    install(tmp_path, monkeypatch, "dreams", SOURCE, **GROUPS)
    assert main(["list", "networks"]) == 0
    assert "\ndream_rows       An LSTM that reads an image row by row.\n" in capsys.readouterr().out
    assert main(["list", "neurons"]) == 0
    assert "A rectifier that leaks below 0 and stops at 1." in capsys.readouterr().out

"""`clep check`: what a target stands for, what it prints, and its exit code."""

import json

import pytest
from clep.pipelines import check

from clep.cli import main
from clep.errors import ConfigError
from clep.testing import Outcome
from tests.oracles.packages import install

STRATEGIES = """
from avalanche.core import SupervisedPlugin
from avalanche.training import Naive
import clep
from clep.strategies.joint import Joint

class Mine(clep.Strategy):
    '''Mine.'''

class Plugin(SupervisedPlugin):
    '''An Avalanche plug-in.'''

class _Hidden(clep.Strategy):
    '''A base.'''
"""


@pytest.fixture(autouse=True)
def few_checks(monkeypatch):
    """One check that says the parameters it got, and fails for `Plugin`."""

    def said(subject):
        yield Outcome("seeds", "fails" if subject.name.endswith("Plugin") else "ok", str(subject.parameters or ""))
        yield Outcome("gpu", "skipped", "no device")

    monkeypatch.setattr(check, "check_strategy", said)


def test_a_package_stands_for_what_it_registers(tmp_path, monkeypatch):
    module = install(tmp_path, monkeypatch, "checked", STRATEGIES, strategies={"my_own": "Mine", "ewc": "Plugin"})
    assert check.subjects("checked") == ["my_own", f"{module}:Plugin"]  # the name `ewc` is clep's


def test_a_module_a_file_and_a_folder_stand_for_the_strategies_that_they_define(tmp_path, monkeypatch):
    folder = tmp_path / "defining"
    folder.mkdir()
    (folder / "__init__.py").write_text("from defining.own import Mine\n")
    (folder / "own.py").write_text(STRATEGIES)
    expected = ["defining.own:Mine", "defining.own:Plugin"]
    monkeypatch.setattr("sys.path", [*check.sys.path])
    assert check.subjects(str(folder)) == expected
    assert check.subjects(str(folder / "own.py")) == expected
    assert check.subjects("defining") == expected
    assert check.subjects("defining.own:Mine") == ["defining.own:Mine"]


def test_a_project_stands_for_its_entry_points(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "projected.py").write_text(STRATEGIES)
    (tmp_path / "pyproject.toml").write_text('[project.entry-points."clep.strategies"]\nmine = "projected:Mine"\n')
    monkeypatch.setattr("sys.path", [*check.sys.path])
    assert check.subjects(str(tmp_path)) == ["projected:Mine"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("sleep_repaly", "check: unknown package or strategy `sleep_repaly`; did you mean `sleep_replay`?"),
        ("json", "check: `json` has no strategy"),
        ("clep.strategies.naive:Nave", "strategies: cannot import `clep.strategies.naive:Nave`"),
        (".", r"check: .* is neither a package \(__init__\.py\) nor a project \(pyproject\.toml\)"),
    ],
)
def test_what_has_no_strategy_is_refused(target, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        check.subjects(target)


def test_a_module_that_another_one_hides_is_named(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text(STRATEGIES)
    monkeypatch.setattr("sys.path", [*check.sys.path])
    with pytest.raises(ConfigError, match="check: another `json` can be imported first"):
        check.subjects(str(tmp_path / "json.py"))


def test_it_prints_a_line_per_check_and_fails_if_one_does(tmp_path, monkeypatch, capsys):
    install(tmp_path, monkeypatch, "printing", STRATEGIES, strategies={"first": "Mine", "second_Plugin": "Plugin"})
    assert main(["check", "printing", "strategy.first.rate=0.5"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "first:",
        "  ok       seeds  {'rate': 0.5}",
        "  skipped  gpu    no device",
        "  1 ok, 0 failed, 1 skipped",
        "",
        "second_Plugin:",
        "  fails    seeds",
        "  skipped  gpu    no device",
        "  0 ok, 1 failed, 1 skipped",
    ]
    assert main(["check", "first", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "first": {"seeds": {"status": "ok", "note": ""}, "gpu": {"status": "skipped", "note": "no device"}}
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "check: name an installed package"),
        (["ewc", "seed=3"], "seed: the checks bring their own stream and learners"),
        (["ewc", "strategy.si.eps=1.0"], "strategy.si: unknown strategy `si`"),
    ],
)
def test_what_it_would_not_read_is_refused(words, message, capsys):
    assert main(["check", *words]) == 2
    assert message in capsys.readouterr().err

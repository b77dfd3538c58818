"""The door: parts of every kind by registered name or import path, whoever brings them."""

import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

from clep import distribution, parts
from clep.cli import main
from clep.errors import ConfigError
from clep.sources import plugin_code
from tests.oracles.packages import install


@pytest.fixture
def package(tmp_path, monkeypatch):
    return partial(install, tmp_path, monkeypatch)


STRATEGY = "import clep\n\nclass Mine(clep.Strategy):\n    pass\n"


def refusal(kind, name, **key):
    with pytest.raises(ConfigError) as caught:
        parts.find(kind, name, **key)
    return str(caught.value)


def test_the_installed_names_are_those_of_the_source():
    """Metadata of an older build, left beside the source, would silently run other parts under these names."""
    source = Path(__file__).parents[1] / "pyproject.toml"
    if not source.is_file():
        pytest.skip("runs from a checkout only")
    groups = tomllib.loads(source.read_text())["project"]["entry-points"]
    assert set(groups) <= {kind.group for kind in parts.KINDS.values()}
    for kind, row in parts.KINDS.items():
        installed = {name: entry.value for name, entry in parts.registered(kind).items()}
        assert groups.get(row.group, {}).items() <= installed.items(), "reinstall clep (make install)"


@pytest.mark.parametrize("kind", parts.KINDS)
def test_every_registered_part_of_clep_is_there(kind):
    for name, entry in parts.registered(kind).items():
        assert parts.find(kind, name) is entry.load()


@pytest.mark.parametrize("kind", parts.KINDS)
def test_an_unknown_name_is_refused_with_the_key_of_its_kind_and_the_way_to_ones_own(kind):
    message = refusal(kind, "nothing_like_it")
    assert message.startswith(f"{parts.KINDS[kind].key}: unknown {parts.KINDS[kind].word} `nothing_like_it`")
    assert message.endswith("by its import path, `my_module:MyPart`.")
    assert refusal(kind, "nothing_like_it", key="cells[0]").startswith("cells[0]: unknown ")


def test_a_part_of_an_installed_package_is_found_by_its_name_and_has_its_code_in_the_identity(package):
    module = package("dreams", STRATEGY, strategies={"dream": "Mine"})
    found = parts.find("strategy", "dream")
    assert (found.__module__, found.__name__) == (module, "Mine")
    assert parts.name_of("strategy", found) == "dream"
    assert plugin_code([("strategy", "dream")])[module].startswith("dreams-1.0+")
    assert parts.problems() == []


def test_a_name_that_two_packages_claim_is_refused_and_both_are_named(package):
    package("one", STRATEGY, strategies={"dream": "Mine"})
    module = package("two", STRATEGY, strategies={"dream": "Mine"})
    claimed = "`dream` is claimed by one and two; name one by its import path"
    assert refusal("strategy", "dream") == f"strategies: {claimed}"
    assert "dream" not in parts.names("strategy")
    assert parts.find("strategy", f"{module}:Mine").__module__ == module
    assert parts.problems() == [f"the strategy {claimed}"]


def test_no_package_replaces_a_part_of_clep(package):
    module = package("greedy", STRATEGY, strategies={"sleep_replay": "Mine"})
    assert parts.find("strategy", "sleep_replay").__module__ == "clep.strategies.sleep_replay"
    assert parts.problems() == [
        f"greedy registers the strategy `sleep_replay`, which clep has itself; name it by its import path {module}:Mine"
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("import no_such_thing", "ModuleNotFoundError"), ("", "has no")],
)
def test_a_broken_package_is_named_and_breaks_no_other(source, reason, package):
    package("broken", source, strategies={"dream": "Mine"})
    package("sound", STRATEGY, strategies={"nap": "Mine"})
    message = refusal("strategy", "dream")
    assert message.startswith("strategies: cannot import `broken_module:Mine`: ")
    assert reason in message
    assert message.endswith("; `dream` comes with the package broken")
    assert parts.find("strategy", "nap").__name__ == "Mine"
    [problem] = parts.problems()
    assert problem.startswith("the strategy `dream` of broken: cannot import ")


def test_one_distribution_found_twice_claims_a_name_once(package, monkeypatch):
    """As an editable installation beside an older one of the same name."""
    package("dreams", STRATEGY, strategies={"dream": "Mine"})
    monkeypatch.syspath_prepend(sys.path[0] + "/.")
    assert parts.find("strategy", "dream").__name__ == "Mine"


def test_clep_itself_is_told_by_its_distribution():
    assert all(parts.is_own(entry) for entry in parts.registered("strategy").values())
    assert distribution.NAME not in str(parts.problems())


def test_the_list_names_a_broken_package_and_shows_the_others(package, capsys):
    package("broken", "1 / 0", strategies={"dream": "Mine"})
    package("sound", STRATEGY.replace("pass", '"""Rests a while."""'), strategies={"nap": "Mine"})
    assert main(["list", "strategies"]) == 0
    out, err = capsys.readouterr()
    assert "the strategy `dream` of broken: cannot import `broken_module:Mine`: ZeroDivisionError" in err
    assert next(line for line in out.splitlines() if line.startswith("nap ")).endswith("Rests a while.")
    assert "sleep_replay" in out

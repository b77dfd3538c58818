"""The source of code as hashes: every file that a plug-in runs counts, and no other."""

import subprocess

import pytest

from clep import sources
from clep.errors import ConfigError
from clep.sources import own_code

STRATEGY = "import clep\nclass Mine(clep.Strategy):\n    adds_penalty = False\n"


def plugin_code(names):
    """Of strategies."""
    return sources.plugin_code(("strategy", name) for name in names)


@pytest.fixture
def write(tmp_path, monkeypatch, request):
    """Writes files into a folder that Python imports from, under names of this test: modules stay loaded."""
    monkeypatch.syspath_prepend(tmp_path)
    own = f"plugin{abs(hash(request.node.name))}"

    def write(name, text):
        path = tmp_path / name.replace("OWN", own)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("OWN", own))
        return path

    write.own = own
    return write


def test_a_change_in_the_module_of_a_plug_in_changes_its_hash(write):
    path = write("OWN.py", STRATEGY)
    before = plugin_code([f"{write.own}:Mine"])
    assert list(before) == [write.own]
    assert plugin_code([f"{write.own}:Mine"]) == plugin_code([f"{write.own}.Mine"]) == before
    path.write_text(path.read_text() + "    consolidates = True\n")
    assert plugin_code([f"{write.own}:Mine"]) != before


@pytest.mark.parametrize(
    "imported",
    ["import OWN_help", "from OWN_help import f", "def late():\n    from OWN_help import f", "import OWN_more.deep"],
)
def test_a_module_that_it_imports_from_its_folder_counts_too(write, imported):
    """Also within a function, and through another module or a package without `__init__.py`."""
    write("OWN.py", STRATEGY + imported)
    helper = write("OWN_help.py", "f = 1\n")
    write("OWN_more/deep.py", "from OWN_help import f\n")
    before = plugin_code([f"{write.own}:Mine"])
    write("OWN_unrelated.py", "f = 1\n")
    assert plugin_code([f"{write.own}:Mine"]) == before
    helper.write_text("f = 2\n")
    assert plugin_code([f"{write.own}:Mine"]) != before


@pytest.mark.parametrize("imported", ["from . import part", "from .part import f", "from OWN.inner.part import f"])
def test_relative_imports_and_the_packages_around_a_module_count(write, imported):
    package, _ = write("OWN/__init__.py", ""), write("OWN/inner/__init__.py", "")
    write("OWN/inner/mine.py", STRATEGY + imported)
    part = write("OWN/inner/part.py", "f = 1\n")
    name = f"{write.own}.inner.mine:Mine"
    hashes = {str(plugin_code([name]))}
    for path in (part, package):
        path.write_text("f = 3\n")
        hashes.add(str(plugin_code([name])))
    assert len(hashes) == 3


def test_a_class_that_is_passed_on_or_derived_counts_where_it_is_defined(write):
    write("OWN_base.py", STRATEGY.replace("Mine", "Base"))
    write("OWN.py", f"from {write.own}_base import Base\nclass Mine(Base):\n    pass\n")
    assert list(plugin_code([f"{write.own}:Mine"])) == [write.own, f"{write.own}_base"]
    assert list(plugin_code([f"{write.own}:Base"])) == [write.own, f"{write.own}_base"]


def test_an_installed_plug_in_counts_with_the_version_of_its_distribution(write):
    write("OWN.py", STRATEGY)
    place = "OWN_dist-1.0.dist-info"
    metadata = write(f"{place}/METADATA", "Metadata-Version: 2.1\nName: OWN-dist\nVersion: 1.0\n")
    write(f"{place}/top_level.txt", "OWN\n")
    write(f"{place}/entry_points.txt", "[clep.strategies]\nOWN_named = OWN:Mine\n")
    name = f"{write.own}_named"
    before = plugin_code([name])
    assert before[write.own].startswith(f"{write.own}-dist-1.0+")
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    after = plugin_code([name])
    assert after[write.own].startswith(f"{write.own}-dist-1.1+")
    assert after[write.own].partition("+")[2] == before[write.own].partition("+")[2]


def test_clep_itself_is_no_part_of_a_plug_in_that_lies_beside_it(write):
    """As in a checkout: clep has a part of its own."""
    write("OWN.py", STRATEGY)
    own = write("clep/__init__.py", "")
    before = plugin_code([f"{write.own}:Mine"])
    own.write_text("changed = True\n")
    assert plugin_code([f"{write.own}:Mine"]) == before


def test_an_installed_plug_in_that_is_edited_in_its_own_folder_has_the_version_of_its_entry_point(write, monkeypatch):
    """The metadata of an editable distribution are in the environment, its source is not."""
    write("OWN.py", STRATEGY)
    write("env/OWN_dist-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: OWN-dist\nVersion: 1.0\n")
    place = write("env/OWN_dist-1.0.dist-info/entry_points.txt", "[clep.strategies]\nOWN_named = OWN:Mine\n")
    monkeypatch.syspath_prepend(place.parents[1])
    assert plugin_code([f"{write.own}_named"])[write.own].startswith(f"{write.own}-dist-1.0+")


def test_what_clep_is_built_on_counts_by_its_version_and_own_strategies_not_at_all():
    assert plugin_code(["sleep_replay", "naive"]) == {}
    found = plugin_code(["ewc"])
    assert list(found) == ["avalanche.training.plugins", "avalanche.training.plugins.ewc"]
    assert all(code.startswith("avalanche-lib-0.6") for code in found.values())


def test_a_file_that_cannot_be_parsed_counts_by_its_bytes(write):
    write("OWN.py", STRATEGY + "def late():\n    import OWN_bad\n")
    bad = write("OWN_bad.py", "f = (\n")
    before = plugin_code([f"{write.own}:Mine"])
    bad.write_bytes(b"\0")
    assert plugin_code([f"{write.own}:Mine"]) != before


def test_a_module_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"^strategies: cannot import `no_such_module:Mine`"):
        plugin_code(["no_such_module:Mine"])


def test_the_code_of_clep_is_known_without_another_process(monkeypatch):
    def start(*args, **kwargs):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    own_code.cache_clear()
    assert own_code() == own_code()


def test_every_source_file_of_clep_counts(monkeypatch):
    seen = {}
    monkeypatch.setattr(sources, "_hash", lambda files: seen.update(files) or "hash")
    own_code.cache_clear()
    own_code()
    own_code.cache_clear()
    assert {"clep/build.py", "clep/specs/options.py", "clep/strategies/si.py", "clep/pipelines/tune.py"} <= set(seen)

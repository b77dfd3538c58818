"""The packages of examples/: found by their names when installed, their tests pass, and their claims compose."""

import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from clep import claims, parts

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = ("ep_si", "top_down_replay", "dual_memory")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Puts a package on the path, with what pip would write about it."""

    def install(name):
        project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
        distribution = project["name"].replace("-", "_")
        info = tmp_path / f"{distribution}-{project['version']}.dist-info"
        info.mkdir()
        header = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(header)
        groups = project["entry-points"].items()
        text = [f"[{group}]\n" + "".join(f"{n} = {path}\n" for n, path in named.items()) for group, named in groups]
        (info / "entry_points.txt").write_text("\n".join(text))
        for folder in (tmp_path, EXAMPLES / name):
            monkeypatch.syspath_prepend(folder)
        for module in (name, f"test_{name}"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        return project

    return install


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_found_by_its_name_depends_on_clep_and_says_what_it_reads(name, installed):
    project = installed(name)
    assert project["dependencies"] == ["clep-lab"]
    assert parts.find("strategy", name).__module__ == name
    source = (EXAMPLES / name / f"{name}.py").read_text()
    assert "arXiv" in source
    assert not re.search(r"\._[a-z]|import _", source), "only what clep documents as public"


@pytest.mark.parametrize("name", PACKAGES)
def test_the_mathematics_of_a_package_is_as_its_own_tests_say(name, installed):
    """Those that need a stream run in the slow test below."""
    installed(name)
    module = importlib.import_module(f"test_{name}")
    tests = {key: test for key, test in vars(module).items() if key.startswith("test_")}
    quick = [
        test for test in tests.values() if not {"run", "final"} & {*test.__code__.co_names, *test.__code__.co_varnames}
    ]
    assert len(quick) >= 3
    for test in quick:
        test()
    examples = doctest.testmod(importlib.import_module(name))
    assert examples.attempted == 1
    assert examples.failed == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_all_tests_of_a_package_pass_where_it_lies(name):
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", ".", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=EXAMPLES / name, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0


@pytest.mark.parametrize("name", PACKAGES)
def test_the_claim_of_a_package_composes(name, installed):
    for package in PACKAGES:
        installed(package)
    for path in (EXAMPLES / name / f"{name}_digits.yaml", EXAMPLES / "extensions_digits.yaml"):
        claim = claims.read(path, str(path))
        assert claim.seeds == (0, 1, 2, 3, 4)
        assert {name, f"{name} + sleep", "naive", "sleep_replay", "joint"} <= {cell.label for cell in claim.cells}
        assert len(list(claim.composed())) == len(claim.cells)
